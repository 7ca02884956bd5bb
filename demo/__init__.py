"""The demonstration: what this app does with a token beyond signing in. An app of your own takes it out.

It adds itself to the app by the ways that are open to any part: blueprints, signals, template filters, and panels,
listed beside those of ``web``. A template in ``templates/demo`` overrides the one of the same name in ``templates``,
and extends it as ``web:name``.
"""

from __future__ import annotations

from pathlib import Path

from flask import Flask
from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader

from misskey import MASK, NATIVE_ONLY_ENDPOINTS, UPLOAD_ENDPOINT
from web import dashboard

from . import console, live, notes, notifications, picture_proxy, posting, template_filters, trace, uploads
from .forms import NoteForm
from .panels import PANELS

PERMISSIONS = ("write:notes", "write:drive")  # beside those of the panels
FILTERS = {
    "coloured": console.coloured,
    "file_size": template_filters.file_size,
    "files": notes.read_files,
    "notes": notes.read_notes,
    "notifications": notifications.read_notifications,
    "percent_of": template_filters.percent_of,
    "picture": picture_proxy.picture,
}
GLOBALS = {
    "empty_values": console.EMPTY_VALUES,
    "mask": MASK,
    "native_only": NATIVE_ONLY_ENDPOINTS,
    "new_note_form": NoteForm,
    "new_upload_form": uploads.new_upload_form,
    "sign_in_trace": trace.of_sign_in,
    "upload_endpoint": UPLOAD_ENDPOINT,
}


def init_app(app: Flask) -> None:
    """Add the demonstration to ``app``."""
    dashboard.init_app(app, PANELS, PERMISSIONS)
    templates = Path(app.root_path, str(app.template_folder))
    of_web = FileSystemLoader(templates)
    app.jinja_loader = ChoiceLoader([FileSystemLoader(templates / "demo"), of_web, PrefixLoader({"web": of_web}, ":")])
    app.jinja_env.filters.update(FILTERS)
    app.jinja_env.globals.update(GLOBALS)
    app.context_processor(lambda: {"exchanges": trace.exchanges()})
    for part in (posting, uploads, live, picture_proxy, console):
        app.register_blueprint(part.pages)
