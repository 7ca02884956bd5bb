"""Servers that misbehave, each in one way, on real sockets.

A *behaviour* is a function of one accepted connection. It may send what it likes and for as long as it likes: when the
client goes away it ends with an OSError, which :func:`serve` expects.
"""

from __future__ import annotations

import gzip
import json
import socket
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import trustme
from websockets.frames import Frame, Opcode
from websockets.utils import accept_key

if TYPE_CHECKING:  # the attackers of bench/ need neither the app nor pytest
    from tests.cast import Visitor

TOKEN = "t0kenOfAliceThatNobodyElseMaySee"  # as long as a real one
ALICE = {"id": "9alice", "username": "alice", "name": "Alice", "avatarUrl": None, "host": None}
MEBIBYTE = 1024 * 1024
DRIP_SECONDS = 0.02


@dataclass(frozen=True)
class Request:
    """One request as it arrived; names of headers in small letters."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


def _headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines):
        assert name.lower() not in headers, f"{name} twice"  # different readers would read differently
        headers[name.lower()] = value.strip()
    return headers


@dataclass
class Caller:
    """The other end of an accepted connection, and the server that accepted it."""

    sock: socket.socket
    server: Hostile

    def send(self, *pieces: bytes) -> None:
        self.sock.sendall(b"".join(pieces))

    def drip(self, content: bytes) -> None:
        for byte in content:
            self.send(bytes([byte]))
            time.sleep(DRIP_SECONDS)

    def pour(self, content: bytes) -> None:
        """Send ``content`` again and again until the client goes away."""
        while True:
            self.send(content)

    def hold(self) -> None:
        """Say nothing until the client goes away."""
        while self.sock.recv(65536):
            pass

    def request(self) -> Request | None:
        """Read one request whole; ``None`` when the client hung up instead."""
        received = b""
        while b"\r\n\r\n" not in received:
            if not (piece := self.sock.recv(65536)):
                return None
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = _headers(lines)
        while len(body) < int(headers.get("content-length", "0")):
            body += self.sock.recv(65536)
        method, path, _ = first.split(" ")
        self.server.requests.append(Request(method, path, headers, body))
        return self.server.requests[-1]

    def drain(self) -> Mapping[str, str]:
        """Read one request, whose body is only counted, in ``server.drained``; return its headers."""
        received = b""
        while b"\r\n\r\n" not in received:
            received += self.sock.recv(65536)
        head, _, body = received.partition(b"\r\n\r\n")
        headers = _headers(head.decode("latin-1").split("\r\n")[1:])
        left = int(headers.get("content-length", "0")) - len(body)
        while left and (piece := self.sock.recv(min(left, MEBIBYTE))):
            left -= len(piece)
        self.server.drained += int(headers.get("content-length", "0")) - left
        return headers


Behaviour = Callable[[Caller], object]


@dataclass
class Hostile:
    """A server that runs. Set ``behaviour`` to make it turn with the next connection."""

    listening: socket.socket
    behaviour: Behaviour
    tls: ssl.SSLContext | None = None
    connections: int = 0
    requests: list[Request] = field(default_factory=list)
    open: set[socket.socket] = field(default_factory=set)
    name: str = "127.0.0.1"
    drained: int = 0
    stopped: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.port: int = self.listening.getsockname()[1]

    @property
    def origin(self) -> str:
        return f"{'https' if self.tls else 'http'}://{self.name}:{self.port}"

    def refuse(self) -> None:
        """Refuse connections from now on; the port stays taken."""
        self._end_listening()
        self.listening = socket.socket()
        self.listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listening.bind(("127.0.0.1", self.port))

    def listen(self) -> None:
        """Accept connections again, after :meth:`refuse`."""
        self.listening.listen(512)
        threading.Thread(target=self.run, daemon=True).start()

    def run(self) -> None:
        with suppress(OSError):
            while True:
                sock, _ = self.listening.accept()
                self.connections += 1
                self.open.add(sock)
                threading.Thread(target=self._answer, args=(sock,), daemon=True).start()

    def close(self) -> None:
        self.stopped.set()
        self._end_listening()
        self.hang_up()

    def hang_up(self) -> None:
        """End all connections: the next request comes on one of its own."""
        for sock in list(self.open):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _end_listening(self) -> None:
        with suppress(OSError):
            self.listening.shutdown(socket.SHUT_RDWR)  # wakes accept; closing alone does not
        self.listening.close()

    def _answer(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(OSError):
            if self.tls and not getattr(self.behaviour, "before_tls", False):
                with self.tls.wrap_socket(sock.dup(), server_side=True) as secure:
                    self.behaviour(Caller(secure, self))
            else:
                self.behaviour(Caller(sock, self))
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        self.open.discard(sock)
        sock.close()


@contextmanager
def serve(
    behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, name: str = "127.0.0.1", listen: str = "127.0.0.1"
) -> Iterator[Hostile]:
    """Serve ``behaviour`` on a free port; on leaving, every connection is cut."""
    server = Hostile(socket.create_server((listen, 0), backlog=512), behaviour, tls, name=name)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.close()
        thread.join()


@contextmanager
def refusing() -> Iterator[str]:
    """Yield an origin that refuses connections; nobody else can take its port meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def full_backlog() -> Iterator[str]:
    """Yield an origin whose queue of connections is full and never gets shorter: connecting hangs."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listening:
        waiting = [socket.socket() for _ in range(8)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(listening.getsockname())
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            for sock in waiting:
                sock.close()


def proxy(to: Hostile) -> Behaviour:
    """A proxy that leads every CONNECT to one server."""

    def behaviour(caller: Caller) -> None:
        caller.request()
        with socket.create_connection(("127.0.0.1", to.port)) as other:
            caller.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=_copy, args=(other, caller.sock), daemon=True).start()
            _copy(caller.sock, other)

    return behaviour


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_RDWR)


# Certificates.


@cache
def authority() -> trustme.CA:
    """The authority that the tests trust."""
    return trustme.CA()


def certified(*names: str, by: trustme.CA | None = None, **details: Any) -> ssl.SSLContext:
    """Return what a TLS server with a certificate for ``names`` needs."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    (by or authority()).issue_cert(*names, **details).configure_cert(context)
    return context


