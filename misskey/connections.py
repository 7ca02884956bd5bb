"""Connections: guarded, bounded, pooled.

*Guarded*: a server's name is looked up here, at the moment of connecting, and only public addresses are connected to,
so a name that turns to an inner address after its first look-up leads nowhere. *Bounded*: a whole exchange ends, and
so does what is read. *Pooled*: connections are kept per server for a while, for hundreds of servers; a connection goes
back only when exactly one whole answer was read from it, so that no answer can reach another request.

These are requests' and urllib3's own classes with the fewest changes that do it.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import itertools
import re
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import ContextVar
from http.client import NO_CONTENT, NOT_MODIFIED, SWITCHING_PROTOCOLS, HTTPException, HTTPResponse, parse_headers
from queue import Empty, Full
from selectors import EVENT_WRITE, DefaultSelector
from threading import Thread
from typing import Any, cast

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection, port_by_scheme
from urllib3.util import parse_url

from .errors import AnswerTooLarge, ServerForbidden, ServerNotFound, ServerTimeout
from .server import Server

CONNECT_SECONDS = 5.0  # a healthy server on another continent connects in one; some need a retransmission
SEND_SECONDS = 30.0  # for one piece of a body: a server that stores what it has may take no more for a while
PIECE_BYTES = 16 * 1024  # one TLS record: Python's time-outs count for each anew
HEADER_BYTES = 64 * 1024  # of an answer's head, with all answers before the answer
READ_COST_BYTES = 64  # what a read counts for, however little came: each costs processor time
CHUNK_COST_BYTES = 256  # what a chunk counts for beside its content, for the same reason
POOLED_SERVERS = 256
POOLED_PER_SERVER = 8
ADDRESSES_TRIED = 6
NEXT_ADDRESS_SECONDS = 0.25  # as RFC 8305 recommends

#: Global unicast blocks that lead elsewhere: translation and tunnels carry an IPv4 address that could be an inner one.
_NOT_PUBLIC = [
    ipaddress.ip_network(block)
    for block in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
#: How a network without IPv4 reaches an IPv4 address, which is the last part: RFC 6052.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")

Resolver = Callable[..., list[tuple[Any, ...]]]
Waiting = Callable[[], contextlib.AbstractContextManager[object]]


def is_public(address: str) -> bool:
    """Return whether an IP address, in text, belongs to the public internet and to nothing inside a network."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip in _NAT64:
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:  # also IPv4 in IPv6, site-local
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in block for block in _NOT_PUBLIC)


class Exchange:
    """One request under way: where to, when it has to end, and how much may still come.

    ``reused`` is whether its connection was kept from an earlier request, ``connected`` whether there is one, so that
    the server may have got the request, ``received`` whether anything came,
    ``whole`` whether one whole answer came and nothing else, so that the connection can be kept; not if it is
    ``spoiled``. ``fresh`` asks for a new connection, ``step_seconds`` is the longest silence.
    """

    def __init__(
        self,
        server: Server,
        resolve: Resolver,
        while_waiting: Waiting,
        seconds: float,
        step_seconds: float,
        body_bytes: int,
    ) -> None:
        self.server = server
        self.resolve = resolve
        self.while_waiting = while_waiting
        self.step_seconds = step_seconds
        self.fresh = self.reused = self.connected = self.received = self.whole = self.spoiled = False
        self._ends = time.monotonic() + seconds
        self._body_bytes = body_bytes
        self._left = HEADER_BYTES

    def __enter__(self) -> Exchange:
        self._token = _current.set(self)
        return self

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)

    @property
    def late(self) -> bool:
        return time.monotonic() >= self._ends

    def seconds(self, most: float) -> float:
        """Return how long the next step may take, at most ``most``; raises :class:`TimeoutError` when time is over."""
        if (left := self._ends - time.monotonic()) <= 0:
            raise TimeoutError("timed out")
        return min(left, most)

    def expect_body(self) -> None:
        """Let a body come: as large as allowed, with a quarter of that for what is not content."""
        self._left = HEADER_BYTES + self._body_bytes + self._body_bytes // 4

    def count(self, size: int) -> None:
        """Count what came; raises :class:`~misskey.errors.AnswerTooLarge` when it is more than may come."""
        self._left -= size
        if self._left < 0:
            raise AnswerTooLarge(self.server.host, "sends without end")


_current: ContextVar[Exchange] = ContextVar("exchange")


