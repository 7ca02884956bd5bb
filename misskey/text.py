"""Text that others wrote: what of it can be shown, on one line and in bounds."""

from __future__ import annotations

import re

WORDS_CHARACTERS = 300  # of a server's own words in an error
#: What leaves no trace on a page: white space, Unicode's default ignorable code points, signs that are drawn empty.
_BLANK = re.compile(
    "[\\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\U00013441\U00013442\U0001bca0-\U0001bca3\U0001d159"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")


def clean_text(text: str, length: int = WORDS_CHARACTERS) -> str:
    r"""Return ``text`` as one line of at most ``length`` characters without control and direction characters.

    ``""`` when nothing of it can be seen.

    >>> clean_text(" two\tlines ")
    'two lines'
    """
    line = _CONTROL.sub(" ", text[: length * 2]).strip()[:length]
    return "" if is_blank(line) else line


def printable_ascii(value: object) -> str:
    """Return what a server names, an address or a version: printable ASCII in bounds, ``""`` for anything else."""
    return value if isinstance(value, str) and re.fullmatch("[!-~]{1,2048}", value) else ""


def is_blank(text: str) -> bool:
    r"""Return whether nothing of ``text`` can be seen.

    >>> is_blank("\u200b \u3000")
    True
    """
    return _BLANK.fullmatch(text) is not None
