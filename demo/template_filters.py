"""Sizes and addresses in servers' answers, made fit to be shown, beside :mod:`web.template_filters`."""

from __future__ import annotations

import math
import re
from typing import Literal, TypeGuard

from babel.units import format_unit
from flask_babel import get_locale

from misskey import Server


def file_size(value: object) -> str:
    """Return a number of bytes as people say it, a dash for anything else; a megabyte is 1024 * 1024, as at Misskey."""
    if not _is_amount(value):
        return "–"
    power = min(int(math.log2(max(value, 1)) // 10), 3)
    unit = ("byte", "kilobyte", "megabyte", "gigabyte")[power]
    length: Literal["long", "short"] = "short" if power else "long"
    said = str(format_unit(round(value / 1024**power, 1), unit, length, locale=get_locale()))
    return said.replace(" ", "\N{NO-BREAK SPACE}")


def web_address(value: object, server: Server) -> str:
    """Return an address in a server's answer that a link may lead to, ``""`` for anything else."""
    schemes = "https?" if server.origin.startswith("http:") else "https"
    return value if isinstance(value, str) and re.fullmatch(schemes + "://[!-~]{1,2000}", value) else ""


def percent_of(part: object, whole: object) -> int:
    """Return how much of ``whole`` a ``part`` is, from 0 to 100; 0 for what are no numbers."""
    return round(min(100 * part / whole, 100)) if _is_amount(part) and _is_amount(whole) and whole else 0


def _is_amount(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 10**15
