"""Where tokens rest: one contract for every backend, and what encryption promises."""

from __future__ import annotations

import hashlib
import re
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from tests.cast import wait_until
from tests.redis_server import RedisServer
from web.storage import sqlite_backend, store_backend
from web.storage.redis_backend import RedisBackend
from web.storage.sqlite_backend import SqliteBackend
from web.storage.store_backend import Backend, StoreUnavailable
from web.token_store import TokenStore, check_url, open_store

SECRET = "the secret key of today"
#: "token" under "key", sealed with this secret key.
WRITTEN_BEFORE = (
    b"gAAAAABrDI7JHBdfNxzAF6BmKZkFbgK0dvXjwHTcKQRAp6gpX8V7OgQLqOKZU0QqvzhUNVAUbp5evVbs52-qbXMt5v0RcB7U"
    b"KIzuHwW5F7Our_D1d7EMgSacu2Sz7I5Y828itpSB2z6TL7ku5_WXf1D-RzmlddmKB9HW428nunpD2hpMtZMWN2c="
)


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

        def put(who: int) -> bool:
            together.wait()
            return backend.put("id", b"mine: %d" % who, 60, only_if_new=True)

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
        assert not backend.replace("id", b"value")
        assert backend.put("id", b"new", 60, only_if_new=True)

    def test_only_what_is_there_can_be_replaced(self, backend: Backend) -> None:
        backend.put("id", b"old", 60)
        assert backend.replace("id", b"new")
        assert backend.get("id") == b"new"
        backend.delete("id")
        assert not backend.replace("id", b"back again")
        assert backend.get("id") is None

    def test_replacing_keeps_the_owner_unless_another_is_given(self, backend: Backend) -> None:
        backend.put("id", b"old", 60, owner="alice")
        backend.replace("id", b"new")
        assert backend.owned_by("alice") == [b"new"]
        backend.replace("id", b"newer", owner="bob")
        assert (backend.owned_by("alice"), backend.owned_by("bob")) == ([], [b"newer"])

    def test_replacing_keeps_the_expiry(self, backend: Backend) -> None:
        backend.put("id", b"old", 1, owner="alice")
        backend.replace("id", b"new", owner="alice")
        deadline = time.monotonic() + 5
        while backend.get("id") and time.monotonic() < deadline:
            time.sleep(0.05)
        assert backend.get("id") is None

    def test_an_owners_values_are_found_and_deleted_together(self, backend: Backend) -> None:
        for number in range(3):
            backend.put(f"alice's {number}", b"%d" % number, 60, owner="alice")
        backend.put("bob's", b"his", 60, owner="bob")
        backend.put("nobody's", b"its own", 60)
        assert sorted(backend.owned_by("alice")) == [b"0", b"1", b"2"]
        assert len(backend.owned_by("alice", "bob")) == 4

        backend.delete_owned_by("alice")

        assert backend.owned_by("alice") == []
        assert backend.get("alice's 0") is None
        assert (backend.get("bob's"), backend.get("nobody's")) == (b"his", b"its own")

    def test_all_owners_named_are_deleted_at_once(self, backend: Backend) -> None:
        backend.put("one", b"1", 60, owner="alice by one key")
        backend.put("two", b"2", 60, owner="alice by another key")
        backend.delete_owned_by("alice by one key", "alice by another key")
        assert (backend.get("one"), backend.get("two")) == (None, None)

    def test_an_owner_has_nothing_that_was_deleted_or_has_expired(self, backend: Backend) -> None:
        backend.put("deleted", b"value", 60, owner="alice")
        backend.put("expired", b"value", 0, owner="alice")
        backend.delete("deleted")
        assert backend.owned_by("alice") == []

    def test_of_an_owner_with_too_many_those_that_expire_the_soonest_go(
        self, backend: Backend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_backend, "MAX_OWNED", 3)
        for number, seconds in enumerate([60, 10, 50, 20, 40]):
            backend.put(f"id {number}", b"%d" % number, seconds, owner="alice")
        backend.put("bob's", b"value", 1, owner="bob")

        assert sorted(backend.owned_by("alice")) == [b"0", b"2", b"4"]
        assert [backend.get(f"id {number}") is None for number in range(5)] == [False, True, False, True, False]
        assert backend.owned_by("bob") == [b"value"]

    def test_what_was_put_last_stays_however_soon_it_expires(
        self, backend: Backend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_backend, "MAX_OWNED", 2)
        for entry in ("first", "second"):
            backend.put(entry, b"sign-in", 60, owner="alice")
        backend.put("result", b"done", 10, owner="alice")

        assert backend.get("result") == b"done"
        assert len(backend.owned_by("alice")) == 2

    def test_what_was_deleted_takes_no_place(self, backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(store_backend, "MAX_OWNED", 2)
        for number in range(5):
            backend.put(f"id {number}", b"value", 60 + number, owner="alice")
            if number:
                backend.delete(f"id {number}")

        assert backend.get("id 0") == b"value"

    def test_many_that_have_expired_do_not_go_all_at_once(self, backend: Backend) -> None:
        for number in range(3):
            backend.put(f"id {number}", b"value", -1)
        assert backend.put("id 0", b"new", 60, only_if_new=True)
        assert backend.get("id 0") == b"new"

    def test_putting_again_changes_the_owner(self, backend: Backend) -> None:
        backend.put("id", b"value", 60, owner="alice")
        backend.put("id", b"value", 60, owner="bob")
        backend.delete_owned_by("alice")
        assert backend.owned_by("bob") == [b"value"]
        backend.put("id", b"value", 60)
        assert backend.owned_by("bob") == []

    def test_everything_that_has_not_expired_is_there_to_be_looked_through(
        self, backend: Backend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store_backend, "BATCH", 3)
        for number in range(10):
            backend.put(f"id {number}", b"%d" % number, 60 + number, owner="alice")
        backend.put("expired", b"value", 0)

        found = {entry: (value, expires) for entry, value, expires in backend.entries()}

        assert {entry: value for entry, (value, _) in found.items()} == {f"id {n}": b"%d" % n for n in range(10)}
        assert all(abs(found[f"id {number}"][1] - time.time() - 60 - number) < 60 for number in range(10))

    def test_nothing_is_there_to_be_looked_through(self, backend: Backend) -> None:
        assert list(backend.entries()) == []
        assert backend.prune() == 0

    def test_pruning_leaves_what_has_not_expired(self, backend: Backend) -> None:
        backend.put("id", b"value", 60)
        backend.put("expired", b"value", 0)
        backend.prune()
        assert [entry for entry, _, _ in backend.entries()] == ["id"]

    def test_each_counter_counts_for_itself_and_ends_by_itself(self, backend: Backend) -> None:
        assert [backend.count("alice", 1) for _ in range(3)] == [1, 2, 3]
        assert backend.count("bob", 60) == 1

        wait_until(lambda: backend.count("alice", 1) == 1)
        assert backend.count("bob", 60) == 2

    def test_what_is_put_while_its_owner_is_deleted_is_there_and_found_or_gone(self, backend: Backend) -> None:
        def put(number: int) -> bool:
            return backend.put(f"id {number}", b"value", 60, owner="alice")

        with ThreadPoolExecutor(4) as pool:
            puts = [pool.submit(put, number) for number in range(40)]
            backend.delete_owned_by("alice")
            assert all(done.result() for done in puts)

        there = [value for number in range(40) if (value := backend.get(f"id {number}"))]
        assert backend.owned_by("alice") == there


class TestRedisBackend(TestSqliteBackend):
    @pytest.fixture
    def backend(self, redis_server: RedisServer) -> Backend:
        return RedisBackend(redis_server.url)


class TestRedisBackendAtASocket(TestSqliteBackend):
    @pytest.fixture
    def backend(self, redis_server: RedisServer) -> Backend:
        return RedisBackend(redis_server.unix_url)


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


@pytest.mark.parametrize("checked", [False, True])
def test_the_file_and_its_folder_are_the_owners_alone(tmp_path: Path, checked: bool) -> None:
    file = tmp_path / "fresh" / "tokens.sqlite3"
    url = f"sqlite:///{file}"
    open_store(check_url(url) if checked else url, [SECRET])

    assert [stat.S_IMODE(path.stat().st_mode) for path in (file.parent, file)] == [0o700, 0o600]


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


def test_the_file_does_not_tell_whose_a_value_is(open_at: Callable[..., TokenStore], file: Path) -> None:
    open_at().put("key", "value", 60, owner="https://misskey.example alice")

    with closing(sqlite3.connect(file)) as database:
        (owner,) = database.execute("SELECT owner FROM entries").fetchone()
    assert re.fullmatch("[0-9a-f]{64}", owner)
    assert owner != hashlib.sha256(b"https://misskey.example alice").hexdigest()
    open_at("another secret key").put("key", "value", 60, owner="https://misskey.example alice")
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("SELECT owner FROM entries").fetchone() != (owner,)


def test_what_was_written_before_is_read_and_its_owner_found(open_at: Callable[..., TokenStore]) -> None:
    """How keys are derived and ids made can't change without signing everybody out."""
    entry = "2c70e12b7a0646f92279f427c7b38e7334d8e5389cff167a1dc30e73f826b683"
    owner = "44cb5965ac6f3daaa86e2a70b64194e4d0c4b1042e4c34c0a7550ea1aaefa590"
    store = open_at()
    store.backend.put(entry, WRITTEN_BEFORE, 60, owner=owner)

    assert store.get("key") == "token"
    assert store.owned_by("alice") == ["token"]


def test_what_has_no_owner_is_nobodys(open_at: Callable[..., TokenStore], file: Path) -> None:
    store = open_at()
    store.put("key", "value", 60)
    store.put("alice's", "value", 60, owner="alice")
    store.replace("alice's", "another value")

    with closing(sqlite3.connect(file)) as database:
        owners = database.execute("SELECT owner FROM entries ORDER BY owner").fetchall()
    assert owners == [("",), (store.pseudonym("alice"),)]


def test_any_text_can_be_kept(open_at: Callable[..., TokenStore]) -> None:
    for text in ("", "ミスキー", "\x00\n", "half a surrogate pair: \ud800"):
        open_at().put("key", text, 60)

        assert open_at().get("key") == text


def test_an_entry_that_a_backend_names_twice_is_looked_at_once(file: Path) -> None:
    """As a Redis may, whose table grows meanwhile."""

    class Growing(SqliteBackend):
        def entries(self) -> Iterator[tuple[str, bytes, float]]:
            yield from super().entries()
            yield from super().entries()

    store = TokenStore(Growing(str(file)), [SECRET])
    store.put("key", "value", 60)

    assert [value for _, value, _ in store.entries()] == ["value"]


def test_an_owner_is_found_by_earlier_secret_keys_too(open_at: Callable[..., TokenStore]) -> None:
    open_at().put("before", "1", 60, owner="alice")
    rotated = open_at("the secret key of tomorrow", SECRET)
    rotated.put("after", "2", 60, owner="alice")
    assert sorted(rotated.owned_by("alice")) == ["1", "2"]

    rotated.delete_owned_by("alice")

    assert rotated.get("before") is None
    assert rotated.get("after") is None


def test_replacing_takes_an_entry_over_to_the_key_of_today(open_at: Callable[..., TokenStore]) -> None:
    open_at().put("key", "old", 60, owner="alice")
    open_at("the secret key of tomorrow", SECRET).replace("key", "new", owner="alice")

    assert open_at("the secret key of tomorrow").owned_by("alice") == ["new"]
    assert open_at("the secret key of tomorrow").get("key") == "new"


def test_an_owners_values_that_no_key_opens_are_left_out(open_at: Callable[..., TokenStore], file: Path) -> None:
    open_at().put("key", "value", 60, owner="alice")
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE entries SET value = x'00'")

    assert open_at().owned_by("alice") == []
    assert open_at().get("key") is None


def test_only_what_a_key_opens_is_looked_through(open_at: Callable[..., TokenStore], file: Path) -> None:
    open_at("another secret key").put("another key's", "value", 60)
    open_at().put("moved", "value", 60)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("UPDATE entries SET id = upper (id)")
    open_at().put("key", "value of today", 60)

    ((entry, value, _),) = open_at().entries()

    assert value == "value of today"
    open_at().delete_entry(entry)
    assert open_at().get("key") is None


def test_a_file_from_before_there_were_owners_is_upgraded(open_at: Callable[..., TokenStore], file: Path) -> None:
    store = open_at()
    store.put("key", "value", 60)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DROP INDEX entries_owner_expires")
        database.execute("ALTER TABLE entries DROP COLUMN owner")

    upgraded = open_at()

    assert upgraded.get("key") == "value"
    assert upgraded.replace("key", "value of alice", owner="alice")
    assert upgraded.owned_by("alice") == ["value of alice"]
    assert open_at().owned_by("alice") == ["value of alice"]


@pytest.mark.parametrize("act", ["get", "put", "replace", "delete", "owned_by", "delete_owned_by", "entries", "prune"])
def test_a_broken_file_is_unavailable(open_at: Callable[..., TokenStore], file: Path, act: str) -> None:
    store = open_at()
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DROP TABLE entries")

    acts: dict[str, Callable[[], object]] = {
        "get": lambda: store.get("key"),
        "put": lambda: store.put("key", "value", 60),
        "replace": lambda: store.replace("key", "value"),
        "delete": lambda: store.delete("key"),
        "owned_by": lambda: store.owned_by("alice"),
        "delete_owned_by": lambda: store.delete_owned_by("alice"),
        "entries": lambda: list(store.entries()),
        "prune": store.prune,
    }
    with pytest.raises(StoreUnavailable):
        acts[act]()


def test_another_process_that_writes_is_waited_for_by_those_who_write_only(
    open_at: Callable[..., TokenStore], file: Path
) -> None:
    store = open_at(SECRET)
    store.put("key", "before", 60)
    waits = vars(store.backend)["_writer"]._lock.locked
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(1) as pool:
            putting = pool.submit(store.put, "key", "after", 60)
            wait_until(waits)
            assert store.get("key") == "before"
            assert not putting.done()
            other.execute("ROLLBACK")

            assert putting.result()
    assert store.get("key") == "after"


def test_another_process_that_never_ends_is_not_waited_for(
    open_at: Callable[..., TokenStore], file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backend, "WAIT_SECONDS", 0)
    store = open_at(SECRET)
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailable, match="locked"):
            store.put("key", "value", 60)


def test_a_file_that_is_no_database_stops_the_start(open_at: Callable[..., TokenStore], file: Path) -> None:
    file.write_bytes(b"this is not a database" * 100)

    with pytest.raises(StoreUnavailable):
        open_at()
