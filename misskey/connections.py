"""Connections: urllib3's own, guarded and bounded, and made by the adapter of requests.

*Guarded*: a server's name is looked up at the moment of connecting, and only public addresses are connected to, so a
name that turns to an inner address after its first look-up leads nowhere. *Bounded*: a request has a budget.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse
from urllib3.connection import HTTPConnection, HTTPSConnection, port_by_scheme
from urllib3.exceptions import HTTPError
from urllib3.util import parse_url

from .addresses import Resolver, connect, look_up
from .budget import Budget
from .environment import proxies_for
from .errors import ServerUnreachable
from .framing import Response, Waiting
from .multipart import MultipartBody
from .server import Server

SEND_SECONDS = 30.0  # for one piece of a body: a server that stores what it has may take no more for a while
PIECE_BYTES = 16 * 1024  # one TLS record: Python's time-outs count for each anew


class Connection(HTTPConnection):
    """A connection to ``server``, through ``proxy`` where there is one, for one request after the other.

    Each request has a ``budget``. ``is_reused`` is whether an earlier one was sent over it, ``was_open`` whether it
    stood, so that the server may have got this one, ``is_done`` whether its response was read.
    """

    server: Server
    adapter: Adapter
    budget: Budget
    proxy_headers: Mapping[str, str]
    is_reused = was_open = False
    idle_since = 0.0
    is_done = False
    _response: Response | None = None
    _is_cut = False

    @property
    def can_be_reused(self) -> bool:
        """Whether exactly one whole response was read, to its end and without an error."""
        if self.sock is None or self._is_cut or not self.is_done:
            return False
        return self._response is not None and self._response.is_whole

    def exchange(
        self, method: str, path: str, body: bytes | MultipartBody | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        """Send a request and return its response, of which the body is still to be read."""
        self._response, self.is_done = None, False
        if self.sock is None:
            self.connect()
        if self.proxy_is_forwarding:
            path, headers = self.server.url(path), {**headers, **self.proxy_headers}
        with contextlib.suppress(BrokenPipeError):  # a server that refuses a file need not take it to its end
            self.request(method, path, body, headers, preload_content=False)
        return self.getresponse()

    def response_class(self, sock: socket.socket, method: str | None = None) -> Response:  # type: ignore[override]
        """Return what http.client reads a response with."""
        self._response = Response(sock, method, self.budget, self.adapter.while_waiting)
        return self._response

    def connect(self) -> None:
        with self.adapter.while_waiting():
            super().connect()
        self.was_open = True

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout = self.budget.seconds(self.adapter.connect_seconds)
        if self.proxy:
            sock = super()._new_conn()
        else:
            deadline = time.monotonic() + seconds
            addresses = look_up(self.server, self.host, self.port, self.adapter.resolver, seconds)
            sock = connect(addresses, deadline - time.monotonic())
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(self.budget.seconds(self.adapter.connect_seconds))  # for the TLS handshake
        return sock

    def send(self, data: Any) -> None:
        view = memoryview(data)
        try:
            for start in range(0, len(view), PIECE_BYTES):
                self.sock.settimeout(self.budget.seconds(SEND_SECONDS))
                # What is short fits into the system's own buffer.
                with self.adapter.while_waiting() if len(view) > PIECE_BYTES else contextlib.nullcontext():
                    super().send(view[start : start + PIECE_BYTES])
        except OSError:
            self._is_cut = True
            raise BrokenPipeError from None


class SecureConnection(Connection, HTTPSConnection):
    """The same over TLS."""


class Adapter(HTTPAdapter):
    """Makes connections: knows certificates to trust, proxies to go through, and the rules for all of them.

    ``resolver`` is called as :func:`socket.getaddrinfo` is; ``while_waiting`` returns a context manager that is entered
    for each wait.
    """

    def __init__(self, tls: ssl.SSLContext, resolver: Resolver, connect_seconds: float, while_waiting: Waiting) -> None:
        self.resolver = resolver
        self.connect_seconds = connect_seconds
        self.while_waiting = while_waiting
        self._tls = tls
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, ssl_context=self._tls)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        return super().proxy_manager_for(proxy, **options, ssl_context=self._tls, proxy_ssl_context=self._tls)

    def connection(self, server: Server, *, for_requests: bool = True) -> Connection:
        """Return a new connection to ``server``, not open yet; a proxy passes on requests, or whatever comes."""
        url = server.url("/")
        request, proxies = requests.Request("GET", url).prepare(), proxies_for(url)
        try:
            pool: Any = self.get_connection_with_tls_context(request, True, proxies)
        except (requests.RequestException, HTTPError):
            raise ServerUnreachable(server.host, "can't be reached through this proxy") from None
        if pool.proxy and pool.proxy.scheme != "http":  # in TLS within TLS, urllib3 bounds no time
            raise ServerUnreachable(server.host, "can't be reached through a proxy over TLS")
        pool.ConnectionCls = SecureConnection if pool.scheme == "https" else Connection
        connection: Connection = pool._new_conn()
        connection.server, connection.adapter, connection.proxy_headers = server, self, pool.proxy_headers
        place = parse_url(url)
        if pool.proxy and (place.scheme == "https" or not for_requests):
            port = place.port or port_by_scheme[str(place.scheme)]
            connection.set_tunnel(str(place.host), port, pool.proxy_headers, pool.proxy.scheme)
        return connection
