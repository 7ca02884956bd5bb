"""Who is signed in in this browser."""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask, g, session

from misskey import Grant, Server, User
from sandbox import Running
from tests.cast import FIRST_PAGE, SECRET_KEY, Visitor
from web import accounts, services


def keys(visitor: Visitor) -> list[str]:
    found = visitor.cookie().get("accounts", [])
    assert isinstance(found, list)
    return found


def account_of(visitor: Visitor) -> accounts.Account:
    """The current account of a visitor, as the store has it."""
    with visitor.app.app_context():
        account = accounts.load(keys(visitor)[0])
    assert account
    return account


def test_signing_out_forgets_the_token_at_once_and_tells_where_it_lives_on(
    alice: Visitor, app: Flask, sandbox: Running
) -> None:
    (key,) = keys(alice)

    assert alice.post("/signout").location == "/"

    page = alice.get("/").text
    assert "You are signed out" in page
    assert f'href="{sandbox.origin}/settings/apps"' in page
    with app.app_context():
        assert accounts.load(key) is None
    assert "You are signed out" not in alice.get("/").text


def test_a_cookie_from_before_signing_out_is_worth_nothing(alice: Visitor) -> None:
    old = alice.client.get_cookie(alice.cookie_name)
    assert old
    alice.post("/signout")
    alice.client.set_cookie(alice.cookie_name, old.value)

    assert alice.get("/dashboard").location == "/"
    assert alice.get("/dashboard/profile", headers={"HX-Request": "true"}).status_code == 401


def test_a_page_of_a_sign_in_that_is_over_says_so_to_whoever_signed_in_again(alice: Visitor) -> None:
    (path,) = set(re.findall(r'href="(/account\?account=\w+)"', alice.get("/dashboard").text))
    alice.sign_in("alice")

    answer = alice.get(path)

    assert answer.status_code == 401
    assert "This page is from a sign-in that is over" in answer.text
    assert "You are signed out" not in answer.text
    assert 'href="/">To the first page</a>' in answer.text


def test_signing_out_when_signed_out_is_no_failure(visitor: Visitor) -> None:
    assert visitor.post("/signout").location == "/"


def test_the_same_person_again_replaces_the_older_sign_in(alice: Visitor, app: Flask) -> None:
    (first,) = keys(alice)

    alice.sign_in("alice")

    (second,) = keys(alice)
    assert first != second
    with app.app_context():
        assert accounts.load(first) is None


def test_two_people_in_one_browser_can_be_switched(alice: Visitor) -> None:
    alice.sign_in("bob")
    assert "Hello, bob" in alice.get("/dashboard").text
    other = alice.get("/dashboard").text.split("/accounts/")[1].split("/")[0]

    assert alice.post(f"/accounts/{other}/switch").location == FIRST_PAGE

    assert "Hello, Alice" in alice.get("/dashboard").text
    alice.post("/signout")
    assert "Hello, bob" in alice.get("/dashboard").text


def test_switching_to_somebody_who_is_not_here_is_told(alice: Visitor) -> None:
    answer = alice.post("/accounts/0123456789abcdef/switch")

    assert answer.status_code == 404
    assert "not signed in here" in answer.text


def test_the_oldest_of_too_many_accounts_is_signed_out(alice: Visitor, app: Flask, sandbox: Running) -> None:
    (oldest,) = keys(alice)
    with app.test_request_context():
        session["accounts"] = [oldest]
        for number in range(accounts.MAX_ACCOUNTS):
            user = User(f"id{number}", f"person{number}", "Person", Server(sandbox.origin))
            accounts.sign_in(accounts.save(Grant(user, "token"), None))

        assert len(session["accounts"]) == len(accounts.in_this_browser()) == accounts.MAX_ACCOUNTS
        assert accounts.load(oldest) is None


