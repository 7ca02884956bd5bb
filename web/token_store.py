"""Where tokens rest: encrypted, under a key that is not beside them, until they expire.

A :class:`Backend` keeps bytes under an id; :class:`TokenStore` turns a random key into that id and encrypts the value,
so whoever reads or writes the backend's files can neither make a cookie of them nor read a token.
"""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Protocol
from weakref import finalize

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF


class StoreUnavailable(Exception):
    """The store can't be read or written now: a full disk, a missing folder, a lock that nobody gives back."""


class Backend(Protocol):
    """Three verbs and expiry. Each raises :class:`StoreUnavailable`."""

    def put(self, entry: str, value: bytes, seconds: int, *, only_if_new: bool = False) -> bool:
        """Keep ``value`` for ``seconds``; with ``only_if_new`` tell whether nothing was there, in one step."""

    def get(self, entry: str) -> bytes | None:
        """Return the value, ``None`` when there is none or its time is over."""

    def delete(self, entry: str) -> None:
        """Forget the value, if there is one."""


class TokenStore:
    """Keeps texts under secret keys in a backend that learns neither.

    ``secret_keys`` are the current one and, after it, those before; values written under any of them can be read.
    """

    def __init__(self, backend: Backend, secret_keys: Sequence[str]) -> None:
        self._backend = backend
        self._box = MultiFernet([Fernet(_encryption_key(secret)) for secret in secret_keys])

    def put(self, key: str, value: str, seconds: int, *, only_if_new: bool = False) -> bool:
        """Keep ``value`` for ``seconds``; with ``only_if_new`` tell whether nothing was there, in one step."""
        entry = _entry(key)
        # The entry's id goes inside, so that a value moved under another id is not taken for that one's.
        sealed = self._box.encrypt(json.dumps([entry, value]).encode())
        return self._backend.put(entry, sealed, seconds, only_if_new=only_if_new)

    def get(self, key: str) -> str | None:
        """Return the value, ``None`` when there is none, its time is over, or no key opens it."""
        entry = _entry(key)
        sealed = self._backend.get(entry)
        if sealed is None:
            return None
        try:
            written_for, value = json.loads(self._box.decrypt(sealed))
        except InvalidToken:
            return None
        return str(value) if written_for == entry else None

    def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        self._backend.delete(_entry(key))


class SqliteBackend:
    """Keeps entries in one file, for one machine and any number of workers."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = Lock()
        # One connection for all threads, kept open: closing the last one makes SQLite tidy up the whole file.
        self._database = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        finalize(self, self._database.close)
        Path(path).chmod(0o600)
        with self._use() as database:
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")  # all that WAL needs to survive a killed process
            database.execute("PRAGMA secure_delete = ON")  # overwrite what is deleted
            database.execute(
                "CREATE TABLE IF NOT EXISTS entries (id TEXT PRIMARY KEY, value BLOB NOT NULL, expires REAL NOT NULL)"
            )
            database.execute("CREATE INDEX IF NOT EXISTS entries_expires ON entries (expires)")

    def put(self, entry: str, value: bytes, seconds: int, *, only_if_new: bool = False) -> bool:
        conflict = "NOTHING" if only_if_new else "UPDATE SET value = excluded.value, expires = excluded.expires"
        with self._use() as database, database:
            database.execute("BEGIN IMMEDIATE")
            database.execute("DELETE FROM entries WHERE expires <= ?", (time.time(),))
            cursor = database.execute(
                f"INSERT INTO entries VALUES (?, ?, ?) ON CONFLICT (id) DO {conflict}",  # noqa: S608 - one of two texts
                (entry, value, time.time() + seconds),
            )
        return cursor.rowcount == 1

    def get(self, entry: str) -> bytes | None:
        with self._use() as database:
            query = "SELECT value FROM entries WHERE id = ? AND expires > ?"
            row = database.execute(query, (entry, time.time())).fetchone()
        return row[0] if row else None

    def delete(self, entry: str) -> None:
        with self._use() as database:
            database.execute("DELETE FROM entries WHERE id = ?", (entry,))

    @contextmanager
    def _use(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._database
            except sqlite3.Error as error:
                raise StoreUnavailable(str(error)) from error


def open_store(url: str, secret_keys: Sequence[str]) -> TokenStore:
    """Return the store at ``url`` (``sqlite:///path``)."""
    return TokenStore(SqliteBackend(url.removeprefix("sqlite:///")), secret_keys)


def _entry(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _encryption_key(secret: str) -> bytes:
    """Derive a key of its own from the secret key, which also signs cookies."""
    derive = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"token store")
    return base64.urlsafe_b64encode(derive.derive(secret.encode()))
