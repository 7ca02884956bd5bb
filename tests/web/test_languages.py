"""The language that a visitor chose."""

from __future__ import annotations

import re

import pytest
from flask import Flask, render_template_string
from flask_babel import lazy_gettext
from markupsafe import Markup

from tests.cast import Visitor
from web.languages import LANGUAGES, NAMES
from web.template_filters import sentences


def choose(visitor: Visitor, language: str, page: str | None = None, **headers: str) -> tuple[int, str]:
    """Press a language's button on a page; the status and where it leads."""
    sent = headers | ({"Referer": page} if page else {})
    answer = visitor.post("/language", {"language": language}, headers=sent)
    return answer.status_code, answer.location


def language_of(visitor: Visitor, accepted: str = "en") -> str:
    found = re.search('<html lang="([^"]+)"', visitor.get("/signin", headers={"Accept-Language": accepted}).text)
    assert found
    return found[1]


def test_a_choice_wins_over_the_browsers_language(visitor: Visitor) -> None:
    choose(visitor, "ja")
    assert language_of(visitor, "en") == "ja"

    choose(visitor, "en")
    assert language_of(visitor, "ja") == "en"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        *(("ja", "ja"), ("JA-jp", "ja"), ("ja_JP", "ja"), ("fr, ja;q=0.1", "ja"), ("zh-Hant-TW, ja-JP;q=0.5", "ja")),
        *(("en;q=0.5, ja;q=0.9", "ja"), ("x-pirate, ja", "ja"), (", ja,,;;;=", "ja"), ("en;q=0, ja", "ja")),
        *(("", "en"), ("*", "en"), ("de, *;q=0.7", "en"), ("fr", "en"), ("ja;q=0", "en"), ("fr, ja;q=0", "en")),
        *(("*, ja;q=0.0", "en"), ("ja;q=abc", "en"), ("\x80ja", "en"), ("favicon", "en"), ("ja" * 5000, "en")),
    ],
)
def test_the_browsers_languages_are_followed_whatever_they_look_like(
    visitor: Visitor, accepted: str, language: str
) -> None:
    assert language_of(visitor, accepted) == language


def test_a_choice_outlasts_signing_in_and_out(visitor: Visitor) -> None:
    choose(visitor, "ja")
    visitor.sign_in()
    assert "こんにちは" in visitor.get("/dashboard").text

    visitor.post("/signout")
    assert language_of(visitor) == "ja"


def test_another_browser_is_not_concerned(visitor: Visitor, app: Flask) -> None:
    choose(visitor, "ja")

    assert language_of(Visitor(app, visitor.sandbox)) == "en"


def test_every_page_offers_every_language_in_its_own_words(alice: Visitor) -> None:
    assert NAMES["ja"] == "日本語"
    for path in ("/signin", "/signin/token", "/dashboard", "/how-it-works", "/privacy", "/nowhere"):
        page = alice.get(path).text
        offered = re.findall(r'name="language" value="(\w+)" lang="(\w+)"[^>]*>([^<]+)<', page)
        assert offered == [(language, language, NAMES[language]) for language in LANGUAGES]
        assert re.findall(r'value="(\w+)"[^>]* aria-current="true"', page) == ["en"]


@pytest.mark.parametrize("language", ["", "xx", "../ja", "EN"])
def test_an_unknown_language_is_refused(visitor: Visitor, language: str) -> None:
    assert choose(visitor, language)[0] == 400
    assert "language" not in visitor.cookie()


def test_a_language_that_is_gone_is_no_choice(visitor: Visitor) -> None:
    with visitor.client.session_transaction() as session:
        session["language"] = "xx"

    assert language_of(visitor, "ja") == "ja"


@pytest.mark.parametrize(
    ("page", "location"),
    [
        ("http://localhost/how-it-works", "/how-it-works"),
        ("http://localhost/signin?host=misskey.io", "/signin?host=misskey.io"),
        ("http://localhost/callback?session=x", "/callback?session=x"),
        ("http://localhost/dashboard/profile?account=1", "/dashboard/profile?account=1"),
        ("http://localhost/signin", "/signin"),
        ("http://localhost/signin/resume", "/"),  # only a form leads there
        ("http://localhost/nowhere", "/"),
        ("http://localhost//evil.example/", "/"),
        ("http://localhost/\\evil.example", "/"),
        ("http://localhost", "/"),
        ("http://evil.example/elsewhere", "/"),
        ("https://[broken", "/"),
        ("javascript:alert(1)", "/"),
        ("http://localhost/static/%0d%0aSet-Cookie:a=b", "/"),
        ("http://localhost/static//evil.example", "/"),
        ("http://localhost/signin?a=%0d%0aSet-Cookie:a=b", "/signin?a=%0d%0aSet-Cookie:a=b"),
        ("http://localhost/signin?\xff@evil.example", "/signin?%C3%BF@evil.example"),
        ("http://localhost/signin?\\evil.example", "/signin?%5Cevil.example"),
        ("/\\evil.example", "/"),
        ("//evil.example/signin", "/signin"),
        ("http://localhost/dashboard/%5C%5Cevil.example", "/dashboard/%5C%5Cevil.example"),
        (None, "/"),
    ],
)
def test_it_leads_back_to_a_page_of_this_app_only(visitor: Visitor, page: str | None, location: str) -> None:
    assert choose(visitor, "ja", page) == (303, location)


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (("One.", None, "", "Two."), "One. Two."),
        (("いち。", "に。"), "いち。に。"),
        (("サーバーから：Try again.", "残っています。"), "サーバーから：Try again. 残っています。"),
        ((), ""),
    ],
)
def test_there_is_no_space_after_a_japanese_sentence(parts: tuple[str | None, ...], said: str) -> None:
    assert sentences(*parts) == said


def test_sentences_are_text_whatever_is_in_them(app: Flask) -> None:
    with app.test_request_context():
        words = lazy_gettext("The server said: %(text)s", text="<b>")
        assert sentences(words, Markup("<i>")) == "The server said: &lt;b&gt; <i>"
        assert render_template_string("{{ words }}", words=words) == "The server said: &lt;b&gt;"
