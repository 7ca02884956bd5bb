"""Which servers a sign-in can be done at, remembered for a while."""

from __future__ import annotations

from threading import Lock
from typing import cast

from cachetools import TTLCache
from flask import current_app

from misskey import Server, find_misskey

from . import accounts

MOST_REMEMBERED = 1000
REMEMBERED_SECONDS = 600
_lock = Lock()


def find(server: Server) -> Server:
    """Return the server at which to sign in, as :func:`misskey.find_misskey` does; asked again after ten minutes."""
    known = _known()
    with _lock:
        found = known.get(server.origin)
    if found is None:
        found = find_misskey(server, accounts.transport(), accounts.settings().private_servers)
        with _lock:
            known[server.origin] = found
    return found


def _known() -> TTLCache[str, Server]:
    return cast(
        "TTLCache[str, Server]",
        current_app.extensions.setdefault("known_servers", TTLCache(MOST_REMEMBERED, REMEMBERED_SECONDS)),
    )
