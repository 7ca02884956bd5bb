"""A token store that is not there yet, and workers that start side by side."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from web.storage import sqlite_backend
from web.storage.sqlite_backend import SqliteBackend
from web.storage.store_backend import StoreUnavailable


def test_a_worker_waits_for_another_that_makes_the_file_just_now(tmp_path: Path) -> None:
    path = str(tmp_path / "tokens.sqlite3")
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        timer = threading.Timer(0.3, other.execute, ("COMMIT",))
        timer.start()

        backend = SqliteBackend(path)
        timer.join()

    assert backend.put("id", b"value", 60)


def test_it_does_not_wait_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_backend, "WAIT_SECONDS", 0.1)
    path = str(tmp_path / "tokens.sqlite3")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreUnavailable, match="locked"):
            SqliteBackend(path)


def test_another_failure_is_told_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_backend, "WAIT_SECONDS", 10**6)
    path = tmp_path / "tokens.sqlite3"
    path.write_bytes(b"SQLite format 3\0" + bytes(100))

    with pytest.raises(StoreUnavailable):
        SqliteBackend(str(path))
