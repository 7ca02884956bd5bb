"""What the app says in each language, looked up by its English."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from babel.messages.pofile import read_po

from web.environment import ROOT
from web.languages import LANGUAGES

#: How a browser is told which language its person reads.
LOCALES = {"en": "en-GB", "ja": "ja-JP"}
assert set(LOCALES) == set(LANGUAGES)

Say = Callable[[str], str | re.Pattern[str]]


def in_language(language: str) -> Say:
    """Say English texts of the app, or parts that only one text has, in a language."""

    def say(english: str) -> str | re.Pattern[str]:
        return as_pattern(english) if language == "en" else found(language, english)

    return say


def found(language: str, english: str) -> str | re.Pattern[str]:
    """The whole text that is, or contains, this English; a pattern where it has places to fill in."""
    texts = translations(language)
    matching = [english] if english in texts else [text for text in texts if english in text]
    assert len(matching) == 1, f"{len(matching)} texts of the app contain: {english}"
    return as_pattern(texts[matching[0]])


def as_pattern(text: str) -> str | re.Pattern[str]:
    """The text itself, or what it looks like with anything filled in."""
    if "%(" not in text:
        return text
    return re.compile(re.sub(r"%\\\(\w+\\\)[ds]", ".*", re.escape(text)))


@cache
def translations(language: str) -> dict[str, str]:
    """Every text of the app in a language, by its English, the singular where there are several."""
    with Path(ROOT, "translations", language, "LC_MESSAGES", "messages.po").open("rb") as file:
        messages = list(read_po(file))
    return {singular(message.id): singular(message.string) for message in messages if message.id}


def singular(text: str | Sequence[str] | None) -> str:
    assert text
    return text if isinstance(text, str) else text[0]
