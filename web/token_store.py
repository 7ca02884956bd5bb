"""Where tokens rest: encrypted, under a key that is not beside them, until they expire.

A :class:`Backend` keeps bytes under an id; :class:`TokenStore` turns a random key into that id and encrypts the value,
so whoever reads or writes the backend's files can neither make a cookie of them nor read a token. All that belongs to a
person, the *owner*, can be found and forgotten at once; the files don't tell who that is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
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

MOST_OWNED = 2000  # several hundred sign-ins of a person, and what they did in the last minutes


class StoreUnavailable(Exception):
    """The store can't be read or written now: a full disk, a lock that nobody gives back, a Redis that is down."""


class NotKept(StoreUnavailable):
    """Something was done, and the store could not keep what came of it."""


class Backend(Protocol):
    """Bytes under ids, each with an expiry and, where it has one, an owner. Everything is done in one step.

    Of an owner, ``MOST_OWNED`` entries stay: of those before, the ones that expire the soonest go. Each verb raises
    :class:`StoreUnavailable`.
    """

    def put(self, entry: str, value: bytes, seconds: int, *, only_if_new: bool = False, owner: str = "") -> bool:
        """Keep ``value`` for ``seconds``; with ``only_if_new`` tell whether nothing was there."""

    def get(self, entry: str) -> bytes | None:
        """Return the value, ``None`` when there is none or its time is over."""

    def replace(self, entry: str, value: bytes, *, owner: str = "") -> bool:
        """Change the value, and the owner where one is given, but not the expiry; tell whether there was a value."""

    def delete(self, entry: str) -> None:
        """Forget the value, if there is one."""

    def owned_by(self, *owners: str) -> list[bytes]:
        """Return all values of these owners."""

    def delete_owned_by(self, *owners: str) -> None:
        """Forget all values of these owners."""


class TokenStore:
    """Keeps texts under secret keys in a backend that learns neither, nor who owns them.

    ``secret_keys`` are the current one and, after it, those before; values written under any of them can be read, and
    their owners found.
    """

    def __init__(self, backend: Backend, secret_keys: Sequence[str]) -> None:
        self._backend = backend
        self._box = MultiFernet([Fernet(base64.urlsafe_b64encode(_derive(key, b"token store"))) for key in secret_keys])
        self._owner_keys = [_derive(key, b"token store owners") for key in secret_keys]

    def put(self, key: str, value: str, seconds: int, *, only_if_new: bool = False, owner: str = "") -> bool:
        """Keep ``value`` for ``seconds``; with ``only_if_new`` tell whether nothing was there, in one step."""
        entry = _entry(key)
        sealed = self._seal(entry, value)
        return self._backend.put(entry, sealed, seconds, only_if_new=only_if_new, owner=self._owner(owner))

    def get(self, key: str) -> str | None:
        """Return the value, ``None`` when there is none, its time is over, or no key opens it."""
        entry = _entry(key)
        sealed = self._backend.get(entry)
        written_for, value = self._open(sealed) if sealed is not None else (None, None)
        return value if written_for == entry else None

    def replace(self, key: str, value: str, *, owner: str = "") -> bool:
        """Change a value, and its owner where one is given, but not its expiry; tell whether there was one.

        What was deleted meanwhile does not come back.
        """
        entry = _entry(key)
        return self._backend.replace(entry, self._seal(entry, value), owner=self._owner(owner))

    def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        self._backend.delete(_entry(key))

    def owned_by(self, owner: str) -> list[str]:
        """Return all values of ``owner`` that a key opens, in no particular order."""
        found = map(self._open, self._backend.owned_by(*self._owners(owner)))
        return [value for _, value in found if value is not None]

    def delete_owned_by(self, owner: str) -> None:
        """Forget all values of ``owner``, in one step."""
        self._backend.delete_owned_by(*self._owners(owner))

    def _seal(self, entry: str, value: str) -> bytes:
        # The entry's id goes inside, so that a value moved under another id is not taken for that one's.
        return self._box.encrypt(json.dumps([entry, value], ensure_ascii=False).encode("utf-8", "surrogatepass"))

    def _open(self, sealed: bytes) -> tuple[str | None, str | None]:
        try:
            entry, value = json.loads(self._box.decrypt(sealed))
        except InvalidToken:
            return None, None
        return entry, value

    def _owners(self, owner: str) -> list[str]:
        """Return what the backend calls ``owner``, by the current secret key and by those before."""
        return [hmac.digest(key, owner.encode(), "sha256").hex() for key in self._owner_keys]

    def _owner(self, owner: str) -> str:
        return self._owners(owner)[0] if owner else ""


WAIT_SECONDS = 5  # for other processes that write
MOST_EXPIRED = 100  # that one write removes: many at once would keep others waiting


class SqliteBackend:
    """Keeps entries in one file, for one machine and any number of workers."""

    def __init__(self, path: str) -> None:
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Two connections for all threads, so that nobody who reads waits for those who write. They stay open: closing
        # the last one makes SQLite tidy up the whole file.
        self._writer, self._reader = _Connection(path), _Connection(path)
        Path(path).chmod(0o600)
        with self._writer.use() as database:
            database.execute("PRAGMA journal_mode = WAL")
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
            database.execute(f"DELETE FROM entries WHERE id IN ({expired})", (now, entry, MOST_EXPIRED))  # noqa: S608
            database.execute("DELETE FROM entries WHERE id = ? AND expires <= ?", (entry, now))
            cursor = database.execute(
                f"INSERT INTO entries VALUES (?, ?, ?, ?) ON CONFLICT (id) DO {conflict}",  # noqa: S608 - one of two
                (entry, value, now + seconds, owner),
            )
            if owner:
                too_many = "SELECT id FROM entries WHERE owner = ? AND id != ? ORDER BY expires DESC LIMIT -1 OFFSET ?"
                database.execute(f"DELETE FROM entries WHERE id IN ({too_many})", (owner, entry, MOST_OWNED - 1))  # noqa: S608
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


def open_store(url: str, secret_keys: Sequence[str]) -> TokenStore:
    """Return the store at ``url``: ``sqlite:///path``, or that of a Redis."""
    if url.startswith("sqlite:"):
        return TokenStore(SqliteBackend(url.removeprefix("sqlite:///")), secret_keys)
    from .redis_backend import RedisBackend  # a large library, which few need

    return TokenStore(RedisBackend(url), secret_keys)


def _entry(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _places(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


def _derive(secret: str, purpose: bytes) -> bytes:
    """Derive a key of its own for ``purpose`` from a secret key, which also signs cookies."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
