"""Pictures from remote servers: only those that a page shows, only pictures, only for people signed in."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from dataclasses import replace

import pytest
from flask import Flask, session
from werkzeug.test import TestResponse

from demo.picture_proxy import MAX_BYTES, picture
from sandbox import Running
from tests.cast import SECRET_KEY, Visitor
from tests.hostile import Behaviour, answers, moved_to, redirects, says, serve

PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 20


def address(visitor: Visitor, url: object) -> str:
    """Where the app shows a picture to somebody."""
    with visitor.app.test_request_context():
        session["accounts"] = visitor.cookie().get("accounts", [])
        return picture(url)


def test_a_page_shows_portraits_through_the_app(alice: Visitor) -> None:
    page = "".join(alice.get(f"/dashboard/{name}").text for name in ("timeline", "profile", "drive"))
    found = re.findall(r'<img src="(/media[^"]+)"', page)
    assert len(found) > 10

    answers = [alice.get(html.unescape(place)) for place in found]  # also through the server's media proxy
    assert {(answer.status_code, answer.content_type) for answer in answers} == {(200, "image/png")}
    answer = answers[0]
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
    assert answer.headers["Cache-Control"] == "no-store, no-transform"


def test_a_page_that_was_open_when_the_secret_key_changed_keeps_its_pictures(
    make_app: Callable[..., Flask], sandbox: Running, alice: Visitor
) -> None:
    (place, *_) = re.findall(r'<img src="(/media[^"]+)"', alice.get("/dashboard/profile").text)
    app = make_app(PRIVATE_SERVERS=sandbox.origin, SECRET_KEY="another", SECRET_KEY_FALLBACKS=SECRET_KEY)

    assert alice.twin(app).get(html.unescape(place)).status_code == 200


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (PNG, "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", "image/webp"),
        (b"\x00\x00\x00\x1cftypavif", "image/avif"),
    ],
)
def test_the_kind_is_what_the_picture_is_not_what_the_server_says(
    alice: Visitor, app: Flask, body: bytes, kind: str
) -> None:
    answer = fetch(alice, app, answers(200, body, "Content-Type: text/html"))

    assert (answer.status_code, answer.content_type, answer.data) == (200, kind, body)


@pytest.mark.parametrize(
    "behaviour",
    [
        answers(200, b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"),
        answers(200, b"<html>", "Content-Type: image/png"),
        answers(200, b""),
        answers(200, PNG + bytes(MAX_BYTES)),
        says({"error": {}}),
    ],
    ids=["svg", "html", "nothing", "too large", "json"],
)
def test_what_is_no_picture_is_not_passed_on(alice: Visitor, app: Flask, behaviour: Behaviour) -> None:
    assert fetch(alice, app, behaviour).status_code == 502


def fetch(visitor: Visitor, app: Flask, behaviour: Behaviour) -> TestResponse:
    """Have ``visitor`` look at a picture of a server of this kind, as its page would show it."""
    with moved_to(behaviour, visitor) as hostile:
        return visitor.get(address(visitor, f"{hostile.origin}/files/a%20b.png?x=1#y"))


@pytest.mark.parametrize(
    "url",
    [
        None,
        5,
        "",
        "javascript:alert(1)",
        "data:image/png;base64,AA",
        "http://misskey.example/a.png",
        "https://127.0.0.1/a.png",
        "https://misskey.example:8443/a.png",
        "https://user@misskey.example/a.png",
        "https://misskey.example",
        "https://misskey.example/a b.png",
        "https://misskey.example/é.png",
        "https://misskey.example/" + "a" * 2000,
        "//misskey.example/a.png",
        "https://[/a.png",
    ],
)
def test_addresses_that_the_app_would_not_go_to_are_no_pictures(alice: Visitor, url: object) -> None:
    assert address(alice, url) == ""
    assert address(alice, "https://misskey.example/a.png") != ""


def portrait(alice: Visitor) -> str:
    """Where the app shows Alice her own portrait, which is there."""
    place = html.unescape(re.findall('<img src="(/media[^"]+)"', alice.get("/dashboard/profile").text)[0])
    assert alice.get(place).status_code == 200
    return place


def test_only_addresses_that_a_page_signed_are_fetched(alice: Visitor, sandbox: Running) -> None:
    unsigned, _, _ = portrait(alice).rpartition(".")
    before = len(sandbox.requests)

    assert alice.get("/media?of=made-up").status_code == 404
    assert alice.get(unsigned).status_code == 404
    assert alice.get(f"{unsigned}.AAAA").status_code == 404
    assert alice.get("/media").status_code == 404
    assert len(sandbox.requests) == before


def test_a_picture_is_for_the_account_whose_page_shows_it(alice: Visitor, visitor: Visitor, sandbox: Running) -> None:
    place = portrait(alice)
    assert address(visitor, f"{sandbox.origin}/files/none") == ""
    assert visitor.get(place).status_code == 303

    visitor.sign_in("bob")
    assert visitor.get(place).status_code == 401
    of_bob = portrait(visitor).partition("&")[0]
    assert visitor.get(f"{of_bob}&{place.partition('&')[2]}").status_code == 404


def test_another_private_server_is_not_looked_at(alice: Visitor, app: Flask) -> None:
    with serve(answers(200, PNG)) as inner:
        both = (inner.origin, alice.sandbox.origin)
        app.extensions["settings"] = replace(app.extensions["settings"], private_servers=both)

        assert alice.get(address(alice, f"{inner.origin}/x.png")).status_code == 404
        assert inner.connections == 0


def test_a_picture_that_is_not_there_is_not_there_here_either(alice: Visitor, sandbox: Running) -> None:
    assert alice.get(address(alice, f"{sandbox.origin}/files/none")).status_code == 404


def test_a_picture_that_is_elsewhere_is_not_followed(
    alice: Visitor, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    """Servers without drawn portraits lead to one and the same: too usual for a line in the log each time."""
    assert fetch(alice, app, redirects(302, "/static-assets/avatar.png")).status_code == 404
    assert "InvalidAnswer" not in caplog.text


def test_portraits_stand_still(alice: Visitor) -> None:
    """Some move, or flash: nobody could stop them, and there is one beside each note."""
    with moved_to(answers(200, PNG), alice) as server:
        for path in ("/proxy/avatar.webp?url=x&avatar=1", "/proxy/avatar.webp?avatar=1&url=x", "/a.png?x=avatar=1"):
            assert alice.get(address(alice, server.origin + path)).status_code == 200

    assert [request.path for request in server.requests] == [
        "/proxy/avatar.webp?url=x&avatar=1&static=1",
        "/proxy/avatar.webp?avatar=1&url=x&static=1",
        "/a.png?x=avatar=1",
    ]


def test_a_server_learns_nothing_of_who_looks(alice: Visitor) -> None:
    of_the_browser = {"Referer": "http://localhost/dashboard", "User-Agent": "Alice's", "Accept-Language": "ja"}
    with moved_to(answers(200, PNG), alice) as server:
        alice.get(address(alice, f"{server.origin}/a.png"), headers=of_the_browser)

    (request,) = server.requests
    assert set(request.headers) == {"host", "user-agent", "accept", "accept-encoding"}
    assert "Alice" not in request.headers["user-agent"]
