"""What is different while developing: whichever port, and the debugger."""

from __future__ import annotations

import os
import runpy
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from sandbox import Running
from tests.cast import Visitor, forget_settings, query


def test_the_callback_is_right_at_whichever_port_the_app_is_served(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    visitor = Visitor(make_app(PRIVATE_SERVERS=sandbox.origin, PUBLIC_URL="http://localhost:8000"), sandbox)

    answer = visitor.post("/signin", {"host": sandbox.origin}, base_url="http://localhost:5001")

    assert query(answer.location)["callback"] == "http://localhost:5001/callback"


@pytest.mark.parametrize(
    ("public_url", "home"),
    [("http://localhost:8000", "http://localhost:5000"), ("https://localhost:8443", "https://localhost:8443")],
)
def test_the_address_that_flask_run_names_leads_to_the_same_port(
    make_app: Callable[..., Flask], public_url: str, home: str
) -> None:
    client = make_app(PUBLIC_URL=public_url).test_client()

    assert client.get("/signin?host=a", base_url="http://127.0.0.1:5000").location == f"{home}/signin?host=a"
    assert client.post("/signin", base_url="http://127.0.0.1:5000").location == f"{home}/"


def test_in_production_the_callback_is_at_the_public_address(make_app: Callable[..., Flask], sandbox: Running) -> None:
    app = make_app(PRIVATE_SERVERS=sandbox.origin, PUBLIC_URL="https://signin.example")

    page = app.test_client().get("/how-it-works", headers={"Host": "signin.example:5001"}).text

    assert "https://signin.example/callback?session=" in page


@pytest.mark.parametrize("name", ["MIAUTH_APP_NAME", "FLASK_DEBUG", "HTTPS_PROXY", "PORT"])
def test_what_a_developer_has_set_reaches_no_test(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")

    forget_settings(monkeypatch)

    assert name not in os.environ


@pytest.mark.parametrize("debug", ["0", "1"])
def test_a_mistake_in_the_code_is_left_to_the_debugger(
    make_app: Callable[..., Flask], sandbox: Running, monkeypatch: pytest.MonkeyPatch, debug: str
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", debug)
    app = make_app()
    app.view_functions["journey.home"] = lambda: str(1 / 0)
    visitor = Visitor(app, sandbox)

    if debug == "1":
        with pytest.raises(ZeroDivisionError):
            visitor.get("/")
    else:
        assert visitor.get("/").status_code == 500


def test_in_production_nothing_is_left_to_the_debugger(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", "1")
    app = make_app(PUBLIC_URL="https://signin.example")
    app.view_functions["journey.home"] = lambda: str(1 / 0)

    answer = app.test_client().get("/", base_url="https://signin.example")

    assert "Something broke on our side" in answer.text


def test_whoever_runs_app_py_is_told_what_starts_it() -> None:
    with pytest.raises(SystemExit, match="make run"):
        runpy.run_path(str(Path(__file__).parents[2] / "app.py"), run_name="__main__")
