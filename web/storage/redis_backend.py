"""The token store's entries in a Redis, for any number of machines."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import cast

from . import store_backend
from .redis_connection import PREFIX, connect, translated_errors

_ENTRY, _OWNER, _COUNTER = f"{PREFIX}:entry:", f"{PREFIX}:owner:", f"{PREFIX}:counter:"

# Scripts are carried out as one step. KEYS[1] is an entry, KEYS[2] the set of its owner, if it has one; a score is the
# second after the one in which the entry expires.
_INDEX = """
local function index(seconds)
    local now = tonumber(redis.call("TIME")[1])
    redis.call("ZREMRANGEBYSCORE", KEYS[2], "-inf", now)
    redis.call("ZADD", KEYS[2], now + seconds + 1, KEYS[1])
    redis.call("EXPIREAT", KEYS[2], redis.call("ZRANGE", KEYS[2], -1, -1, "WITHSCORES")[2])
end
"""
_PUT = """
if ARGV[3] == "new" and redis.call("EXISTS", KEYS[1]) == 1 then
    -- The same bytes are one's own, sealed with a chance of their own: an answer that got lost, and asked for again.
    return redis.call("HGET", KEYS[1], "value") == ARGV[1] and 1 or 0
end
redis.call("HSET", KEYS[1], "value", ARGV[1], "owner", KEYS[2] or "")
redis.call("EXPIRE", KEYS[1], ARGV[2])
if KEYS[2] then
    index(ARGV[2])
    local most, others = tonumber(ARGV[4]), {}
    if redis.call("ZCARD", KEYS[2]) <= most then return 1 end
    for _, entry in ipairs(redis.call("ZRANGE", KEYS[2], 0, -1)) do
        if redis.call("HGET", entry, "owner") ~= KEYS[2] then -- deleted, or somebody else's by now
            redis.call("ZREM", KEYS[2], entry)
        elseif entry ~= KEYS[1] then
            others[#others + 1] = entry
        end
    end
    for place = 1, #others + 1 - most do
        redis.call("DEL", others[place])
        redis.call("ZREM", KEYS[2], others[place])
    end
end
return 1
"""
_REPLACE = """
if redis.call("EXISTS", KEYS[1]) == 0 then return 0 end
redis.call("HSET", KEYS[1], "value", ARGV[1])
if KEYS[2] then
    redis.call("HSET", KEYS[1], "owner", KEYS[2])
    index(redis.call("TTL", KEYS[1]))
end
return 1
"""
_OWNED_BY = """
local found = {}
for _, set in ipairs(KEYS) do
    for _, entry in ipairs(redis.call("ZRANGE", set, 0, -1)) do
        local value, owner = unpack(redis.call("HMGET", entry, "value", "owner"))
        if owner == set then found[#found + 1] = value end
    end
end
return found
"""
_DELETE_OWNED_BY = """
for _, set in ipairs(KEYS) do
    for _, entry in ipairs(redis.call("ZRANGE", set, 0, -1)) do
        if redis.call("HGET", entry, "owner") == set then redis.call("DEL", entry) end
    end
    redis.call("DEL", set)
end
"""
_COUNT = """
local count = redis.call("INCR", KEYS[1])
if count == 1 then redis.call("EXPIRE", KEYS[1], ARGV[1]) end
return count
"""


class RedisBackend:
    """Keeps entries in a Redis, for any number of machines.

    ``url`` is one that :func:`~web.storage.redis_connection.check` lets pass. Nothing is connected before it is
    needed.

    An entry is a hash of its value and its owner. An owner's entries stand in a sorted set, by the time when they
    expire; one that has another owner by now, or none, does not count.
    """

    def __init__(self, url: str) -> None:
        self.redis = connect(url)
        self._put = self.redis.register_script(_INDEX + _PUT)
        self._replace = self.redis.register_script(_INDEX + _REPLACE)
        self._owned_by = self.redis.register_script(_OWNED_BY)
        self._delete_owned_by = self.redis.register_script(_DELETE_OWNED_BY)
        self._count = self.redis.register_script(_COUNT)

    @translated_errors()
    def put(self, entry: str, value: bytes, seconds: int, *, only_if_new: bool = False, owner: str = "") -> bool:
        arguments: list[bytes | str | int] = [value, seconds, "new" if only_if_new else "", store_backend.MAX_OWNED]
        return bool(self._put(_keys(entry, owner), arguments))

    @translated_errors()
    def get(self, entry: str) -> bytes | None:
        # The library's types leave open whether an answer has to be awaited.
        return cast("bytes | None", self.redis.hget(_ENTRY + entry, "value"))

    @translated_errors()
    def replace(self, entry: str, value: bytes, *, owner: str = "") -> bool:
        return bool(self._replace(_keys(entry, owner), [value]))

    @translated_errors()
    def delete(self, entry: str) -> None:
        self.redis.delete(_ENTRY + entry)

    @translated_errors()
    def owned_by(self, *owners: str) -> list[bytes]:
        return cast("list[bytes]", self._owned_by([_OWNER + owner for owner in owners]))

    @translated_errors()
    def delete_owned_by(self, *owners: str) -> None:
        self._delete_owned_by([_OWNER + owner for owner in owners])

    @translated_errors()
    def count(self, name: str, seconds: int) -> int:
        return cast(int, self._count([_COUNTER + name], [seconds]))

    def entries(self) -> Iterator[tuple[str, bytes, float]]:
        cursor = None
        with translated_errors():
            while cursor != 0:
                # Others may have keys of another type there.
                cursor, names = self.redis.scan(cursor or 0, f"{_ENTRY}*", store_backend.BATCH, "hash")
                asked = self.redis.pipeline(transaction=False)
                for name in names:
                    asked.hget(name, "value")
                    asked.pttl(name)
                found = asked.execute()
                for name, value, milliseconds in zip(names, found[::2], found[1::2], strict=True):
                    if value:
                        entry = cast(bytes, name).decode().removeprefix(_ENTRY)
                        yield entry, value, time.time() + milliseconds / 1000

    def prune(self) -> int:
        return 0  # a Redis does so by itself


def _keys(entry: str, owner: str) -> list[str]:
    return [_ENTRY + entry, _OWNER + owner] if owner else [_ENTRY + entry]
