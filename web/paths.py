"""Checks, at the start, of the paths in the settings: token database, temporary files."""

from __future__ import annotations

import os
import re
import tempfile
from contextlib import suppress
from pathlib import Path

from .storage import sqlite_backend


def token_store(url: str) -> str:
    """Return ``url`` if tokens can be kept there; raises :class:`ValueError`, which tells no password."""
    if re.match(r"(rediss?|unix)(\+[a-z]+)?://", url):
        from .storage import redis_connection  # a large library, which few need

        redis_connection.check(url)
    elif file := sqlite_backend.file_at(url):
        sqlite_backend.check(file)
    else:
        raise ValueError(
            "must be a file, such as sqlite:////data/tokens.sqlite3, or a Redis, such as redis://localhost:6379/0"
        )
    return url


def data_folder(token_store: str, otherwise: Path) -> str:
    """Return the folder for what the app keeps: that of the tokens, ``otherwise`` where they are in a Redis."""
    file = sqlite_backend.file_at(token_store)
    return str(file.absolute().parent if file else otherwise)


def temporary_folder(token_store: str) -> str:
    """Return where large forms and files rest until they are passed on: in the usual place, else beside the tokens.

    Raises :class:`ValueError` where neither can be written to.
    """
    with suppress(FileNotFoundError):
        return tempfile.gettempdir()
    file = sqlite_backend.file_at(token_store)
    if file and os.access(file.parent, os.W_OK | os.X_OK):
        return str(file.parent)
    raise ValueError("TMPDIR must name a folder that can be written to, for files that people send; /tmp can't")
