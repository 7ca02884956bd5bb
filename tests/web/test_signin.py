"""The sign-in journey, as the app's own server sees it."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask
from itsdangerous import URLSafeSerializer

from misskey import PERMISSIONS
from sandbox import Misbehaviour, Running, serve
from tests import hostile
from tests.cast import FIRST_PAGE, SECRET_KEY, Visitor, query
from tests.hostile import ALICE, TOKEN, Behaviour, Caller, Hostile, http
from web import config, pending_signins


def title(page: str) -> str:
    found = re.search(r"<h1[^>]*>(.*?)</h1>", page, re.DOTALL)
    assert found, page
    return found[1].strip()


def test_the_form_leads_to_the_server_with_everything_it_needs(visitor: Visitor, sandbox: Running) -> None:
    answer = visitor.post("/signin", {"host": sandbox.origin, "permission": ["read:account", "write:notes"]})

    assert answer.status_code == 303
    assert answer.location.startswith(f"{sandbox.origin}/miauth/")
    assert query(answer.location) == {
        "name": config.APP_NAME,
        "callback": "http://localhost/callback",
        "permission": "read:account,write:notes",
    }


def test_the_session_id_is_a_fresh_random_uuid(visitor: Visitor) -> None:
    first, second = (uuid.UUID(visitor.begin()) for _ in range(2))

    assert first.version == second.version == 4
    assert first != second


def test_without_the_permission_field_the_settings_decide(visitor: Visitor, app: Flask, sandbox: Running) -> None:
    answer = visitor.post("/signin", {"host": sandbox.origin})

    assert query(answer.location)["permission"].split(",") == list(app.extensions["permissions"])


def test_an_empty_permission_field_asks_for_identity_only(visitor: Visitor, sandbox: Running) -> None:
    answer = visitor.post("/signin", {"host": sandbox.origin, "permission": ""})

    assert "permission" not in query(answer.location)


def test_an_unknown_permission_is_told_at_the_form(visitor: Visitor, sandbox: Running) -> None:
    answer = visitor.post("/signin", {"host": sandbox.origin, "permission": ["read:account", "read:minds"]})

    assert answer.status_code == 422
    assert "Misskey does not have" in answer.text
    assert f'value="{sandbox.origin}"' in answer.text


def test_whoever_allows_it_is_signed_in(visitor: Visitor) -> None:
    answer = visitor.sign_in("alice")

    assert (answer.status_code, answer.location) == (303, FIRST_PAGE)
    assert "Hello, Alice" in visitor.get("/dashboard").text
    assert visitor.get("/").location == FIRST_PAGE


def test_a_slash_after_an_address_changes_nothing(visitor: Visitor) -> None:
    assert visitor.get("/signin/").status_code == 200
    session_id = visitor.begin()
    visitor.allow(session_id)

    assert visitor.get(f"/callback/?session={session_id}").location == FIRST_PAGE
    assert "Hello, Alice" in visitor.get("/dashboard/").text
    assert visitor.post("/signout/").status_code == 303


def test_the_form_stays_open_for_another_account(alice: Visitor) -> None:
    assert alice.get("/signin").status_code == 200


def test_a_mistyped_server_is_told_beside_the_field_with_the_text_kept(visitor: Visitor) -> None:
    answer = visitor.post("/signin", {"host": "misskey"})

    assert answer.status_code == 422
    assert "The ending is missing" in answer.text
    assert 'value="misskey"' in answer.text
    assert 'aria-describedby="host-help host-error"' in answer.text


@pytest.mark.parametrize("hyphen", ["−", "‐", "—"])
def test_in_japanese_a_sign_that_looks_like_a_hyphen_is_told_from_one(visitor: Visitor, hyphen: str) -> None:
    """Input methods of macOS and of phones put them where people press the key of the hyphen."""
    answer = visitor.post("/signin", {"host": f"misskey{hyphen}square.net"}, headers={"Accept-Language": "ja"})

    assert "半角のハイフン（-）" in answer.text


def test_a_developer_is_told_which_private_servers_work(visitor: Visitor, sandbox: Running) -> None:
    page = visitor.post("/signin", {"host": "127.0.0.1:1"}).text

    assert f"Of private servers, these work here: {urlsplit(sandbox.origin).netloc}." in page
    assert "Of private servers" not in visitor.post("/signin", {"host": "misskey.io?"}).text


def test_strangers_are_not_told_of_private_servers(make_app: Callable[..., Flask], sandbox: Running) -> None:
    app = make_app(PUBLIC_URL="https://localhost", PRIVATE_SERVERS="https://misskey.lan")
    client = app.test_client()
    https = {"base_url": "https://localhost"}
    token = client.get("/", **https).text.split('name="csrf_token" value="')[1].split('"')[0]

    answer = client.post("/signin", data={"host": "10.0.0.1", "csrf_token": token}, **https)

    assert answer.status_code == 422
    assert "misskey.lan" not in answer.text
    assert "misskey.lan" not in str(answer.headers)


@pytest.mark.parametrize(
    ("misbehaviour", "status", "words"),
    [
        (Misbehaviour.MASTODON, 422, "It runs Mastodon"),
        (Misbehaviour.MIAUTH_OFF, 422, "switched off"),
        (Misbehaviour.OLD, 422, "too old for this"),
        (Misbehaviour.PRIVATE, 422, "answers only to those who are signed in there"),
        (Misbehaviour.FORBIDDEN, 502, "firewall"),
        (Misbehaviour.NOT_JSON, 502, "gave an answer that this app can’t read"),
        (Misbehaviour.BROKEN, 502, "has a problem"),
        (Misbehaviour.RATE_LIMITED, 502, "Wait 30 seconds"),
    ],
)
def test_a_server_where_it_can_not_work_is_told_at_the_form(
    visitor: Visitor, sandbox: Running, misbehaviour: Misbehaviour, status: int, words: str
) -> None:
    sandbox.world.misbehaviour = misbehaviour

    answer = visitor.post("/signin", {"host": sandbox.origin})

    assert answer.status_code == status
    assert words in answer.text
    assert f'value="{sandbox.origin}"' in answer.text
    assert "signin-" not in str(answer.headers)


def test_a_good_server_is_asked_what_it_is_once_in_ten_minutes(visitor: Visitor, sandbox: Running) -> None:
    visitor.begin()
    visitor.begin()

    assert sandbox.requests.count(("POST", "/api/meta")) == 1


def test_the_form_remembers_the_last_server(visitor: Visitor, sandbox: Running) -> None:
    visitor.begin()

    assert f'value="{urlsplit(sandbox.origin).netloc}"' in visitor.get("/").text


def test_another_browser_can_not_finish_a_sign_in(visitor: Visitor, app: Flask, sandbox: Running) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    bob = Visitor(app, sandbox)
    bob.get("/")

    answer = bob.get(f"/callback?session={session_id}")

    assert answer.status_code == 400
    assert title(answer.text) == "This browser did not begin this sign-in"
    assert ("POST", f"/api/miauth/{session_id}/check") not in sandbox.requests
    assert visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE


@pytest.mark.parametrize("faster", [False, True])
def test_who_allowed_what_a_stranger_began_is_told_to_remove_the_token(
    visitor: Visitor, app: Flask, sandbox: Running, faster: bool
) -> None:
    """MiAuth lets the stranger finish it, here or without this app, so the words must not comfort."""
    session_id = visitor.begin()
    led_astray = Visitor(app, sandbox)
    led_astray.allow(session_id)
    if faster:
        assert visitor.post("/signin/resume", {"session": session_id}).location == FIRST_PAGE

    page = led_astray.get(f"/callback?session={session_id}").text

    assert "they may be using your account: remove this app’s token" in page
    assert "never a link that somebody sent you" in led_astray.get("/how-it-works").text


@pytest.mark.parametrize("session_id", ["", "nonsense", "00000000-0000-4000-8000-000000000000", "%00", "a" * 5000])
def test_a_made_up_callback_does_nothing(alice: Visitor, session_id: str) -> None:
    assert alice.get(f"/callback?session={session_id}").status_code == 400
    assert alice.get("/dashboard").status_code == 200


@pytest.mark.parametrize("query", ["", "?session=", "?session%3D{0}=session%3D{0}", "?session={0}%3Fsession={0}"])
def test_who_comes_back_without_a_session_id_can_go_on_all_the_same(
    visitor: Visitor, sandbox: Running, query: str
) -> None:
    """The page where people allow it has been seen to mangle the callback's query."""
    session_id = visitor.begin()
    visitor.allow(session_id)

    answer = visitor.get(f"/callback{query.format(session_id)}")

    assert answer.status_code == 400
    assert title(answer.text) == "Your server did not say which sign-in this is"
    assert "somebody else" not in answer.text
    assert ("POST", f"/api/miauth/{session_id}/check") not in sandbox.requests
    assert f'name="session" value="{session_id}"' in answer.text
    assert visitor.post("/signin/resume", {"session": session_id}).location == FIRST_PAGE


