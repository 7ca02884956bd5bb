"""The token store's entries in a file of SQLite, for one machine and any number of workers."""

from __future__ import annotations

import os
import re
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from threading import Lock
from weakref import finalize

from . import store_backend
from .local_counters import LocalCounters
from .store_backend import StoreUnavailable

WAIT_SECONDS = 5  # for other processes that write
MAX_EXPIRED = 100  # that one write removes: many at once would keep others waiting
PUTS = 10  # of which one removes what has expired: more than comes with all of them
PAUSE_SECONDS = 0.01  # between such writes, in which others come to theirs
CLOCK_SECONDS = 3600  # how wrong a clock may be for a while: what it lets expire too soon is still there afterwards
LARGE_BYTES = 16 * 1024  # no sign-in is; what is goes at once, so that nobody fills the disk with it
VERSION = 1  # of the tables, in the file's user_version; up to 0.3.0 that was 0
MAX_CHECKED = 64 * 1024 * 1024  # bytes that are read at the start, in a tenth of a second


class SqliteBackend:
    """Keeps entries in one file, for one machine and any number of workers."""

    def __init__(self, path: str | Path) -> None:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Two connections for all threads, so that nobody who reads waits for those who write. They stay open: closing
        # the last one makes SQLite tidy up the whole file.
        self._writer, self._reader = _Connection(path), _Connection(path)
        self._puts = count()
        self._counters = LocalCounters()
        with suppress(PermissionError):  # another user's, or on a drive without such rights; all in it is encrypted
            Path(path).chmod(0o600)
        with self._writer.use() as database:
            _write_ahead(database)
            database.execute("PRAGMA synchronous = NORMAL")  # all that WAL needs to survive a killed process
            database.execute("PRAGMA secure_delete = ON")  # overwrite what is deleted
        with self._write() as database:  # workers start side by side
            database.execute(
                "CREATE TABLE IF NOT EXISTS entries "
                "(id TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL, owner TEXT NOT NULL DEFAULT '')"
            )
            if "owner" not in {row[1] for row in database.execute("PRAGMA table_info (entries)")}:  # 0.1.0
                database.execute("ALTER TABLE entries ADD COLUMN owner TEXT NOT NULL DEFAULT ''")
            database.execute("CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires)")
            database.execute("DROP INDEX IF EXISTS entries_owner")  # 0.3.0
            database.execute("CREATE INDEX IF NOT EXISTS entries_owner_expires ON entries (owner, expires)")
            if database.execute("PRAGMA user_version").fetchone() != (VERSION,):
                database.execute(f"PRAGMA user_version = {VERSION}")

    def put(self, entry: str, value: bytes, seconds: int, *, only_if_new: bool = False, owner: str = "") -> bool:
        now = time.time()
        with self._write() as database:
            if next(self._puts) % PUTS == 0:
                _remove_expired(database, now, CLOCK_SECONDS)
            cursor = database.execute(
                "INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE "
                "SET value = excluded.value, expires = excluded.expires, owner = excluded.owner "
                "WHERE NOT ? OR entries.expires <= ?",
                (entry, value, now + seconds, owner, only_if_new, now),
            )
            if owner:
                database.execute(
                    "DELETE FROM entries WHERE id IN "
                    "(SELECT id FROM entries WHERE owner = ? AND id != ? ORDER BY expires DESC LIMIT -1 OFFSET ?)",
                    (owner, entry, store_backend.MAX_OWNED - 1),
                )
        return cursor.rowcount == 1

    def get(self, entry: str) -> bytes | None:
        with self._reader.use() as database:
            query = "SELECT value FROM entries WHERE id = ? AND expires > ?"
            row = database.execute(query, (entry, time.time())).fetchone()
        return row[0] if row else None

    def replace(self, entry: str, value: bytes, *, owner: str = "") -> bool:
        with self._write() as database:
            cursor = database.execute(
                "UPDATE entries SET value = ?, owner = coalesce(nullif(?, ''), owner) WHERE id = ? AND expires > ?",
                (value, owner, entry, time.time()),
            )
        return cursor.rowcount == 1

    def delete(self, entry: str) -> None:
        with self._write() as database:
            database.execute("DELETE FROM entries WHERE id = ?", (entry,))

    def owned_by(self, *owners: str) -> list[bytes]:
        marks = ", ".join("?" * len(owners))
        query = f"SELECT value FROM entries WHERE owner IN ({marks}) AND expires > ?"  # noqa: S608 - question marks
        with self._reader.use() as database:
            return [value for (value,) in database.execute(query, (*owners, time.time()))]

    def delete_owned_by(self, *owners: str) -> None:
        with self._write() as database:
            database.executemany("DELETE FROM entries WHERE owner = ?", [(owner,) for owner in owners])

    def count(self, name: str, seconds: int) -> int:
        return self._counters.count(name, seconds)  # the file would make each request wait to write

    def entries(self) -> Iterator[tuple[str, bytes, float]]:
        rows = [("", b"", 0.0)]
        query = "SELECT id, value, expires FROM entries WHERE id > ? AND +expires > ? ORDER BY id LIMIT ?"
        while rows:
            with self._reader.use() as database:
                rows = database.execute(query, (rows[-1][0], time.time(), store_backend.BATCH)).fetchall()
            yield from rows

    def prune(self) -> int:
        now, removed = time.time(), 0
        while True:
            with self._write() as database:
                gone = _remove_expired(database, now)
            removed += gone
            if not gone:
                return removed
            time.sleep(PAUSE_SECONDS)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """Begin a transaction, as soon as other processes let it."""
        with self._writer.use() as database, database:
            database.execute("BEGIN IMMEDIATE")
            yield database


