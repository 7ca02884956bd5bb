"""Connections: guarded, bounded, and kept for the next requests.

*Guarded*: a server's name is looked up at the moment of connecting, and only public addresses are connected to, so a
name that turns to an inner address after its first look-up leads nowhere. *Bounded*: a request has a budget. *Kept*:
only when exactly one whole response was read, so that no response can reach another request.
"""

from __future__ import annotations

import itertools
import os
import socket
import ssl
import time
import weakref
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http.client import OK, SWITCHING_PROTOCOLS, HTTPException
from threading import Lock
from typing import cast
from urllib.parse import unquote_to_bytes, urlsplit

from urllib3.util import wait_for_read
from urllib3.util.ssltransport import SSLTransport

from .addresses import Resolver, connect, look_up
from .environment import proxy_for
from .multipart import MultipartBody
from .responses import Budget, BudgetedSocket, Response, read_body
from .server import USUAL_PORTS, Server

SEND_SECONDS = 30.0  # for one piece of a body: a server that stores what it has may take no more for a while
PIECE_BYTES = 16 * 1024  # one TLS record: Python's time-outs count for each anew
POOLED_SERVERS = 256
POOLED_PER_SERVER = 8

_Key = tuple[Server, bool, int]


class TLS(SSLTransport):
    """TLS over a socket, which it asks for more only when all that came is read."""

    def pending(self) -> int:
        """Return how many bytes came that are not read yet, at least; 0 for none."""
        return self.incoming.pending or self.sslobj.pending()


class Connection:
    """A connection to ``server``, through a proxy where the environment names one, for one request after the other.

    Each request has a ``budget``. ``was_open`` is whether the connection stood, so that the server may have got the
    request, ``is_reused`` whether an earlier one was sent over it. ``can_be_reused`` is it when no file was sent, and
    exactly one whole response was read, to its end and without an error. One ``to_upgrade`` may switch to another
    protocol.
    """

    sock: socket.socket | None = None
    _below_tls: BudgetedSocket
    was_open = is_reused = can_be_reused = False
    idle_since = 0.0

    def __init__(
        self,
        tls: ssl.SSLContext,
        resolver: Resolver,
        connect_seconds: float,
        server: Server,
        *,
        to_upgrade: bool = False,
    ) -> None:
        self.server = server
        self._resolver = resolver
        self._connect_seconds = connect_seconds
        self._to_upgrade = to_upgrade
        address = urlsplit(server.origin)
        self._host, self._port = str(address.hostname), address.port or USUAL_PORTS[address.scheme]
        self._tls = tls if address.scheme == "https" else None
        self._proxy = proxy = proxy_for(server)
        login = b64encode(unquote_to_bytes(proxy.auth)).decode() if proxy and proxy.auth else ""
        self._proxy_headers = {"Proxy-Authorization": f"Basic {login}"} if login else {}
        self._tunnels = bool(proxy and (self._tls or to_upgrade))

    def exchange(
        self, budget: Budget, method: str, path: str, body: bytes | MultipartBody | None, headers: Mapping[str, str]
    ) -> tuple[Response, bytes]:
        """Send a request and return its response, with the whole body."""
        self.can_be_reused = False
        sock = self.sock or self._connect(budget)
        self._below_tls.budget = budget
        if self._proxy and not self._tunnels:
            path, headers = self.server.url(path), {**headers, **self._proxy_headers}
        length = {} if method == "GET" else {"Content-Length": str(len(body or b""))}
        is_sent = _send(sock, budget, _head(method, path, {**headers, **length}), body)
        with Response(sock, method, budget) as response:
            response.begin()
            content = read_body(response, budget)
        if response.status == SWITCHING_PROTOCOLS and not self._to_upgrade:
            raise HTTPException
        # A file can hold requests: a server that stops reading it somewhere could take what follows for one.
        is_clean = is_sent and not isinstance(body, MultipartBody)
        self.can_be_reused = is_clean and response.is_whole and not response.will_close
        return response, content

    @property
    def is_connected(self) -> bool:
        """Whether it stands, and nothing came that nobody asked for."""
        return self.sock is not None and not wait_for_read(self.sock, 0.0)

    def close(self) -> None:
        if self.sock:
            self.sock.close()

    def _connect(self, budget: Budget) -> socket.socket:
        with budget.while_waiting():
            deadline = time.monotonic() + budget.seconds(self._connect_seconds)
            if self._proxy:
                place = (str(self._proxy.host).strip("[]"), self._proxy.port or USUAL_PORTS["http"])
                connected = socket.create_connection(place, deadline - time.monotonic())
            else:
                addresses = look_up(self.server, self._host, self._port, self._resolver, deadline - time.monotonic())
                connected = connect(addresses, deadline - time.monotonic())
        self.sock = sock = self._below_tls = BudgetedSocket(fileno=connected.detach())
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.budget = budget
        if self._tunnels:
            self._open_tunnel(sock, budget)
        if self._tls:
            seconds = budget.seconds(self._connect_seconds)
            sock.budget = Budget(budget.host, seconds, seconds, 0, budget.while_waiting)
            sock.settimeout(seconds)
            self.sock = cast(socket.socket, TLS(sock, self._tls, self._host))
        self.was_open = True
        return self.sock

    def _open_tunnel(self, sock: socket.socket, budget: Budget) -> None:
        place = f"[{self._host}]:{self._port}" if ":" in self._host else f"{self._host}:{self._port}"
        _send(sock, budget, _head("CONNECT", place, {"Host": place, **self._proxy_headers}))
        with Response(sock, "CONNECT", budget) as response:
            response.begin()
        if response.status != OK:
            raise HTTPException


