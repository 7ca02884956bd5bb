"""What is typed into the forms of the sign-in, and what servers tell for its pages: never a token, never a script."""

from __future__ import annotations

import atexit
import json
from collections.abc import Callable
from functools import cache
from html.parser import HTMLParser
from tempfile import TemporaryDirectory
from urllib.parse import urlsplit

import requests
from flask import Flask, g, render_template, session

from app import create_app
from misskey.json_values import parse
from sandbox import serve
from tests.cast import NATIVE_TOKENS, environment
from tests.hostile import TOKEN
from tests.misskey.test_server import NASTY
from web import dashboard, signin_pages
from web.accounts import Account
from web.forms import SignInForm, TokenForm

ALICE = Account("9alice", "alice", "Alice", "https://misskey.example", TOKEN, None, 0, key="key")


def signin_form(data: bytes) -> None:
    """A server, a preset and a permission, with zero bytes between them."""
    fields = dict(zip(("host", "preset", "permission"), text(data).split("\0"), strict=False))
    with app().test_request_context("/signin", method="POST", data=fields):
        form = SignInForm()
        form.validate()
        assert form.host.errors or form.server.host.isascii()
        assert 'action="/signin"' in signin_pages.sign_in_page(form)


def token_form(data: bytes) -> None:
    """A server, and how a token goes on, with a zero byte between them."""
    host, _, rest = text(data).partition("\0")
    with app().test_request_context("/signin/token", method="POST", data={"host": host, "token": TOKEN + rest}):
        form = TokenForm()
        form.validate()
        if not form.token.errors:
            assert form.token.data.isascii()
            assert form.token.data.isprintable()
        assert TOKEN not in signin_pages.token_page(form)


def panels(data: bytes) -> None:
    """The JSON that a server answers to a panel of the dashboard."""
    answer = parse(data, TOKEN)
    entries = dashboard._unseen(answer, "", "")[0] if isinstance(answer, list) else answer
    with app().test_request_context():
        session["accounts"], g.accounts = [ALICE.key], {ALICE.key: ALICE}
        for name, panel in dashboard.panels().items():
            if isinstance(answer, panel.kind):
                view = {"panel": panel, "account": ALICE, "which": "", "until": "9note"}
                page = render_template(f"panels/{name}.html", answer=entries, **view)
                assert TOKEN not in page
                Page().feed(page)


class Page(HTMLParser):
    """A page, of which every element is looked at."""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Fail for what could run by itself, or leads to anything but the web."""
        assert tag not in ("base", "embed", "iframe", "link", "meta", "object", "script", "style")
        for name, value in attrs:
            assert not name.startswith("on")
            if name in ("action", "formaction", "href", "src"):
                assert urlsplit(value or "").scheme in ("", "https")


@cache
def app() -> Flask:
    """Return an app; its data goes with it."""
    folder = TemporaryDirectory()
    atexit.register(folder.cleanup)
    return create_app(environment(folder.name))


def text(data: bytes) -> str:
    """Return what a form has when a browser sends these bytes."""
    return data.decode("utf-8", "replace")


def seeds() -> dict[Callable[[bytes], None], list[bytes]]:
    """Return what to begin with, for each target: for the panels, what the sandbox answers to each endpoint."""
    with serve() as server:
        asked = {"i": NATIVE_TOKENS["alice"]}
        names = ("i", "i/notifications", "meta", "notes/timeline", "drive", "drive/files")
        answers = [requests.post(f"{server.origin}/api/{name}", json=asked, timeout=60).content for name in names]
    repeated = [answer.replace(b"plants", TOKEN.encode()) for answer in answers]
    return {
        signin_form: [*(f"{typed}\0".encode("utf-8", "replace") for typed in NASTY), b"misskey.io\0own\0write:notes"],
        token_form: [b"misskey.io\0abc", "misskey.io\0 あ".encode()],
        panels: [
            *answers,
            *repeated,
            *(json.dumps([entry]).encode() for answer in answers[1::2] for entry in json.loads(answer)),
        ],
    }
