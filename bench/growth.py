"""What a store with a million sign-ins costs, beside one with a thousand; and what a live stream needs."""

from __future__ import annotations

import os
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.hosting import Visitor, hosted, sandbox
from bench.watches import Workers
from tests.cast import SECRET_KEY, environment
from tests.redis_server import running
from web.storage.redis_backend import RedisBackend
from web.storage.redis_connection import PREFIX
from web.storage.sqlite_backend import SqliteBackend
from web.storage.store_backend import Backend
from web.token_store import TokenStore

SIZES = 1_000, 1_000_000
ROUNDS = 400
MONTH = 30 * 86400
RATIO = 1.3
STREAMS, PER_PERSON = 500, 4
STREAM_KILOBYTES = 100
VALUE = os.urandom(700)  # as large as a sign-in, encrypted


def fill(backend: Backend, count: int) -> None:
    """Put so many sign-ins into a store, faster than sign-ins do."""
    if isinstance(backend, SqliteBackend):
        rows = ((f"{n:064x}", VALUE, time.time() + MONTH + n, f"owner {n // 3}") for n in range(count))
        with backend._write() as database:
            database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?)", rows)
    if isinstance(backend, RedisBackend):
        for start in range(0, count, 1000):
            with backend.redis.pipeline(transaction=False) as pipe:
                for n in range(start, start + 1000):
                    name, owner = f"{PREFIX}:entry:{n:064x}", f"{PREFIX}:owner:owner {n // 3}"
                    pipe.hset(name, mapping={"value": VALUE, "owner": owner})
                    pipe.expire(name, MONTH)
                    pipe.zadd(owner, {name: time.time() + MONTH})
                pipe.execute()


def cost(store: TokenStore) -> dict[str, float]:
    """Return the median of the microseconds that a look-up, a sign-in and a sign-out take."""
    taken: dict[str, list[float]] = {"sign-in": [], "look-up": [], "sign-out": []}
    for number in range(ROUNDS):
        key, owner = f"key {number}", f"person {number}"
        steps: dict[str, Callable[[], Any]] = {
            "sign-in": partial(store.put, key, "value" * 100, MONTH, owner=owner),
            "look-up": partial(store.get, key),
            "sign-out": partial(store.delete_owned_by, owner),
        }
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            taken[name].append((time.perf_counter() - began) * 1e6)
    return {name: statistics.median(values) for name, values in taken.items()}


@contextmanager
def stores(kind: str) -> Iterator[list[Callable[[], Backend]]]:
    """Yield what opens a store of each size."""
    with ExitStack() as stack:
        folders = [Path(stack.enter_context(tempfile.TemporaryDirectory())) for _ in SIZES]
        if kind == "SQLite":
            yield [partial(SqliteBackend, f"{folder}/tokens.sqlite3") for folder in folders]
        else:
            servers = [stack.enter_context(running(folder)) for folder in folders]
            yield [partial(RedisBackend, server.url) for server in servers]


def growth(kind: str) -> None:
    """Print what it costs in one kind of store, at both sizes."""
    with stores(kind) as openers:
        for opener, size in zip(openers, SIZES, strict=True):
            fill(opener(), size)
        rows: dict[str, list[float]] = {"start": []}
        for opener in openers:
            began = time.perf_counter()
            opener().get("ready?")
            rows["start"].append((time.perf_counter() - began) * 1e6)
        opened = [TokenStore(opener(), [SECRET_KEY]) for opener in openers]
        cost(opened[0])  # warm
        turns = [[cost(store) for store in opened] for _ in range(5)]
        for name in ("look-up", "sign-in", "sign-out"):
            rows[name] = [statistics.median(turn[which][name] for turn in turns) for which in range(len(SIZES))]
        for name, (small, large) in rows.items():
            print(f"{kind:8}{name:10}{small:12.0f}{large:14.0f}{large / small:8.2f}")


def streams() -> None:
    """Print what live streams need."""
    with tempfile.TemporaryDirectory() as folder, sandbox() as origin, ExitStack() as stack:
        settings = environment(folder, PRIVATE_SERVERS=origin, SIGNIN_LIMIT="1000 per minute")
        app = stack.enter_context(hosted({**settings, "WEB_CONCURRENCY": "1"}))
        people = [Visitor(app.url, f"127.5.{number}.1") for number in range(STREAMS // PER_PERSON)]  # of many networks
        for person in people:
            person.sign_in(origin)
        with Workers(app) as before:
            time.sleep(0.5)
        for person in people:
            for _ in range(PER_PERSON):
                sock: socket.socket = stack.enter_context(person.connect())
                sock.sendall(person.head("GET /live"))
                while b"live" not in (received := sock.recv(4096)):
                    if not received:
                        raise OSError("A stream was refused.")
        with Workers(app) as after:
            time.sleep(0.5)
        kilobytes = (after.mebibytes - before.mebibytes) * 1024 / STREAMS
        told = "kept" if kilobytes <= STREAM_KILOBYTES else "EXCEEDED"
        print(f"\n{STREAMS} streams on one worker: {kilobytes:.0f} KiB each. The limit is {STREAM_KILOBYTES}: {told}.")


def table() -> None:
    """Print everything."""
    print(f"\nWhat a large store costs, in microseconds (the bar: {RATIO} times as much)\n")
    print(f"{'':18}{f'{SIZES[0]:,}':>12}{f'{SIZES[1]:,}':>14}{'ratio':>8}")
    for kind in ("SQLite", "Redis"):
        growth(kind)
    streams()
