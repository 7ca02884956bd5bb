"""Connections: urllib3's own, guarded and bounded, and kept for the next requests.

*Guarded*: a server's name is looked up at the moment of connecting, and only public addresses are connected to, so a
name that turns to an inner address after its first look-up leads nowhere. *Bounded*: a request has a budget. *Kept*:
only when exactly one whole response was read, so that no response can reach another request.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Mapping
from http.client import SWITCHING_PROTOCOLS, HTTPException
from threading import Lock
from typing import Any
from urllib.parse import unquote, urlsplit

from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, port_by_scheme
from urllib3.util import make_headers

from .addresses import Resolver, connect, look_up
from .environment import proxy_for
from .multipart import MultipartBody
from .responses import Budget, Response, read_body
from .server import Server

SEND_SECONDS = 30.0  # for one piece of a body: a server that stores what it has may take no more for a while
PIECE_BYTES = 16 * 1024  # one TLS record: Python's time-outs count for each anew
POOLED_SERVERS = 256
POOLED_PER_SERVER = 8


class Connection(HTTPConnection):
    """A connection to ``server``, through a proxy where the environment names one, for one request after the other.

    Each request has a ``budget``. ``was_open`` is whether the connection stood, so that the server may have got the
    request, ``is_reused`` whether an earlier one was sent over it. ``can_be_reused`` is it when exactly one whole
    response was read, to its end and without an error. One ``to_upgrade`` may switch to another protocol: then what
    came along with the response is ``read_ahead``.
    """

    budget: Budget
    was_open = is_reused = can_be_reused = False
    idle_since = 0.0
    _response: Response

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
        self._tls = tls
        self._resolver = resolver
        self._connect_seconds = connect_seconds
        self._to_upgrade = to_upgrade
        address, proxy = urlsplit(server.origin), proxy_for(server)
        self._is_secure = address.scheme == "https"
        self._host, port = str(address.hostname), address.port or port_by_scheme[address.scheme]
        if not proxy:
            super().__init__(self._host, port)
            return
        super().__init__(str(proxy.host), proxy.port or port_by_scheme["http"], proxy=proxy)
        self._proxy_headers = make_headers(proxy_basic_auth=unquote(proxy.auth)) if proxy.auth else {}
        if self._is_secure or to_upgrade:
            self.set_tunnel(self._host, port, self._proxy_headers)

    def exchange(
        self, method: str, path: str, body: bytes | MultipartBody | None, headers: Mapping[str, str]
    ) -> tuple[HTTPResponse, bytes]:
        """Send a request and return its response, with the whole body."""
        self.can_be_reused, is_sent = False, True
        if self.sock is None:
            self.connect()
        if self.proxy_is_forwarding:
            path, headers = self.server.url(path), {**headers, **self._proxy_headers}
        try:
            self.request(method, path, body, headers, preload_content=False)
        except BrokenPipeError:  # a server that refuses a file need not take it to its end
            is_sent = False
        with self.getresponse() as response:
            content = read_body(response, self.budget)
        if response.status == SWITCHING_PROTOCOLS and (self.sock is None or not self._to_upgrade):
            raise HTTPException
        self.can_be_reused = is_sent and self.sock is not None and self._response.is_whole
        return response, content

    @property
    def read_ahead(self) -> bytes:
        return self._response.read_ahead

    def response_class(self, sock: socket.socket, method: str | None = None) -> Response:  # type: ignore[override]
        """Return what http.client reads a response with."""
        self._response = Response(sock, method, self.budget)
        return self._response

    def connect(self) -> None:
        with self.budget.while_waiting():
            super().connect()
            if self._is_secure:
                self.sock = self._tls.wrap_socket(self.sock, server_hostname=self._host)
        self.was_open = True

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout = self.budget.seconds(self._connect_seconds)
        if self.proxy:
            sock = super()._new_conn()
        else:
            deadline = time.monotonic() + seconds
            addresses = look_up(self.server, self.host, self.port, self._resolver, seconds)
            sock = connect(addresses, deadline - time.monotonic())
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(self.budget.seconds(self._connect_seconds))  # for the TLS handshake
        return sock

    def send(self, data: Any) -> None:
        view = memoryview(data)
        try:
            for start in range(0, len(view), PIECE_BYTES):
                self.sock.settimeout(self.budget.seconds(SEND_SECONDS))
                # What is short fits into the system's own buffer.
                with self.budget.while_waiting() if len(view) > PIECE_BYTES else contextlib.nullcontext():
                    super().send(view[start : start + PIECE_BYTES])
        except OSError:
            raise BrokenPipeError from None


class Pool:
    """Keeps connections on which nothing is under way, and closes those that nobody used for ``idle_seconds``."""

    def __init__(self, new_connection: Callable[[Server], Connection], idle_seconds: float) -> None:
        self._new_connection = new_connection
        self._idle_seconds = idle_seconds
        # What is private now may not be so for the next caller, whose addresses are checked when connecting.
        self._idle: OrderedDict[tuple[Server, bool], list[Connection]] = OrderedDict()
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
            idle = [connection for kept in self._idle.values() for connection in kept if connection.idle_since <= since]
            for connection in idle:
                self._idle[_key(connection.server)].remove(connection)
        for connection in idle:
            connection.close()


def _key(server: Server) -> tuple[Server, bool]:
    return server, server.private


def _close_all(idle: Mapping[tuple[Server, bool], list[Connection]]) -> None:
    for connection in itertools.chain(*idle.values()):
        connection.close()
