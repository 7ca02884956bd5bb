"""Connections to a Redis, one with Sentinels included: what its URL says, how long it is waited for, how it fails."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

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
NO_URL = (
    "must read like redis://:password@host:6379/0, rediss://:password@host:6379/0, "
    "unix:///run/redis.sock?db=0 or redis+sentinel://:password@host:26379,host2:26379/service/0, "
    "with %-escapes for signs such as / and @ in the password"
)

_LOGIN = "([^@/?#]*@)?"
_HOST = r"([^@/?#:,\[\]]+|\[[^@/?#\]]+\])(:[1-9][0-9]*)?"
_DATABASE = "(/[0-9]*)?"
_URLS = {  # what may stand before the question mark, and which options after it
    f"rediss?://{_LOGIN}{_HOST}{_DATABASE}": "db|password|ssl_[a-z_]+",
    f"unix://{_LOGIN}/[^?#]+": "db|password",
    rf"redis\+sentinel://{_LOGIN}{_HOST}(,{_HOST})*/[A-Za-z0-9._-]+{_DATABASE}": "sentinel_password",
}


class ClusterRefused(redis.RedisError):
    """The Redis is a part of a cluster."""


def connect(url: str, *, seconds: float | None = None) -> redis.Redis:
    """Return what asks the Redis at ``url``, one that :func:`check` lets pass; nothing is connected before.

    Connecting, an answer and a free connection are waited for so many seconds each, by default ``WAIT_SECONDS``. What
    broke, or may write no more, is closed and tried once more: it may have been idle for too long, or lead to a master
    that is none now.
    """
    seconds = seconds or WAIT_SECONDS
    # A worker has a thousand requests at once; who finds no connection free waits for one.
    options = _options(seconds) | {"max_connections": CONNECTIONS, "timeout": seconds}
    if url.startswith("redis+sentinel:"):
        return _Client(connection_pool=_sentinel_pool(url, options))
    return _Client(connection_pool=redis.BlockingConnectionPool.from_url(url, **options))


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise :class:`StoreUnavailable` for whatever goes wrong with a Redis."""
    try:
        yield
    except (redis.RedisError, OSError) as error:
        raise StoreUnavailable(str(error)) from None


def check(url: str) -> None:
    """Raise :class:`ValueError` unless ``url`` is one that this app can use, and no cluster's, as far as it answers."""
    if re.match(r"rediss?\+cluster:", url):
        raise ValueError(NO_CLUSTER)
    try:
        if not _is_valid(url):
            raise ValueError
        client = connect(url, seconds=START_SECONDS)
        client.connection_pool.make_connection()  # which does not connect it yet
    except (TypeError, ValueError, redis.RedisError):  # whose words may hold a part of the password
        raise ValueError(NO_URL) from None
    try:
        client.ping()
    except ClusterRefused:
        raise ValueError(NO_CLUSTER) from None
    except (redis.RedisError, OSError):
        pass  # unlike a folder, a Redis may start after the app, or restart: /readyz tells
    finally:
        client.connection_pool.disconnect()


def _is_valid(url: str) -> bool:
    """Return whether ``url`` is one of ours; the library overlooks mistyped parts, and has options that break this."""
    address, _, query = url.partition("?")
    names = parse_qs(query, keep_blank_values=True)
    for form, options in _URLS.items():
        if re.fullmatch(form, address):
            return "#" not in query and all(re.fullmatch(options, name) for name in names)
    return False


def _options(seconds: float) -> dict[str, Any]:
    return {
        "socket_timeout": seconds,
        "socket_connect_timeout": seconds,
        "retry": Retry(NoBackoff(), 1, (redis.ConnectionError, redis.ReadOnlyError)),
        "protocol": 2,  # all that is needed here, and every server speaks it
        "redis_connect_func": _on_connect,
    }


def _on_connect(connection: Any) -> None:
    """Begin a connection as the library does, unless it leads to a cluster."""
    try:
        connection.on_connect()
    except redis.RedisError as error:
        if connection.password:  # some servers repeat what they were sent
            error.args = (str(error).replace(connection.password, "•••"),)
        raise
    connection.send_command("INFO", "cluster")
    try:
        about = connection.read_response()
    except redis.ResponseError:  # an account that may not ask
        return
    if b"cluster_enabled:1" in about:
        raise ClusterRefused(f"the Redis {NO_CLUSTER}")


class _Client(redis.Redis):
    def parse_response(self, *args: Any, **options: Any) -> Any:
        """Return a response; where a replica refused a script's change, raise what the library does of a command's."""
        try:
            return super().parse_response(*args, **options)  # type: ignore[no-untyped-call]
        except redis.ResponseError as error:
            if "-READONLY " in str(error):  # Redis 6, and some that work like it, put their own words before it
                raise redis.ReadOnlyError(str(error)) from None
            raise


class _Sentinels(Sentinel):
    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Return the master's address, as the library does.

        In the library, two threads that do so at once can lose a Sentinel, and an error takes a page.
        """
        reasons = ["no Sentinel knows one that works"]
        for sentinel in self.sentinels:
            try:
                masters: Any = sentinel.sentinel_masters()
            except redis.RedisError as error:
                reasons.append(str(error))
                continue
            state = masters.get(service_name)
            if state and self.check_master_state(state, service_name):  # type: ignore[no-untyped-call]
                others = [other for other in self.sentinels if other is not sentinel]
                self.sentinels = [sentinel, *others]  # whoever answered is asked first
                return state["ip"], state["port"]
        raise MasterNotFoundError(f"No master found for {service_name}: {'; '.join(reasons)}")


class _SentinelPool(SentinelConnectionPool, redis.BlockingConnectionPool):
    def owns_connection(self, connection: Any) -> bool:
        """Return whether to take ``connection`` back, closed if it leads elsewhere than to the master.

        The library makes a new one in its place and never forgets the old one: one for each try without a master.
        """
        if (connection.host, connection.port) != self.master_address:
            connection.disconnect()
        return bool(redis.BlockingConnectionPool.owns_connection(self, connection))


def _sentinel_pool(url: str, options: dict[str, Any]) -> _SentinelPool:
    address, _, query = url.removeprefix("redis+sentinel://").partition("?")
    login, _, rest = address.rpartition("@")
    hosts, service, *database = rest.split("/")
    of_master = parse_url(f"redis://{login}@host/{''.join(database)}")  # type: ignore[no-untyped-call]
    del of_master["host"]
    password = parse_qs(query).get("sentinel_password", [None])[0]
    addresses = [urlsplit(f"//{host}") for host in hosts.split(",")]  # one by one: together, it refuses IPv6
    sentinels = _Sentinels(  # type: ignore[no-untyped-call]
        [(address.hostname, address.port or SENTINEL_PORT) for address in addresses],
        sentinel_kwargs=_options(SENTINEL_SECONDS) | {"password": password},
    )
    return _SentinelPool(service, sentinels, **of_master, **options)  # type: ignore[no-untyped-call]
