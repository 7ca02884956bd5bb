"""Which servers a sign-in can be done at, remembered for a while."""

from __future__ import annotations

from threading import Lock

from cachetools import TTLCache, cached

from misskey import NoMiAuth, Server, find_misskey

from . import accounts

MOST_REMEMBERED = 1000
REMEMBERED_SECONDS = 600


@cached(
    TTLCache(MOST_REMEMBERED, REMEMBERED_SECONDS),
    key=lambda server: (accounts.store(), server.origin),  # each app's own
    lock=Lock(),
)
def find(server: Server) -> Server:
    """Return the server at which to sign in, as :func:`misskey.find_misskey` does; asked again after ten minutes."""
    return find_misskey(server, accounts.transport(), accounts.settings().private_servers)


def find_for_token(server: Server) -> Server:
    """Return the server where a token made by hand is used; it needs no MiAuth for that."""
    try:
        return find(server)
    except NoMiAuth as error:
        return error.server
