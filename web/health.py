"""What those who look after the app ask: does it live, and can it work."""

from __future__ import annotations

from flask import Blueprint
from flask.typing import ResponseReturnValue

from . import accounts
from .token_store import StoreUnavailable

pages = Blueprint("health", __name__)


@pages.get("/healthz")
def healthz() -> ResponseReturnValue:
    """Tell that the process answers."""
    return "ok\n", {"Content-Type": "text/plain; charset=utf-8"}


@pages.get("/readyz")
def readyz() -> ResponseReturnValue:
    """Tell that the token store can be written and read too."""
    store = accounts.store()
    store.put("ready?", "yes", 60)
    if store.get("ready?") != "yes":
        raise StoreUnavailable("a value was not there a moment later")
    return "ready\n", {"Content-Type": "text/plain; charset=utf-8"}
