"""Which language a page is in: the browser's, where there is a translation."""

from __future__ import annotations

from babel import negotiate_locale
from flask import Flask, request
from flask_babel import Babel, get_locale
from flask_babel.speaklater import LazyString

from .config import ROOT

#: English is what the texts are written in.
LANGUAGES = ["en", *sorted(path.parent.name for path in ROOT.glob("translations/*/LC_MESSAGES"))]


def init_app(app: Flask) -> None:
    """Translate the texts of ``app``."""
    babel = Babel()
    babel.init_app(
        app,
        default_translation_directories=str(ROOT / "translations"),
        default_locale="en",
        locale_selector=lambda: negotiate_locale(list(request.accept_languages.values()), LANGUAGES, sep="-"),
    )
    # Jinja takes a lazy text for markup that is safe, whatever was put into it.
    app.jinja_env.finalize = lambda value: str(value) if isinstance(value, LazyString) else value
    app.jinja_env.globals["language"] = lambda: str(get_locale() or "en")
