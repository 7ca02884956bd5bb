"""Connections: guarded, bounded, pooled.

*Guarded*: a server's name is looked up here, at the moment of connecting, and only public addresses are connected to,
so a name that turns to an inner address after its first look-up leads nowhere. *Bounded*: a whole exchange ends, and
so does what is read. *Pooled*: connections are kept per server for a while, for hundreds of servers.

These are requests' and urllib3's own classes with the fewest changes that do it.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import ContextVar
from http.client import HTTPException, HTTPResponse
from queue import Empty
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection, port_by_scheme
from urllib3.util import parse_url

from .errors import AnswerTooLarge, ServerForbidden, ServerNotFound, ServerTimeout
from .server import Server

CONNECT_SECONDS = 5.0  # a healthy server on another continent connects in one; some need a retransmission
SEND_SECONDS = 30.0  # for one piece of a body: a server that stores what it has may take no more for a while
HEADER_BYTES = 64 * 1024  # with what else is not body: chunk sizes, trailers, answers before the answer
POOLED_SERVERS = 256
POOLED_PER_SERVER = 64  # urllib3 writes a warning for each connection beyond, at the moment it is given back
ADDRESSES_TRIED = 4
LOOK_UPS = 64  # under way at once

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

Resolver = Callable[..., list[tuple[Any, ...]]]


def is_public(address: str) -> bool:
    """Tell whether an IP address, in text, belongs to the public internet and to nothing inside a network."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:  # also IPv4 in IPv6, NAT64, site-local
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in block for block in _NOT_PUBLIC)


class NameService:
    """Looks names up; ``resolve`` is called as :func:`socket.getaddrinfo` is.

    A name service can be slow without end, and ``getaddrinfo`` has no time-out: so it waits in threads of its own.
    """

    def __init__(self, resolve: Resolver) -> None:
        self._resolve = resolve
        self._threads = ThreadPoolExecutor(LOOK_UPS, thread_name_prefix="resolve")
        self._under_way: dict[tuple[str, int], Future[list[tuple[Any, ...]]]] = {}
        self._lock = threading.Lock()

    def addresses(self, server: Server, host: str, port: int, seconds: float) -> list[tuple[Any, ...]]:
        """Look ``host`` up and return what of it may be connected to, within ``seconds``.

        Raises :class:`~misskey.errors.ServerNotFound`, :class:`~misskey.errors.ServerForbidden` or
        :class:`~misskey.errors.ServerTimeout`.
        """
        with self._lock:  # a slow one is waited for together, so that one name takes one place only
            look_up = self._under_way.get((host, port))
            if look_up is None or look_up.done():
                look_up = self._threads.submit(self._resolve, host, port, type=socket.SOCK_STREAM)
                self._under_way[host, port] = look_up
                look_up.add_done_callback(lambda _: self._under_way.pop((host, port), None))
        try:
            found = look_up.result(timeout=max(seconds, 0))
        except TimeoutError:
            raise ServerTimeout(server.host, "the name service did not answer in time") from None
        except (OSError, UnicodeError):
            raise ServerNotFound(server.host, "no server has this name") from None
        allowed = [entry for entry in found if server.private or is_public(entry[4][0])]
        if not allowed:
            raise ServerForbidden(server.host, "leads to an address that is not public")
        return allowed[:ADDRESSES_TRIED]

    def close(self) -> None:
        """Look nothing up any more."""
        self._threads.shutdown(wait=False, cancel_futures=True)


class Exchange:
    """One request under way: when it has to end, and the means to end it.

    Time-outs of sockets start anew with every byte, so a server that drips could hold on for hours. A timer shuts the
    connection down instead, whatever is being waited for: the TLS handshake, headers or body.
    """

    def __init__(self, server: Server, names: NameService, seconds: float, body_bytes: int) -> None:
        self.server = server
        self.names = names
        self.body_bytes = body_bytes
        self.late = False
        self.connected = False  # from then on, the server may have got the request
        self.ends = time.monotonic() + seconds
        self._lifeline: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True

    def __enter__(self) -> Exchange:
        self._token = _current.set(self)
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        _current.reset(self._token)
        self.hold(None)

    def hold(self, sock: socket.socket | None) -> None:
        """Keep a second handle on the connection in use: TLS takes the first one over, and closing detaches it."""
        with self._lock:
            if self._lifeline:
                self._lifeline.close()
            self._lifeline = socket.socket(fileno=os.dup(sock.fileno())) if sock else None
        if self.late:
            self._cut()

    def _cut(self) -> None:
        with self._lock:
            self.late = True
            if self._lifeline:
                with contextlib.suppress(OSError):
                    self._lifeline.shutdown(socket.SHUT_RDWR)


