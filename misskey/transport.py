"""The only place that sends a request: guarded, bounded, over connections that are kept.

Redirects are not followed, cookies not kept, ``.netrc`` not read. A CA bundle (``REQUESTS_CA_BUNDLE``,
``CURL_CA_BUNDLE`` or ``SSL_CERT_FILE``) and a proxy (``HTTPS_PROXY``, ``NO_PROXY``) in the environment are honoured.
Behind a proxy it is the proxy that connects, so the check of addresses is the proxy's.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPException
from ssl import SSLCertVerificationError
from urllib.parse import quote

from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

from .addresses import Resolver
from .connections import Connection, Pool
from .environment import tls_context
from .errors import InsecureConnection, InvalidAnswer, MisskeyError, ServerTimeout, ServerUnreachable
from .multipart import MultipartBody
from .responses import MAX_ANSWER_BYTES, Budget, ContextFactory, Response
from .server import Server

CONNECT_SECONDS = 5.0  # a healthy server on another continent connects in one; some need a retransmission
STEP_SECONDS = 10.0  # the longest silence in the middle of a response
#: How long a request may take in all, if a program sets no other limit; an upload may take longer.
TOTAL_SECONDS = 15.0  # what a person waits for before reloading
UPLOAD_SECONDS = 60.0  # what a server may take over a file that it has: it looks at it, makes small pictures, stores it
UPLOAD_BYTES_PER_SECOND = 256 * 1024  # the slowest that a file may be taken: between servers, a tenth of the usual
MAX_PATH = 4096  # with its query; what is longer is no address
IDLE_SECONDS = 20.0  # shorter than the keep-alive of usual reverse proxies, so that they seldom hang up first
_SAFE_IN_A_PATH = "%!$&'()*+,-./:;=?@_~[]"
_Request = tuple[str, str, bytes | MultipartBody | None, Mapping[str, str]]  # method, path, body, headers


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: HTTP status, headers, the decompressed body, and how long it took in milliseconds.

    >>> Answer(200, {}, b"{}", 25)
    Answer(status=200, milliseconds=25)
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)  # these two can hold a token
    body: bytes = field(repr=False)
    milliseconds: int


class Transport:
    """Sends requests, each over a connection that it has for itself meanwhile; safe to share between threads.

    ``user_agent`` names the program and how to reach whoever runs it. The limits are in seconds and bytes; ``resolve``
    is called as :func:`socket.getaddrinfo` is. ``limit`` returns a context manager that is entered for each request,
    ``while_waiting`` one for each wait within it, so that a program can limit and let others go on.

    Raises :class:`ValueError` for a CA bundle that can't be used, as :func:`~misskey.ca_bundle` does.

    >>> quick = Transport("MyApp/1.0 (+https://myapp.example)", total_seconds=5, max_answer_bytes=100_000)
    >>> Client(server, quick).call("ping", idempotent=True)["pong"] > 0
    True
    >>> quick.close()
    """

    def __init__(
        self,
        user_agent: str,
        *,
        connect_seconds: float = CONNECT_SECONDS,
        step_seconds: float = STEP_SECONDS,
        total_seconds: float = TOTAL_SECONDS,
        upload_seconds: float = UPLOAD_SECONDS,
        idle_seconds: float = IDLE_SECONDS,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
        resolve: Resolver = socket.getaddrinfo,
        limit: ContextFactory = contextlib.nullcontext,
        while_waiting: ContextFactory = contextlib.nullcontext,
    ) -> None:
        self.user_agent = user_agent
        self.total_seconds = total_seconds
        self.max_answer_bytes = max_answer_bytes
        self._step_seconds = step_seconds
        self._upload_seconds = upload_seconds
        self._limit = limit
        self._while_waiting = while_waiting
        self._headers = {"User-Agent": user_agent, "Accept-Encoding": "gzip, deflate"}
        self._new_connection = partial(Connection, tls_context(), resolve, connect_seconds)
        self._pool = Pool(self._new_connection, idle_seconds)

    def request(
        self,
        method: str,
        server: Server,
        path: str,
        *,
        body: bytes | MultipartBody | None = None,
        headers: Mapping[str, str] | None = None,
        max_answer_bytes: int | None = None,
        idempotent: bool = False,
    ) -> Answer:
        """Send ``body`` to ``path`` at ``server`` and return the whole :class:`Answer`, whatever its status.

        ``max_answer_bytes`` limits the response's body. An ``idempotent`` request is sent once more, over a new
        connection, when the server closed one that was kept before anything came. Raises :class:`ValueError` for a
        path or a header that is none, :class:`~misskey.errors.TransportError`, :class:`~misskey.errors.InvalidAnswer`.

        >>> transport.request("GET", server, "/nowhere").status
        404
        """
        request = (method, _target(path), body, {"Host": server.host, **self._headers, **(headers or {})})
        budget = self._budget(server, body, max_answer_bytes)
        with self._limit():
            connection = self._pool.take(server)
            try:
                return self._send(connection, budget, request)
            except ServerUnreachable:
                if not (idempotent and connection.is_reused) or budget.received:
                    raise
            return self._send(self._new_connection(server), budget, request)

    def _budget(
        self, server: Server, body: bytes | MultipartBody | None = None, max_answer_bytes: int | None = None
    ) -> Budget:
        seconds, step_seconds = self.total_seconds, self._step_seconds
        if isinstance(body, MultipartBody):
            seconds, step_seconds = self.max_upload_seconds(len(body)), self._upload_seconds
        most = self.max_answer_bytes if max_answer_bytes is None else max_answer_bytes
        return Budget(server.host, seconds, step_seconds, most, self._while_waiting)

    def _send(self, connection: Connection, budget: Budget, request: _Request) -> Answer:
        try:
            return _exchange(connection, budget, request)[0]
        finally:
            self._pool.give_back(connection)

    def max_upload_seconds(self, size: int) -> float:
        """Return how many seconds an upload of ``size`` bytes may take in all."""
        return self.total_seconds + self._upload_seconds + size / UPLOAD_BYTES_PER_SECOND

    @contextlib.contextmanager
    def upgrade(self, server: Server, path: str, headers: Mapping[str, str]) -> Iterator[tuple[Answer, Response]]:
        """GET ``path`` to switch to another protocol; give the answer, and the response with its socket and its budget.

        Raises what :meth:`request` raises. What comes after status 101, with which the server switched, counts too: the
        budget has to be renewed. On leaving, the connection is closed.
        """
        request = ("GET", _target(path), None, {**self._headers, **headers})
        with contextlib.closing(self._new_connection(server, to_upgrade=True)) as connection:
            yield self._upgraded(connection, request)

    def _upgraded(self, connection: Connection, request: _Request) -> tuple[Answer, Response]:
        with self._limit():
            return _exchange(connection, self._budget(connection.server), request)

    def close(self) -> None:
        """Close every connection that is kept."""
        self._pool.close()


def _target(path: str) -> str:
    if len(path) > MAX_PATH or not (path.isascii() and path.isprintable()):
        raise ValueError("a path is printable ASCII, and not endless")
    return quote(path.partition("#")[0], _SAFE_IN_A_PATH)


def _exchange(connection: Connection, budget: Budget, request: _Request) -> tuple[Answer, Response]:
    started = time.monotonic()
    try:
        response, content = connection.exchange(budget, *request)
    except (HTTPError, HTTPException, OSError, UnicodeError) as error:  # the last: of a proxy's name that none can be
        raise _translated(error, budget.host, connected=connection.was_open) from None
    for name in ("Set-Cookie", "Set-Cookie2"):  # nobody wants them
        response.fields.discard(name)
    milliseconds = round((time.monotonic() - started) * 1000)
    return Answer(response.status, response.fields, content, milliseconds), response


def _translated(error: Exception, host: str, *, connected: bool) -> MisskeyError:
    """Return this package's error for what urllib3, http.client and the socket raise."""
    if isinstance(error, (TimeoutError, ReadTimeoutError)):
        return ServerTimeout(host, "took too long to answer", connected=connected)
    if isinstance(error, SSLCertVerificationError):
        return InsecureConnection(host, f"the certificate is not valid: {error.verify_message}")
    if isinstance(error, DecodeError):
        return InvalidAnswer(host, "gave an answer that can't be unpacked")
    words = "could not be reached, cut the connection off or does not speak HTTP"
    return ServerUnreachable(host, words, connected=connected)
