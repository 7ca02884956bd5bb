"""What those who look after the app ask, and where it can write."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from sandbox import Running
from tests.cast import Visitor, environment
from web import config


@pytest.fixture
def read_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the usual places for temporary files can be written to, as in a container that is read-only."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])


def test_where_all_but_the_data_is_read_only_files_rest_beside_the_tokens(
    read_only: None, make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path
) -> None:
    alice = Visitor(make_app(PRIVATE_SERVERS=sandbox.origin), sandbox)
    assert tempfile.gettempdir() == str(tmp_path)
    alice.sign_in("alice")
    before = {path.name for path in tmp_path.iterdir()}

    assert alice.get("/readyz").status_code == 200
    assert {path.name for path in tmp_path.iterdir()} <= before


def test_what_an_app_of_your_own_keeps_rests_beside_the_tokens(app: Flask, tmp_path: Path) -> None:
    assert app.instance_path == str(tmp_path)


def test_without_any_place_for_files_the_app_does_not_start(read_only: None) -> None:
    with pytest.raises(config.SettingsError, match="TMPDIR must name a folder that can be written to"):
        config.load(environment("/", TOKEN_STORE="redis://localhost"))


def test_a_place_for_files_that_goes_away_is_told(
    monkeypatch: pytest.MonkeyPatch, visitor: Visitor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))

    answer = visitor.get("/readyz")

    assert answer.status_code == 503
    assert "can't be written to" in answer.text
    assert "gone, for files that people send: No such file" in caplog.text
    assert visitor.get("/healthz").status_code == 200


def test_a_development_key_that_can_not_be_kept_is_told_in_words(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(config, "INSTANCE", Path("/proc/nowhere"))

    with pytest.raises(config.SettingsError, match="MIAUTH_SECRET_KEY is missing, and can't be made in /proc/now"):
        config.load(environment(tmp_path, SECRET_KEY=""))


def test_whether_it_lives_is_answered_alike_to_all_who_ask(visitor: Visitor) -> None:
    """GET is answered before Flask; HEAD, and an address with a slash, by a view."""
    usual = visitor.get("/healthz")
    head, slash = visitor.client.head("/healthz"), visitor.get("/healthz/")

    assert usual.text == slash.text == "ok\n"
    for answer in (head, slash):
        told = {name: value for name, value in answer.headers if name not in ("X-Request-Id", "Vary")}
        assert (answer.status, told) == (usual.status, {name: usual.headers[name] for name in told})
    assert visitor.client.post("/healthz").status_code in (400, 405)
