"""The only place that opens a connection, through :mod:`misskey.connections`: guarded, bounded, pooled.

Redirects are not followed, cookies not kept, ``.netrc`` not read. A CA bundle (``REQUESTS_CA_BUNDLE``,
``CURL_CA_BUNDLE`` or ``SSL_CERT_FILE``) and a proxy (``HTTPS_PROXY``, ``NO_PROXY``) in the environment are honoured.
Behind a proxy it is the proxy that connects, so the check of addresses is the proxy's.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from http.client import HTTPException
from http.cookiejar import DefaultCookiePolicy

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import DecodeError, HTTPError

from .connections import CONNECT_SECONDS, Adapter, Exchange, Resolver, Waiting
from .environment import ca_bundle, proxies_for
from .errors import AnswerTooLarge, InsecureConnection, InvalidAnswer, ServerTimeout, ServerUnreachable
from .multipart import MultipartBody
from .server import Server

STEP_SECONDS = 10.0  # the longest silence in the middle of an answer
TOTAL_SECONDS = 15.0  # what a person waits for before reloading
UPLOAD_SECONDS = 60.0  # what a server may take over a file that it has: it looks at it, makes small pictures, stores it
UPLOAD_BYTES_PER_SECOND = 256 * 1024  # the slowest that a file may be taken: between servers, a tenth of the usual
BODY_BYTES = 1024 * 1024  # the largest ``meta`` seen is smaller, and lists of notes have a tenth
CHUNK_BYTES = 16 * 1024
LONGEST_PATH = 4096  # with its query; what is longer is no address, and requests takes long to look at it
IDLE_SECONDS = 20.0  # shorter than the keep-alive of usual reverse proxies, so that they seldom hang up first


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered: HTTP status, headers, the decompressed body, and how long it took in milliseconds."""

    status: int
    headers: Mapping[str, str] = field(repr=False)  # these two can hold a token
    body: bytes = field(repr=False)
    milliseconds: int


