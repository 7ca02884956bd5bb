"""Rate limits' counters in this process; of several processes, each counts for itself.

The storage in memory of the library limits starts a thread every 10 ms to forget what is over.
"""

from __future__ import annotations

import time
from threading import Lock

from cachetools import TLRUCache
from limits.storage import Storage

MAX_COUNTERS = 100_000  # of which the oldest is forgotten then: some 20 MB


class LocalCounters(Storage):
    """Counters that end by themselves; see :class:`limits.storage.Storage`."""

    base_exceptions = ()

    def __init__(self) -> None:
        super().__init__()
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
