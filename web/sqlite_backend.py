"""The token store's entries in a file of SQLite, for one machine and any number of workers."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from weakref import finalize

from . import store_backend
from .store_backend import StoreUnavailable

WAIT_SECONDS = 5  # for other processes that write
MAX_EXPIRED = 100  # that one write removes: many at once would keep others waiting


class SqliteBackend:
    """Keeps entries in one file, for one machine and any number of workers."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Two connections for all threads, so that nobody who reads waits for those who write. They stay open: closing
        # the last one makes SQLite tidy up the whole file.
        self._writer, self._reader = _Connection(path), _Connection(path)
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

    def put(self, entry: str, value: bytes, seconds: int, *, only_if_new: bool = False, owner: str = "") -> bool:
        replace = "UPDATE SET value = excluded.value, expires = excluded.expires, owner = excluded.owner"
        conflict = "NOTHING" if only_if_new else replace
        expired = "SELECT id FROM entries WHERE expires <= ? AND id != ? LIMIT ?"
        now = time.time()
        with self._write() as database:
            database.execute(f"DELETE FROM entries WHERE id IN ({expired})", (now, entry, MAX_EXPIRED))  # noqa: S608
            database.execute("DELETE FROM entries WHERE id = ? AND expires <= ?", (entry, now))
            cursor = database.execute(
                f"INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (id) DO {conflict}",  # noqa: S608 - one of two
                (entry, value, now + seconds, owner),
            )
            if owner:
                too_many = "SELECT id FROM entries WHERE owner = ? AND id != ? ORDER BY expires DESC LIMIT -1 OFFSET ?"
                others = store_backend.MAX_OWNED - 1
                database.execute(f"DELETE FROM entries WHERE id IN ({too_many})", (owner, entry, others))  # noqa: S608
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
        with self._reader.use() as database:
            query = f"SELECT value FROM entries WHERE owner IN ({_places(owners)}) AND expires > ?"  # noqa: S608
            return [value for (value,) in database.execute(query, (*owners, time.time()))]

    def delete_owned_by(self, *owners: str) -> None:
        with self._write() as database:
            database.execute(f"DELETE FROM entries WHERE owner IN ({_places(owners)})", owners)  # noqa: S608

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        """Begin a transaction, as soon as other processes let it."""
        with self._writer.use() as database, database:
            database.execute("BEGIN IMMEDIATE")
            yield database


class _Connection:
    """A connection that one thread at a time can use."""

    def __init__(self, path: str) -> None:
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


def _places(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))
