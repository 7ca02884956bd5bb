"""The cast of the tests: visitors with a browser of their own, and the app with its settings, on a real server too."""

from __future__ import annotations

import os
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from itsdangerous import URLSafeTimedSerializer
from werkzeug.serving import make_server
from werkzeug.test import TestResponse

from sandbox import Running
from web.hosting.concurrency import PerVisitor

SECRET_KEY = "a-secret-key-for-tests-that-is-long-enough"
FIRST_PAGE = "/dashboard"  # for whoever is signed in
NATIVE_TOKENS = {"alice": "aliceNativeToken", "bob": "bobbyNativeToken"}
PATIENCE_SECONDS = 60  # only a test that fails takes so long
FOR_THE_APP = (
    *("PORT", "SANDBOX_PORT", "WEB_CONCURRENCY", "DATABASE_URL"),
    *("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"),
)
NO_ENV_FILE = {"PYTHON_DOTENV_DISABLED": "1", "FLASK_SKIP_DOTENV": "1"}  # Flask's commands read .env by themselves


def environment(folder: Path | str, **settings: str) -> dict[str, str]:
    """Return the environment of an app with these settings, given without their prefix, and its data in ``folder``."""
    defaults = {
        "SECRET_KEY": SECRET_KEY,
        "PUBLIC_URL": "http://localhost",
        "TOKEN_STORE": f"sqlite:///{folder}/tokens.sqlite3",
        "SIGNIN_LIMIT": "1000 per minute",
    }
    named = {f"MIAUTH_{name}": value for name, value in (defaults | settings).items()}
    return NO_ENV_FILE | named


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what the person who runs the tests has set for the app, in the environment or in ``.env``, out of them."""
    for name in list(os.environ):
        if name in FOR_THE_APP or name.startswith(("MIAUTH_", "FLASK_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name, value in NO_ENV_FILE.items():
        monkeypatch.setenv(name, value)


@dataclass
class Visitor:
    """A visitor with a browser of their own, who fills in the forms of a page."""

    app: Flask
    sandbox: Running
    client: FlaskClient = field(init=False)
    asked: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client = self.app.test_client()

    def get(self, path: str, **options: Any) -> TestResponse:
        return self.client.get(path, **options)

    def post(self, path: str, form: Mapping[str, object] | None = None, **options: Any) -> TestResponse:
        """Send a form as a page of the app would."""
        return self.client.post(path, data={"csrf_token": self.csrf_token(), **(form or {})}, **options)

    def csrf_token(self) -> str:
        """What a page's forms have; without asking for a page."""
        with self.client.session_transaction() as session:
            token = session.setdefault("csrf_token", secrets.token_hex(20))
        return str(URLSafeTimedSerializer(str(self.app.secret_key), salt="wtf-csrf-token").dumps(token))

    def begin(self, host: str | None = None, **form: object) -> str:
        """Begin a sign-in and return its session id."""
        answer = self.post("/signin", {"host": host or self.sandbox.origin, **form})
        assert answer.status_code == 303, answer.text
        session_id = urlsplit(answer.location).path.rpartition("/")[2]
        self.asked[session_id] = [name for name in query(answer.location).get("permission", "").split(",") if name]
        return session_id

    def allow(self, session_id: str, person: str = "alice", permissions: list[str] | None = None) -> None:
        """Do what the server's page does when the person presses Allow: all that was asked for, or these."""
        asked = self.asked.get(session_id, ["read:account"]) if permissions is None else permissions
        world = self.sandbox.world
        world.approve(world.people[person], asked, session_id, "test")

    def sign_in(self, person: str = "alice", permissions: list[str] | None = None) -> TestResponse:
        """Go the whole way and return the answer to the callback."""
        session_id = self.begin()
        self.allow(session_id, person, permissions)
        return self.get(f"/callback?session={session_id}")

    @property
    def cookie_name(self) -> str:
        return str(self.app.config["SESSION_COOKIE_NAME"])

    def cookie(self) -> dict[str, Any]:
        """What the signed cookie says."""
        with self.client.session_transaction() as session:
            return dict(session)

    def twin(self, app: Flask | None = None) -> Visitor:
        """The same browser in another tab, with the cookies of now; or at another machine, with its ``app``."""
        twin = Visitor(app or self.app, self.sandbox, asked=dict(self.asked))
        for name in (self.cookie_name, *(f"signin-{session_id}" for session_id in self.asked)):
            if cookie := self.client.get_cookie(name):
                twin.client.set_cookie(name, cookie.value)
        return twin

    def under_way(self) -> list[str]:
        """The session ids of the sign-ins begun here whose cookies this browser has."""
        return [session_id for session_id in self.asked if self.client.get_cookie(f"signin-{session_id}")]


def who_reads_all(app: Flask, server: Any) -> Visitor:
    """Return a visitor who takes each answer to its end, as browsers do; only then it counts as sent."""
    visitor = Visitor(app, server)
    visitor.client.open = partial(visitor.client.open, buffered=True)  # type: ignore[method-assign]
    return visitor


def per_visitor_of(app: Flask) -> PerVisitor:
    """The layer of an app that counts what visitors have under way."""
    layer: Any = app.wsgi_app
    while not isinstance(layer, PerVisitor):
        layer = vars(layer)["_wsgi_app"]
    return layer


def wait_until(condition: Callable[[], object]) -> None:
    """Wait for a state that comes by itself, and fail where it does not."""
    ends = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.005)


@contextmanager
def served(
    make_app: Callable[..., Flask],
    tls: ssl.SSLContext | None = None,
    at: socket.socket | None = None,
    **settings: str,
) -> Iterator[str]:
    """Serve an app on ``localhost``, another site than the sandbox's ``127.0.0.1``; yield its address."""
    with nullcontext(at) if at else socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"{'https' if tls else 'http'}://localhost:{listening.getsockname()[1]}"
        app = make_app(PUBLIC_URL=url, **settings)
        server = make_server("127.0.0.1", 0, app, threaded=True, fd=listening.fileno(), ssl_context=tls)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield url
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def through(make_app: Callable[..., Flask], *, host: str = "", answer: dict[str, str] | None = None) -> Any:
    """Make apps behind a proxy that passes this ``Host``, and puts these headers into each answer."""

    def make(**settings: str) -> Flask:
        app = make_app(**settings)
        inner = app.wsgi_app

        def proxy(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
                kept = [(name, value) for name, value in headers if name not in (answer or {})]
                return start_response(status, kept + list((answer or {}).items()), *error)

            return inner(environ | ({"HTTP_HOST": host} if host else {}), start)

        app.wsgi_app = proxy  # type: ignore[method-assign]
        return app

    return make


def query(url: str) -> dict[str, str]:
    """The query of an address, each name once."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
