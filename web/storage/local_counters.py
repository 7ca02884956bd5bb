"""Counters in this process, as for rate limits; of several processes, each counts for itself."""

from __future__ import annotations

import time
from threading import Lock

from cachetools import LRUCache

MAX_COUNTERS = 100_000  # of which the oldest is forgotten then: some 20 MB


class LocalCounters:
    """Counters that end by themselves."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counters: LRUCache[str, tuple[int, float]] = LRUCache(MAX_COUNTERS)

    def count(self, name: str, seconds: int) -> int:
        """Count once more; return how often since the counter began. A new one ends after ``seconds``."""
        now = time.time()
        with self._lock:
            before, ends = self._counters.get(name, (0, 0.0))
            counter = (before + 1, ends) if now < ends else (1, now + seconds)
            self._counters[name] = counter
        return counter[0]