def bad_certificates() -> dict[str, ssl.SSLContext]:
    yesterday = datetime.now(UTC) - timedelta(days=1)
    return {
        "expired": certified("127.0.0.1", not_before=yesterday - timedelta(days=30), not_after=yesterday),
        "for another name": certified("misskey.example"),
        "from an unknown authority": certified("127.0.0.1", by=trustme.CA()),
    }


def before_tls(behaviour: Behaviour) -> Behaviour:
    """Have ``behaviour`` come in the place of the TLS handshake."""
    behaviour.before_tls = True  # type: ignore[attr-defined]
    return behaviour


@before_tls
def drips_in_handshake(caller: Caller) -> None:
    caller.sock.recv(65536)
    caller.drip(b"\x16\x03\x03\x40\x00" + bytes(16384))  # the header of a record that is 16 KiB long


@before_tls
def plain_http(caller: Caller) -> None:
    caller.sock.recv(65536)
    caller.send(http(400, b"plain HTTP was expected"))


@before_tls
def hangs_up_before_tls(caller: Caller) -> None:
    caller.sock.recv(65536)


# What goes over the wire.


def http(status: int, body: bytes = b"", /, *lines: str, length: int | None = None) -> bytes:
    """Return an answer with ``lines`` as further headers; ``length`` is what it says of its body, if not the truth."""
    stated = f"Content-Length: {len(body) if length is None else length}"
    return "\r\n".join([f"HTTP/1.1 {status} Some Reason", stated, *lines, "", ""]).encode("latin-1") + body


@contextmanager
def moved_to(behaviour: Behaviour, person: Visitor) -> Iterator[Hostile]:
    """Have a person's account be at a server that behaves like this."""
    app, (key,) = person.app, person.cookie()["accounts"]
    store = app.extensions["token_store"]
    with serve(behaviour) as hostile:
        app.extensions["settings"] = replace(app.extensions["settings"], private_servers=(hostile.origin,))
        store.put(key, json.dumps(json.loads(store.get(key)) | {"origin": hostile.origin}), 60)
        yield hostile


def answers(status: int, body: bytes = b"", /, *lines: str, **options: Any) -> Behaviour:
    """Give one answer to every request, on connections that stay open."""
    content = http(status, body, *lines, **options)

    def behaviour(caller: Caller) -> None:
        while caller.request():
            caller.send(content)

    return behaviour


