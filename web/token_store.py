"""Where tokens rest: encrypted, under a key that is not beside them, until they expire.

A :class:`~web.storage.store_backend.Backend` keeps bytes under an id; :class:`TokenStore` turns a random key into that
id and encrypts the value, so whoever reads or writes the backend's files can neither make a cookie of them nor read a
token. All that belongs to a person, the *owner*, can be found and forgotten at once; the files don't tell who that is.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator, Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from .storage.sqlite_backend import SqliteBackend, file_at
from .storage.sqlite_backend import check as check_file
from .storage.store_backend import Backend


class TokenStore:
    """Keeps texts under secret keys in a backend that learns neither, nor who owns them.

    ``secret_keys`` are the current one and, after it, those before; values written under any of them can be read, and
    their owners found.
    """

    def __init__(self, backend: Backend, secret_keys: Sequence[str]) -> None:
        self.backend = backend
        self.use(secret_keys)

    def use(self, secret_keys: Sequence[str]) -> None:
        """From now on write under the first of these keys, and read what was written under any of them."""
        self._box = MultiFernet([Fernet(base64.urlsafe_b64encode(_derive(key, b"token store"))) for key in secret_keys])
        self._owner_keys = [_derive(key, b"token store owners") for key in secret_keys]

    def put(self, key: str, value: str, seconds: int, *, only_if_new: bool = False, owner: str = "") -> bool:
        """Keep ``value`` for ``seconds``; with ``only_if_new`` return whether nothing was there, in one step."""
        entry = _entry(key)
        sealed = self._seal(entry, value)
        return self.backend.put(entry, sealed, seconds, only_if_new=only_if_new, owner=self.pseudonym(owner))

    def get(self, key: str) -> str | None:
        """Return the value, ``None`` when there is none, its time is over, or no key opens it."""
        entry = _entry(key)
        sealed = self.backend.get(entry)
        written_for, value = self._open(sealed) if sealed is not None else (None, None)
        return value if written_for == entry else None

    def replace(self, key: str, value: str, *, owner: str = "") -> bool:
        """Change a value, and its owner where one is given, but not its expiry; return whether there was one.

        What was deleted meanwhile does not come back.
        """
        entry = _entry(key)
        return self.backend.replace(entry, self._seal(entry, value), owner=self.pseudonym(owner))

    def delete(self, key: str) -> None:
        """Forget the value, if there is one."""
        self.backend.delete(_entry(key))

    def owned_by(self, owner: str) -> list[str]:
        """Return all values of ``owner`` that a key opens, in no particular order."""
        found = map(self._open, self.backend.owned_by(*self._owners(owner)))
        return [value for _, value in found if value is not None]

    def delete_owned_by(self, *owners: str) -> None:
        """Forget all values of these owners, in one step."""
        self.backend.delete_owned_by(*(name for owner in owners for name in self._owners(owner)))

    def count(self, name: str, seconds: int) -> int:
        """Count once more; return how often since this counter began. A new one ends after ``seconds``.

        While a Redis is down, what has a limit is refused with :class:`~web.storage.store_backend.StoreUnavailable`:
        whoever can break it would otherwise have no limits, and what has one can't be done without the store anyway.
        """
        return self.backend.count(self.pseudonym(f"counter {name}"), seconds)

    def pseudonym(self, name: str) -> str:
        """Return what the backend calls ``name``, on all machines alike, so that nobody else can tell who it is.

        No name, ``""``, stays none.
        """
        return self._owners(name)[0] if name else ""

    def entries(self) -> Iterator[tuple[str, str, float]]:
        """Yield each entry that a key opens: its id, its value and when it expires, in seconds since 1970."""
        seen = set()
        for entry, sealed, expires in self.backend.entries():
            written_for, value = self._open(sealed)
            if written_for == entry and value is not None and entry not in seen:
                seen.add(entry)
                yield entry, value, expires

    def delete_entry(self, entry: str) -> None:
        """Forget what :meth:`entries` gave this id."""
        self.backend.delete(entry)

    def prune(self) -> int:
        """Remove what has expired; return how many entries that were, 0 where the backend does so by itself."""
        return self.backend.prune()

    def _seal(self, entry: str, value: str) -> bytes:
        # The entry's id goes inside, so that a value moved under another id is not taken for that one's.
        return self._box.encrypt(json.dumps([entry, value], ensure_ascii=False).encode(errors="surrogatepass"))

    def _open(self, sealed: bytes) -> tuple[str | None, str | None]:
        try:
            entry, value = json.loads(self._box.decrypt(sealed))
        except InvalidToken:
            return None, None
        return entry, value

    def _owners(self, owner: str) -> list[str]:
        """Return what the backend calls ``owner``, by the current secret key and by those before."""
        return [hmac.digest(key, owner.encode(), "sha256").hex() for key in self._owner_keys]


def check_url(url: str) -> str:
    """Return ``url`` if tokens can be kept there; raises :class:`ValueError`, which tells no password."""
    if re.match(r"(rediss?|unix)(\+[a-z]+)?://", url):
        from .storage import redis_connection  # a large library, which few need

        redis_connection.check(url)
    elif file := file_at(url):
        check_file(file)
    else:
        raise ValueError(
            "must be a file, such as sqlite:////data/tokens.sqlite3, or a Redis, such as redis://localhost:6379/0"
        )
    return url


def open_store(url: str, secret_keys: Sequence[str]) -> TokenStore:
    """Return the store at ``url``: ``sqlite:///path``, or that of a Redis."""
    if file := file_at(url):
        return TokenStore(SqliteBackend(file), secret_keys)
    from .storage.redis_backend import RedisBackend  # a large library, which few need

    return TokenStore(RedisBackend(url), secret_keys)


def _entry(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _derive(secret: str, purpose: bytes) -> bytes:
    """Derive a key of its own for ``purpose`` from a secret key, which also signs cookies."""
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=purpose).derive(secret.encode())
