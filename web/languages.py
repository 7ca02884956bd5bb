"""Which language a page is in: the one chosen at its foot, else the browser's, where there is a translation."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from babel import Locale, negotiate_locale
from babel.support import NullTranslations
from flask import Blueprint, Flask, abort, current_app, g, redirect, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import Babel, get_locale, get_translations
from flask_babel.speaklater import LazyString
from markupsafe import Markup
from werkzeug.exceptions import HTTPException

from .environment import ROOT

#: English is what the texts are written in.
LANGUAGES = ["en", *sorted(path.parent.name for path in ROOT.glob("translations/*/LC_MESSAGES"))]
MAX_TEXTS = 2000  # in templates, of all languages; there are some 500 of each
#: Each in its own words, for people who look for theirs.
NAMES = {language: str(Locale.parse(language).display_name) for language in LANGUAGES}

#: A text for people; a lazy one is put into the page's language when it is shown.
Text = str | LazyString

pages = Blueprint("languages", __name__)


def init_app(app: Flask) -> None:
    """Translate the texts of ``app``."""
    Babel(app, locale_selector=_choose)
    # Jinja takes a lazy text for markup that is safe, whatever was put into it.
    app.jinja_env.finalize = lambda value: str(value) if isinstance(value, LazyString) else value
    app.jinja_env.globals.update(_=_translate, language=language, language_names=NAMES)


def language() -> str:
    """Return the language of this request's page."""
    return str(get_locale() or "en")


def texts() -> NullTranslations:
    """Return the texts of this request's page: the same object for all pages of an app in one language."""
    if "texts" not in g:
        g.texts = get_translations()
    return cast(NullTranslations, g.texts)


def _translate(text: str, **values: Any) -> Markup:
    """Translate a text in a template; Flask-Babel would look up language and texts anew for each."""
    said = _said(texts(), text)
    return said % values if values else said


@lru_cache(MAX_TEXTS)
def _said(texts: NullTranslations, text: str) -> Markup:
    return Markup(texts.ugettext(text))  # noqa: S704 - written by whoever wrote the template


@pages.post("/language")
def choose() -> ResponseReturnValue:
    """Remember a language for this browser, and go back to the page where it was chosen."""
    language = request.form.get("language", "")
    if language not in LANGUAGES:
        abort(400)
    session["language"] = language
    session.permanent = True
    return redirect(_page_before(), 303)


def _choose() -> str | None:
    chosen = session.get("language")
    accepted = [name.replace("_", "-") for name, quality in request.accept_languages if quality]  # 0 is “not this one”
    return chosen if chosen in LANGUAGES else negotiate_locale(accepted, LANGUAGES, "-")


def _page_before() -> str:
    """Return the page of this app that the request comes from, the first one when that is not known."""
    try:
        before = urlsplit(request.referrer or "")
        endpoint, values = current_app.url_map.bind("").match(unquote(before.path), "GET")
    except (HTTPException, ValueError):  # not one of ours, or only for forms
        return url_for("journey.home")
    return url_for(endpoint, **values) + (f"?{before.query}" if before.query else "")
