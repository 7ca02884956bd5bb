"""What monitoring asks for: whether the process lives, and whether it can do its work."""

from __future__ import annotations

import tempfile

from flask import Blueprint, current_app
from flask.typing import ResponseReturnValue

from web import services
from web.storage.store_backend import StoreUnavailable

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}

pages = Blueprint("health", __name__)


@pages.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer that the process lives."""
    return "ok\n", _TEXT


@pages.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Answer that the token store can be written and read too, and that large forms have a place to rest."""
    store = services.token_store()
    store.put("ready?", "yes", 60)
    if store.get("ready?") != "yes":
        raise StoreUnavailable("a value was not there a moment later")
    try:
        tempfile.TemporaryFile().close()
    except OSError as error:
        current_app.logger.error("%s, for files that people send: %s", tempfile.tempdir, error.strerror)
        return "the folder for files that people send can't be written to\n", 503, _TEXT
    return "ready\n", _TEXT
