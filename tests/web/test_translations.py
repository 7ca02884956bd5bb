"""Every text in every language, and none that nobody uses."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from babel.messages import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

from tests.cast import Visitor
from web.languages import LANGUAGES

ROOT = Path(__file__).parents[2]
TRANSLATED = [language for language in LANGUAGES if language != "en"]
KEYWORDS = {"_": None, "gettext": None, "ngettext": (1, 2), "_l": None, "_ln": (1, 2)}


def catalog(language: str) -> Catalog:
    with (ROOT / "translations" / language / "LC_MESSAGES" / "messages.po").open("rb") as file:
        return read_po(file, locale=language)


@pytest.fixture(scope="module")
def used() -> set[Any]:
    """Every text in the code and the templates; plural ones as pairs."""
    with (ROOT / "translations" / "babel.cfg").open() as file:
        methods, options = parse_mapping_cfg(file)  # type: ignore[no-untyped-call] # Babel's, without annotations
    found: Any = extract_from_dir(ROOT, methods, options, KEYWORDS)
    return {message for _, _, message, _, _ in found}


def test_there_is_japanese() -> None:
    assert "ja" in TRANSLATED


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_text_is_translated_and_none_is_stale(language: str, used: set[Any]) -> None:
    entries = [entry for entry in catalog(language) if entry.id]

    assert {entry.id for entry in entries} == used
    assert [entry.id for entry in entries if not all([entry.string] if entry.string else [""]) or entry.fuzzy] == []
    assert not catalog(language).obsolete


@pytest.mark.parametrize("language", TRANSLATED)
def test_every_translation_keeps_the_places_for_values(language: str) -> None:
    for entry in catalog(language):
        texts: list[Any] = [*entry.string] if isinstance(entry.string, (tuple, list)) else [entry.string]
        wanted = set(re.findall(r"%\(\w+\)[sd]", str(entry.id)))
        for text in texts if entry.id else ():
            assert set(re.findall(r"%\(\w+\)[sd]", text)) == wanted, entry.id


@pytest.mark.parametrize("language", TRANSLATED)
def test_the_compiled_texts_are_those_of_today(language: str) -> None:
    compiled = io.BytesIO()
    write_mo(compiled, catalog(language))

    found = (ROOT / "translations" / language / "LC_MESSAGES" / "messages.mo").read_bytes()
    assert found == compiled.getvalue(), "compile them: make translations"


@pytest.mark.parametrize(
    ("accepted", "language", "words"),
    [
        ("ja,en;q=0.5", "ja", "自分の Misskey サーバーでサインイン"),
        ("ja-JP", "ja", "自分の Misskey サーバーでサインイン"),
        ("en-GB,ja;q=0.5", "en", "Sign in with your own Misskey server"),
        ("fr", "en", "Sign in with your own Misskey server"),
        ("", "en", "Sign in with your own Misskey server"),
        ("*;q=x, \u00ff", "en", "Sign in with your own Misskey server"),
    ],
)
def test_a_page_is_in_the_browsers_language(visitor: Visitor, accepted: str, language: str, words: str) -> None:
    page = visitor.get("/", headers={"Accept-Language": accepted}).text

    assert f'<html lang="{language}">' in page
    assert f"<h1>{words}</h1>" in page


def test_errors_and_permissions_are_in_the_browsers_language_too(visitor: Visitor) -> None:
    page = visitor.post("/signin", {"host": "misskey"}, headers={"Accept-Language": "ja"}).text

    assert "末尾の「.io」などが足りません" in page
    assert "ノートを作成・削除する" in page
