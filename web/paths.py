"""Checks, at the start, of the paths in the settings: secret key, token database, temporary files."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from contextlib import suppress
from pathlib import Path

_FILE = "sqlite:///"


def read_key(path: str) -> str:
    """Return the secret key in a file; raises :class:`ValueError` where none can be read."""
    try:
        return Path(path).read_text().strip()
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError("must hold text; bytes of any kind are none") from None


def made_key(path: str) -> str:
    """Return the secret key in a file, made there if there is none; raises :class:`ValueError`.

    Of several processes that start at once, one makes the key of all.
    """
    try:
        if not Path(path).exists():
            with tempfile.NamedTemporaryFile("w", dir=Path(path).parent) as file:  # readable by the owner only
                file.write(secrets.token_urlsafe(32))
                file.flush()
                os.fsync(file.fileno())
                with suppress(FileExistsError):
                    os.link(file.name, path)  # whole or not at all, and never in the place of another
    except OSError as error:
        raise ValueError(f"is missing, and can't be made: {error.strerror}") from error
    return read_key(path)


def development_key(folder: Path) -> str:
    """Return the key kept in ``folder``: made once, readable by the owner only; raises :class:`ValueError`."""
    path = folder / "secret_key"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileExistsError):
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_urlsafe(32))
        return path.read_text()
    except OSError as error:
        raise ValueError(f"is missing, and one can't be kept in {folder}: {error.strerror}") from error


def token_store(url: str) -> str:
    """Return ``url`` if tokens can be kept there; raises :class:`ValueError`, which tells no password."""
    if re.match("(rediss?|unix)://", url):
        # Whether it answers is for /readyz to tell: unlike a folder, a Redis may start after the app, or restart.
        _check_redis(url)
    elif url.startswith(_FILE) and url != _FILE:
        _check_file(Path(url.removeprefix(_FILE)))
    else:
        raise ValueError(
            "must be a file, such as sqlite:////data/tokens.sqlite3, or a Redis, such as redis://localhost:6379/0"
        )
    return url


def temporary_folder(token_store: str) -> str:
    """Return where large forms and files rest until they are passed on: in the usual place, else beside the tokens.

    Raises :class:`ValueError` where neither can be written to.
    """
    with suppress(FileNotFoundError):
        return tempfile.gettempdir()
    folder = str(Path(token_store.removeprefix(_FILE)).parent)
    if token_store.startswith(_FILE) and os.access(folder, os.W_OK | os.X_OK):
        return folder
    raise ValueError("TMPDIR must name a folder that can be written to, for files that people send; /tmp can't")


def _check_redis(url: str) -> None:
    from .redis_backend import check_url  # a large library, which few need

    try:
        check_url(url)
    except ValueError:  # whose words may hold a part of the password
        raise ValueError(
            "must read like redis://:password@host:6379/0, rediss://:password@host:6379/0 or "
            "unix:///run/redis.sock?db=0, with %-escapes for signs such as / and @ in the password"
        ) from None


def _check_file(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path.parent).close()
        if path.exists():
            with path.open("rb") as file:
                if file.read(16) not in (b"", b"SQLite format 3\0"):
                    raise ValueError(f"is a file of another kind: {path}")
    except OSError as error:
        raise ValueError(f"can't be used, {path}: {error.strerror}") from error
