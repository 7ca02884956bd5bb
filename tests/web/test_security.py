"""Headers, cross-site checks, rate limits, proxies."""

from __future__ import annotations

import io
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from flask import Flask, Response
from gunicorn.http.errors import InvalidChunkSize
from werkzeug.test import TestResponse

from app import create_app
from sandbox import Running
from tests.cast import Visitor, environment
from web.security import MAX_COOKIES, csrf

PRODUCTION = {"PUBLIC_URL": "https://signin.example"}
HTTPS = {"base_url": "https://signin.example"}


def changing() -> tuple[list[str], list[str]]:
    """Every address that changes something, and those of them whose form is shown again when it is refused."""
    with tempfile.TemporaryDirectory() as folder:
        app = create_app(environment(Path(folder)))
    posts, forms = [], []
    for rule in app.url_map.iter_rules():
        if "POST" in (rule.methods or ()):
            view = app.view_functions[rule.endpoint]
            posts.append(re.sub("<.*?>", "0123456789abcdef", rule.rule))
            if f"{view.__module__}.{view.__name__}" in csrf._exempt_views:
                forms.append(posts[-1])
    return sorted(posts), sorted(forms)


EVERY_POST, FORMS = changing()


def test_every_answer_has_the_strict_headers(alice: Visitor, sandbox: Running) -> None:
    strict = {
        "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        f"connect-src 'self'; manifest-src 'self'; form-action 'self' https: {sandbox.origin}; base-uri 'none'; "
        "frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    }
    for path in ("/", "/signin", "/dashboard", "/dashboard/profile", "/no-such-page", "/callback", "/static/app.css"):
        with alice.get(path) as answer:
            assert {name: answer.headers.get(name) for name in strict} == strict


def test_nothing_but_static_files_is_cached(alice: Visitor) -> None:
    for path in ("/", "/signin", "/dashboard", "/dashboard/profile", "/no-such-page", "/callback"):
        assert alice.get(path).headers["Cache-Control"] == "no-store, no-transform"
    with alice.get("/static/app.css") as answer:
        assert "no-store" not in answer.headers["Cache-Control"]
    alice.app.view_functions["pages.privacy"] = lambda: Response("", headers={"cache-control": "public"})
    assert alice.get("/privacy").headers.get_all("Cache-Control") == ["no-store, no-transform"]  # whatever a view says


def test_in_production_no_private_server_is_named_to_strangers(make_app: Callable[..., Flask]) -> None:
    app = make_app(**PRODUCTION, PRIVATE_SERVERS="http://inner.lan:3000 https://other.lan")
    for path in ("/", "/signin/token", "/nowhere", "/healthz"):
        answer = app.test_client().get(path, **HTTPS)
        assert "form-action 'self' https: http:;" in answer.headers["Content-Security-Policy"]
        assert ".lan" not in answer.text + str(answer.headers)


@pytest.mark.parametrize("private", ["", " http://a.lan:3000 http://b.lan:3000"])
def test_forms_may_lead_to_any_https_server_and_to_the_private_ones(
    make_app: Callable[..., Flask], private: str
) -> None:
    policy = (
        make_app(PRIVATE_SERVERS=f"https://c.lan{private}").test_client().get("/").headers["Content-Security-Policy"]
    )

    assert f"form-action 'self' https:{private};" in policy


def test_forms_may_lead_to_a_private_server_at_an_ipv6_address(make_app: Callable[..., Flask]) -> None:
    """Browsers know no way to name one in a policy."""
    app = make_app(PRIVATE_SERVERS="http://[::1]:3000")

    policy = app.test_client().get("/").headers["Content-Security-Policy"]
    assert "form-action 'self' https: http:;" in policy


def test_in_production_the_cookie_and_the_headers_ask_for_https(make_app: Callable[..., Flask]) -> None:
    answer = make_app(**PRODUCTION).test_client().get("/", **HTTPS)

    cookie = answer.headers["Set-Cookie"]
    assert cookie.startswith("__Host-session=")
    assert set(cookie.split("; ")[1:]) == {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"}  # and no Domain
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


@pytest.mark.parametrize("host", ["localhost", "signin.localhost"])
def test_no_other_app_on_this_machine_is_led_to_https(make_app: Callable[..., Flask], host: str) -> None:
    """Browsers keep HSTS for a host name, whatever the port: also that of ``make run``."""
    app = make_app(PUBLIC_URL=f"https://{host}")

    assert "Strict-Transport-Security" not in app.test_client().get("/", base_url=f"https://{host}").headers


def test_a_form_from_hours_ago_needs_no_referer(
    make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make_app(**PRODUCTION).test_client()
    with monkeypatch.context() as earlier:
        earlier.setattr("itsdangerous.timed.time", SimpleNamespace(time=lambda: time.time() - 7200))
        page = client.get("/signin", **HTTPS).text
    [token] = set(re.findall('csrf_token" value="(.+?)"', page))

    assert client.post("/signout", data={"csrf_token": token}, **HTTPS).status_code == 303


def test_a_panel_sends_no_cookie(alice: Visitor) -> None:
    """Coming late, it would undo what another answer did to the sign-in."""
    alice.get("/dashboard")
    assert "Set-Cookie" not in alice.get("/dashboard/profile").headers


def test_in_development_the_cookie_has_a_name_that_no_other_app_on_this_machine_has(
    make_app: Callable[..., Flask],
) -> None:
    """Whichever their ports, they share cookies: another Flask app, another copy of this one."""
    names = {
        make_app(PUBLIC_URL=url).test_client().get("/", base_url=url).headers["Set-Cookie"].partition("=")[0]
        for url in ("http://localhost", "http://localhost:8000", "http://localhost:9000")
    }

    assert names == {"miauth_session_80", "miauth_session_8000", "miauth_session_9000"}


def with_cookies(alice: Visitor, *cookies: bytes) -> TestResponse:
    """Ask for the dashboard with these cookies as bytes; in them, %s is the value of Alice's own."""
    own = alice.client.get_cookie(alice.cookie_name)
    assert own
    sent = b"; ".join(cookies).replace(b"%s", own.value.encode()).decode("latin-1")
    return alice.app.test_client(use_cookies=False).get("/dashboard", environ_overrides={"HTTP_COOKIE": sent})


@pytest.mark.parametrize(
    "other",
    [b"a=\xff", b"\xfe=b", "名前=値".encode("shift_jis"), "名前=値".encode(), b'a="\xe3\x81', b"=; ;;a==b", b"\0=\0"],
)
def test_cookies_of_other_apps_in_whatever_encoding_are_no_matter(alice: Visitor, other: bytes) -> None:
    """All apps below one domain can set cookies for it."""
    own = f"{alice.cookie_name}=%s".encode()

    assert with_cookies(alice, other, own).status_code == 200
    assert with_cookies(alice, own, other).status_code == 200
    assert with_cookies(alice, own, b"a=" + "あ".encode() * MAX_COOKIES).status_code == 200


@pytest.mark.parametrize("before", [b"\xff", b"\xa0", b"\x0b", b"\x1c", *map(str.encode, "\x85\xa0\u2000\u3000\ufeff")])
def test_a_cookie_whose_name_only_looks_like_the_apps_own_is_another_one(alice: Visitor, before: bytes) -> None:
    """Browsers let neighbours set it, as it does not begin with “__Host-”."""
    assert with_cookies(alice, before + f"{alice.cookie_name}=%s".encode()).location == "/"
    assert with_cookies(alice, f"{alice.cookie_name}".encode() + before + b"=%s").location == "/"


@pytest.mark.parametrize("path", ["/", "/callback", "/dashboard/profile"])
def test_an_address_in_whatever_encoding_is_read(alice: Visitor, path: str) -> None:
    """Not every server in front refuses what is not percent-encoded."""
    answer = alice.get(path, environ_overrides={"QUERY_STRING": "session=\xff&a=\xe3\x81\x82&until="})

    assert answer.status_code in (200, 303, 400)


@pytest.mark.parametrize("scheme", ["", "https://x:99999999/", "http://[", "javascript", "https, http", "\xff"])
def test_a_scheme_that_is_none_breaks_nothing(make_app: Callable[..., Flask], sandbox: Running, scheme: str) -> None:
    """A proxy can pass on what a stranger sent it as `X-Forwarded-Proto`."""
    visitor = Visitor(make_app(TRUSTED_PROXIES="1"), sandbox)

    headers = {"X-Forwarded-Proto": scheme, "Origin": "http://localhost:8001", "Host": "localhost:8001"}
    assert visitor.post("/signin/cancel", headers=headers).status_code == 303


def test_in_development_nothing_asks_for_https(visitor: Visitor) -> None:
    answer = visitor.get("/")

    assert "Secure" not in answer.headers["Set-Cookie"]
    assert "Strict-Transport-Security" not in answer.headers


@pytest.mark.parametrize("path", EVERY_POST)
def test_a_change_needs_the_token_of_a_page(alice: Visitor, path: str) -> None:
    answer = alice.client.post(path, data={"host": "misskey.io", "text": "hello", "csrf_token": "made up"})

    shown_again = path in FORMS
    assert answer.status_code == (422 if shown_again else 400)
    assert ("open for a long time" if shown_again else "This page was too old") in answer.text
    assert alice.get("/dashboard").status_code == 200


@pytest.mark.parametrize(("path", "name"), [("/signin", "host"), ("/signin/token", "host")])
def test_a_form_that_was_left_open_keeps_what_was_typed(alice: Visitor, path: str, name: str) -> None:
    answer = alice.client.post(path, data={name: "typed with care", "csrf_token": "from long ago"})

    assert "typed with care" in answer.text
    assert "What you typed is still here" in answer.text


@pytest.mark.parametrize("path", EVERY_POST)
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "null", "Sec-Fetch-Site": "cross-site"},
        {"Origin": "null", "Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://[broken"},
    ],
)
def test_a_change_from_another_site_is_refused(alice: Visitor, path: str, headers: dict[str, str]) -> None:
    answer = alice.post(path, {"host": "misskey.io", "text": "hello"}, headers=headers)

    assert answer.status_code == 400
    assert alice.get("/dashboard").status_code == 200