def test_the_session_id_of_a_stranger_is_none_of_ones_own(visitor: Visitor) -> None:
    visitor.begin()

    answer = visitor.get("/callback?session=00000000-0000-4000-8000-000000000000")

    assert title(answer.text) == "This browser did not begin this sign-in"


@pytest.mark.parametrize(
    ("agent", "in_app"),
    [
        ("Mozilla/5.0 (iPhone) Safari Line/14.1.0", True),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148", True),
        ("Mozilla/5.0 (iPad; CPU OS 17_1) AppleWebKit/605.1.15 Version/17.1 Mobile/15E148 Barcelona 300.0", True),
        ("Mozilla/5.0 (Linux; Android 14; Pixel 8; wv) Chrome/120 Mobile Safari/537.36", True),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1) Version/17.1 Mobile/15E148 Safari/604.1", False),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 17_1) CriOS/120.0 Mobile/15E148 Safari/604.1", False),
        ("Mozilla/5.0 (iPad; CPU OS 17_1) FxiOS/120.0 Mobile/15E148 Safari/605.1.15", False),
        ("Mozilla/5.0 (Linux; Android 14) Chrome/120 Mobile Safari/537.36", False),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:120.0) Gecko/20100101 Firefox/120.0", False),
        ("", False),
    ],
)
def test_an_in_app_browser_is_told_how_to_get_out(visitor: Visitor, agent: str, in_app: bool) -> None:
    headers = {"User-Agent": agent}

    assert ("open in browser" in visitor.get("/callback?session=x", headers=headers).text) is in_app
    assert ("inside another app" in visitor.get("/", headers=headers).text) is in_app


