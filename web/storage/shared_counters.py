"""Rate limits' counters in the Redis of the token store, for all machines together."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from limits.storage import RedisStorage

from .redis_connection import PREFIX, translated_errors

if TYPE_CHECKING:
    from web.token_store import TokenStore

    from .redis_backend import RedisBackend


class SharedCounters(RedisStorage):
    """Counters in a Redis, which end by themselves and don't tell whom they count for.

    While the Redis is down, what has a limit is refused with :class:`~web.storage.store_backend.StoreUnavailable`:
    whoever can break it would otherwise have no limits, and what has one can't be done without the store anyway.
    """

    def __init__(self, store: TokenStore) -> None:
        self._store = store
        super().__init__("redis://", cast("RedisBackend", store.backend).redis.connection_pool)

    def prefixed_key(self, key: str) -> str:
        """Return what a counter is called in the Redis."""
        return f"{PREFIX}:counter:{self._store.pseudonym(f'counter {key}')}"

    @translated_errors()
    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        """Count and return what was counted since the counter began; a new one ends after ``expiry`` seconds."""
        return super().incr(key, expiry, amount)
