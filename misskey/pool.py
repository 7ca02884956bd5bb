"""The connection pool: connections to hundreds of servers, kept for their next requests.

A connection goes back only when exactly one whole response was read from it, so that no response can reach another
request.
"""

from __future__ import annotations

import itertools
import time
import weakref
from collections import OrderedDict
from collections.abc import Mapping
from threading import Lock

from .connections import Connection, ConnectionOptions
from .server import Server

POOLED_SERVERS = 256
POOLED_PER_SERVER = 8


class Pool:
    """Keeps connections on which nothing is under way, and closes those that nobody used for ``idle_seconds``."""

    def __init__(self, options: ConnectionOptions, idle_seconds: float) -> None:
        self._options = options
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
        return Connection(server, self._options)

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
