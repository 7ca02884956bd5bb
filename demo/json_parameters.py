"""Reading JSON that a person typed: an object, or words about what is wrong with it, and where."""

from __future__ import annotations

import json
import math
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from wtforms import ValidationError

from misskey import clean_text
from web.languages import Text

MAX_LEVELS = 50  # far more than any endpoint takes, far less than Python's own limit
MAX_DIGITS = 300

#: By the first words of what :mod:`json` says.
_WORDS = {
    "Expecting property name": _l("a name in double quotes belongs here, and no comma after the last value."),
    "Illegal trailing comma": _l("there is no comma after the last value."),
    "Expecting value": _l("a value belongs here: text in double quotes, a number, true, false, null, [ ] or { }."),
    "Expecting ':'": _l("a colon belongs here, between a name and its value."),
    "Expecting ','": _l("a comma or a closing bracket belongs here."),
    "Unterminated string": _l("the text that begins here has no double quote at its end."),
    "Invalid control character": _l("inside a text, a line break is written \\n and a tab \\t."),
    "Invalid \\": _l('after a backslash comes one of " \\ / b f n r t, or u and four digits.'),
    "Extra data": _l("this is more than one value; put everything into one pair of { }."),
    "": _l("this is not JSON."),
}


def read(text: str) -> dict[str, Any]:
    """Return the object that ``text`` is.

    Raises :class:`wtforms.ValidationError` with words for whoever typed it.
    """
    try:
        value = json.loads(
            text, object_pairs_hook=_each_once, parse_constant=_no_constant, parse_float=_number, parse_int=_number
        )
    except json.JSONDecodeError as error:
        place = {"line": error.lineno, "column": error.colno}
        raise ValidationError(_("Line %(line)s, column %(column)s: %(words)s", words=_words(error), **place)) from error
    except RecursionError as error:
        raise ValidationError(_TOO_DEEP) from error
    if not isinstance(value, dict):
        raise ValidationError(_("Parameters are an object: { at the beginning, } at the end."))
    if not _fits(value, MAX_LEVELS):
        raise ValidationError(_TOO_DEEP)
    return value


def _words(error: json.JSONDecodeError) -> Text:
    sign = error.doc[error.pos : error.pos + 1]
    if sign.isascii():
        return next(words for start, words in _WORDS.items() if error.msg.startswith(start))
    return _(
        "%(sign)s (%(code)s) is no character of JSON. Quotes, commas, colons, brackets and spaces are plain ones.",
        sign=clean_text(sign),
        code=f"U+{ord(sign):04X}",
    )


_TOO_DEEP = _l("The brackets are nested deeper than any endpoint takes.")


def _fits(value: object, levels: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return levels > 0 and all(_fits(one, levels - 1) for one in inner)


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            shown = clean_text(name.encode(errors="replace").decode())  # no page can hold half a surrogate pair
            raise ValidationError(_("“%(name)s” is there twice. Keep one of them.", name=shown))
        values[name] = value
    return values


def _no_constant(name: str) -> None:
    raise ValidationError(_("JSON has no %(name)s. Use a number, or null.", name=name))


def _number(text: str) -> int | float:
    if len(text) > MAX_DIGITS or math.isinf(float(text)):
        raise ValidationError(_l("A number in it is longer than any server reads."))
    return int(text) if text.removeprefix("-").isdigit() else float(text)