@pytest.mark.parametrize("path", EVERY_POST)
def test_without_an_origin_the_token_of_the_page_decides(alice: Visitor, path: str) -> None:
    """As browsers send their own site's forms under ``Referrer-Policy: no-referrer``."""
    headers = {"Origin": "null", "Sec-Fetch-Site": "same-origin"}
    own = alice.csrf_token()

    answers = [alice.client.post(path, data={"csrf_token": token}, headers=headers) for token in ("made up", "", own)]

    refused = ("open for a long time", "This page was too old")
    assert [any(words in answer.text for words in refused) for answer in answers] == [True, True, False]


@pytest.mark.parametrize("path", EVERY_POST)
def test_a_link_changes_nothing(alice: Visitor, sandbox: Running, path: str) -> None:
    """Nothing looks for a token in it, so it may not even reach the view; a form reads only what was posted."""
    asked = len(sandbox.requests)

    assert alice.get(path).status_code == 405 or path in FORMS

    assert not [call for _, call in sandbox.requests[asked:] if call.endswith(("/create", "/delete", "/check"))]
    assert alice.get("/dashboard").status_code == 200


def test_every_way_to_sign_in_and_out_is_under_test() -> None:
    assert {"/signin", "/signin/resume", "/signin/token", "/signout", "/signout/everywhere"} <= set(EVERY_POST)
    assert {"/signin", "/signin/token"} <= set(FORMS)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_what_changes_nothing_is_answered_whoever_asks(visitor: Visitor, method: str) -> None:
    """As a monitor does, which has no cookie, or a page of another site."""
    assert visitor.client.open("/", method=method, headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


@pytest.mark.parametrize("site", ["same-origin", "none"])  # none: the person did it, as when a tab is restored
def test_own_pages_may_change_things(alice: Visitor, site: str) -> None:
    headers = {"Sec-Fetch-Site": site, "Origin": "http://localhost"}

    assert alice.post("/signout", headers=headers).status_code == 303


def test_own_pages_may_change_things_at_whichever_port_they_were_asked_for(alice: Visitor) -> None:
    """As while developing, when the port that the settings name was taken."""
    here = "http://localhost:8001"

    assert alice.post("/signout", base_url=here, headers={"Origin": here}).status_code == 303


def test_own_pages_may_change_things_at_the_address_that_trusted_proxies_tell(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    person = Visitor(make_app(TRUSTED_PROXIES="2", PRIVATE_SERVERS=sandbox.origin), sandbox)
    person.sign_in("alice")
    headers = {"X-Forwarded-Proto": "https, http", "X-Forwarded-Host": "localhost:8443, inner.lan"}

    assert person.post("/signout", headers={**headers, "Origin": "https://localhost:8443"}).status_code == 303


def test_signing_in_renews_the_cookie(visitor: Visitor) -> None:
    before, planted = visitor.csrf_token(), visitor.twin()
    visitor.sign_in()

    assert visitor.client.post("/signout", data={"csrf_token": before}).status_code == 400
    assert planted.get("/dashboard").location == "/"


def test_too_many_sign_ins_are_asked_to_wait(make_app: Callable[..., Flask], sandbox: Running) -> None:
    busy = Visitor(make_app(SIGNIN_LIMIT="2 per minute", PRIVATE_SERVERS=sandbox.origin), sandbox)
    busy.begin()
    busy.begin()

    answer = busy.post("/signin", {"host": sandbox.origin})

    assert answer.status_code == 429
    assert answer.headers["Retry-After"] == "60"
    assert "Wait 60 seconds" in answer.text


@pytest.mark.parametrize(
    ("proxies", "forwarded", "same"),
    [
        ("0", ("198.51.100.1", "198.51.100.2"), True),
        ("1", ("198.51.100.1", "198.51.100.2"), False),
        ("1", ("203.0.113.9, 198.51.100.1", "203.0.113.8, 198.51.100.1"), True),
        ("1", ("2001:db8::1", "2001:db8::2"), True),
        ("1", ("2001:db8::1", "2001:db8:0:1::1"), False),
        ("2", ("198.51.100.1, 10.0.0.1", "198.51.100.2, 10.0.0.1"), False),
        ("2", ("198.51.100.1, 10.0.0.1", "198.51.100.1, 10.0.0.2"), True),
    ],
)
def test_visitors_are_told_apart_by_what_trusted_proxies_say(
    make_app: Callable[..., Flask], sandbox: Running, proxies: str, forwarded: tuple[str, str], same: bool
) -> None:
    app = make_app(SIGNIN_LIMIT="1 per minute", TRUSTED_PROXIES=proxies, PRIVATE_SERVERS=sandbox.origin)
    statuses = [
        Visitor(app, sandbox).post("/signin", {"host": "x"}, headers={"X-Forwarded-For": addresses}).status_code
        for addresses in forwarded
    ]

    assert statuses == [422, 429 if same else 422]


@pytest.mark.parametrize(
    ("proxies", "scheme", "host"), [("1", "https", "signin.example"), ("2", "https, http", "signin.example, inner.lan")]
)
def test_behind_a_proxy_the_public_address_is_used(
    make_app: Callable[..., Flask], proxies: str, scheme: str, host: str
) -> None:
    app = make_app(**PRODUCTION, TRUSTED_PROXIES=proxies)
    headers = {"X-Forwarded-Proto": scheme, "X-Forwarded-Host": host, "X-Forwarded-Prefix": "/a stranger's"}

    answer = app.test_client().get("/", headers=headers)
    assert answer.status_code == 200
    assert 'action="/signin"' in answer.text


def test_a_form_that_is_too_large_is_told(visitor: Visitor) -> None:
    answer = visitor.post("/signin", {"host": "x" * 300_000})

    assert answer.status_code == 413
    assert "too much at once" in answer.text


class NoChunk(io.RawIOBase):
    """A body in whose middle gunicorn finds what is no chunk."""

    def readinto(self, _buffer: object) -> int:
        raise InvalidChunkSize(b"no chunk")


def test_a_form_that_can_not_be_read_to_its_end_is_told(visitor: Visitor, caplog: pytest.LogCaptureFixture) -> None:
    visitor.get("/signin")
    body = {"wsgi.input": NoChunk(), "wsgi.input_terminated": True}

    answer = visitor.client.post("/signin", content_type="application/x-www-form-urlencoded", environ_overrides=body)

    assert answer.status_code == 400
    assert "Traceback" not in caplog.text


def test_a_form_that_is_too_large_and_too_often_sent_is_told(
    make_app: Callable[..., Flask], sandbox: Running, caplog: pytest.LogCaptureFixture
) -> None:
    busy = Visitor(make_app(SIGNIN_LIMIT="1 per minute", PRIVATE_SERVERS=sandbox.origin), sandbox)
    busy.begin()

    answer = busy.post("/signin", {"host": "x" * 300_000})

    assert answer.status_code == 413
    assert "too much at once" in answer.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("address", "same"),
    [("203.0.113.9:51234", "203.0.113.9:4"), ("[2001:db8::1]:4", "2001:db8::2"), ("unknown", "unknown")],
)
def test_odd_addresses_from_a_proxy_are_counted_too(
    make_app: Callable[..., Flask], sandbox: Running, address: str, same: str
) -> None:
    app = make_app(SIGNIN_LIMIT="1 per minute", TRUSTED_PROXIES="1", PRIVATE_SERVERS=sandbox.origin)
    statuses = [
        Visitor(app, sandbox).post("/signin", {"host": "x"}, headers={"X-Forwarded-For": text}).status_code
        for text in (address, same)
    ]

    assert statuses == [422, 429]


@pytest.mark.parametrize(("proxies", "times"), [("0", 1), ("1", 0)])
def test_a_proxy_that_the_settings_do_not_count_is_told_in_the_log_once(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture, proxies: str, times: int
) -> None:
    client = make_app(**PRODUCTION, TRUSTED_PROXIES=proxies).test_client()
    for _ in range(3):
        client.get("/readyz", headers={"X-Forwarded-For": "203.0.113.9"})

    assert caplog.text.count("MIAUTH_TRUSTED_PROXIES is 0") == times


def test_ipv4_visitors_at_an_ipv6_socket_are_told_apart(make_app: Callable[..., Flask], sandbox: Running) -> None:
    app = make_app(SIGNIN_LIMIT="1 per minute", PRIVATE_SERVERS=sandbox.origin)
    statuses = [
        Visitor(app, sandbox).post("/signin", {"host": "x"}, environ_base={"REMOTE_ADDR": address}).status_code
        for address in ("::ffff:203.0.113.1", "::ffff:203.0.113.2")
    ]

    assert statuses == [422, 422]


def test_links_from_elsewhere_do_not_use_up_callbacks(make_app: Callable[..., Flask], sandbox: Running) -> None:
    visitor = Visitor(make_app(SIGNIN_LIMIT="2 per minute", PRIVATE_SERVERS=sandbox.origin), sandbox)
    for _ in range(5):
        assert visitor.get("/callback?session=made-up").status_code == 400

    session_id = visitor.begin()
    assert [visitor.get(f"/callback?session={session_id}").status_code for _ in range(3)] == [403, 403, 429]


def test_a_form_from_long_ago_is_counted_as_well(make_app: Callable[..., Flask], sandbox: Running) -> None:
    visitor = Visitor(make_app(SIGNIN_LIMIT="1 per minute", PRIVATE_SERVERS=sandbox.origin), sandbox)
    visitor.get("/")
    statuses = [visitor.client.post("/signin", data={"host": "x", "csrf_token": "old"}).status_code for _ in range(2)]

    assert statuses == [422, 429]


def test_a_port_beside_the_apps_own_is_another_site(alice: Visitor) -> None:
    assert alice.post("/signout", headers={"Origin": "http://localhost:3000"}).status_code == 400


@pytest.mark.parametrize("path", FORMS)
def test_a_form_reads_only_what_a_form_sends(alice: Visitor, path: str) -> None:
    headers = {"X-CSRFToken": alice.csrf_token()}

    for body in ({"host": 5, "text": 5}, [1], "text", None):
        assert alice.client.post(path, json=body, headers=headers).status_code == 422
    files = {"host": (io.BytesIO(b"x"), "x"), "text": (io.BytesIO(b"x"), "x"), "csrf_token": alice.csrf_token()}
    assert alice.client.post(path, data=files).status_code == 422


@pytest.mark.parametrize("name", ["a", "aa"])  # one of them has the bound in the middle of a letter
def test_more_cookies_than_are_read_lock_nobody_out(visitor: Visitor, name: str) -> None:
    letters = "é".encode().decode("latin-1") * MAX_COOKIES

    answer = visitor.app.test_client(use_cookies=False).get("/", headers={"Cookie": f"{name}={letters}"})

    assert answer.status_code == 200
