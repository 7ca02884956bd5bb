"""Where tokens rest: one contract for every backend, and what encryption promises."""

from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from web.token_store import Backend, SqliteBackend, StoreUnavailable, TokenStore, open_store

SECRET = "the secret key of today"


class TestSqliteBackend:
    """What every backend does; another one inherits these tests and makes its own ``backend``."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        return SqliteBackend(str(tmp_path / "store" / "tokens.sqlite3"))

    def test_what_was_put_can_be_got(self, backend: Backend) -> None:
        assert backend.put("id", b"value", 60)
        assert backend.get("id") == b"value"

    def test_putting_again_replaces(self, backend: Backend) -> None:
        backend.put("id", b"old", 60)
        backend.put("id", b"new", 60)
        assert backend.get("id") == b"new"

    def test_only_if_new_tells_whether_nothing_was_there(self, backend: Backend) -> None:
        assert backend.put("id", b"first", 60, only_if_new=True)
        assert not backend.put("id", b"second", 60, only_if_new=True)
        assert backend.get("id") == b"first"

    def test_of_many_at_once_only_one_is_new(self, backend: Backend) -> None:
        together = threading.Barrier(8)

        def put(_: int) -> bool:
            together.wait()
            return backend.put("id", b"mine", 60, only_if_new=True)

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(put, range(8))) == 1

    def test_nothing_there_is_none(self, backend: Backend) -> None:
        assert backend.get("id") is None

    def test_what_was_deleted_is_gone(self, backend: Backend) -> None:
        backend.put("id", b"value", 60)
        backend.delete("id")
        backend.delete("id")
        assert backend.get("id") is None

    def test_what_has_expired_is_gone_and_makes_room(self, backend: Backend) -> None:
        backend.put("id", b"value", 0)
        assert backend.get("id") is None
        assert backend.put("id", b"new", 60, only_if_new=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.sqlite3"


@pytest.fixture
def open_at(file: Path) -> Callable[..., TokenStore]:
    return lambda *secrets: open_store(f"sqlite:///{file}", secrets or [SECRET])


def test_another_process_finds_what_was_put(open_at: Callable[..., TokenStore]) -> None:
    open_at().put("key", "token", 60)

    assert open_at().get("key") == "token"


def test_a_value_is_put_once_through_the_store_too(open_at: Callable[..., TokenStore]) -> None:
    store = open_at()

    assert store.put("key", "first", 60, only_if_new=True)
    assert not store.put("key", "second", 60, only_if_new=True)
    assert store.get("key") == "first"
    store.delete("key")
    assert store.get("key") is None


def test_the_file_shows_neither_keys_nor_values(open_at: Callable[..., TokenStore], file: Path) -> None:
    open_at().put("the-secret-key-of-a-cookie", "the-token-itself", 60)

    content = b"".join(path.read_bytes() for path in file.parent.iterdir())
    assert b"the-secret-key-of-a-cookie" not in content
    assert b"the-token-itself" not in content


def test_the_file_is_the_owners_alone(open_at: Callable[..., TokenStore], file: Path) -> None:
    open_at()

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_the_file_is_in_wal_mode(open_at: Callable[..., TokenStore], file: Path) -> None:
    open_at()

    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_another_secret_key_reads_nothing(open_at: Callable[..., TokenStore]) -> None:
    open_at().put("key", "token", 60)

    assert open_at("another secret key").get("key") is None


def test_a_secret_key_can_be_replaced_without_losing_anything(open_at: Callable[..., TokenStore]) -> None:
    open_at().put("key", "token", 60)
    rotated = open_at("the secret key of tomorrow", SECRET)

    assert rotated.get("key") == "token"
    rotated.put("new", "another", 60)
    assert open_at("the secret key of tomorrow").get("new") == "another"


def test_a_value_moved_under_another_id_is_not_taken_for_that_ones(
    open_at: Callable[..., TokenStore], file: Path
) -> None:
    store = open_at()
    store.put("victim", "the victim's token", 60)
    with closing(sqlite3.connect(file)) as database:
        (stolen,) = database.execute("SELECT value FROM entries").fetchone()
    store.put("thief", "the thief's token", 60)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE entries SET value = ?", (stolen,))

    assert store.get("victim") == "the victim's token"
    assert store.get("thief") is None


@pytest.mark.parametrize("act", ["get", "put", "delete"])
def test_a_broken_file_is_unavailable(open_at: Callable[..., TokenStore], file: Path, act: str) -> None:
    store = open_at()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DROP TABLE entries")

    acts: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("key"),
        "put": lambda: store.put("key", "value", 60),
        "delete": lambda: store.delete("key"),
    }
    with pytest.raises(StoreUnavailable):
        acts[act]()


def test_a_file_that_is_no_database_stops_the_start(open_at: Callable[..., TokenStore], file: Path) -> None:
    file.write_bytes(b"this is not a database" * 100)

    with pytest.raises(StoreUnavailable):
        open_at()
