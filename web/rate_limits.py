"""Rate limits, whom they count requests for, and their counters. How many sign-ins are allowed is a setting.

They are in the Redis that machines share, else in this process: a file would make each request wait to write. The
storage in memory of the library limits starts a thread every 10 ms to forget what is over.
"""

from __future__ import annotations

import ipaddress
import time
from functools import lru_cache
from threading import Lock
from typing import Any

from cachetools import TLRUCache
from flask import request
from flask_limiter import Limiter
from limits.storage import Storage

from .storage.sqlite_backend import file_at

MAX_COUNTERS = 100_000  # of which the oldest is forgotten then: some 20 MB
MAX_VISITORS = 1000  # whose addresses are read once, though several limits count for them


def storage_uri(token_store: str) -> str:
    """Return where to count requests, where sign-ins are kept at ``token_store``."""
    if file_at(token_store):
        return f"{Counters.STORAGE_SCHEME[0]}://"
    from .storage.shared_counters import SharedCounters  # a large library, which few need

    return f"{SharedCounters.STORAGE_SCHEME[0]}://"


@lru_cache(MAX_VISITORS)
def visitor_at(address: str | None) -> str:
    """Return whom to count requests from ``address`` for: an IPv6 visitor has a whole /64 of addresses."""
    text = address or ""
    if text.startswith("["):  # some proxies add the port
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return text
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False))


limiter = Limiter(lambda: visitor_at(request.remote_addr))
#: A page makes a handful of calls; this keeps one visitor from wearing out a server, or this one.
calls = limiter.shared_limit("300 per minute", scope="calls")


class Counters(Storage):
    """Counters that end by themselves; see :class:`limits.storage.Storage`."""

    STORAGE_SCHEME = ["counters"]  # noqa: RUF012 - the library's own way
    base_exceptions = ()

    def __init__(self, uri: str | None = None, **options: Any) -> None:
        super().__init__(uri, **options)
        self._lock = Lock()
        self.reset()

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count and return what was counted since the counter began; a new one ends after ``expiry`` seconds."""
        with self._lock:
            count, ends = self._counters.get(key, (0, time.time() + expiry))
            self._counters[key] = (count + amount, ends)
            return count + amount

    def get(self, key: str) -> int:
        """Return what was counted."""
        with self._lock:
            return self._counters.get(key, (0, 0))[0]

    def get_expiry(self, key: str) -> float:
        """Return when a counter ends, in seconds since 1970."""
        with self._lock:
            return self._counters.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Return whether this works: always."""
        return True

    def reset(self) -> None:
        """Begin anew."""
        self._counters: TLRUCache[str, tuple[int, float]] = TLRUCache(
            MAX_COUNTERS, ttu=lambda _key, counter, _now: counter[1], timer=time.time
        )

    def clear(self, key: str) -> None:
        """Forget a counter."""
        with self._lock:
            self._counters.pop(key, None)
