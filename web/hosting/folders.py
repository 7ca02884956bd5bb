"""The folders for what the app keeps, and for the files that people send until they are passed on."""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from web.storage import sqlite_backend

#: The variable by which prometheus_client, when it is imported, finds the folder for the figures of all processes.
METRICS_FOLDER = "PROMETHEUS_MULTIPROC_DIR"


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
