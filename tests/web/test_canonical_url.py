"""Everybody at one address, and circles told."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from tests.cast import Visitor


@pytest.mark.parametrize(
    ("scheme", "trusted", "status"), [("http", "1", 303), ("https", "1", 200), ("", "1", 200), ("http", "0", 200)]
)
def test_in_production_a_browser_that_came_over_http_is_led_to_https(
    make_app: Callable[..., Flask], scheme: str, trusted: str, status: int
) -> None:
    """Its cookie would be lost on the way; only what a trusted proxy says of it is believed."""
    app = make_app(PUBLIC_URL="https://signin.example", TRUSTED_PROXIES=trusted)
    headers = {"Host": "signin.example", "X-Forwarded-Proto": scheme} if scheme else {"Host": "signin.example"}

    answer = app.test_client().get("/signin?host=misskey.io", headers=headers)

    assert answer.status_code == status
    assert status == 200 or answer.location == "https://signin.example/signin?host=misskey.io"


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example", "[::1", "localhost.evil.example"])
def test_another_host_name_leads_to_the_apps_own(visitor: Visitor, host: str) -> None:
    answer = visitor.client.get("/callback?session=1", headers={"Host": host})

    assert (answer.status_code, answer.location) == (303, "http://localhost/callback?session=1")


def test_a_form_sent_to_another_host_name_begins_anew(visitor: Visitor) -> None:
    answer = visitor.client.post("/signin", headers={"Host": "127.0.0.1"})

    assert (answer.status_code, answer.location) == (303, "http://localhost/")


def test_health_is_told_at_any_host_name(visitor: Visitor) -> None:
    assert visitor.client.get("/healthz", headers={"Host": "10.0.0.5"}).text == "ok\n"
    assert visitor.client.get("/readyz", headers={"Host": "10.0.0.5"}).text == "ready\n"


@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example", "[::1", "localhost.evil.example", "x" * 300])
@pytest.mark.parametrize(
    ("path", "query"),
    [
        (b"/x\r\nSet-Cookie: a=b", b""),
        (b"/callback", b"session=%0d%0aSet-Cookie:a=b"),
        (b"/\x00\x7f", b"\xff%ff"),
        (b"/\xff\xfe", b""),
        (b"/\\evil.example", b""),
        (b"//evil.example//signin", b"a=//evil.example"),
        (b"@evil.example/", b"@evil.example"),
        (b"/?#%", b"?#%"),
        ("/あ".encode(), "あ".encode()),
        (b"", b""),
    ],
)
def test_no_address_leads_from_another_host_name_anywhere_but_home(
    visitor: Visitor, host: str, path: bytes, query: bytes
) -> None:
    environ = {"PATH_INFO": path.decode("latin-1"), "QUERY_STRING": query.decode("latin-1"), "HTTP_HOST": host}

    answer = visitor.client.get("/", environ_overrides=environ)

    assert answer.status_code == 303
    assert re.fullmatch(r"http://localhost/(?!/)[!-~]*", answer.location)
    assert "Set-Cookie" not in answer.headers


def circle(app: Flask, headers: dict[str, str]) -> TestResponse:
    """Follow where the app leads, through a proxy that always says the same, as far as browsers do."""
    answers = (app.test_client().get("/signin", headers=headers) for _ in range(20))
    return next(answer for answer in answers if answer.status_code != 303)


@pytest.mark.parametrize("public_url", ["https://signin.example", "http://localhost:8000"])
@pytest.mark.parametrize(
    ("proxies", "headers"),
    [
        ("0", {"Host": "127.0.0.1:8000"}),
        ("0", {"Host": "app:8000"}),
        ("0", {"Host": "upstream.example"}),
        ("0", {"Host": ""}),
        ("1", {"Host": "app:8000", "X-Forwarded-Proto": "https"}),
        ("0", {"Host": "app:8000", "X-Forwarded-Host": "signin.example"}),
        ("2", {"Host": "app:8000", "X-Forwarded-Host": "signin.example"}),
        ("1", {"Host": "app:8000", "X-Forwarded-Host": "signin.example, inner:80"}),
    ],
)
def test_a_proxy_that_does_not_pass_the_host_is_told_in_the_page_and_once_in_the_log(
    make_app: Callable[..., Flask],
    caplog: pytest.LogCaptureFixture,
    public_url: str,
    proxies: str,
    headers: dict[str, str],
) -> None:
    app = make_app(PUBLIC_URL=public_url, TRUSTED_PROXIES=proxies)

    answers = [circle(app, headers) for _ in range(2)]

    for answer in answers:
        assert answer.status_code == 503
        assert "not set up right" in answer.text
        assert "proxy_set_header Host $host;" in answer.text
        for inner in ("app:8000", "upstream", "inner:80"):  # strangers read it
            assert inner not in answer.text
    (told,) = [record.getMessage() for record in caplog.records if "in a circle" in record.getMessage()]
    assert public_url in told
    assert f"MIAUTH_TRUSTED_PROXIES={proxies}" in told
    assert headers.get("X-Forwarded-Host", headers["Host"]) in told


def test_a_proxy_that_takes_https_for_http_is_told(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app(PUBLIC_URL="https://signin.example", TRUSTED_PROXIES="1")

    answer = circle(app, {"Host": "signin.example", "X-Forwarded-Proto": "http"})

    assert answer.status_code == 503
    assert "X-Forwarded-Proto" in answer.text
    assert "X-Forwarded-Proto 'http'" in caplog.text


def test_what_the_log_says_of_a_proxy_is_one_short_line(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    circle(make_app(), {"Host": "app", "X-Forwarded-Host": "\x1b[31m" + "x" * 5000})

    (told,) = [record.getMessage() for record in caplog.records if "in a circle" in record.getMessage()]
    assert told.isprintable()
    assert len(told) < 1500


def test_who_comes_under_another_name_is_led_over_time_and_again(visitor: Visitor) -> None:
    """Health checks do so every few seconds; nothing of theirs goes in a circle."""
    for host in ("127.0.0.1", "10.0.0.5", "127.0.0.1"):
        for path in ("/", "/signin", "/dashboard"):
            assert visitor.client.get(path, headers={"Host": host}).location == f"http://localhost{path}"
            assert visitor.client.post(path, headers={"Host": host}).location == "http://localhost/"


def test_the_page_about_the_proxy_has_its_style(visitor: Visitor) -> None:
    with visitor.client.get("/static/app.css", headers={"Host": "app:8000"}) as answer:
        assert answer.status_code == 200