def test_a_token_is_in_no_cookie_page_log_or_file(
    visitor: Visitor, sandbox: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    visitor.sign_in()
    token = next(value for value, entry in sandbox.world.tokens.items() if not entry.native)
    cookie = visitor.client.get_cookie(visitor.cookie_name)
    assert cookie
    (key,) = keys(visitor)
    pages = [visitor.get(path).text for path in ("/", "/dashboard", "/dashboard/profile", "/dashboard/server")]
    visitor.post("/signin", {"host": "x"})
    files = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    assert all(token not in page for page in pages)
    assert token not in cookie.value
    assert token not in repr(visitor.cookie())
    assert token.encode() not in files
    assert key.encode() not in files
    assert token not in caplog.text


def test_an_account_shows_no_token(alice: Visitor, app: Flask) -> None:
    with app.app_context():
        account = accounts.load(keys(alice)[0])

    assert account
    assert account.token not in repr(account)
    assert account.key not in repr(account)


def test_a_person_is_known_by_the_id_at_a_server_whatever_the_name(alice: Visitor, app: Flask) -> None:
    """A name can change, and be taken by somebody else."""
    with app.app_context():
        account = accounts.load(keys(alice)[0])

    assert account
    assert replace(account, username="renamed", name="Renamed").owner == account.owner
    assert replace(account, user_id="9other").owner != account.owner
    assert replace(account, origin="https://misskey.example").owner != account.owner


def test_keys_rotate_without_signing_anyone_out(
    make_app: Callable[..., Flask], sandbox: Running, alice: Visitor
) -> None:
    open_form = {"csrf_token": alice.csrf_token()}
    cookie = alice.client.get_cookie(alice.cookie_name)
    assert cookie
    rotated = make_app(
        SECRET_KEY="n" * 40,
        SECRET_KEY_FALLBACKS=SECRET_KEY,
        PRIVATE_SERVERS=sandbox.origin,
    )
    later = Visitor(rotated, sandbox)
    later.client.set_cookie(later.cookie_name, cookie.value)

    assert "Hello, Alice" in later.get("/dashboard").text
    assert later.client.post("/signout", data=open_form).status_code == 303


def test_a_person_is_who_the_asked_server_says(alice: Visitor, sandbox: Running) -> None:
    assert f"alice@{urlsplit(sandbox.origin).netloc}" in alice.get("/dashboard").text


def test_using_an_account_is_noted_every_ten_minutes(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    signed_in = account_of(alice)
    assert signed_in.last_used == signed_in.signed_in
    moment = time.time()
    monkeypatch.setattr("web.accounts.time.time", lambda: moment)
    for minutes, noted in ((9, 0), (10, 10), (19, 10), (22, 22)):
        moment = signed_in.signed_in + minutes * 60
        alice.get("/dashboard")
        assert account_of(alice).last_used == signed_in.signed_in + noted * 60


def test_sign_ins_are_told_by_their_last_use_after_this_one(alice: Visitor, app: Flask, sandbox: Running) -> None:
    for last_used in (10, 30, 20):
        other = Visitor(app, sandbox)
        other.sign_in("alice")
        entry = asdict(replace(account_of(other), last_used=last_used))
        app.extensions["token_store"].replace(entry["key"], json.dumps(entry))

    with app.app_context():
        this_one, *others = accounts.sign_ins(account_of(alice))

    assert this_one == account_of(alice)
    assert [other.last_used for other in others] == [30, 20, 10]


def test_noting_a_use_does_not_bring_back_who_was_signed_out_meanwhile(
    alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    (key,) = keys(alice)
    account = account_of(alice)
    alice.post("/signout")
    later = time.time() + 3600
    monkeypatch.setattr("web.accounts.time.time", lambda: later)

    with app.test_request_context():
        session["accounts"], g.accounts = [key], {key: account}  # as when the request began
        view: Any = accounts.login_required(lambda used: used)
        assert view() == account
        assert accounts.load(key) is None


@pytest.mark.parametrize(
    ("agent", "expected"),
    [
        ("Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0", ("Firefox", "Windows")),
        (
            "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
            "Version/17.5 Mobile/15E148 Safari/604.1",
            ("Mobile Safari", "iOS"),
        ),
        ("", ("", "")),
        ("something\x07nobody knows", ("", "")),
        ("x" * 500 + " Firefox/128.0", ("", "")),
        ("Mozilla/5.0 " + "(" * 4000, ("", "")),
    ],
)
def test_a_sign_in_tells_its_browser(visitor: Visitor, agent: str, expected: tuple[str, str]) -> None:
    visitor.client.environ_base["HTTP_USER_AGENT"] = agent
    visitor.sign_in()

    account = account_of(visitor)
    assert (account.browser, account.system) == expected


def test_a_sign_in_by_version_0_1_0_is_taken_over_with_its_first_use(alice: Visitor, app: Flask) -> None:
    (key,) = keys(alice)
    with app.app_context():
        store = services.token_store()
        entry = json.loads(store.get(key) or "")
        for name in ("last_used", "browser", "system"):
            del entry[name]
        store.put(key, json.dumps(entry | {"key": ""}), 60)
        assert accounts.sign_ins(account_of(alice)) == []

    assert alice.get("/dashboard").status_code == 200

    account = account_of(alice)
    assert account.last_used
    with app.app_context():
        assert accounts.sign_ins(account) == [account]


def test_of_two_sign_ins_that_finish_at_the_same_moment_none_is_lost(
    visitor: Visitor, app: Flask, sandbox: Running
) -> None:
    first, second = visitor.begin(), visitor.begin()
    visitor.allow(first, "alice")
    visitor.allow(second, "bob")
    other_tab = visitor.twin()
    assert visitor.get(f"/callback?session={first}").location == FIRST_PAGE
    assert other_tab.get(f"/callback?session={second}").location == FIRST_PAGE

    # The browser keeps the cookie that came later, without Alice; but her sign-in's own cookie is still there.
    assert other_tab.get(f"/callback?session={first}").location == FIRST_PAGE

    page = other_tab.get("/dashboard").text
    assert "Hello, bob" in page  # whom she was added beside
    assert "Switch to alice@" in page
    assert [path for _, path in sandbox.requests].count(f"/api/miauth/{first}/check") == 1


def test_an_account_that_is_added_stands_behind_the_one_in_use_and_before_the_others(
    alice: Visitor, app: Flask
) -> None:
    alice.sign_in("bob")
    bobs, alices = keys(alice)
    user = User("third", "carol", "Carol", Server(account_of(alice).origin))
    with app.test_request_context():
        session["accounts"] = [bobs, alices]
        carol = accounts.save(Grant(user, "token"), None)

        accounts.sign_in(carol, in_use=False)

        assert session["accounts"] == [bobs, carol.key, alices]
        assert [account.username for account in accounts.in_this_browser()] == ["bob", "carol", "alice"]


def test_a_browser_keeps_its_sign_ins_for_as_long_as_the_settings_say(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    alice = Visitor(make_app(PRIVATE_SERVERS=sandbox.origin, SESSION_DAYS="7"), sandbox)
    began = datetime.now(UTC).replace(microsecond=0)
    alice.sign_in()

    cookie = alice.client.get_cookie(alice.cookie_name)
    assert cookie
    assert cookie.expires
    assert began + timedelta(days=7) <= cookie.expires <= datetime.now(UTC) + timedelta(days=7)


def test_a_notice_in_a_cookie_of_version_0_1_0_is_still_told(alice: Visitor) -> None:
    with alice.client.session_transaction() as session:
        session["signed_out"] = {"address": "bob@misskey.example", "origin": "https://misskey.example"}

    assert "bob@misskey.example is signed out" in alice.get("/dashboard").text
    assert "bob@misskey.example" not in alice.get("/dashboard").text


def test_accounts_at_a_server_that_is_no_longer_allowed_are_forgotten_with_the_next_sign_in(
    alice: Visitor, app: Flask, sandbox: Running
) -> None:
    (former,) = alice.cookie()["accounts"]
    session_id = alice.begin()
    alice.allow(session_id, "bob")
    store = app.extensions["token_store"]
    entry = json.loads(store.get(former))
    store.put(former, json.dumps(entry | {"origin": "http://127.0.0.1:1"}), 60, owner="http://127.0.0.1:1 9alice")
    alice.get(f"/callback?session={session_id}")

    assert store.get(former) is None


def test_an_account_that_was_forgotten_meanwhile_is_in_nobodys_way(alice: Visitor, app: Flask) -> None:
    alice.sign_in("bob")
    bobs, alices = keys(alice)
    app.extensions["token_store"].delete(alices)

    assert alice.twin().sign_in("bob").location == FIRST_PAGE
    assert alice.sign_in("alice").location == FIRST_PAGE
    app.extensions["token_store"].delete(keys(alice)[0])
    assert alice.post("/signout", {"all": "yes"}).location == "/"
    assert app.extensions["token_store"].get(bobs) is None


@pytest.mark.parametrize("path", ["/accounts/0123456789abcdef/switch", "/signout/everywhere"])
def test_without_any_account_there_is_none_to_switch_or_sign_out(visitor: Visitor, path: str) -> None:
    answer = visitor.post(path)

    assert (answer.status_code, answer.location) == (303, "/")


def test_signing_out_all_reaches_an_account_that_another_tab_undid(
    visitor: Visitor, app: Flask, sandbox: Running
) -> None:
    first, second = visitor.begin(), visitor.begin()
    visitor.allow(first, "alice")
    visitor.allow(second, "bob")
    other_tab = visitor.twin()
    visitor.get(f"/callback?session={first}")
    (alices,) = visitor.cookie()["accounts"]
    other_tab.get(f"/callback?session={second}")  # the browser keeps this cookie, which does not know of Alice
    third = other_tab.begin()

    other_tab.post("/signout", {"all": "yes"})

    assert app.extensions["token_store"].get(alices) is None
    assert other_tab.get(f"/callback?session={first}").status_code != 303
    assert other_tab.under_way() == [third]  # not finished, so it goes on


@pytest.mark.parametrize(("path", "read"), [("/dashboard", [0, 1, 2]), ("/dashboard/profile", [0]), ("/healthz", [])])
def test_a_page_reads_each_account_that_it_shows_once(
    alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch, path: str, read: list[int]
) -> None:
    alice.sign_in("bob")
    with alice.client.session_transaction() as session, app.test_request_context():
        user = User("third", "carol", "Carol", Server(account_of(alice).origin))
        session["accounts"] = [*session["accounts"], accounts.save(Grant(user, "token"), None).key]
    store, asked = app.extensions["token_store"], list[str]()
    get = store.get

    def counted(key: str) -> Any:
        asked.append(key)
        return get(key)

    monkeypatch.setattr(store, "get", counted)

    for query in ("", f"?account={account_of(alice).public_id}"):
        asked.clear()
        assert alice.get(path + query, headers={"HX-Request": "true"}).status_code == 200
        found = keys(alice)
        assert [found.index(key) for key in asked if key in found] == read
