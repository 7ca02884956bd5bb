"""The current app's settings, token store, transport and API clients."""

from __future__ import annotations

from functools import lru_cache, partial
from threading import Lock
from typing import Any, cast
from weakref import ref

from cachetools import TTLCache, cached
from flask import Flask, current_app, request

from misskey import Client, Exchange, NoMiAuth, Server, ServerElsewhere, ServerNameError, Transport, find_misskey

from . import signals
from .config import Settings
from .token_store import TokenStore

MAX_REMEMBERED = 1000
REMEMBERED_SECONDS = 600


def settings() -> Settings:
    """Return the settings."""
    return cast(Settings, current_app.extensions["settings"])


def public_url() -> str:
    """Return the app's address, as browsers see it; while developing, at whichever port it is served."""
    known = settings()
    return known.public_url if known.production else f"{request.scheme}://{request.host}"


def default_permissions() -> tuple[str, ...]:
    """Return what a sign-in asks for: what the settings say, else what this app needs."""
    chosen = settings().permissions
    return cast(tuple[str, ...], current_app.extensions["permissions"]) if chosen is None else chosen


def token_store() -> TokenStore:
    """Return the token store."""
    return cast(TokenStore, current_app.extensions["token_store"])


def transport() -> Transport:
    """Return the transport: what opens connections to servers."""
    return cast(Transport, current_app.extensions["transport"])


def client(server: Server, token: str | None = None) -> Client:
    """Return a client that calls a server's endpoints, and sends the signal ``api_called`` after each call."""
    app: Any = current_app
    return Client(server, transport(), token, partial(_tell, app._get_current_object()))


def _tell(app: Flask, exchange: Exchange) -> None:
    signals.api_called.send(app, exchange=exchange)


def may_sign_in_at(server: Server) -> bool:
    """Return whether ``MIAUTH_ONLY_SERVERS`` names this server, or none, and a private one is still listed."""
    known = settings()
    return _is_allowed(server.origin, known.only_servers, known.private_servers)


@lru_cache(MAX_REMEMBERED)  # each page asks for each account
def _is_allowed(origin: str, only: tuple[str, ...], private: tuple[str, ...]) -> bool:
    try:
        server = Server.parse(origin, private)
    except ServerNameError:
        return False
    return not only or server in [Server.parse(host, private) for host in only]


@cached(
    TTLCache(MAX_REMEMBERED, REMEMBERED_SECONDS),
    key=lambda server: (ref(token_store()), server.origin),  # each app's own, which it does not outlive
    lock=Lock(),
)
def find_server(server: Server) -> Server:
    """Return the server at which to sign in, as :func:`misskey.find_misskey` does; asked again after ten minutes.

    Each process remembers for itself: it spares a request, and nothing depends on it.
    """
    return _allowed(server, find_misskey(server, transport(), settings().private_servers))


def find_server_for_token(server: Server) -> Server:
    """Return the server where a token made by hand is used; it needs no MiAuth for that."""
    try:
        return find_server(server)
    except NoMiAuth as error:
        return _allowed(server, error.server)


def _allowed(asked: Server, found: Server) -> Server:
    if not may_sign_in_at(found):
        raise ServerElsewhere(asked.host, found) from None
    return found
