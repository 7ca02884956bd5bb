"""Checks that a server runs Misskey with MiAuth, and why not."""

from __future__ import annotations

import re
from collections.abc import Collection
from contextlib import suppress
from typing import NamedTuple

from .client import Client
from .errors import (
    APIError,
    InvalidAnswer,
    LoginRequired,
    MiAuthDisabled,
    MisskeyError,
    NotMisskey,
    Redirected,
    ServerElsewhere,
    ServerNameError,
)
from .miauth import check_session, new_session_id
from .server import Server
from .text import printable_ascii
from .transport import Transport

#: How large the answer of ``meta`` may be, for ``max_answer_bytes``.
META_BYTES = 4 * 1024 * 1024  # before Misskey 13 it holds all emoji of a server, thousands of them
NODEINFO_BYTES = 64 * 1024
VERSION_CHARACTERS = 100
MIAUTH_SINCE = (12, 27)
#: What nodeinfo calls Misskey and its forks that have its API.
FAMILY = frozenset(
    {
        *("misskey", "calckey", "catodon", "cherrypick", "dolphin", "firefish", "foundkey", "groundpolis", "hajkey"),
        *("iceshrimp", "lycheebridge", "magnetar", "meisskey", "nexkey", "sharkey", "xgroundpolis", "yoiyami"),
    }
)
_API = ("/api/meta", "/")
_NODEINFO = "/.well-known/nodeinfo"
_PATH = re.compile("/[!-~]{0,200}")
_SOFTWARE = re.compile("[A-Za-z0-9.-]{1,40}")
_ADDRESS = re.compile("(https?://[^/?#]+)(/[^?#]*)?", re.IGNORECASE)
_NUMBERS = re.compile("v?([0-9]{1,5})[.]([0-9]{1,5})")


def find_misskey(server: Server, transport: Transport, private: Collection[str] = ()) -> Server:
    """Return the server at which to sign in: ``server``, or the one that its ``meta`` names as itself.

    A server's ``uri`` is its own claim, so the one it names goes through the same checks; ``private`` are the origins
    that may be http or not public. Raises a :class:`~misskey.errors.ServerUnsuitable`, or what
    :meth:`~misskey.client.Client.call` raises.

    >>> find_misskey(server, transport) == server
    True

    https://misskey-hub.net/docs/for-developers/api/token/
    """
    if server.private:
        private = {*private, server.origin}
    meta = _meta(server, transport, private)
    own = meta.own
    if own != server:
        meta = _meta(own, transport, private)
        if meta.own != own:
            raise NotMisskey(server.host)
    _require_miauth(own, meta, transport)
    return own


class _Meta(NamedTuple):
    """What is needed of ``meta``, and no more: many may be waiting for what the server says next."""

    own: Server
    version: str
    miauth: object


def _meta(server: Server, transport: Transport, private: Collection[str]) -> _Meta:
    try:
        meta = Client(server, transport).call("meta", {"detail": True}, idempotent=True, max_answer_bytes=META_BYTES)
    except (InvalidAnswer, APIError) as error:
        status = error.status or 0
        if status == 429 or status >= 500:
            raise
        if isinstance(error, Redirected) and (other := _elsewhere(server, error.location, private, _API)):
            raise ServerElsewhere(server.host, other) from None
        software = _require_family(server, transport, private)
        if status == 401 or (status == 403 and isinstance(error, APIError)):
            raise LoginRequired(server, status=status) from None
        if software or (isinstance(error, InvalidAnswer) and (status < 400 or status == 403)):
            raise  # a page in its place: a firewall's, or that it is under maintenance
        raise NotMisskey(server.host) from None
    match meta:
        case {"version": str() as version, "uri": str() as uri}:
            features = meta.get("features")
            miauth = features.get("miauth") if isinstance(features, dict) else None
            with suppress(ServerNameError):
                return _Meta(Server.parse(uri, private), version[:VERSION_CHARACTERS], miauth)
        case _:
            _require_family(server, transport, private)
    raise NotMisskey(server.host)


def _require_family(server: Server, transport: Transport, private: Collection[str]) -> str | None:
    """Return what a server that did not answer as Misskey says it runs; raise where that explains it."""
    software, other = _nodeinfo(server, transport, private)
    if other:
        raise ServerElsewhere(server.host, other) from None
    if software and software not in FAMILY:
        raise NotMisskey(server.host, software) from None
    return software


def _require_miauth(server: Server, meta: _Meta, transport: Transport) -> None:
    if meta.miauth is False:
        raise MiAuthDisabled(server)
    # Servers before 12.28.0 don't tell, and forks have numbers of their own: whoever may be too old is asked.
    numbers = _NUMBERS.match(meta.version)
    may_be_too_old = numbers and (int(numbers[1]), int(numbers[2])) < MIAUTH_SINCE
    if meta.miauth is not True and may_be_too_old:
        check_session(Client(server, transport), new_session_id())


def _nodeinfo(server: Server, transport: Transport, private: Collection[str]) -> tuple[str | None, Server | None]:
    """Return the software that a server runs and the other server that it names, as far as nodeinfo tells.

    https://nodeinfo.diaspora.software
    """
    client = Client(server, transport)
    try:
        match client.get(_NODEINFO, max_answer_bytes=NODEINFO_BYTES):
            case {"links": [{"href": first}, *_]}:
                href = printable_ascii(first)
            case _:
                return None, None
        if other := _elsewhere(server, href, private):
            return None, other
        path = _PATH.fullmatch(href.removeprefix(server.origin))
        match path and client.get(path[0], max_answer_bytes=NODEINFO_BYTES):
            case {"software": {"name": str() as name}} if _SOFTWARE.fullmatch(name):
                return name.lower(), None
    except Redirected as error:
        return None, _elsewhere(server, error.location, private, (_NODEINFO, "/"))
    except MisskeyError:
        return None, None
    return None, None


def _elsewhere(server: Server, address: str, private: Collection[str], paths: Collection[str] = ()) -> Server | None:
    """Return another server that an address leads to, ``None`` where it does not; from a public one, a public one.

    ``paths`` are where a server leads that has moved: anywhere else it may be a firewall's page.
    """
    found = _ADDRESS.match(address)
    if not found or (paths and (found[2] or "/") not in paths):
        return None
    try:
        other = Server.parse(found[1], private)
    except ServerNameError:
        return None
    return other if other != server and (server.private or not other.private) else None