_current: ContextVar[Exchange] = ContextVar("exchange")


class _Wire(io.RawIOBase):
    """What comes over a connection for one answer: as much as the transport allows, whatever it is made of."""

    def __init__(self, raw: io.RawIOBase, exchange: Exchange) -> None:
        self._raw = raw
        self._exchange = exchange
        self._left = HEADER_BYTES + exchange.body_bytes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        count = self._raw.readinto(buffer)
        self._left -= count or 0
        if self._left < 0:
            raise AnswerTooLarge(self._exchange.server.host, "sends without end")
        time.sleep(0)  # under gevent, reading from a server that never pauses would let nobody else run, nor the timer
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fp = io.BufferedReader(_Wire(self.fp.detach(), _current.get()))

    def begin(self) -> None:
        super().begin()
        if self.msg.defects:  # urllib3 would write them, the server's own words, into the log
            raise HTTPException


class _Guarded(HTTPConnection):
    """A connection that is opened only to addresses that the transport allows."""

    response_class = _Response
    idle_since = 0.0
    unfinished = False  # in the middle of a body, of which the next request would seem to be a part

    def _new_conn(self) -> socket.socket:
        exchange = _current.get()
        sock = super()._new_conn() if self.proxy else self._connect_guarded(exchange)
        exchange.hold(sock)
        return sock

    def _connect_guarded(self, exchange: Exchange) -> socket.socket:
        ends = min(time.monotonic() + float(self.timeout or CONNECT_SECONDS), exchange.ends)
        addresses = exchange.names.addresses(exchange.server, self.host, self.port, ends - time.monotonic())
        *others, last = addresses
        for left, address in zip(range(len(addresses), 1, -1), others, strict=True):
            with contextlib.suppress(OSError):
                return self._open(address, (ends - time.monotonic()) / left)
        return self._open(last, ends - time.monotonic())

    def _open(self, address: tuple[Any, ...], seconds: float) -> socket.socket:
        family, kind, protocol, _, place = address
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(max(seconds, 0.001))
            sock.connect(place)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.settimeout(self.timeout)
        except OSError:
            sock.close()
            raise
        return sock

    def connect(self) -> None:
        super().connect()
        _current.get().connected = True

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            _current.get().hold(self.sock)
            _current.get().connected = True
        super().request(*args, **kwargs)

    def send(self, data: Any) -> None:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(SEND_SECONDS)
        try:
            super().send(data)
        except OSError:
            # After this one, urllib3 reads the answer: a server that refuses a file need not take it to its end.
            self.unfinished = True
            raise BrokenPipeError from None
        time.sleep(0)  # as in reading


class _GuardedTLS(_Guarded, HTTPSConnection):
    pass


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Guarded

    def _put_conn(self, conn: Any) -> None:
        if conn is not None:
            conn.idle_since = time.monotonic()
            if conn.unfinished:
                conn.close()
                conn.unfinished = False
        super()._put_conn(conn)

    def close_idle(self, seconds: float) -> int:
        """Close connections that nobody used for ``seconds``; return how many others are left."""
        conns: list[Any] = []
        with contextlib.suppress(Empty, AttributeError):  # the pool itself was closed meanwhile
            while True:
                conns.append(self.pool.get(block=False))  # type: ignore[union-attr]
        for conn in reversed(conns):
            if conn and time.monotonic() - conn.idle_since >= seconds:
                conn.close()
            super()._put_conn(conn)
        return sum(bool(conn and conn.sock) for conn in conns)


class _PoolTLS(_Pool, HTTPSConnectionPool):
    ConnectionCls = _GuardedTLS


class Adapter(HTTPAdapter):
    """Keeps connections to many servers and closes those that nobody uses."""

    def __init__(self, idle_seconds: float) -> None:
        self._idle_seconds = idle_seconds
        self._sweeper: threading.Timer | None = None
        self._lock = threading.Lock()
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

    def sweep_later(self) -> None:
        with self._lock:
            if self._sweeper is None:
                self._sweeper = threading.Timer(self._idle_seconds, self._sweep)
                self._sweeper.daemon = True
                self._sweeper.start()

    def _sweep(self) -> None:
        with self._lock:
            self._sweeper = None
        managers = [self.poolmanager, *self.proxy_manager.values()]
        pools = [manager.pools.get(key) for manager in managers for key in manager.pools.keys()]  # noqa: SIM118
        if sum(pool.close_idle(self._idle_seconds) for pool in pools if pool):
            self.sweep_later()


def _use_guarded_pools(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _Pool, "https": _PoolTLS}
