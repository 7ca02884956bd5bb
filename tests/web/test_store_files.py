"""Files of the store that are old, new, damaged, another program's, read-only or full; and clocks that are wrong."""

from __future__ import annotations

import gc
import os
import re
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from weakref import ref

import pytest
from flask import Flask

from app import create_app
from sandbox import Running
from tests.cast import FIRST_PAGE, SECRET_KEY, Visitor, environment
from web import config
from web.storage import sqlite_backend
from web.storage.sqlite_backend import LARGE_BYTES, MAX_EXPIRED, PUTS, SqliteBackend
from web.token_store import open_store

ROOT = Path(__file__).parents[2]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tokens.sqlite3"


def filled(file: Path) -> None:
    """Make a store with a few hundred entries, all of them in the file itself."""
    backend = SqliteBackend(str(file))
    for number in range(300):
        backend.put(f"id {number}", b"value" * 50, 60, owner="alice")
    del backend
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA wal_checkpoint (TRUNCATE)")


def newer(file: Path) -> None:
    filled(file)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(f"PRAGMA user_version = {sqlite_backend.VERSION + 1}")


def of_another_program(file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("CREATE TABLE entries (id INTEGER, title TEXT)")
        database.execute("INSERT INTO entries VALUES (1, 'a diary')")


def of_another_kind(file: Path) -> None:
    file.write_bytes(b"this is not a database" * 100)


def cut(file: Path) -> None:
    filled(file)
    with file.open("r+b") as opened:
        opened.truncate(3 * 4096 + 100)


def scribbled(file: Path) -> None:
    filled(file)
    with file.open("r+b") as opened:
        opened.seek(12 * 4096)
        opened.write(b"garbage!" * 1024)


def headless(file: Path) -> None:
    filled(file)
    with file.open("r+b") as opened:
        opened.seek(16)
        opened.write(b"\xff" * 500)


SPOILT = [
    (newer, "was written by a newer version of this app"),
    (of_another_program, "is a database of another program"),
    (of_another_kind, "is a file of another kind"),
    (cut, "is damaged"),
    (scribbled, "is damaged"),
    (headless, "is damaged"),
]


def test_an_app_that_is_gone_leaves_no_file_open(tmp_path: Path, sandbox: Running) -> None:
    app = create_app(environment(tmp_path, PRIVATE_SERVERS=sandbox.origin))
    assert Visitor(app, sandbox).sign_in("alice").location == FIRST_PAGE
    store = ref(app.extensions["token_store"])
    del app
    gc.collect()

    assert store() is None


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_a_file_that_is_no_store_of_this_app_stops_the_start_and_stays_as_it_is(
    tmp_path: Path, file: Path, spoil: Callable[[Path], None], words: str
) -> None:
    spoil(file)
    before = file.read_bytes()

    with pytest.raises(config.SettingsError, match=f"MIAUTH_TOKEN_STORE {words}.*{re.escape(str(file))}"):
        config.load(environment(tmp_path))

    assert file.read_bytes() == before


@pytest.mark.parametrize(("spoil", "words"), [SPOILT[0], SPOILT[4]])
@pytest.mark.parametrize(
    "command",
    [
        ("gunicorn", "-c", "web/gunicorn.conf.py", "app:create_app()"),
        ("flask", "--app", "app", "settings", "check"),
        ("flask", "--app", "app", "store", "prune"),
    ],
)
def test_the_start_and_the_commands_say_the_same(
    tmp_path: Path, file: Path, spoil: Callable[[Path], None], words: str, command: tuple[str, ...]
) -> None:
    spoil(file)
    before = file.read_bytes()

    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=os.environ | environment(tmp_path),
        timeout=120,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert f"MIAUTH_TOKEN_STORE {words}" in done.stderr
    assert "Traceback" not in done.stderr
    assert file.read_bytes() == before


@contextmanager
def as_nobody() -> Iterator[None]:
    """Root may write to every file."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_can_not_be_written_stops_the_start_and_stays_as_it_is() -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own are closed to others
        file = Path(folder) / "tokens.sqlite3"
        filled(file)
        before = file.read_bytes()
        Path(folder).chmod(0o777)
        file.chmod(0o444)

        told = f"can't be used, {file}: Permission denied for the user [0-9]+"
        with as_nobody(), pytest.raises(config.SettingsError, match=told):
            config.load(environment(folder))

        assert file.read_bytes() == before
        assert file.stat().st_mode & 0o777 == 0o444


def test_a_file_whose_rights_can_not_be_changed_is_used_all_the_same() -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokens.sqlite3"
        filled(file)
        Path(folder).chmod(0o777)
        file.chmod(0o666)

        with as_nobody():
            store = open_store(f"sqlite:///{file}", ["key"])
            store.put("key", "value", 60)
            assert store.get("key") == "value"


def test_a_file_that_others_hold_is_not_called_damaged(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("CREATE TABLE entries (id TEXT PRIMARY KEY, value BLOB, expires REAL)")
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(sqlite_backend, "WAIT_SECONDS", 0)
        with pytest.raises(config.SettingsError, match=f"can't be opened, {file}: database is locked"):
            config.load(environment(tmp_path))


@pytest.mark.parametrize("make", [filled, Path.touch, str])  # str: nothing is made
def test_a_file_of_this_app_an_empty_one_or_none_is_fine(
    tmp_path: Path, file: Path, make: Callable[[Path], None]
) -> None:
    make(file)

    assert config.load(environment(tmp_path)).token_store.endswith(str(file))


def test_a_large_file_is_not_read_as_a_whole_at_the_start(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_backend, "MAX_CHECKED", 8192)
    scribbled(file)
    config.load(environment(tmp_path))

    with file.open("r+b") as opened:
        opened.write(b"SQLite format 3\0" + b"\xff" * 500)
    with pytest.raises(config.SettingsError, match="is damaged"):
        config.load(environment(tmp_path))


def test_a_file_of_version_0_3_0_is_upgraded(tmp_path: Path, file: Path) -> None:
    with closing(sqlite3.connect(file)) as database, database:
        database.execute(
            "CREATE TABLE entries "
            "(id TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL, owner TEXT NOT NULL DEFAULT '')"
        )
        database.execute("CREATE INDEX entries_owner ON entries (owner)")
        database.execute("INSERT INTO entries VALUES ('id', ?, ?, 'alice')", (b"value", time.time() + 60))

    config.load(environment(tmp_path))
    backend = SqliteBackend(str(file))

    assert backend.owned_by("alice") == [b"value"]
    with closing(sqlite3.connect(file)) as database:
        assert database.execute("PRAGMA user_version").fetchone() == (sqlite_backend.VERSION,)
        indexes = database.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()
    assert {name for (name,) in indexes} >= {"entries_expires", "entries_owner_expires"}
    config.load(environment(tmp_path))


@contextmanager
def full_disk(file: Path) -> Iterator[None]:
    """What is written to the store first, its log, can't grow any more."""
    log = file.with_name(f"{file.name}-wal").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (log, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_on_a_full_disk_signing_in_is_answered_with_words_and_nothing_is_lost(
    app: Flask, sandbox: Running, alice: Visitor, visitor: Visitor, file: Path
) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id, "bob")

    with full_disk(file):
        answer = visitor.get(f"/callback?session={session_id}")
        assert (answer.status_code, "Our memory is not available" in answer.text) == (503, True)
        assert visitor.get("/readyz").status_code == 503
        assert "Hello, Alice" in alice.get("/dashboard").text

    assert visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE
    assert visitor.get("/dashboard/profile").status_code == 200
    assert "Hello, Alice" in alice.get("/dashboard").text


def test_on_a_full_disk_a_backup_leaves_nothing_behind(app: Flask, file: Path, tmp_path: Path) -> None:
    filled(file)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8 * 4096, limits[1]))
    try:
        done = app.test_cli_runner().invoke(args=["store", "backup", str(tmp_path / "copy")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: The token store is not available: ")
    assert not list(tmp_path.glob("copy*"))


@pytest.mark.parametrize("jump", [3600, -3600])
def test_a_clock_that_jumps_by_an_hour_for_a_while_loses_nobody(
    file: Path, monkeypatch: pytest.MonkeyPatch, jump: int
) -> None:
    store = open_store(f"sqlite:///{file}", [SECRET_KEY])
    store.put("for a month", "token", 30 * 86400, owner="alice")
    store.put("for half an hour more", "token", 1800, owner="alice")
    right = time.time
    monkeypatch.setattr("web.storage.sqlite_backend.time.time", lambda: right() + jump)

    assert store.get("for a month") == "token"
    store.put("meanwhile", "token", 86400, owner="bob")
    monkeypatch.undo()

    assert store.owned_by("alice") == ["token", "token"]
    assert store.get("for half an hour more") == "token"
    assert store.get("meanwhile") == "token"


@pytest.mark.parametrize(
    ("jump", "stays"), [(-3500, True), (-4000, False), (30 * 86400 + 3000, True), (30 * 86400 + 4000, False)]
)
def test_a_cookie_outlives_a_clock_that_is_put_right(
    alice: Visitor, monkeypatch: pytest.MonkeyPatch, jump: int, stays: bool
) -> None:
    right = time.time
    with monkeypatch.context() as wrong:
        wrong.setattr("itsdangerous.timed.time.time", lambda: right() - jump)
        alice.client.get("/signin")  # which puts nothing new into the cookie
        with alice.client.session_transaction() as session:
            session.modified = True

    assert (alice.get("/dashboard").status_code == 200) == stays


def expired(file: Path, number: int) -> None:
    """Put so many entries that expired yesterday into a store."""
    with closing(sqlite3.connect(file)) as database, database:
        rows = ((f"{number}", b"value", time.time() - 86400) for number in range(number))
        database.executemany("INSERT INTO entries (id, value, expires) VALUES (?, ?, ?)", rows)


def count(file: Path) -> int:
    with closing(sqlite3.connect(file)) as database:
        return int(database.execute("SELECT count (*) FROM entries").fetchone()[0])


def test_a_sign_in_removes_a_few_of_a_hundred_thousand_that_have_expired(file: Path) -> None:
    backend = SqliteBackend(str(file))
    expired(file, 100_000)

    for number in range(2 * PUTS):
        backend.put(f"id {number}", b"value", 60)
        assert count(file) == 100_000 - (1 + number // PUTS) * MAX_EXPIRED + number + 1


def test_what_has_expired_and_is_large_goes_at_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is small stays for an hour, as a clock may be wrong; it can't fill the disk."""
    backend = SqliteBackend(str(file))
    backend.put("small", b"s", 60)
    backend.put("large", b"l" * (LARGE_BYTES + 1), 60)
    right = time.time
    monkeypatch.setattr("web.storage.sqlite_backend.time.time", lambda: right() + 120)
    for number in range(PUTS):
        backend.put(f"id {number}", b"value", 60)

    monkeypatch.setattr("web.storage.sqlite_backend.time.time", right)
    assert (backend.get("small"), backend.get("large")) == (b"s", None)


def test_what_has_expired_is_found_by_an_index(file: Path) -> None:
    done: list[str] = []
    backend = SqliteBackend(str(file))
    database = vars(vars(backend)["_writer"])["_database"]
    database.set_trace_callback(done.append)
    backend.put("id", b"value", 60)
    database.set_trace_callback(None)
    (statement,) = (
        sql for sql in done if sql.startswith("DELETE FROM entries WHERE id IN (SELECT id FROM entries WHERE exp")
    )

    plan = str(database.execute(f"EXPLAIN QUERY PLAN {statement}").fetchall())

    assert "USING INDEX entries_expires (expires<?)" in plan
    assert "SCAN" not in plan


def test_others_write_while_a_store_is_pruned(file: Path) -> None:
    backend, other = SqliteBackend(str(file)), SqliteBackend(str(file))
    expired(file, 5000)
    with ThreadPoolExecutor(1) as pool:
        pruning = pool.submit(backend.prune)
        written = 0
        while not pruning.done():
            assert other.put(f"meanwhile {written}", b"value", 60)
            written += 1
        assert pruning.result() <= 5000

    assert written > 1
    assert count(file) == written
