"""Which server a sign-in can be done at, and why not elsewhere."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from .client import Client
from .errors import APIError, InvalidAnswer, MiAuthDisabled, MisskeyError, NotMisskey, ServerNameError
from .server import Server
from .transport import Transport


def find_misskey(server: Server, transport: Transport, private: Collection[str] = ()) -> Server:
    """Return the server at which to sign in: ``server``, or the one that its ``meta`` names as itself.

    A server's ``uri`` is its own claim, so the one it names goes through the same checks; ``private`` are the origins
    that may be http or not public. Raises :class:`~misskey.errors.NotMisskey`,
    :class:`~misskey.errors.MiAuthDisabled`, or what :meth:`~misskey.client.Client.call` raises.
    https://misskey-hub.net/docs/for-developers/api/token/
    """
    if server.private:
        private = {*private, server.origin}
    meta = _meta(server, transport)
    named = _named(server, meta, private)
    if named != server:
        meta = _meta(named, transport)
        if _named(named, meta, private) != named:
            raise NotMisskey(server.host)
    features = meta.get("features")
    if isinstance(features, dict) and features.get("miauth") is False:  # servers before 12.28.0 don't tell
        raise MiAuthDisabled(named.host)
    return named


def _meta(server: Server, transport: Transport) -> dict[str, Any]:
    client = Client(server, transport)
    try:
        meta = client.call("meta", {"detail": True})
    except (InvalidAnswer, APIError) as error:
        status = error.status or 0
        if status == 429 or status >= 500:
            raise
        software = _software(client)
        if software == "misskey" or (software is None and status in (401, 403)):
            raise
        raise NotMisskey(server.host, software) from None
    if isinstance(meta, dict) and isinstance(meta.get("version"), str) and isinstance(meta.get("uri"), str):
        return meta
    software = _software(client)
    raise NotMisskey(server.host, software if software != "misskey" else None)


def _named(server: Server, meta: dict[str, Any], private: Collection[str]) -> Server:
    try:
        return Server.parse(meta["uri"], private)
    except ServerNameError:
        raise NotMisskey(server.host) from None


def _software(client: Client) -> str | None:
    """Return what nodeinfo says the server runs, ``None`` where it does not tell. https://nodeinfo.diaspora.software"""
    try:
        href = client.get("/.well-known/nodeinfo")["links"][0]["href"]
        path = href.removeprefix(client.server.origin)
        name = client.get(path)["software"]["name"] if path.startswith("/") else None
    except (MisskeyError, LookupError, TypeError, AttributeError):
        return None
    return name if isinstance(name, str) and re.fullmatch("[a-z0-9.-]{1,40}", name) else None
