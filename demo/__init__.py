"""The demonstration: what this app does with a token beyond signing in. An app of your own takes it out.

It adds itself to the app by the ways that are open to any part: blueprints, signals, template filters, and panels,
listed beside those of ``web``. A template in ``templates/demo`` overrides the one of the same name in ``templates``,
and extends it as ``web:name``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from flask import Flask
from jinja2 import ChoiceLoader, FileSystemLoader, PrefixLoader

from web import dashboard

from . import (
    console,
    drive,
    forms,
    live,
    notes,
    notifications,
    picture_proxy,
    posting,
    template_filters,
    timeline,
    trace,
    upload_limits,
    uploads,
)

_OF_WEB = (dashboard.PROFILE, dashboard.SERVER)
PANELS = (
    timeline.PANEL,
    replace(dashboard.PROFILE, wide=False),
    notifications.PANEL,
    drive.PANEL,
    dashboard.SERVER,
    *(panel for panel in dashboard.PANELS if panel not in _OF_WEB),  # yours
)
PERMISSIONS = ("write:notes", "write:drive")  # beside those of the panels


def init_app(app: Flask) -> None:
    """Add the demonstration to ``app``."""
    dashboard.init_app(app, PANELS, PERMISSIONS)
    templates = Path(app.root_path, str(app.template_folder))
    of_web = FileSystemLoader(templates)
    app.jinja_loader = ChoiceLoader([FileSystemLoader(templates / "demo"), of_web, PrefixLoader({"web": of_web}, ":")])
    for part in (trace, template_filters, upload_limits):
        part.init_app(app)
    filters = {"notes": notes.read_notes, "files": notes.read_files, "notifications": notifications.read_notifications}
    app.jinja_env.filters.update(filters, picture=picture_proxy.picture)
    app.jinja_env.globals["new_note_form"] = forms.NoteForm
    for part in (posting, uploads, live, picture_proxy, console):
        app.register_blueprint(part.pages)
