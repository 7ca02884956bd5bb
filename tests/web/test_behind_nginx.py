"""The app behind a real nginx with TLS, set up as docs/hosting.md says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter

from sandbox import Running
from tests.cast import FIRST_PAGE, NATIVE_TOKENS
from tests.hostile import Hostile
from tests.nginx import nginx
from tests.ports import free_port
from tests.web.test_gunicorn import csrf_token, gunicorn, on_linux

FORGED = {
    "X-Forwarded-For": "203.0.113.7",
    "X-Forwarded-Proto": "http",
    "X-Forwarded-Host": "evil.example",
    "X-Request-Id": "mine",
}


class Echo(BaseHTTPRequestHandler):
    """Answers with the headers that it got."""

    def do_GET(self) -> None:
        body = json.dumps(dict(self.headers.items())).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class From(HTTPAdapter):
    """Connects from another address of this machine."""

    def __init__(self, address: str) -> None:
        self.address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, source_address=(self.address, 0))


@contextmanager
def echo() -> Iterator[int]:
    """Yield the port of a server that tells the headers that it got."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def hosted(folder: Path, server: Hostile | Running, **settings: str) -> Iterator[tuple[str, Path]]:
    """Serve the app as in production; yield its public address, and the authority that browsers trust."""
    port = free_port()
    url = f"https://localhost:{port}"
    with (
        gunicorn(folder, server, workers=1, PUBLIC_URL=url, TRUSTED_PROXIES="1", **settings) as (inner, _),
        nginx(folder, urlsplit(inner).port or 0, port) as authority,
    ):
        yield url, authority


def browser_at(url: str, authority: Path) -> requests.Session:
    """Return a browser whose forms come from pages of the app."""
    browser = requests.Session()
    browser.verify, browser.headers["Origin"] = str(authority), url
    return browser


def begin(browser: requests.Session, url: str, sandbox: Running, *permissions: str) -> str:
    """Begin a sign-in at the sandbox; return its session id."""
    form = {
        "csrf_token": csrf_token(browser, url),
        "host": sandbox.origin,
        "permission": ["read:account", *permissions],
    }
    begun = browser.post(f"{url}/signin", form, allow_redirects=False)
    return urlsplit(begun.headers["Location"]).path.rpartition("/")[2]


def allow(sandbox: Running, session_id: str, *permissions: str) -> None:
    """Do what the server's page does when Alice presses Allow."""
    allowed = {"i": NATIVE_TOKENS["alice"], "session": session_id, "name": "test"}
    body = {**allowed, "permission": ["read:account", *permissions]}
    requests.post(f"{sandbox.origin}/api/miauth/gen-token", json=body, timeout=60).raise_for_status()


def sign_in(url: str, authority: Path, sandbox: Running, *permissions: str) -> requests.Session:
    """Sign in as Alice; return the browser."""
    browser = browser_at(url, authority)
    session_id = begin(browser, url, sandbox, *permissions)
    allow(sandbox, session_id, *permissions)
    assert browser.get(f"{url}/callback?session={session_id}").url == f"{url}{FIRST_PAGE}"
    return browser


def test_alice_signs_in(tmp_path: Path, sandbox: Running) -> None:
    with hosted(tmp_path, sandbox) as (url, authority):
        browser = sign_in(url, authority, sandbox)

        answer = browser.get(f"{url}/dashboard/profile", headers={"HX-Request": "true"})

        assert answer.status_code == 200
        assert "alice" in answer.text
        assert {cookie.name.partition("-")[0] for cookie in browser.cookies if cookie.secure} == {"__Host"}


def test_the_app_is_told_who_asks_and_how_whatever_they_say_themselves(tmp_path: Path) -> None:
    port, plain_port = free_port(), free_port()
    with echo() as app_port, nginx(tmp_path, app_port, port, plain_port=plain_port) as authority:
        told = requests.get(f"https://localhost:{port}/", headers=FORGED, verify=str(authority), timeout=60).json()
        other = {"Host": "elsewhere.example"}
        plain = requests.get(f"http://localhost:{plain_port}/a?b=c", headers=other, allow_redirects=False, timeout=60)

    assert told["Host"] == "localhost"
    assert told["X-Forwarded-For"].split(", ")[-1] == "127.0.0.1"
    assert re.fullmatch("[0-9a-f]{32}", told["X-Request-Id"])
    assert (told["X-Forwarded-Proto"], told["X-Forwarded-Host"]) == ("https", "localhost")
    assert (plain.status_code, plain.headers["Location"]) == (301, "https://signin.example/a?b=c")


@on_linux
def test_each_visitor_has_a_rate_limit_of_their_own(tmp_path: Path, sandbox: Running) -> None:
    def status(url: str, authority: Path, address: str) -> int:
        browser = browser_at(url, authority)
        browser.mount("https://", From(address))
        form = {"csrf_token": csrf_token(browser, url), "host": sandbox.origin}
        return browser.post(f"{url}/signin", form, headers=FORGED, allow_redirects=False).status_code

    with hosted(tmp_path, sandbox, SIGNIN_LIMIT="1 per hour") as (url, authority):
        assert status(url, authority, "127.0.0.2") == 303
        assert status(url, authority, "127.0.0.2") == 429
        assert status(url, authority, "127.0.0.3") == 303