def says(value: object, status: int = 200, *lines: str) -> Behaviour:
    """Answer every request with JSON."""
    return answers(status, json.dumps(value).encode(), "Content-Type: application/json", *lines)


def starts(*pieces: bytes) -> Behaviour:
    """Send ``pieces`` as they are, whatever they are, and hang up."""

    def behaviour(caller: Caller) -> None:
        caller.request()
        caller.send(*pieces)

    return behaviour


def then(first: bytes, how: Callable[[Caller, bytes], object], content: bytes) -> Behaviour:
    """Send ``first`` at once, and ``content`` in some other way."""

    def behaviour(caller: Caller) -> None:
        caller.request()
        caller.send(first)
        how(caller, content)

    return behaviour


def drains(value: object) -> Behaviour:
    """Take a request of any size, and answer with JSON."""

    def behaviour(caller: Caller) -> None:
        caller.drain()
        caller.send(http(200, json.dumps(value).encode()))

    return behaviour


def refuses_early(status: int, body: bytes = b"", *, hold: bool = False) -> Behaviour:
    """Answer as soon as the headers are there, and take no more; then hang up, or keep the connection open."""

    def behaviour(caller: Caller) -> None:
        caller.sock.recv(65536)
        caller.send(http(status, body))
        if hold:
            caller.server.stopped.wait()

    return behaviour


def silent(caller: Caller) -> None:
    caller.hold()


def hangs_up(caller: Caller) -> None:
    """Close the connection at once."""


def hangs_up_unanswered(caller: Caller) -> None:
    caller.request()


def hangs_up_when_asked_again(caller: Caller) -> None:
    caller.request()
    caller.send(http(200, b"{}"))
    caller.request()


def closes_idle(caller: Caller) -> None:
    """Promise to keep the connection open, and close it."""
    caller.request()
    caller.send(http(200, b"{}", "Connection: keep-alive"))


def echoes(status: int, escaped: bool = False) -> Behaviour:
    """Repeat the token of the request in every place where words can stand."""

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            said = json.loads(request.body or b"{}").get("i", "nothing")
            told = {"message": f"no {said}", "code": said, "id": said, "kind": said, "info": {said: [said]}}
            text = json.dumps({"error": told, said: said})
            if escaped:
                text = text.replace(said, "".join(f"\\u{ord(letter):04x}" for letter in said))
            caller.send(http(status, text.encode(), f"X-Echo: {said}", f"Set-Cookie: i={said}"))

    return behaviour


def redirects(status: int, location: str, body: bytes = b"") -> Behaviour:
    return answers(status, body, f"Location: {location}")


def misskey(caller: Caller) -> None:
    """A well-behaved server, in as few words as possible; every connection is for one request."""
    if not (request := caller.request()):
        return
    value: object = {}
    if request.path == "/api/meta":
        value = {"version": "2025.4.1", "uri": caller.server.origin, "features": {"miauth": True}, "name": "Test"}
    elif request.path.endswith("/check"):
        value = {"ok": True, "token": TOKEN, "user": ALICE}
    elif request.path == "/api/i":
        value = ALICE
    caller.send(http(200, json.dumps(value).encode(), "Connection: close"))


