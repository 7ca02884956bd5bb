"""gunicorn's threaded worker, with bounds for what one address can hold up, and a log that tells no secrets.

Its settings are in ``web/gunicorn.conf.py``.
"""

from __future__ import annotations

import errno
import math
import selectors
import socket
import time
from collections import Counter
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar
from urllib.parse import quote

from gunicorn.glogging import Logger
from gunicorn.http.unreader import SocketUnreader
from gunicorn.util import close_graceful
from gunicorn.workers import gthread
from urllib3.util import wait_for_read

from web.rate_limits import network_of, visitor_at

from .concurrency import waiting
from .request_log import HEADER, JSONFormatter

# How long a visitor may take to send a request: so many seconds, and one more for each 64 KiB. Silence ends it sooner.
SEND_SECONDS = 30
SEND_BYTES_PER_SECOND = 64 * 1024
SILENCE_SECONDS = 20
# How soon a browser mostly asks for what belongs to a page.
SOON = 1.0  # seconds
# How long a visitor may take over so much of an answer.
TAKE_SECONDS = 60
TAKE_BYTES = 64 * 1024
ADDRESSES = 4  # that a network may have so many connections as: in all fewer than there are threads


class Unreader(SocketUnreader):
    """Reads a request for so long and no longer, and lets the visitor's other requests go on meanwhile."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        try:
            self.sock.settimeout(max(min(self.ends - time.monotonic(), SILENCE_SECONDS), 0.001))
            with waiting():
                received: bytes = super().chunk(size_hint)
        except TimeoutError:
            self.sock.shutdown(socket.SHUT_RD)  # what still comes must not be taken for the next request
            received = b""
        self.ends += len(received) / SEND_BYTES_PER_SECOND
        self.sock.settimeout(TAKE_SECONDS)
        return received


class Socket(socket.socket):
    """A socket whose time-out counts for a piece of what is sent, not for the whole."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of ``data``."""
        for start in range(0, len(data), TAKE_BYTES):
            super().sendall(memoryview(data)[start : start + TAKE_BYTES], flags)


class Connection(gthread.TConn):
    """A connection of ``holders``, an address and its network, of each of which ``counts`` says how many are open."""

    def __init__(self, holders: set[str], counts: Counter[str], *args: Any) -> None:
        super().__init__(*args)
        self.holders, self.counts = holders, counts
        self.counts.update(holders)

    def init(self) -> None:
        """Prepare for the next request."""
        if not self.initialized:
            super().init()
            self.parser.unreader = Unreader(self.sock)
        self.parser.unreader.ends = time.monotonic() + SEND_SECONDS

    def close(self, graceful: bool = False) -> None:
        """Close at once; what can take a while was done in a thread of its own, see :meth:`Worker.handle`."""
        for holder in self.holders:
            self.counts[holder] -= 1
            if not self.counts[holder]:
                del self.counts[holder]
        super().close()


class Worker(gthread.ThreadWorker):
    """gunicorn's threaded worker, in which one address can't take all connections, nor anybody hold up the others.

    ``max_connections`` are those that one address may have at once, and a quarter of those that its network may have.
    """

    max_connections: ClassVar[float] = math.inf

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.counts: Counter[str] = Counter()  # of connections, by address and by network
        self.told_of_files = False

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, unless its address has enough."""
        try:
            sock, client = listener.accept()
        except OSError as error:  # taken by the other worker, or given up meanwhile
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self.tell_of_files()
                time.sleep(0.05)  # until others are closed
            return
        address = visitor_at(client[0]) if client else ""  # a Unix socket's have none
        network = network_of(address)
        taken = max(self.counts[address], self.counts[network] / ADDRESSES)
        if address and taken >= self.max_connections:
            sock.close()
            return
        self.nr_conns += 1
        sock = Socket(fileno=sock.detach())
        self.wait_for_request(
            Connection({address, network}, self.counts, self.cfg, sock, client, listener.getsockname())
        )

    def wait_for_request(self, conn: Connection) -> None:
        """Give a new connection a thread once it says something; gunicorn's own worker would give it one at once."""
        conn.timeout = time.monotonic() + SILENCE_SECONDS
        self.pending_conns.append(conn)
        self.poller.register(conn.sock, selectors.EVENT_READ, partial(self.on_pending_socket_readable, conn))

    def tell_of_files(self) -> None:
        """Have the log tell, once, that the limit of open files is too low: everything else would only seem slow."""
        if not self.told_of_files:
            self.told_of_files = True
            self.log.error("This worker can't open more files: new visitors wait. Raise the limit (ulimit -n).")

    def comes_soon(self, conn: Connection) -> bool:
        """Wait a moment for the next request: to hand a connection over to another thread takes longer than many pages.

        Not when threads may be needed for other connections.
        """
        read_ahead = conn.parser.unreader.buf.getvalue()  # gunicorn goes on with that
        return (
            self.alive and not read_ahead and self.nr_conns < self.cfg.threads // 2 and wait_for_read(conn.sock, SOON)
        )

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections, or don't; once the worker ends, refuse them, and soon close those that say nothing."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()
            for conn in self.pending_conns:  # as gunicorn does with those that had an answer
                conn.timeout = min(conn.timeout, time.monotonic() + gthread.STOP_KEEPALIVE_LINGER)

    def handle(self, conn: Connection) -> Any:
        """Answer a request, and those that come soon after it; return whether the connection is kept."""
        kept = super().handle(conn)
        while kept is True and self.comes_soon(conn):
            kept = super().handle(conn)
        if kept is False:
            close_graceful(conn.sock)  # which can take seconds; gunicorn would do it where all connections are accepted
        return kept


class Log(Logger):
    """Logs without query strings: the callback's holds a session id, a secret until it is used."""

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        # Of what could not be read it has no path, and tells in a warning; /healthz is asked twice a minute, for ever.
        if environ.get("PATH_INFO", "/healthz") != "/healthz":
            super().access(resp, req, environ, request_time)

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> dict[str, Any]:
        """Return what a line can tell: no address, no query, no cookie, whatever the format."""
        method, protocol = environ["REQUEST_METHOD"], environ["SERVER_PROTOCOL"]
        # The path as it was sent: decoded, a %0A in it would begin a line of its own.
        path = quote(environ["PATH_INFO"], safe="/:@", encoding="latin-1")
        return {
            "t": self.now(),
            "r": f"{method} {path} {protocol}",
            "m": method,
            "U": path,
            "H": protocol,
            "s": str(resp.status).partition(" ")[0],
            "B": resp.sent,
            "M": request_time // timedelta(milliseconds=1),
            "{x-request-id}o": dict(resp.headers).get(HEADER, "-"),
        }

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # gunicorn's own "Invalid request from ip=…" names the visitor's address, and the request's with its query.
        super().warning(msg.partition(" from ip=")[0] if isinstance(msg, str) else msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # gunicorn's own "Error handling request" names the address with its query.
        without_queries = [arg.partition("?")[0] if isinstance(arg, str) else arg for arg in args]
        super().exception(msg, *without_queries, **kwargs)


class JSONLog(Log):
    """The same, with each line as an object of JSON."""

    def setup(self, cfg: Any) -> None:
        """Set up the log as gunicorn does."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            handler.setFormatter(JSONFormatter())
