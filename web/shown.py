"""What templates can use.

What a remote server sent is made fit to be shown: always the right type, never longer than a page can bear.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

from flask import Flask
from flask_babel import format_date, format_decimal, get_locale

from misskey import Permission, clean

from . import accounts

_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def init_app(app: Flask) -> None:
    """Give the templates of ``app`` these filters, and what every page needs."""
    app.jinja_env.filters.update(line=line, text=text, count=count, day=day)
    app.jinja_env.globals.update(
        app_name=app.extensions["settings"].app_name,
        signed_in_accounts=accounts.signed_in,
        just_signed_out=accounts.just_signed_out,
        permission_label=permission_label,
    )


def line(value: Any, length: int = 100) -> str:
    """Return one line of text, ``""`` for anything that is not text."""
    return clean(value, length) if isinstance(value, str) else ""


def text(value: Any, length: int = 3000) -> str:
    """Return text with its line breaks, ``""`` for anything that is not text."""
    return _CONTROL_IN_TEXT.sub("", value[:length]).strip() if isinstance(value, str) else ""


def count(value: Any) -> str:
    """Return a whole number as people write it, a dash for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return str(format_decimal(value))
    return "–"


def day(value: Any) -> str:
    """Return the day of a time in ISO 8601, ``""`` for anything else."""
    try:
        return str(format_date(datetime.fromisoformat(value), "long"))
    except (TypeError, ValueError, OverflowError):
        return ""


def permission_label(permission: Permission) -> str:
    """Return what a permission allows, in the page's language."""
    return permission.japanese if str(get_locale()) == "ja" else permission.english
