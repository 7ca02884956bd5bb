"""Counters in this process, as for rate limits; of several processes, each counts for itself."""

from __future__ import annotations

import time
from threading import Lock

from cachetools import TLRUCache

MAX_COUNTERS = 100_000  # of which the oldest is forgotten then: some 20 MB


class LocalCounters:
    """Counters that end by themselves."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: TLRUCache[str, tuple[int, float]] = TLRUCache(
            MAX_COUNTERS, ttu=lambda _name, counter, _now: counter[1], timer=time.time
        )

    def count(self, name: str, seconds: int) -> int:
        """Count once more; return how often since the counter began. A new one ends after ``seconds``."""
        with self._lock:
            before, ends = self._counters.get(name, (0, time.time() + seconds))
            self._counters[name] = (before + 1, ends)
            return before + 1
