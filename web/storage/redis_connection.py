"""Connections to a Redis, one with Sentinels included: what its URL says, how long it is waited for, how it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from copy import copy
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from .store_backend import StoreUnavailable

WAIT_SECONDS = 5  # for connecting, and for each answer
SENTINEL_SECONDS = 1  # for each Sentinel, which only knows an address
START_SECONDS = 1  # at the start, where a Redis need not be there yet
CONNECTIONS = 50  # of each worker; an answer takes less than a millisecond
PREFIX = "sign-in-with-misskey"  # others may use the same Redis
SENTINEL_PORT = 26379
NO_CLUSTER = (
    "can't be a cluster: what belongs to one person is changed in one step, so it must be in one place. "
    "Take one Redis, with replicas and Sentinels where it must not fail"
)


class ClusterRefused(redis.RedisError):
    """The Redis is a part of a cluster."""


def connect(url: str, *, seconds: float | None = None) -> redis.Redis:
    """Return what asks the Redis at ``url``, one that :func:`check_url` lets pass; nothing is connected before.

    Connecting, an answer and a free connection are waited for so many seconds each, by default ``WAIT_SECONDS``. A
    connection that broke is tried once more: it may have been idle for too long, or led to a master that is none now.
    """
    seconds = seconds or WAIT_SECONDS
    bounds: dict[str, Any] = {
        "max_connections": CONNECTIONS,  # a worker has a thousand requests at once; who finds none free waits for one
        "timeout": seconds,
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        "protocol": 2,  # all that is needed here, and every server speaks it
        "redis_connect_func": _greet,
    }
    if url.startswith("redis+sentinel:"):
        return redis.Redis(connection_pool=_sentinel_pool(url, bounds))
    return redis.Redis(connection_pool=redis.BlockingConnectionPool.from_url(url, **bounds))


@contextmanager
def told(client: redis.Redis) -> Iterator[None]:
    """Raise :class:`StoreUnavailable`, whose words hold no password, for whatever goes wrong with a Redis."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        words = str(error)  # some servers repeat what they were sent
        pool = client.connection_pool
        sentinels = pool.sentinel_manager.sentinel_kwargs if isinstance(pool, SentinelConnectionPool) else {}
        for password in (pool.connection_kwargs.get("password"), sentinels.get("password")):
            words = words.replace(password, "•••") if password else words
        raise StoreUnavailable(words) from None


def check(url: str) -> None:
    """Raise :class:`ValueError` unless ``url`` is one of a Redis, and that is no cluster, as far as it answers now."""
    check_url(url)
    client = connect(url, seconds=START_SECONDS)
    try:
        client.ping()
    except ClusterRefused:
        raise ValueError(NO_CLUSTER) from None
    except (redis.RedisError, OSError):
        pass  # unlike a folder, a Redis may start after the app, or restart: /readyz tells
    finally:
        client.connection_pool.disconnect()


def check_url(url: str) -> None:
    """Raise :class:`ValueError` unless ``url`` is one that this app can use.

    That is ``redis://:password@host:6379/0``, ``rediss://…``, ``unix:///path`` or
    ``redis+sentinel://:password@host:26379,host2:26379/service/0``. The library would overlook a mistyped part, and has
    options that would break this.
    """
    parts = urlsplit(url)
    if parts.scheme in ("redis+cluster", "rediss+cluster"):
        raise ValueError(NO_CLUSTER)
    if parts.scheme == "redis+sentinel":
        good, allowed = _is_of_sentinels(parts), "sentinel_password"
    elif parts.scheme == "unix":
        good, allowed = parts.hostname is None and len(parts.path) > 1, "db|password"
    else:
        good = bool(parts.hostname and parts.port != 0 and re.fullmatch("(/[0-9]*)?", parts.path))
        allowed = "db|password|ssl_[a-z_]+"
    options = parse_qs(parts.query, keep_blank_values=True)
    if not good or parts.fragment or any(not re.fullmatch(allowed, name) for name in options):
        raise ValueError("not the URL of a Redis")
    try:
        connect(url).connection_pool.make_connection()  # which does not connect it yet
    except (TypeError, redis.RedisError) as error:
        raise ValueError("an option that is none, or has a wrong value") from error


def _greet(connection: Any) -> None:
    """Begin a connection as the library does, unless it leads to a cluster."""
    connection.on_connect()
    connection.send_command("INFO", "cluster")
    try:
        about = connection.read_response()
    except redis.ResponseError:  # an account that may not ask
        return
    if b"cluster_enabled:1" in about:
        raise ClusterRefused(f"the Redis {NO_CLUSTER}")


class _Sentinels(Sentinel):
    def discover_master(self, service_name: str) -> Any:
        """Return the master's address, as the library does, but with a list of one's own.

        It puts the Sentinel that answered first; two threads that do so in the same list can lose one.
        """
        mine = copy(self)
        mine.sentinels = list(self.sentinels)
        found = super(_Sentinels, mine).discover_master(service_name)  # type: ignore[no-untyped-call]
        self.sentinels = mine.sentinels
        return found


class _SentinelPool(SentinelConnectionPool, redis.BlockingConnectionPool):
    def owns_connection(self, connection: Any) -> bool:
        """Return whether to take ``connection`` back, closed if it leads elsewhere than to the master.

        The library makes a new one in its place and never forgets the old one: one for each try without a master.
        """
        if (connection.host, connection.port) != self.master_address:
            connection.disconnect()
        return bool(redis.BlockingConnectionPool.owns_connection(self, connection))


def _sentinel_pool(url: str, bounds: dict[str, Any]) -> _SentinelPool:
    parts = urlsplit(url)
    login, _, hosts = parts.netloc.rpartition("@")
    service, _, database = parts.path[1:].partition("/")
    options = parse_url(f"redis://{login}@host/{database}")  # type: ignore[no-untyped-call]
    del options["host"]
    asked = {
        "password": dict(parse_qs(parts.query)).get("sentinel_password", [None])[0],
        "socket_timeout": SENTINEL_SECONDS,
        "socket_connect_timeout": SENTINEL_SECONDS,
        "retry": Retry(NoBackoff(), 1, (redis.ConnectionError,)),
        "protocol": 2,
    }
    addresses = [(name, port or SENTINEL_PORT) for name, port in map(_address, hosts.split(","))]
    sentinels = _Sentinels(addresses, sentinel_kwargs=asked)  # type: ignore[no-untyped-call]
    return _SentinelPool(service, sentinels, **options, **bounds)  # type: ignore[no-untyped-call]


def _address(text: str) -> tuple[str, int | None]:
    parts = urlsplit(f"//{text}")
    return parts.hostname or "", parts.port


def _is_of_sentinels(parts: SplitResult) -> bool:
    addresses = [_address(host) for host in parts.netloc.rpartition("@")[2].split(",")]
    good = all(name and port != 0 for name, port in addresses)
    return good and bool(re.fullmatch("/[A-Za-z0-9._-]+(/[0-9]*)?", parts.path))
