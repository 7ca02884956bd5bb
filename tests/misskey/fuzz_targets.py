"""What servers send, and what is typed as one: nothing but the errors of misskey/ may come of it."""

from __future__ import annotations

import gzip
import json
import re
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from misskey import Client, MisskeyError, Server, Stream, Transport, User, check_session, find_misskey, whoami
from misskey.errors import ServerNameError
from tests.hostile import ALICE, TOKEN, Behaviour, Caller, event, frame, http, opens, serve
from tests.misskey.test_server import ACCEPTED, NASTY, assert_is_one_public_host

HANG_UP_SECONDS = 0.005  # how long a server waits for a second request on a connection
OWN_ORIGIN = b"https://own.example"  # stands in JSON for the origin of the server that sends it
SECOND = {"asked": "a second time"}


def answer(data: bytes) -> None:
    """The bytes of a response, none of which may be taken for the response to another request."""

    def sends(caller: Caller) -> None:
        while request := caller.request():
            caller.send(http(200, json.dumps(SECOND).encode()) if request.path == "/api/second" else data)
            if len(data) % 2:
                return
            caller.sock.settimeout(HANG_UP_SECONDS)

    def calls(client: Client) -> None:
        _attempt(lambda: client.call("first"))
        assert client.call("second", idempotent=True) == SECOND

    _at(sends, calls)


def handshake(data: bytes) -> None:
    """The bytes of a response to whoever wants to open a stream."""

    def sends(caller: Caller) -> None:
        caller.request()
        caller.send(data)

    _at(sends, _listens)


def stream(data: bytes) -> None:
    """The bytes on an open stream."""
    _at(opens(lambda caller: caller.send(data)), _listens)


def check(data: bytes) -> None:
    """The JSON of `check`, which tells who has signed in."""

    def calls(client: Client) -> None:
        if grant := _attempt(lambda: check_session(client, "a-session-id")):
            _assert_is_a_person(grant.user, grant.token)

    _at(_says(data), calls)


def whose_token(data: bytes) -> None:
    """The JSON of `i`, which tells whose token it is."""

    def calls(client: Client) -> None:
        if user := _attempt(lambda: whoami(client)):
            _assert_is_a_person(user, TOKEN)

    _at(_says(data), calls)


def meta(data: bytes) -> None:
    """The JSON of `meta` and of nodeinfo; a zero byte is between the answers."""

    def calls(client: Client) -> None:
        found = _attempt(lambda: find_misskey(client.server, client.transport))
        assert found in (None, client.server)

    _at(_says(*data.split(b"\0")), calls)


def typed_server(data: bytes) -> None:
    """The text that somebody typed as their server."""
    with suppress(ServerNameError):
        assert_is_one_public_host(Server.parse(data.decode("utf-8", "surrogateescape")))


@cache
def _transport() -> Transport:
    """Return a transport that knows no name, so that nothing leaves this machine."""

    def resolve(host: str, port: int, **options: Any) -> Any:
        if host != "127.0.0.1":
            raise socket.gaierror
        return socket.getaddrinfo(host, port, **options)

    return Transport("test/1.0", resolve=resolve)


def _at(behaviour: Behaviour, calls: Callable[[Client], None]) -> None:
    """Call a server that behaves like this."""
    with serve(behaviour) as server:
        calls(Client(Server.parse_origin(server.origin), _transport(), TOKEN))


def _says(*answers: bytes) -> Behaviour:
    """Give these answers in turn, each after a byte for its status, and the last one for ever."""
    left = list(answers)

    def behaviour(caller: Caller) -> None:
        while caller.request():
            body = (left.pop(0) if len(left) > 1 else left[0]).replace(OWN_ORIGIN, caller.server.origin.encode())
            caller.send(http(STATUSES.get(body[:1], 200), body[body[:1] in STATUSES :]))

    return behaviour


def _attempt(call: Callable[[], Any]) -> Any:
    """Return what comes of a call, ``None`` where that is an error of misskey/, which may not tell the token."""
    try:
        return call()
    except MisskeyError as error:
        told = f"{error} {error!r}"
    assert TOKEN not in told
    return None


def _listens(client: Client) -> None:
    def listen() -> None:
        with Stream(client) as notes:
            for note in notes:
                assert note is None or TOKEN not in json.dumps(note)

    _attempt(listen)


def _assert_is_a_person(user: User, token: str) -> None:
    assert re.fullmatch(r"[\w.-]{1,128}@127\.0\.0\.1:[0-9]+", user.address, re.ASCII)
    assert 0 < len(user.name) <= 128
    assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", user.name)
    assert token not in user.name


#: By the byte that stands before an answer; without one of these it is 200.
STATUSES = {b"3": 302, b"4": 400, b"A": 401, b"F": 403, b"N": 404, b"R": 429, b"5": 500}
_META = {"version": "2025.4.1", "uri": OWN_ORIGIN.decode(), "features": {"miauth": True}}
_NODEINFO = {"links": [{"rel": "x", "href": "/nodeinfo/2.1"}]}
_GRANT = {"ok": True, "token": "a" * 32, "user": ALICE}


def seeds() -> dict[Callable[[bytes], None], list[bytes]]:
    """Return what to begin with, for each target."""
    return {
        answer: [
            http(200, b'{"ok": true}'),
            http(200, b'{"ok": true}') * 2,
            http(200, gzip.compress(b'{"ok": true}'), "Content-Encoding: gzip"),
            http(204) + b"{}",
            http(302, b"", "Location: https://misskey.example/"),
            http(500, json.dumps({"error": {"code": "X", "message": f"no {TOKEN}", "info": TOKEN}}).encode()),
            http(429, b'{"error": {"code": "RATE_LIMIT_EXCEEDED", "message": "Wait."}}', "Retry-After: 30"),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
            b'5\r\n{"a":\r\n2;x=y\r\n1}\r\n0\r\nX-Trailer: 1\r\n\r\n',
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + http(200, b"[]"),
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\nnull",
        ],
        handshake: [
            http(401, b'{"error": {"code": "AUTHENTICATION_FAILED"}}', "WWW-Authenticate: Bearer"),
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
            http(200, b"<h1>Hello</h1>"),
            b"HTTP/1.1 103 Early Hints\r\n\r\n" + http(503),
        ],
        stream: [
            frame(event({"id": "9note", "text": "Hello", "cw": TOKEN})),
            frame(event({"text": "Hel"})[:20], fin=False) + frame(event({"text": "Hel"})[20:], 0),
            frame(b"", 9) + frame(b"\x03\xe8", 8),
            frame(b"\x00", 2) + frame(json.dumps({"type": "connected", "body": {"id": "1"}}).encode()),
        ],
        check: [
            json.dumps(value).encode() for value in (_GRANT, {"ok": False}, _GRANT | {"user": ALICE | {"name": None}})
        ],
        whose_token: [json.dumps(ALICE).encode(), b'F{"error": {"code": "PERMISSION_DENIED", "message": "No."}}'],
        meta: [
            json.dumps(_META).encode(),
            json.dumps(_META | {"uri": "https://misskey.example"}).encode(),
            json.dumps(_META | {"version": "12.26.0", "features": {}}).encode() + b'\0{"ok": false}',
            b'N{"error": "Not Found"}\0' + json.dumps(_NODEINFO).encode() + b'\0{"software": {"name": "mastodon"}}',
        ],
        typed_server: [
            text.encode("utf-8", "surrogatepass") for text in [*NASTY, *(typed for typed, _ in ACCEPTED.values())]
        ],
    }
