"""Template filters and globals: dates, numbers, text.

What a remote server sent is made fit to be shown: always the right type, never longer than a page can bear.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import regex
from babel.support import NullTranslations
from flask import Flask, current_app
from flask_babel import format_date, format_datetime, format_decimal, format_timedelta
from flask_babel import gettext as _
from markupsafe import Markup, escape

from misskey import PERMISSIONS, Permission, clean_text, is_blank

from . import accounts
from .languages import Text, language, texts
from .permission_presets import groups, offered

_CONTROL_IN_TEXT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
MAX_PARTS = 64  # of pages, some 12 kB each; whoever ticks something of their own makes another one


def init_app(app: Flask) -> None:
    """Give the templates of ``app`` these filters, and what every page needs."""
    filters = (count, day, epoch, full_time, initial, line, text, when)
    app.jinja_env.cache = {}  # of templates: there are few, and Jinja's own has a lock that threads wait for
    app.jinja_env.filters.update({each.__name__: each for each in filters})
    app.jinja_env.globals.update(
        app_name=app.extensions["settings"].app_name,
        accounts_in_this_browser=accounts.in_this_browser,
        current_account=accounts.current,
        just_signed_out=accounts.just_signed_out,
        offered_presets=offered,
        permission_groups=groups,
        permission_label=permission_label,
        render_once=render_once,
        sentences=sentences,
        permissions=PERMISSIONS,
    )


def render_once(template: str, **values: Any) -> Markup:
    """Return a part of a page that is the same for everybody with the same language and values, which are hashable."""
    render = _render.__wrapped__ if current_app.debug else _render  # while developing, a changed template shows
    return render(texts(), template, *values.items())


@lru_cache(MAX_PARTS)
def _render(_texts: NullTranslations, template: str, *values: tuple[str, Any]) -> Markup:
    return Markup(current_app.jinja_env.get_template(template).render(values))  # noqa: S704 - escaped there


def read_id(value: object) -> str:
    """Return an id that is fit for an address, ``""`` for anything else."""
    return value if isinstance(value, str) and re.fullmatch("[A-Za-z0-9_-]{1,64}", value) else ""


def line(value: object, length: int = 100) -> str:
    """Return one line of text, ``""`` for anything that is not text or shows nothing."""
    return clean_text(value, length) if isinstance(value, str) else ""


def text(value: object, length: int = 3000) -> str:
    """Return text with its line breaks, ``""`` for anything that is not text or shows nothing."""
    shown = _CONTROL_IN_TEXT.sub("", value[:length]).strip() if isinstance(value, str) else ""
    return "" if is_blank(shown) else shown


def initial(name: str) -> str:
    """Return the first letter of a name as people see it: with its accents, or all of an emoji.

    https://www.unicode.org/reports/tr29/#Grapheme_Cluster_Boundaries
    """
    return next((letter for letter in regex.findall(r"\X", name) if not is_blank(letter)), "")


def count(value: object) -> str:
    """Return a whole number as people write it, a dash for anything else."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return str(format_decimal(value))
    return "–"


def moment(value: object) -> datetime | None:
    """Return a time in ISO 8601, in UTC where it says nothing else, ``None`` for anything else."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
        return (time if time.tzinfo else time.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def when(time: datetime) -> Markup:
    """Return how long ago a time was, as people say it, which app.js keeps true; and exactly for whoever asks."""
    passed = datetime.now(UTC) - time
    age = int(passed.total_seconds())  # may be negative: servers' clocks may be a little ahead
    ago = _("just now") if age < 60 else format_timedelta(-passed, granularity="minute", add_direction=True)
    element = Markup('<time datetime="{}" title="{}" data-age="{}">{}</time>')
    return element.format(time.isoformat(), full_time(time), age, ago)


def full_time(time: datetime) -> str:
    """Return a time with its day, in UTC: the app does not know where the visitor is."""
    return str(format_datetime(time, "long"))


def day(value: object) -> str:
    """Return the day of a time in ISO 8601, ``""`` for anything else."""
    time = moment(value)
    return str(format_date(time, "long")) if time else ""


def epoch(seconds: float) -> datetime:
    """Return a time of our own, in seconds since 1970, as a date with its time."""
    return datetime.fromtimestamp(seconds, UTC)


def sentences(*parts: Text | None) -> Markup:
    """Return sentences one after the other; there is no space after a Japanese one."""
    said = Markup()
    for part in filter(None, parts):
        space = "" if not said or said.endswith("。") else " "
        said += space + (part if isinstance(part, Markup) else escape(str(part)))  # a lazy text is no markup
    return said


def permission_label(permission: Permission) -> str:
    """Return what a permission allows, in the page's language."""
    return permission.japanese if language() == "ja" else permission.english