def gzip_bomb(size: int = 64 * MEBIBYTE) -> bytes:
    """``size`` zero bytes, packed a thousand times smaller."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join([*(packer.compress(bytes(MEBIBYTE)) for _ in range(size // MEBIBYTE)), packer.flush()])


@cache
def _packed() -> dict[str, bytes]:
    nothing = gzip.compress(b"")
    return {"bomb": gzip_bomb(), "nested bomb": gzip.compress(gzip_bomb()), "nested": gzip.compress(nothing * 10**6)}


def packed(name: str, encoding: str) -> Behaviour:
    """Answer with something that is small until it is unpacked."""

    def behaviour(caller: Caller) -> None:
        answers(200, _packed()[name], f"Content-Encoding: {encoding}")(caller)

    return behaviour


_CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
_ENDLESS = b"HTTP/1.1 200 OK\r\n\r\n"
_UNFINISHED = b"HTTP/1.1 200 OK\r\nX-Name: "

#: Ways to give no answer that could be read. By the name of the error that each ends in.
SLOW: dict[str, Behaviour] = {
    "never answers": silent,
    "drips its headers": then(_UNFINISHED, Caller.drip, b"x" * 60_000),
    "drips its body": then(_ENDLESS, Caller.drip, b" " * 60_000),
    "drips a body of stated length": then(http(200, length=60_000), Caller.drip, b" " * 60_000),
    "drips chunks": then(_CHUNKED, Caller.drip, b"1\r\nx\r\n" * 10_000),
    "drips “100 Continue”": then(b"", Caller.drip, b"HTTP/1.1 100 Continue\r\n\r\n" * 3000),
    "hangs within its body": then(http(200, b"{", length=2), lambda caller, _: caller.hold(), b""),
}
TOO_LARGE: dict[str, Behaviour] = {
    "10 GB without length": then(_ENDLESS, Caller.pour, bytes(MEBIBYTE)),
    "10 GB, stated": then(http(200, length=10**10), Caller.pour, bytes(MEBIBYTE)),
    "10 GB in chunks": then(_CHUNKED, Caller.pour, b"100000\r\n" + bytes(MEBIBYTE) + b"\r\n"),
    "10 GB in chunks of one byte": then(_CHUNKED, Caller.pour, b"1\r\nx\r\n" * 20_000),
    "10 GB of redirect": then(http(302, b"", "Location: /x", length=10**10), Caller.pour, bytes(MEBIBYTE)),
    "trailers without end": then(_CHUNKED + b"0\r\n", Caller.pour, b"X-Trailer: 1\r\n" * 10_000),
    "“100 Continue” without end": then(b"", Caller.pour, b"HTTP/1.1 100 Continue\r\n\r\n" * 10_000),
    "a header line without end": then(_UNFINISHED, Caller.pour, b"x" * MEBIBYTE),
    "a gzip bomb": packed("bomb", "gzip"),
    "empty gzip members without end": then(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", Caller.pour, gzip.compress(b"") * 10_000
    ),
}
BROKEN: dict[str, Behaviour] = {
    "hangs up at once": hangs_up,
    "hangs up unanswered": hangs_up_unanswered,
    "garbage": starts(bytes(range(256)) * 20),
    "a bad status": starts(b"HTTP/1.1 abc OK\r\n\r\n"),
    "a status that speaks of time": starts(b"HTTP/1.1 timed out\r\n\r\n"),
    "a malformed header": starts(b"HTTP/1.1 200 OK\r\nno colon \x1b[31m\r\nContent-Length: 2\r\n\r\n{}"),
    "headers without end": then(b"HTTP/1.1 200 OK\r\n", Caller.pour, b"X-Name: 1\r\n" * 10_000),
    "a chunk size without end": then(_CHUNKED, Caller.pour, b"0" * MEBIBYTE),
    "a truncated body": starts(http(200, b"{}", length=3)),
    "truncated chunks": starts(_CHUNKED, b"5\r\n{}"),
    "a chunk without size": starts(_CHUNKED, b"what?\r\n{}\r\n0\r\n\r\n"),
    "two lengths": starts(http(200, b"{}", "Content-Length: 3")),
}
NOT_PACKED: dict[str, Behaviour] = {
    "not gzip, though it says so": answers(200, b"{}", "Content-Encoding: gzip"),
    "gzip in gzip": packed("nested", "gzip, gzip"),
    "a gzip bomb in gzip": packed("nested bomb", "gzip, gzip"),
    "a gzip bomb in gzip, in two lines": packed("nested bomb", "gzip\r\nContent-Encoding: gzip"),
    "brotli, which was not asked for": answers(200, b"\x8b\x00\x80{}\x03", "Content-Encoding: br"),
    "zstd, which was not asked for": answers(200, b"(\xb5/\xfd \x02\x11\x00\x00{}", "Content-Encoding: zstd"),
    "too many packings": answers(200, b"{}", "Content-Encoding: " + ", ".join(["gzip"] * 50)),
}
#: Answers in HTTP that Misskey would not give to any call.
NOT_MISSKEY: dict[str, Behaviour] = {
    "an HTML 403": answers(403, b"<html><h1>Access denied</h1>", "Content-Type: text/html"),
    "an HTML 200": answers(200, b"<!doctype html><script>alert(1)</script>", "Content-Type: text/html"),
    "an empty 200": answers(200),
    "a length too short": starts(http(200, b'{"ok": true}', length=5)),
    "broken JSON": answers(200, b'{"ok": tru'),
    "not UTF-8": answers(200, b'{"ok": \xff\xfe}'),
    "a list in a list, 100,000 deep": answers(200, b"[" * 100_000 + b"]" * 100_000),
    "an object in an object, 100,000 deep": answers(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "NaN": answers(200, b'{"ok": NaN}'),
    "a number of 100,000 digits": answers(200, b'{"ok": ' + b"9" * 100_000 + b"}"),
}
#: JSON of the wrong kind: an answer to `call`, and nonsense to everything that asked for something.
WRONG_JSON: dict[str, Behaviour] = {
    "null": says(None),
    "a string": says("ok"),
    "a number": says(42),
    "a list": says([{"ok": True}]),
    "an empty object": says({}),
    "a number without end": answers(200, b'{"ok": 1e999}'),
    "half a surrogate pair": answers(200, rb'{"ok": "\ud800", "\udfff": 1}'),
    "duplicate keys": answers(200, b'{"ok": true, "ok": "yes", "id": "1", "id": 2}'),
    "204 with a body": answers(204, b'{"ok": true}'),
}
REFUSALS: dict[str, Behaviour] = {
    "an empty 500": answers(500),
    "an empty 405": answers(405),
    "an HTML 503": answers(503, b"<h1>Maintenance</h1>", "Retry-After: Wed, 21 Oct 2015 07:28:00 GMT"),
    "markup and control characters": says(
        {"error": {"code": "A\r\nB", "message": "<b>\x1b[31m\u202e\n2026 fake log line</b>" * 1000, "id": 1}}, 500
    ),
    "an odd wait": says({"error": {}}, 429, "Retry-After: -1, 1e9; \x1b[31m"),
    "the token again": echoes(500),
    "the token again, escaped": echoes(500, escaped=True),
    "cookies": says({"error": "no"}, 500, "Set-Cookie: a=b; Max-Age=99999999", "Set-Cookie: c=d; Domain=127.0.0.1"),
}
#: Answers after which nobody knows whether it was done.
MAYBE_DONE: dict[str, Behaviour] = {
    **{f"an HTML {status}": answers(status, b"<h1>Gateway</h1>") for status in (500, 502, 503, 504, 520, 522, 524)},
    **{f"an empty {status}": answers(status) for status in (200, 202, 502, 504)},
    "an HTML 200": answers(200, b"<!doctype html><p>Hello"),
    "cut JSON": answers(200, b'{"createdNote": {'),
    "a text": answers(200, b"OK"),
    "an answer that can't be unpacked": answers(200, b"{}", "Content-Encoding: gzip"),
    "a truncated body": starts(http(200, b"{}", length=3)),
    "a cut connection": hangs_up_unanswered,
    "no HTTP": starts(b"garbage"),
}
#: Answers after which it was certainly not done.
NOT_DONE: dict[str, Behaviour] = {
    "Misskey's 500": says({"error": {"code": "INTERNAL_ERROR", "message": "Internal error."}}, 500),
    "Misskey's 400": says({"error": {"code": "NO_SUCH_FILE", "message": "Some files are not found."}}, 400),
    **{f"an HTML {status}": answers(status, b"<h1>Blocked</h1>") for status in (400, 403, 404, 429)},
    **{f"an empty {status}": answers(status) for status in (401, 404, 429)},
    "a challenge elsewhere": redirects(302, "/challenge"),
}


# WebSockets.


def opens(talk: Callable[[Caller], object], *lines: str, accept: str = "") -> Behaviour:
    """Open a WebSocket, with ``lines`` as further headers; when the client has connected its channel, ``talk``."""

    def behaviour(caller: Caller) -> None:
        if request := caller.request():
            accepted = accept or accept_key(request.headers["sec-websocket-key"])
            head = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade", *lines]
            caller.send("\r\n".join([*head, f"Sec-WebSocket-Accept: {accepted}", "", ""]).encode())
            caller.sock.recv(65536)
            talk(caller)

    return behaviour


def frame(data: bytes, opcode: int = 1, **options: Any) -> bytes:
    """Return a frame as a server sends it: text, unless ``opcode`` says something else."""
    return Frame(Opcode(opcode), data, **options).serialize(mask=False)


def event(body: object, kind: str = "note", channel: object = "1") -> bytes:
    """Return the text of an event on a channel."""
    return json.dumps({"type": "channel", "body": {"id": channel, "type": kind, "body": body}}).encode()