class _Connection:
    """A connection that one thread at a time can use."""

    def __init__(self, path: str | Path) -> None:
        self._lock = Lock()
        self._database = sqlite3.connect(path, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
        finalize(self, self._database.close)

    @contextmanager
    def use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise StoreUnavailable(str(error)) from error


def file_at(url: str) -> Path | None:
    """Return the file of the store at ``sqlite:///path``, ``None`` for a URL of another kind."""
    path = url.removeprefix("sqlite:///")
    return Path(path) if path not in ("", url) else None


def check(path: Path) -> None:
    """Raise :class:`ValueError` unless the file can be made, or is one that can be used; nothing is changed in it."""
    if re.search(r"^~|^:memory:$|\?", str(path)):  # SQLite, or whoever reads that, takes it for another one
        raise ValueError(f"must name a file by its path, without ~ and ?, and not in memory: {path}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.exists():
            with path.open("r+b") as file:  # SQLite would open one that can't be written to all the same
                head = file.read(16)
            if head not in (b"", b"SQLite format 3\0"):
                raise ValueError(f"is a file of another kind: {path}")
            if head:
                _check_database(path)
    except OSError as error:
        whose = f" for the user {os.geteuid()}" if isinstance(error, PermissionError) else ""
        raise ValueError(f"can't be used, {path}: {error.strerror}{whose}") from error


def _check_database(path: Path) -> None:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", timeout=WAIT_SECONDS, uri=True)) as database:
            (version,) = database.execute("PRAGMA user_version").fetchone()
            tables = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            columns = {row[1] for row in database.execute("PRAGMA table_info (entries)")}
            if path.stat().st_size <= MAX_CHECKED:
                _look_for_damage(database)
    except sqlite3.OperationalError as error:
        raise ValueError(f"can't be opened, {path}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise ValueError(
            f"is damaged, so nothing was changed in it; put a backup in its place, and remove the files beside it that "
            f"end in -wal and -shm, {path}: {error}"
        ) from error
    if tables and not columns >= {"id", "value", "expires"}:
        raise ValueError(f"is a database of another program: {path}")
    if version > VERSION:
        raise ValueError(f"was written by a newer version of this app, so nothing was changed in it: {path}")


def backup(path: Path, copy: Path) -> None:
    """Copy the file at ``path``, which may be in use, into a new one, its owner's alone.

    Raises :class:`OSError` where there is a file or can't be one, and
    :class:`~web.storage.store_backend.StoreUnavailable`.
    """
    os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(sqlite3.connect(path, timeout=WAIT_SECONDS)) as database, closing(sqlite3.connect(copy)) as copied:
            database.backup(copied)  # in one step: what others write meanwhile is not in it
            _look_for_damage(copied)
    except BaseException as error:
        copy.unlink()
        if isinstance(error, sqlite3.Error):
            raise StoreUnavailable(str(error)) from error
        raise


def _look_for_damage(database: sqlite3.Connection) -> None:
    """Raise :class:`sqlite3.DatabaseError` where something is wrong with a file."""
    (found,) = database.execute("PRAGMA quick_check (1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(" ".join(found.split()))


def _remove_expired(database: sqlite3.Connection, now: float, grace: float = 0) -> int:
    """Remove a few entries that have expired, small ones ``grace`` seconds later; return how many."""
    return database.execute(
        "DELETE FROM entries WHERE id IN "
        "(SELECT id FROM entries WHERE expires <= ? AND (expires <= ? OR length(value) > ?) LIMIT ?)",
        (now, now - grace, LARGE_BYTES, MAX_EXPIRED),
    ).rowcount


def _write_ahead(database: sqlite3.Connection) -> None:
    """Have the file keep a write-ahead log; with a new file SQLite does not wait for others that do so just now."""
    ends = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > ends:
                raise
        time.sleep(0.01)
