"""What monitoring asks for: whether the process lives, and whether it can do its work."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Blueprint, Flask, current_app
from flask.typing import ResponseReturnValue

from web import services
from web.storage.store_backend import StoreUnavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_TEXT = {"Content-Type": "text/plain; charset=utf-8"}
_ALIVE = "ok\n"

pages = Blueprint("health", __name__)


def init_app(app: Flask) -> None:
    """Let ``app`` answer ``/healthz`` sooner than any page: nothing asks for one as often."""
    inner = app.wsgi_app

    def answer(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if (environ["REQUEST_METHOD"], environ["PATH_INFO"]) != ("GET", "/healthz"):
            return inner(environ, start_response)
        start_response("200 OK", [*_TEXT.items(), ("Content-Length", str(len(_ALIVE)))])
        return [_ALIVE.encode()]

    app.wsgi_app = answer  # type: ignore[method-assign]


@pages.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Answer that the process lives."""
    return _ALIVE, _TEXT


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