def _look_up(exchange: Exchange, host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
    """Return the addresses of ``host`` that may be connected to, IPv6 and IPv4 by turns.

    A name service can be slow without end, and ``getaddrinfo`` has no time-out: so it waits in a thread of its own.
    """
    server, answer = exchange.server, Future[list[tuple[Any, ...]]]()

    def resolve() -> None:
        try:
            answer.set_result(exchange.resolve(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    if _is_address(host):
        resolve()
    else:
        Thread(target=resolve, name="resolve", daemon=True).start()
    try:
        found = answer.result(seconds)
    except TimeoutError:
        raise ServerTimeout(server.host, "the name service did not answer in time") from None
    except (OSError, UnicodeError):
        raise ServerNotFound(server.host, "no server has this name") from None
    allowed = [entry for entry in found if server.private or is_public(entry[4][0])]
    if not allowed:
        raise ServerForbidden(server.host, "leads to an address that is not public")
    first = [entry for entry in allowed if entry[0] == allowed[0][0]]
    second = [entry for entry in allowed if entry[0] != allowed[0][0]]
    in_turns = itertools.chain.from_iterable(itertools.zip_longest(first, second))
    return [entry for entry in in_turns if entry][:ADDRESSES_TRIED]


def _is_address(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host.strip("[]")))
    except ValueError:
        return False


def _connect(addresses: Iterable[tuple[Any, ...]], seconds: float) -> socket.socket:
    """Return a connection to the first of ``addresses`` that answers; each waits a moment for those before it.

    https://www.rfc-editor.org/rfc/rfc8305
    """
    ends, waiting, connected = time.monotonic() + seconds, deque(addresses), None
    with DefaultSelector() as selector:
        try:
            while waiting or selector.get_map():
                if waiting and not _begin_to_connect(waiting.popleft(), selector):
                    continue
                if (left := ends - time.monotonic()) <= 0:
                    raise TimeoutError("timed out")
                for key, _ in selector.select(min(left, NEXT_ADDRESS_SECONDS) if waiting else left):
                    sock = cast(socket.socket, key.fileobj)
                    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                        connected = sock
                        return connected
                    selector.unregister(sock)
                    sock.close()
        finally:
            for key in selector.get_map().values():
                if key.fileobj is not connected:
                    cast(socket.socket, key.fileobj).close()
    raise ConnectionRefusedError


def _begin_to_connect(address: tuple[Any, ...], selector: DefaultSelector) -> bool:
    """Return whether ``selector`` will tell more; this one can have failed already."""
    family, kind, protocol, _, place = address
    try:
        sock = socket.socket(family, kind, protocol)
    except OSError:  # a machine without IPv6
        return False
    sock.setblocking(False)
    try:
        sock.connect(place)
    except BlockingIOError:
        pass
    except OSError:
        sock.close()
        return False
    selector.register(sock, EVENT_WRITE)
    return True


class _Wire(io.RawIOBase):
    """What comes over a connection for one answer, for as long and as much as the exchange allows."""

    def __init__(self, raw: io.RawIOBase, sock: socket.socket, exchange: Exchange) -> None:
        self._raw = raw
        self._sock = sock
        self._exchange = exchange
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self.ended:
            return 0
        self._sock.settimeout(self._exchange.seconds(self._exchange.step_seconds))
        with self._exchange.while_waiting():
            count = self._raw.readinto(buffer) or 0
        self._exchange.received = self._exchange.received or count > 0
        self._exchange.count(max(count, READ_COST_BYTES))
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    """An answer that is read past any number of informational ones, and by strict rules where it ends."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self._sock, self._exchange, self._saw_last_chunk = sock, _current.get(), False
        self._wire = _Wire(self.fp.detach(), sock, self._exchange)
        self.fp = io.BufferedReader(self._wire)

    def _read_status(self) -> tuple[str, int, str]:
        """Return the first status line that is final: http.client itself passes over 100 only."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == SWITCHING_PROTOCOLS:
                return version, status, reason
            parse_headers(self.fp)

    def begin(self) -> None:
        """Read the head.

        Raises :class:`http.client.HTTPException` where two programs could differ about the end of the answer.
        """
        super().begin()
        if self.msg.defects:  # urllib3 would write them, the server's own words, into the log
            raise HTTPException
        for name in ("Set-Cookie", "Set-Cookie2"):  # taking them apart costs much time, and nobody wants them
            del self.msg[name]
        lengths = {length.strip() for length in self.msg.get_all("Content-Length", [])}
        codings = {coding.strip().lower() for coding in self.msg.get_all("Transfer-Encoding", [])} - {"identity"}
        if not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths) or len(lengths) > 1:
            raise HTTPException
        if self.status == SWITCHING_PROTOCOLS or (codings and not self.chunked):
            raise HTTPException
        if self.status in (NO_CONTENT, NOT_MODIFIED):  # has no body, whatever it says
            self.chunked, self.length = False, 0
            self._exchange.spoiled = bool(codings or lengths - {"0"})
        elif lengths and codings:
            self._exchange.spoiled = True
        self._exchange.expect_body()

    def _read_next_chunk_size(self) -> int:
        self._exchange.count(CHUNK_COST_BYTES)
        size = _CHUNK_SIZE.fullmatch(self.fp.readline(HEADER_BYTES))
        if not size:
            raise HTTPException
        self._saw_last_chunk = int(size[1], 16) == 0
        return int(size[1], 16)

    def _close_conn(self) -> None:
        """Note whether this was the whole answer, and nothing came after it."""
        self._wire.ended = True
        is_whole = self._saw_last_chunk if self.chunked is True else self.length == 0
        read_ahead = self.fp.read(1) or getattr(self._sock, "pending", int)()  # an SSL socket has a store of its own
        self._exchange.whole = is_whole and not read_ahead and not self._exchange.spoiled
        super()._close_conn()  # type: ignore[misc]


class _Guarded(HTTPConnection):
    """A connection that is opened only to addresses that the transport allows."""

    response_class = _Response
    idle_since = 0.0

    def _new_conn(self) -> socket.socket:
        exchange = _current.get()
        if self.proxy:
            sock = super()._new_conn()
        else:
            seconds = exchange.seconds(float(self.timeout or CONNECT_SECONDS))
            ends = time.monotonic() + seconds
            sock = _connect(_look_up(exchange, self.host, self.port, seconds), ends - time.monotonic())
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(exchange.seconds(CONNECT_SECONDS))  # for the TLS handshake
        return sock

    def connect(self) -> None:
        with _current.get().while_waiting():
            super().connect()
        _current.get().connected = True

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        exchange, view = _current.get(), memoryview(data)
        try:
            for start in range(0, len(view), PIECE_BYTES):
                self.sock.settimeout(exchange.seconds(SEND_SECONDS))
                # What is short fits into the system's own buffer.
                with exchange.while_waiting() if len(view) > PIECE_BYTES else contextlib.nullcontext():
                    super().send(view[start : start + PIECE_BYTES])
        except OSError:
            # After this one, urllib3 reads the answer: a server that refuses a file need not take it to its end.
            exchange.spoiled = True
            raise BrokenPipeError from None


class _GuardedTLS(_Guarded, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Guarded

    def _get_conn(self, timeout: float | None = None) -> Any:
        exchange = _current.get()
        conn: Any = self._new_conn() if exchange.fresh else super()._get_conn(timeout)
        exchange.reused = exchange.connected = conn.sock is not None
        return conn

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
            if not _current.get().whole:
                conn.close()
        self._keep(conn)

    def _keep(self, conn: Any) -> None:
        try:
            self.pool.put(conn, block=False)  # type: ignore[union-attr]
        except (AttributeError, Full):  # the pool itself was closed meanwhile, or has enough
            if conn:
                conn.close()

    def close_idle(self, seconds: float) -> None:
        """Close the connections that nobody used for ``seconds``."""
        conns: list[Any] = []
        with contextlib.suppress(AttributeError, Empty):
            while True:
                conns.append(self.pool.get(block=False))  # type: ignore[union-attr]
        for conn in reversed(conns):
            if conn and time.monotonic() - conn.idle_since > seconds:
                conn.close()
            self._keep(conn)


class _PoolTLS(_Pool, HTTPSConnectionPool):
    ConnectionCls = _GuardedTLS


class Adapter(HTTPAdapter):
    """Keeps connections to many servers and closes those that nobody uses, whenever there is a request."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._tidied = time.monotonic()
        super().__init__(pool_connections=POOLED_SERVERS, pool_maxsize=POOLED_PER_SERVER)
        _use_guarded_pools(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **proxy_kwargs)
        _use_guarded_pools(manager)
        return manager

    def connection(self, url: str, verify: str | bool, proxies: dict[str, str], seconds: float) -> Any:
        """Return a connection to the server of ``url`` that is in no pool and not open yet."""
        pool: Any = self.get_connection_with_tls_context(requests.Request("GET", url).prepare(), verify, proxies)
        self.cert_verify(pool, url, verify, None)  # type: ignore[no-untyped-call]
        connection = pool._new_conn()
        connection.timeout = seconds
        if pool.proxy:
            place = parse_url(url)
            port = place.port or port_by_scheme[str(place.scheme)]
            connection.set_tunnel(place.host, port, pool.proxy_headers, pool.proxy.scheme)
        return connection

    def tidy(self) -> None:
        """Close connections that were idle for too long, to whichever server, once in a while."""
        if time.monotonic() - self._tidied > self._idle_seconds:
            self._tidied = time.monotonic()
            for manager in (self.poolmanager, *self.proxy_manager.values()):
                for key in manager.pools.keys():  # noqa: SIM118 - not a dictionary
                    if pool := manager.pools.get(key):
                        pool.close_idle(self._idle_seconds)


def _use_guarded_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}
