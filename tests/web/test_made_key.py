"""A secret key that the first start makes, for whoever asked for it."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cast import environment
from web.config import Settings, SettingsError, load

ROOT = Path(__file__).parents[2]
IN_PRODUCTION = "https://signin.example"


def settings(path: Path, **values: str) -> Settings:
    """The settings of an app in production whose secret key is in a file."""
    named = {"PUBLIC_URL": IN_PRODUCTION, "SECRET_KEY": "", "SECRET_KEY_FILE": str(path), **values}
    return load(environment(path.parent, **named))


def test_the_first_start_makes_the_key_and_the_next_ones_read_it(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"

    key = settings(path, MAKE_SECRET_KEY="1").secret_key

    assert len(key) >= 32
    assert path.read_text() == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert settings(path, MAKE_SECRET_KEY="1").secret_key == key
    assert settings(path).secret_key == key
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


@pytest.mark.parametrize("make", [{}, {"MAKE_SECRET_KEY": ""}, {"MAKE_SECRET_KEY": "0"}])
def test_who_did_not_ask_for_it_gets_no_key_made(tmp_path: Path, make: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="MIAUTH_SECRET_KEY_FILE can't be read: No such file"):
        settings(tmp_path / "secret-key", **make)

    assert not (tmp_path / "secret-key").exists()


def test_apps_that_start_at_once_have_one_key(tmp_path: Path) -> None:
    path = tmp_path / "secret-key"
    values = {"PUBLIC_URL": IN_PRODUCTION, "SECRET_KEY": "", "SECRET_KEY_FILE": str(path), "MAKE_SECRET_KEY": "1"}
    code = "import sys; from web.config import load; sys.stdin.read(); print(load().secret_key)"
    starts = [
        subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env=os.environ | environment(tmp_path, **values),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    for start in starts:
        assert start.stdin
        start.stdin.close()  # now
    keys = set()
    for start in starts:
        with start:
            assert start.stdout
            keys.add(start.stdout.read().strip())

    assert keys == {path.read_text()}


def test_one_that_comes_second_takes_the_first_ones_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, first = tmp_path / "secret-key", "f" * 43
    fsync = os.fsync

    def overtaken(descriptor: int) -> None:
        fsync(descriptor)
        path.write_text(first)

    monkeypatch.setattr(os, "fsync", overtaken)

    assert settings(path, MAKE_SECRET_KEY="1").secret_key == first


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"SECRET_KEY_FILE": "/nowhere/deeper/key"}, "MIAUTH_SECRET_KEY_FILE is missing, and .*: No such file"),
        ({"SECRET_KEY_FILE": ""}, "MIAUTH_MAKE_SECRET_KEY needs MIAUTH_SECRET_KEY_FILE"),
        ({"MAKE_SECRET_KEY": "yes"}, "MIAUTH_MAKE_SECRET_KEY must be a whole number from 0 to 1"),
    ],
)
def test_what_can_not_be_done_stops_the_start_in_words(tmp_path: Path, values: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        settings(tmp_path / "secret-key", **{"MAKE_SECRET_KEY": "1", **values})

    assert not (tmp_path / "secret-key").exists()


def test_an_empty_file_is_no_key_and_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "secret-key").touch()

    with pytest.raises(SettingsError, match="MIAUTH_SECRET_KEY_FILE must have 32 characters"):
        settings(tmp_path / "secret-key", MAKE_SECRET_KEY="1")

    assert (tmp_path / "secret-key").read_text() == ""
