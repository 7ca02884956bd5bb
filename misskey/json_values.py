"""JSON that others wrote: taken apart in bounds, without the token, and shown as text."""

from __future__ import annotations

import json
import re
from typing import Any

#: What is shown in the place of a token.
MASK = "•••"
SHOWN_CHARACTERS = 20_000  # of an answer in an Exchange: more than anybody reads, less than slows a page down
MAX_VALUES = 100_000
MAX_DIGITS = 300  # of a whole number: reading one takes the longer the more it has, by the square
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_INDENTED = json.JSONEncoder(ensure_ascii=False, indent=2, check_circular=False)  # what it looked at would stay


class NotJSON(str):
    """The text of an answer that is not JSON; a string in JSON is a ``str``."""


def mask_token(value: Any, token: str | None) -> Any:
    """Return JSON without ``token``, wherever in it, and without half surrogate pairs, which no page can hold.

    >>> mask_token({"text": "My token is s3cret", "id": 5}, "s3cret")
    {'text': 'My token is •••', 'id': 5}
    """
    if isinstance(value, str):
        text = value.encode(errors="replace").decode()
        return text.replace(token, MASK) if token else text
    if isinstance(value, dict):
        return {mask_token(key, token): mask_token(inner, token) for key, inner in value.items()}
    return [mask_token(inner, token) for inner in value] if isinstance(value, list) else value


def parse(body: bytes, token: str | None, most_values: int = MAX_VALUES) -> Any:
    """Return the JSON that a server sent, else :class:`NotJSON`; without the token, should the server repeat it.

    Of more than ``most_values`` it is none: a list, an object or a member of one counts as five.
    """
    text = body.decode("utf-8-sig", "replace")  # some proxies add a byte order mark
    try:
        members = text.count(":") - text.count("://")
        if text.count(",") + 4 * members + 5 * (text.count("[") + text.count("{")) > most_values:
            return NotJSON(mask_token(text, token))
        content = _DECODER.decode(text)
        return mask_token(content, token) if _may_hide(text, token) else content
    except (ValueError, RecursionError):
        return NotJSON(mask_token(text, token))


def _may_hide(text: str, token: str | None) -> bool:
    """Return whether there can be something to mask in JSON: letters and digits are only escaped as ``\\u…``."""
    return "\\u" in text or bool(token and (token in text or ("\\" in text and not token.isalnum())))


def _refuse_constant(name: str) -> None:
    raise ValueError


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError
    return int(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole)


def indented(content: object, token: str | None) -> str:
    """Return JSON as text with all that can't be seen escaped.

    It is made no further than it is shown: the indentation of deep JSON is many times its size.
    """
    text, is_json = "", not isinstance(content, NotJSON)
    hidden = json.dumps(token)[1:-1] if token and is_json else token
    for piece in _INDENTED.iterencode(content) if is_json else (content,):
        text += mask_token(piece, hidden)[: SHOWN_CHARACTERS + 1]
        if len(text) > SHOWN_CHARACTERS:
            break
    text = _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + " …"