def test_without_cookies_the_form_says_so(app: Flask, sandbox: Running) -> None:
    client = app.test_client(use_cookies=False)

    answer = client.post("/signin", data={"host": sandbox.origin, "csrf_token": "x"})

    assert answer.status_code == 400
    assert title(answer.text) == "Your browser did not send our cookie"


def test_not_yet_allowed_can_be_checked_again(visitor: Visitor) -> None:
    session_id = visitor.begin()

    early = visitor.get(f"/callback?session={session_id}")
    assert early.status_code == 403
    assert "not allowed yet" in title(early.text)
    assert session_id in early.text

    visitor.allow(session_id)
    assert visitor.post("/signin/resume", {"session": session_id}).location == FIRST_PAGE


def test_the_home_page_offers_to_go_on_or_to_cancel(visitor: Visitor) -> None:
    session_id = visitor.begin()
    assert "Have you allowed it at" in visitor.get("/").text

    assert visitor.post("/signin/cancel", {"session": session_id}).location == "/"

    assert "Have you allowed it at" not in visitor.get("/").text
    assert visitor.post("/signin/resume", {"session": session_id}).status_code == 410


def test_the_button_of_a_sign_in_finishes_no_other_one(visitor: Visitor) -> None:
    """As in a tab that was open when it was cancelled."""
    cancelled, other = visitor.begin(), visitor.begin()
    visitor.allow(other)
    visitor.post("/signin/cancel", {"session": cancelled})

    assert visitor.post("/signin/resume", {"session": cancelled}).status_code == 410
    assert visitor.get("/dashboard").location == "/"


