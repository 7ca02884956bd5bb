"""Connections: urllib3's own, guarded and bounded.

*Guarded*: a server's name is looked up at the moment of connecting, and only public addresses are connected to, so a
name that turns to an inner address after its first look-up leads nowhere. *Bounded*: a request has a budget.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http.client import SWITCHING_PROTOCOLS, HTTPException
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


@dataclass(frozen=True)
class ConnectionOptions:
    """What connections have in common; ``resolver`` is called as :func:`socket.getaddrinfo` is."""

    tls: ssl.SSLContext
    resolver: Resolver
    connect_seconds: float


class Connection(HTTPConnection):
    """A connection to ``server``, through a proxy where the environment names one, for one request after the other.

    Each request has a ``budget``. ``was_open`` is whether the connection stood, so that the server may have got the
    request, ``is_reused`` whether an earlier one was sent over it. ``can_be_reused`` is it when exactly one whole
    response was read, to its end and without an error. One that is not ``for_requests`` may switch to another protocol:
    then what came along with the response is ``read_ahead``.
    """

    budget: Budget
    was_open = is_reused = can_be_reused = False
    idle_since = 0.0
    _response: Response

    def __init__(self, server: Server, options: ConnectionOptions, *, for_requests: bool = True) -> None:
        self.server = server
        self._options = options
        self._for_requests = for_requests
        address, proxy = urlsplit(server.origin), proxy_for(server)
        self._is_secure = address.scheme == "https"
        self._host, port = str(address.hostname), address.port or port_by_scheme[address.scheme]
        if not proxy:
            super().__init__(self._host, port)
            return
        super().__init__(str(proxy.host), proxy.port or port_by_scheme["http"], proxy=proxy)
        self._proxy_headers = make_headers(proxy_basic_auth=unquote(proxy.auth)) if proxy.auth else {}
        if self._is_secure or not for_requests:
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
        if response.status == SWITCHING_PROTOCOLS and (self._for_requests or self.sock is None):
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
                self.sock = self._options.tls.wrap_socket(self.sock, server_hostname=self._host)
        self.was_open = True

    def _new_conn(self) -> socket.socket:
        seconds = self.timeout = self.budget.seconds(self._options.connect_seconds)
        if self.proxy:
            sock = super()._new_conn()
        else:
            deadline = time.monotonic() + seconds
            addresses = look_up(self.server, self.host, self.port, self._options.resolver, seconds)
            sock = connect(addresses, deadline - time.monotonic())
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(self.budget.seconds(self._options.connect_seconds))  # for the TLS handshake
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