class Transport:
    """Sends one request at a time to one server at a time; safe to share between threads.

    ``user_agent`` names the program and how to reach whoever runs it. The limits are in seconds and bytes; ``resolve``
    is called as :func:`socket.getaddrinfo` is. ``limit`` returns a context manager that is entered for each request,
    ``while_waiting`` one for each wait within it, so that a program can limit and let others go on.
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
        body_bytes: int = BODY_BYTES,
        resolve: Resolver = socket.getaddrinfo,
        limit: Waiting = contextlib.nullcontext,
        while_waiting: Waiting = contextlib.nullcontext,
    ) -> None:
        self.user_agent = user_agent
        self.total_seconds = total_seconds
        self.body_bytes = body_bytes
        self._connect_seconds = connect_seconds
        self._step_seconds = step_seconds
        self._upload_seconds = upload_seconds
        self._verify = ca_bundle()
        self.adapter = Adapter(idle_seconds)
        self._session = _Session(user_agent, self.adapter)
        self._resolve = resolve
        self._limit = limit
        self._while_waiting = while_waiting

    def request(
        self,
        method: str,
        server: Server,
        path: str,
        *,
        body: bytes | MultipartBody | None = None,
        headers: Mapping[str, str] | None = None,
        body_bytes: int | None = None,
        idempotent: bool = False,
    ) -> Answer:
        """Send ``body`` to ``path`` at ``server`` and return the whole :class:`Answer`, whatever its status.

        ``body_bytes`` is another limit for this answer's body. An ``idempotent`` request is sent once more, over a
        new connection, when the server closed one that was kept before anything came.

        Raises a :class:`~misskey.errors.TransportError`, :class:`~misskey.errors.InvalidAnswer` for a body that
        can't be unpacked, or :class:`ValueError` for a path that no server has.
        """
        if len(path) > LONGEST_PATH or not (path.isascii() and path.isprintable()):
            raise ValueError("a path is printable ASCII, and not endless")
        step, total = self._step_seconds, self.total_seconds
        if isinstance(body, MultipartBody):
            step, total = self._upload_seconds, self.longest_upload(len(body))
        most = self.body_bytes if body_bytes is None else body_bytes
        self.adapter.tidy()
        with self._limit(), Exchange(server, self._resolve, self._while_waiting, total, step, most) as exchange:
            try:
                return self._send(exchange, method, path, body, headers, most)
            except _HungUp:
                if not idempotent:
                    raise
                exchange.fresh = True
                return self._send(exchange, method, path, body, headers, most)

    def _send(
        self,
        exchange: Exchange,
        method: str,
        path: str,
        body: bytes | MultipartBody | None,
        headers: Mapping[str, str] | None,
        most: int,
    ) -> Answer:
        started, url = time.monotonic(), exchange.server.url(path)
        with _translated(exchange):
            response = self._session.request(
                method,
                url,
                data=body,
                headers=headers,
                stream=True,
                timeout=self._connect_seconds,
                verify=self._verify,
                proxies=proxies_for(url),
            )
            with response:
                content = _read(exchange.server, response, most)
            milliseconds = round((time.monotonic() - started) * 1000)
            return Answer(response.status_code, response.headers, content, milliseconds)

    def longest_upload(self, size: int) -> float:
        """Return how many seconds an upload of ``size`` bytes may take in all."""
        return self.total_seconds + self._upload_seconds + size / UPLOAD_BYTES_PER_SECOND

    @contextlib.contextmanager
    def connect(self, server: Server, greet: Callable[[socket.socket, Exchange], None]) -> Iterator[socket.socket]:
        """Open a connection to ``server`` for something else than requests, and close it on leaving.

        ``greet`` does what has to be done first, within the limits of an exchange, and raises what :meth:`request`
        raises. Nothing bounds what comes after it.
        """
        url = server.url("/")
        with contextlib.ExitStack() as stack:
            seconds, step, most = self.total_seconds, self._step_seconds, self.body_bytes
            exchange = Exchange(server, self._resolve, self._while_waiting, seconds, step, most)
            with self._limit(), self._while_waiting(), exchange, _translated(exchange):
                proxies = proxies_for(url)
                connection = self.adapter.connection(url, self._verify, proxies, self._connect_seconds)
                stack.callback(connection.close)
                connection.connect()
                greet(connection.sock, exchange)
            yield connection.sock

    def close(self) -> None:
        """Close every connection that is kept."""
        self._session.close()


class _HungUp(ServerUnreachable):
    """The server closed a connection that was kept, before anything of an answer came."""


def _read(server: Server, response: requests.Response, most: int) -> bytes:
    if "," in response.headers.get("Content-Encoding", ""):  # packed twice, 4 MiB can be work for minutes
        raise InvalidAnswer(server.host, "gave an answer that was packed twice", status=response.status_code)
    content = bytearray()
    while chunk := response.raw.read(CHUNK_BYTES, decode_content=True):
        content += chunk
        if len(content) > most:
            raise AnswerTooLarge(server.host, f"sent more than {most} bytes")
    return bytes(content)


@contextlib.contextmanager
def _translated(exchange: Exchange) -> Iterator[None]:
    """Turn what requests, urllib3 and the socket raise into this package's errors."""
    host = exchange.server.host
    try:
        yield
    except (requests.RequestException, HTTPError, HTTPException, OSError, ValueError) as error:
        if exchange.late or isinstance(error, (requests.Timeout, TimeoutError)) or "timed out" in str(error):
            raise ServerTimeout(host, "took too long to answer", connected=exchange.connected) from None
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise InsecureConnection(host, "the certificate is not valid for this server") from None
        if isinstance(error, DecodeError):
            raise InvalidAnswer(host, "gave an answer that can't be unpacked") from None
        kind = _HungUp if exchange.reused and not exchange.received else ServerUnreachable
        words = "could not be reached, cut the connection off or does not speak HTTP"
        raise kind(host, words, connected=exchange.connected) from None


class _Session(requests.Session):
    def __init__(self, user_agent: str, adapter: HTTPAdapter) -> None:
        super().__init__()
        self.trust_env = False  # would read .netrc; proxies and CA bundle are handed in with each request
        self.headers["User-Agent"] = user_agent
        self.headers["Accept-Encoding"] = "gzip, deflate"
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # shared by everybody: must stay empty
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Follow nothing; even without following, requests would read the whole body of a redirect."""
