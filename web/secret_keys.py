"""The secret keys that rest in a file, and a new one in the place of the present one, without signing anyone out.

The key in use stands on the first line, those before it below, each with the time when it was replaced. Cookies and
stored sign-ins need a former key for ``MIAUTH_SESSION_DAYS`` after that and no longer.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import Any, cast

from flask import Flask
from flask.sessions import SecureCookieSessionInterface
from itsdangerous import SignatureExpired, TimestampSigner, URLSafeTimedSerializer

MARGIN = timedelta(days=1)  # for requests that began before, and for clocks
CLOCK = timedelta(hours=1)  # how wrong a clock may be for a while


def check(key: str, production: bool) -> str:
    """Return ``key``; raises :class:`ValueError` where it is too short, or would be two."""
    if len(key) < (32 if production else 1):
        raise ValueError(
            "must have 32 characters or more. Make one with: "
            "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    if re.search(r"[\s,]", key):
        raise ValueError("must have no spaces or commas: as one of the fallbacks later, they would divide it")
    return key


def read(path: str, production: bool, days: int) -> tuple[str, ...]:
    """Return the key in use and, after it, those that sign-ins of ``days`` may need; raises :class:`ValueError`."""
    return tuple(check(key, production) for key, _ in _lines(path, days))


def make(path: Path) -> None:
    """Make the file with a key, its owner's alone, where it is not there yet; raises :class:`ValueError`.

    Of several processes that start at once, one makes the key of all.
    """
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            with _written(path.parent, secrets.token_urlsafe(32)) as file, suppress(FileExistsError):
                path.hardlink_to(file)  # whole or not at all, and never in the place of another
    except OSError as error:
        raise ValueError(f"is missing, and can't be made in {path.parent}: {error.strerror}") from error


def rotate(path: str, days: int) -> datetime:
    """Put a new key first, and take out those that no sign-in needs; return until when the former one is needed.

    Raises :class:`OSError` where the file can't be replaced, and :class:`ValueError` where it can't be read.
    """
    file = Path(path).resolve()
    with _locked(file.parent):
        now = datetime.now(UTC).replace(microsecond=0)
        (present, _), *others = _lines(path, days)
        if not present:
            raise ValueError("is empty")
        former = [f"{key} {(replaced or now).isoformat()}\n" for key, replaced in ((present, now), *others)]
        text = "".join((f"{secrets.token_urlsafe(32)}\n", *former))
        with _written(file.parent, text, file.stat()) as new:  # whoever could read that can read the new one
            new.replace(file)
    return now + timedelta(days=days) + MARGIN


class Sessions(SecureCookieSessionInterface):
    """Flask's cookies, signed with the key that the file holds at that moment, where there is one.

    A cookie signed with a new key is sent after the file has it: whichever worker gets it back knows the key too.
    """

    def __init__(self, app: Flask) -> None:
        settings = app.extensions["settings"]
        file = settings.secret_key_file
        of_file = read(file, settings.production, settings.session_days) if file else ()
        self._of_environment = [key for key in settings.secret_key_fallbacks if key not in of_file]
        self._serializer = self._new_serializer(app)
        self._loaded: object = ()
        self._lock = Lock()

    def get_signing_serializer(self, app: Flask) -> URLSafeTimedSerializer:
        """Return what signs cookies and reads them."""
        file = app.extensions["settings"].secret_key_file
        if file and _version(file) != self._loaded:
            with self._lock:
                version = _version(file)
                self._reload(app)
                self._loaded = version
        return self._serializer

    def _new_serializer(self, app: Flask) -> URLSafeTimedSerializer:
        serializer = cast(URLSafeTimedSerializer, super().get_signing_serializer(app))
        serializer.signer = _Signer
        return serializer

    def _reload(self, app: Flask) -> None:
        settings = app.extensions["settings"]
        try:
            of_file = read(settings.secret_key_file, settings.production, settings.session_days)
        except ValueError as error:
            app.logger.error("The file of the secret key %s. The keys from before stay in use.", error)
            return
        keys = (*of_file, *self._of_environment)
        # In this order: whoever reads one of these meanwhile, in another thread, finds the former key in it.
        app.extensions["token_store"].use(keys)
        settings = replace(settings, secret_key=keys[0], secret_key_fallbacks=keys[1:])
        app.extensions["settings"] = settings
        app.config["WTF_CSRF_SECRET_KEY"] = settings.signing_keys
        app.config["SECRET_KEY_FALLBACKS"] = list(keys)
        app.config["SECRET_KEY"] = keys[0]
        self._serializer = self._new_serializer(app)


class _Signer(TimestampSigner):
    """Takes cookies from before a wrong clock was put right, too: refused, they would be overwritten.

    How long a sign-in lasts is for the token store to tell.
    """

    def unsign(self, signed_value: str | bytes, max_age: int | None = None, return_timestamp: bool = False) -> Any:
        """Return what was signed; raises :class:`~itsdangerous.BadSignature`."""
        value, signed = super().unsign(signed_value, return_timestamp=True)
        age = datetime.now(UTC) - signed
        if max_age is not None and not -CLOCK <= age <= timedelta(seconds=max_age) + CLOCK:
            raise SignatureExpired("too old, or not of this time", value, signed)
        return (value, signed) if return_timestamp else value


def _version(path: str) -> object:
    """Return what changes when the file does, and every day: a former key's time may be over."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, int(time.time() // 86400)


def _lines(path: str, days: int) -> list[tuple[str, datetime | None]]:
    """Return the keys in a file that sign-ins of ``days`` may need, and when each was replaced, if it says so."""
    try:
        text = Path(path).read_text()
    except OSError as error:
        raise ValueError(f"can't be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ValueError("must hold text; bytes of any kind are none") from None
    first, *former = [_line(line) for line in text.splitlines() if line.strip()] or [("", None)]
    earliest = datetime.now(UTC) - timedelta(days=days) - MARGIN
    return [first, *((key, replaced) for key, replaced in former if not replaced or replaced > earliest)]


def _line(line: str) -> tuple[str, datetime | None]:
    key, _, replaced = line.strip().partition(" ")
    with suppress(ValueError, OverflowError):
        return key, datetime.fromisoformat(replaced).astimezone(UTC)
    return line.strip(), None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Wait for others who replace a file in ``folder``, and keep them waiting."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
        with suppress(OSError):  # what was replaced is replaced
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def _written(folder: Path, text: str, like: os.stat_result | None = None) -> Iterator[Path]:
    """Give a file in ``folder`` with this text, for those who may read ``like``, or its owner alone.

    What is left of it in the end is removed.
    """
    descriptor, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(descriptor, "w") as file:
            if like:  # by the descriptor: root may do this for the app, and whoever has the folder can change names
                os.fchown(descriptor, like.st_uid, like.st_gid)
                os.fchmod(descriptor, stat.S_IMODE(like.st_mode))
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)