def _head(method: str, path: str, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
    if not all(map(str.isprintable, lines)):
        raise ValueError("a header has to be one line")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _send(sock: socket.socket, budget: Budget, head: bytes, body: bytes | MultipartBody | None = None) -> bool:
    """Send a request; return whether all of it was taken: a server that refuses a file need not take it to its end."""
    pieces = itertools.chain([head], body) if isinstance(body, MultipartBody) else [head + (body or b"")]
    for piece in pieces:
        for start in range(0, len(piece), PIECE_BYTES):
            try:
                sock.settimeout(budget.seconds(SEND_SECONDS))
                sock.sendall(memoryview(piece)[start : start + PIECE_BYTES])
            except OSError:
                return False
    return True


class Pool:
    """Keeps connections on which nothing is under way, and closes those that nobody used for ``idle_seconds``."""

    def __init__(self, new_connection: Callable[[Server], Connection], idle_seconds: float) -> None:
        self._new_connection = new_connection
        self._idle_seconds = idle_seconds
        self._idle: OrderedDict[_Key, list[Connection]] = OrderedDict()
        self._lock = Lock()
        self._tidied = time.monotonic()
        self._is_closed = False
        weakref.finalize(self, _close_all, self._idle)

    def take(self, server: Server) -> Connection:
        """Return a connection to ``server`` for one request: one that was kept, or a new one that is not open yet."""
        if time.monotonic() - self._tidied > self._idle_seconds:
            self._tidied = time.monotonic()
            self._close_idle(self._tidied - self._idle_seconds)
        while connection := self._pop(server):
            if connection.is_connected:
                connection.is_reused = True
                return connection
            connection.close()
        return self._new_connection(server)

    def give_back(self, connection: Connection) -> None:
        """Keep a connection that :meth:`take` returned if it can be reused, else close it."""
        connection.idle_since = time.monotonic()
        surplus = [connection]
        with self._lock:
            if connection.can_be_reused and not self._is_closed:
                key = _key(connection.server)
                kept = self._idle.setdefault(key, [])
                kept.append(connection)
                surplus = [kept.pop(0)] if len(kept) > POOLED_PER_SERVER else []
                self._idle.move_to_end(key)
                if len(self._idle) > POOLED_SERVERS:
                    surplus += self._idle.popitem(last=False)[1]
        for connection in surplus:
            connection.close()

    def close(self) -> None:
        """Close every connection that is kept; those in use are closed when they are given back."""
        self._is_closed = True
        self._close_idle(time.monotonic())

    def _pop(self, server: Server) -> Connection | None:
        with self._lock:
            kept = self._idle.get(_key(server))
            return kept.pop() if kept else None

    def _close_idle(self, since: float) -> None:
        with self._lock:
            idle = []
            for kept in self._idle.values():
                while kept and kept[0].idle_since <= since:
                    idle.append(kept.pop(0))
        for connection in idle:
            connection.close()


def _key(server: Server) -> _Key:
    # What is private now may not be so for the next caller, whose addresses are checked when connecting. And processes
    # that a fork left with one connection would get each other's responses.
    return server, server.private, os.getpid()


def _close_all(idle: Mapping[_Key, list[Connection]]) -> None:
    for connection in itertools.chain(*idle.values()):
        connection.close()
