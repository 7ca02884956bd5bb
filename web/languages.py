"""Which language a page is in: the browser's, where there is a translation."""

from __future__ import annotations

from flask import Flask, request
from flask_babel import Babel, get_locale

from .config import ROOT


def init_app(app: Flask) -> None:
    """Translate the texts of ``app``."""
    babel = Babel()
    babel.init_app(
        app,
        default_translation_directories=str(ROOT / "translations"),
        default_locale="en",
        locale_selector=lambda: request.accept_languages.best_match(_available(babel, app)) or "en",
    )
    app.jinja_env.globals["language"] = lambda: str(get_locale() or "en")


def _available(babel: Babel, app: Flask) -> list[str]:
    with app.app_context():
        return ["en", *(str(locale) for locale in babel.list_translations() if str(locale) != "en")]