def test_a_sign_in_is_valid_for_ten_minutes(visitor: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    later = time.time() + pending_signins.VALID_SECONDS + 1
    monkeypatch.setattr("web.pending_signins.time.time", lambda: later)

    answer = visitor.get(f"/callback?session={session_id}")

    assert answer.status_code == 410
    assert "took too long" in title(answer.text)
    assert not visitor.under_way()


def test_a_reload_of_the_callback_ends_in_the_same_account(alice: Visitor, sandbox: Running) -> None:
    checks = [path for _, path in sandbox.requests if path.endswith("/check")]
    session_id = checks[0].split("/")[3]

    assert alice.get(f"/callback?session={session_id}").location == FIRST_PAGE
    assert [path for _, path in sandbox.requests if path.endswith("/check")] == checks
    assert len(alice.cookie()["accounts"]) == 1


def test_a_reload_finds_the_account_also_without_the_cookie_of_its_sign_in(visitor: Visitor) -> None:
    """As when sign-ins in other tabs took its place."""
    session_id = visitor.begin()
    visitor.allow(session_id)
    visitor.get(f"/callback?session={session_id}")
    visitor.client.delete_cookie(f"signin-{session_id}")

    assert visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE


@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_used_callback_after_signing_out_is_told(visitor: Visitor, elsewhere: bool) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    visitor.get(f"/callback?session={session_id}")
    leaving = visitor
    if elsewhere:
        leaving = Visitor(visitor.app, visitor.sandbox)
        leaving.sign_in()
    leaving.post("/signout/everywhere" if elsewhere else "/signout")

    answer = visitor.get(f"/callback?session={session_id}")

    assert answer.status_code == 410
    assert title(answer.text) == "This sign-in is over"
    assert not visitor.under_way()


def test_an_old_cookie_can_not_bring_a_finished_sign_in_back(visitor: Visitor) -> None:
    session_id = visitor.begin()
    old = visitor.client.get_cookie(visitor.cookie_name)
    assert old
    visitor.allow(session_id)
    visitor.get(f"/callback?session={session_id}")
    visitor.post("/signout")
    visitor.client.set_cookie(visitor.cookie_name, old.value)

    answer = visitor.get(f"/callback?session={session_id}")

    assert answer.status_code == 410
    assert visitor.get("/dashboard").status_code == 303


def test_callbacks_at_the_same_moment_end_in_one_account(visitor: Visitor, app: Flask, sandbox: Running) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    sandbox.world.misbehaviour = Misbehaviour.SLOW
    sandbox.world.slow_seconds = 0.3
    together = threading.Barrier(6)

    def call_back(_: int) -> tuple[int, list[str]]:
        twin = visitor.twin()
        together.wait()
        answer = twin.get(f"/callback?session={session_id}")
        return answer.status_code, twin.cookie()["accounts"]

    with ThreadPoolExecutor(6) as pool:
        results = list(pool.map(call_back, range(6)))

    assert {status for status, _ in results} == {303}
    assert len({tuple(keys) for _, keys in results}) == 1
    assert [path for _, path in sandbox.requests].count(f"/api/miauth/{session_id}/check") == 1


def test_two_tabs_sign_in_at_two_servers(make_app: Callable[..., Flask], sandbox: Running) -> None:
    with serve() as other:
        app = make_app(PRIVATE_SERVERS=f"{sandbox.origin} {other.origin}")
        here = Visitor(app, sandbox)
        first, second = here.begin(sandbox.origin), here.begin(other.origin)
        here.allow(first, "alice")
        Visitor(app, other).allow(second, "bob", permissions=["read:account"])

        assert here.get(f"/callback?session={second}").location == FIRST_PAGE
        assert here.get(f"/callback?session={first}").location == FIRST_PAGE

        page = here.get("/dashboard").text
        assert f"alice@{urlsplit(sandbox.origin).netloc}" in page
        assert f"bob@{urlsplit(other.origin).netloc}" in page


def test_the_token_is_asked_only_where_the_sign_in_began(make_app: Callable[..., Flask], sandbox: Running) -> None:
    with serve() as other:
        app = make_app(PRIVATE_SERVERS=f"{sandbox.origin} {other.origin}")
        here = Visitor(app, sandbox)
        session_id = here.begin(sandbox.origin)
        here.allow(session_id)

        here.get(f"/callback?session={session_id}&host={other.origin}", headers={"Referer": other.origin})

        assert ("POST", f"/api/miauth/{session_id}/check") in sandbox.requests
        assert other.requests == []


def test_a_failed_check_can_be_tried_again(
    visitor: Visitor, sandbox: Running, caplog: pytest.LogCaptureFixture
) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    assert visitor.get(f"/callback?session={session_id}").status_code == 502
    sandbox.world.misbehaviour = Misbehaviour.NONE

    assert visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE
    assert "journey.callback" in caplog.text
    assert session_id not in caplog.text


def test_a_restart_finds_pending_and_finished_sign_ins(
    make_app: Callable[..., Flask], sandbox: Running, alice: Visitor
) -> None:
    session_id = alice.begin()
    alice.allow(session_id, "bob")
    after = alice.twin(make_app(PRIVATE_SERVERS=sandbox.origin))

    assert "Hello, Alice" in after.get("/dashboard").text
    assert after.get(f"/callback?session={session_id}").location == FIRST_PAGE
    assert "Hello, bob" in after.get("/dashboard").text


def test_sign_ins_in_two_tabs_at_the_same_moment_do_not_undo_each_other(
    site: str, sandbox: Running, visitor: Visitor
) -> None:
    """What one tab's answer sets, the answer to the other, which did not know of it, leaves alone."""
    browser = requests.Session()
    token = re.findall('csrf_token" value="(.+?)"', browser.get(f"{site}/signin").text)[0]
    form = {"csrf_token": token, "host": sandbox.origin}
    first, second, third = (
        requests.post(f"{site}/signin", form, cookies=browser.cookies.copy(), allow_redirects=False, timeout=60)
        for _ in range(3)
    )
    session_ids = [urlsplit(tab.headers["Location"]).path.rpartition("/")[2] for tab in (first, second, third)]
    for tab in (first, second):
        browser.cookies.update(tab.cookies)
    visitor.allow(session_ids[0])
    assert browser.get(f"{site}/callback?session={session_ids[0]}").url == f"{site}{FIRST_PAGE}"

    browser.cookies.update(third.cookies)  # began before the callback, and is answered after it
    assert browser.get(f"{site}{FIRST_PAGE}").url == f"{site}{FIRST_PAGE}"
    for session_id, person in zip(session_ids[1:], ("bob", "alice"), strict=True):
        visitor.allow(session_id, person)
        assert browser.get(f"{site}/callback?session={session_id}").url == f"{site}{FIRST_PAGE}"
    assert "I have allowed it" not in browser.get(f"{site}/signin").text  # all of them are finished


@pytest.mark.parametrize("value", ["", "x", "eyJ.x.y"])
def test_a_cookie_that_the_app_did_not_sign_begins_nothing(visitor: Visitor, value: str) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    visitor.client.set_cookie(f"signin-{session_id}", value)

    assert visitor.get(f"/callback?session={session_id}").status_code == 400


def test_a_cookie_of_one_sign_in_is_none_of_another(visitor: Visitor) -> None:
    first, second = visitor.begin(), visitor.begin()
    cookie = visitor.client.get_cookie(f"signin-{second}")
    assert cookie
    visitor.client.set_cookie(f"signin-{first}", cookie.value)

    assert visitor.get(f"/callback?session={first}").status_code == 400


@pytest.mark.parametrize("name", ["{}", "x-signin-{}"])
def test_a_neighbours_cookie_begins_no_sign_in(visitor: Visitor, app: Flask, sandbox: Running, name: str) -> None:
    """Browsers let neighbours set what does not begin with “__Host-”: a sign-in of theirs, under another name."""
    session_id = visitor.begin()
    visitor.allow(session_id)
    cookie, victim = visitor.client.get_cookie(f"signin-{session_id}"), Visitor(app, sandbox)
    assert cookie
    victim.client.set_cookie(name.format(session_id), cookie.value)

    assert victim.get(f"/callback?session={session_id}").status_code == 400


@pytest.mark.parametrize("name", ["another-app-{}", "signin-{}"])
def test_other_cookies_take_no_place_of_a_sign_ins(visitor: Visitor, name: str) -> None:
    for number in range(pending_signins.MAX_COOKIES):
        visitor.client.set_cookie(name.format(number), "x")
    session_id = visitor.begin()
    visitor.allow(session_id)

    assert visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE


def test_a_sign_in_under_way_survives_a_new_secret_key(
    make_app: Callable[..., Flask], sandbox: Running, visitor: Visitor
) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    app = make_app(PRIVATE_SERVERS=sandbox.origin, SECRET_KEY="another-key", SECRET_KEY_FALLBACKS=SECRET_KEY)

    assert visitor.twin(app).get(f"/callback?session={session_id}").location == FIRST_PAGE


def test_a_sign_in_under_way_at_a_server_that_is_no_longer_listed_is_forgotten(
    make_app: Callable[..., Flask], visitor: Visitor
) -> None:
    session_id = visitor.begin()
    now = visitor.twin(make_app())

    assert session_id not in now.get("/").text
    assert now.get(f"/callback?session={session_id}").status_code == 400


def test_of_too_many_sign_ins_under_way_the_oldest_makes_room(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment, begun = time.time(), []
    monkeypatch.setattr("web.pending_signins.time.time", lambda: moment)
    for _ in range(pending_signins.MAX_PENDING + 1):
        moment += 1
        begun.append(visitor.begin())

    assert visitor.under_way() == begun[1:]


def test_the_cookies_stay_small_with_everything_under_way(visitor: Visitor) -> None:
    begun = [visitor.begin(permission=list(PERMISSIONS)) for _ in range(12)]

    assert len(visitor.under_way()) == pending_signins.MAX_PENDING
    assert begun[-1] in visitor.under_way()
    cookies = [visitor.client.get_cookie(f"signin-{session_id}") for session_id in visitor.under_way()]
    assert all(cookie and len(cookie.value) < 1500 for cookie in cookies)


@pytest.mark.parametrize(
    "pasted",
    ["aliceNativeToken", " aliceNativeToken \n", "\u3000aliceNative\r\nToken", "\ufeffalice\u200bNativeToken\u200b"],
)
def test_a_token_made_by_hand_signs_in(visitor: Visitor, sandbox: Running, pasted: str) -> None:
    answer = visitor.post("/signin/token", {"host": sandbox.origin, "token": pasted})

    assert (answer.status_code, answer.location) == (303, FIRST_PAGE)
    assert "Hello, Alice" in visitor.get("/dashboard").text


@pytest.mark.parametrize(
    ("token", "words"),
    [
        ("", "Paste the token"),
        (" \u200b", "Paste the token"),
        ("has spaces in it", "letters and digits only"),
        ("トークン", "letters and digits only"),
        ("x" * 600, "This is not a token."),
        ("a" * 32, "does not know this token"),
    ],
)
def test_a_wrong_token_is_told_and_never_shown_again(
    visitor: Visitor, sandbox: Running, token: str, words: str
) -> None:
    answer = visitor.post("/signin/token", {"host": sandbox.origin, "token": token})

    assert answer.status_code == 422
    assert words in answer.text
    assert not token or token not in answer.text
    assert f'value="{sandbox.origin}"' in answer.text


def test_a_token_that_may_not_tell_whose_it_is_is_told(visitor: Visitor, sandbox: Running) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id, permissions=["write:notes"])
    token = next(reversed(sandbox.world.tokens))

    answer = visitor.post("/signin/token", {"host": sandbox.origin, "token": token})

    assert answer.status_code == 422
    assert "may not tell whose it is" in answer.text


def test_a_server_that_fails_at_the_token_form_is_told_there(visitor: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.MASTODON

    answer = visitor.post("/signin/token", {"host": sandbox.origin, "token": "a" * 32})

    assert answer.status_code == 422
    assert "It runs Mastodon" in answer.text


def test_the_token_form_is_shown(visitor: Visitor) -> None:
    assert visitor.get("/signin/token").status_code == 200


@pytest.mark.parametrize("query", ["host=evil.example", "token=x&host=evil.example", "host=&host=evil.example"])
def test_no_link_fills_in_where_a_secret_is_pasted(alice: Visitor, query: str) -> None:
    page = alice.get(f"/signin/token?{query}").text

    assert "evil" not in page
    assert f'value="{urlsplit(alice.sandbox.origin).netloc}"' in page  # where Alice is signed in
    assert "evil" in alice.get(f"/signin?{query}").text or query.startswith("host=&")


def test_a_server_where_a_sign_in_was_only_begun_is_not_filled_in_for_a_secret(visitor: Visitor) -> None:
    visitor.begin()

    assert urlsplit(visitor.sandbox.origin).netloc not in visitor.get("/signin/token").text


@pytest.mark.parametrize("resumed", [False, True])
def test_a_sign_in_from_before_the_account_in_use_is_added_by_a_link_and_used_by_its_button(
    visitor: Visitor, resumed: bool
) -> None:
    """Whoever runs a server where a sign-in was left knows its callback, and can link to it."""
    left = visitor.begin()
    visitor.sign_in("alice")
    visitor.allow(left, "bob")

    answer = visitor.post("/signin/resume", {"session": left}) if resumed else visitor.get(f"/callback?session={left}")

    assert (answer.status_code, answer.location) == (303, FIRST_PAGE)
    page = visitor.get("/dashboard").text
    assert ("Hello, bob" if resumed else "Hello, Alice") in page
    assert len(visitor.cookie()["accounts"]) == 2
    assert ("was added" in page) != resumed
    assert "was added" not in visitor.get("/dashboard").text
    assert visitor.get(f"/callback?session={left}").location == FIRST_PAGE
    assert ("Hello, bob" if resumed else "Hello, Alice") in visitor.get("/dashboard").text


def test_that_an_account_was_added_is_told_on_whichever_page_comes_first(
    visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("web.accounts.FIRST_PAGE", "account.show")
    left = visitor.begin()
    visitor.sign_in("alice")
    visitor.allow(left, "bob")

    first = visitor.get(f"/callback?session={left}").location

    assert "was added" in visitor.get(first).text
    assert "was added" not in visitor.get("/dashboard").text


def test_switching_accounts_meanwhile_counts_too(alice: Visitor) -> None:
    alice.sign_in("bob")
    left = alice.begin()
    alices = alice.get("/dashboard").text.split("/accounts/")[1].split("/")[0]
    alice.post(f"/accounts/{alices}/switch")
    alice.allow(left, "bob")

    alice.get(f"/callback?session={left}")

    page = alice.get("/dashboard").text
    assert "Hello, Alice" in page
    assert "bob@" in page
    assert len(alice.cookie()["accounts"]) == 2


def test_another_account_that_is_begun_from_the_one_in_use_is_used(alice: Visitor) -> None:
    alice.sign_in("bob")

    page = alice.get("/dashboard").text
    assert "Hello, bob" in page
    assert "was added" not in page


def test_the_same_person_again_is_used_whatever_was_begun_before(visitor: Visitor) -> None:
    left = visitor.begin()
    visitor.sign_in("alice")
    visitor.allow(left, "alice")
    visitor.get(f"/callback?session={left}")

    page = visitor.get("/dashboard").text
    assert "Hello, Alice" in page
    assert "was added" not in page
    assert len(visitor.cookie()["accounts"]) == 1


def test_after_signing_out_a_sign_in_from_before_is_used(visitor: Visitor) -> None:
    left = visitor.begin()
    visitor.sign_in("alice")
    visitor.post("/signout")
    visitor.allow(left, "bob")
    visitor.get(f"/callback?session={left}")

    assert "Hello, bob" in visitor.get("/dashboard").text


def test_a_sign_in_begun_by_version_0_3_0_goes_on(visitor: Visitor) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    serializer = URLSafeSerializer(SECRET_KEY, f"sign-in {session_id}")
    cookie = visitor.client.get_cookie(f"signin-{session_id}")
    assert cookie
    visitor.client.set_cookie(f"signin-{session_id}", str(serializer.dumps(serializer.loads(cookie.value)[:3])))

    assert visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE


def test_in_production_the_cookie_of_a_sign_in_belongs_to_this_host_and_https_alone(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    app = make_app(PUBLIC_URL="https://signin.example", PRIVATE_SERVERS=sandbox.origin)
    browser = app.test_client()
    token = re.findall('csrf_token" value="(.+?)"', browser.get("/signin", base_url="https://signin.example").text)[0]

    answer = browser.post(
        "/signin", data={"csrf_token": token, "host": sandbox.origin}, base_url="https://signin.example"
    )

    (cookie,) = [cookie for cookie in answer.headers.getlist("Set-Cookie") if "signin-" in cookie]
    assert re.fullmatch(
        r"__Host-signin-[0-9a-f-]{36}=[\w.-]+; Expires=[^;]+; Max-Age=3600; Secure; HttpOnly; Path=/; SameSite=Lax",
        cookie,
    )


@pytest.mark.parametrize("session_id", ["", "a\nb", "a\r\nSet-Cookie: z=1", "\x00", "x; Domain=evil", "x" * 100_000])
def test_cancelling_what_was_never_begun_changes_nothing(visitor: Visitor, session_id: str) -> None:
    begun = visitor.begin()

    answer = visitor.post("/signin/cancel", {"session": session_id})

    assert (answer.status_code, answer.location) == (303, "/")
    assert "signin-" not in str(answer.headers)
    assert visitor.under_way() == [begun]


# Servers where signing in needs another way.

BY_HAND = '<a href="/signin/token">Sign in with a token made by hand</a>'


@contextmanager
def at(visitor: Visitor, behaviour: Behaviour) -> Iterator[Hostile]:
    """A server that behaves like this, where the visitor may sign in."""
    extensions = visitor.app.extensions
    with hostile.serve(behaviour) as server:
        origins = (*extensions["settings"].private_servers, server.origin)
        extensions["settings"] = replace(extensions["settings"], private_servers=origins)
        yield server


def routes(**answers: object) -> Behaviour:
    """Answer each endpoint, slashes as underscores, with JSON or, for a number, with that status; others with 404."""

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            value = answers.get(request.path.removeprefix("/api/").replace("/", "_"), 404)
            value = value(caller) if callable(value) else value
            caller.send(http(value) if isinstance(value, int) else http(200, json.dumps(value).encode()))

    return behaviour


def meta(**changes: object) -> Callable[[Caller], object]:
    return lambda caller: {"version": "2025.4.1", "uri": caller.server.origin, "features": {"miauth": True}} | changes


@pytest.mark.parametrize(
    ("told", "words"),
    [
        (meta(version="12.26.0", features={}), "runs a Misskey that is too old for this"),
        (meta(features={"miauth": False}), "does not let apps sign people in"),
        (401, "answers only to those who are signed in there"),
    ],
)
def test_where_there_is_no_miauth_a_token_made_by_hand_is_the_way_in(
    visitor: Visitor, told: object, words: str
) -> None:
    with at(visitor, routes(meta=told, i=ALICE)) as server:
        page = visitor.post("/signin", {"host": server.origin})
        assert page.status_code == 422
        assert words in page.text
        assert BY_HAND in page.text
        assert f'value="{server.origin}"' in page.text

        assert visitor.post("/signin/token", {"host": server.origin, "token": TOKEN}).location == FIRST_PAGE


@pytest.mark.parametrize("resumed", [False, True])
def test_a_check_that_is_not_there_is_told_at_the_form(visitor: Visitor, resumed: bool) -> None:
    with at(visitor, routes(meta=meta())) as server:
        session_id = visitor.begin(server.origin)
        form = {"session": session_id}
        page = visitor.post("/signin/resume", form) if resumed else visitor.get("/callback", query_string=form)

    assert page.status_code == 422
    assert "too old for this" in page.text
    assert BY_HAND in page.text
    assert f'value="{server.origin.removeprefix("http://")}"' in page.text
    assert "Have you allowed it" not in page.text
    assert not visitor.under_way()


def test_a_server_that_leads_to_another_one_offers_it(visitor: Visitor, sandbox: Running) -> None:
    with at(visitor, hostile.redirects(301, f"{sandbox.origin}/api/meta")) as server:
        before = len(sandbox.requests)
        page = visitor.post("/signin", {"host": server.origin, "permission": ["read:account", "write:notes"]})

    host = urlsplit(sandbox.origin).netloc
    assert page.status_code == 422
    assert f"Did you mean {host}?" in page.text
    assert len(sandbox.requests) == before
    offer = page.text.partition('<div class="notice">')[2].partition("</form>")[0]
    form = re.findall('name="(host|permission)" value="([^"]*)"', offer)
    assert form == [("host", host), *(("permission", name) for name in ("", "read:account", "write:notes"))]
    assert f"Continue to {host}</button>" in offer
    assert visitor.post("/signin", {"host": host}).status_code == 303


@pytest.mark.parametrize("status", [200, 202, 302, 403, 503])
def test_a_challenge_is_told_as_a_firewalls(visitor: Visitor, status: int) -> None:
    with at(visitor, hostile.answers(status, b"<title>Just a moment...</title>", "Location: /check")) as server:
        page = visitor.post("/signin", {"host": server.origin})

    assert page.status_code == 502
    assert "a firewall of its own answered" in page.text
    assert "is not a Misskey server" not in page.text


@pytest.mark.parametrize("public_url", ["http://localhost", "https://misskey.example", "https://misskey"])
def test_the_apps_name_passes_the_flagships_media_proxy(make_app: Callable[..., Flask], public_url: str) -> None:
    user_agent = make_app(PUBLIC_URL=public_url).extensions["transport"].user_agent

    assert public_url in user_agent
    assert "misskey/" not in user_agent.lower()
