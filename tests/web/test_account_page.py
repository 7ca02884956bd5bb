"""The page about an account, and signing out: here, everywhere, all accounts."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable

import pytest
from flask import Flask

from misskey import Grant, Server, User
from sandbox import Running
from tests.cast import Visitor
from web import accounts, services

FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:128.0) Gecko/20100101 Firefox/128.0"
IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.5 "
    "Mobile/15E148 Safari/604.1"
)


@pytest.fixture
def elsewhere(app: Flask, sandbox: Running) -> Visitor:
    """Alice once more, in the browser of her telephone."""
    person = Visitor(app, sandbox)
    person.client.environ_base["HTTP_USER_AGENT"] = IPHONE
    person.sign_in("alice")
    return person


def sign_ins(page: str) -> list[str]:
    """The sign-ins that the page lists, as text."""
    found = re.search(r'<ul class="sign-ins">(.*?)</ul>', page, re.DOTALL)
    assert found
    return [" ".join(re.sub("<[^>]*>", " ", entry).split()) for entry in found[1].split("<li>")[1:]]


def public_id(visitor: Visitor) -> str:
    """What pages call the current account of a visitor by."""
    found = re.search(r'name="account" value="([0-9a-f]{16})"', visitor.get("/account").text)
    assert found
    return found[1]


def test_the_page_is_for_those_who_are_signed_in(visitor: Visitor) -> None:
    assert visitor.get("/account").location == "/"


def test_the_page_tells_who_and_where(alice: Visitor, sandbox: Running) -> None:
    page = alice.get("/account").text

    assert f"@alice@{sandbox.origin[7:]}" in page
    assert f'href="{sandbox.origin}/settings/apps"' in page
    assert "No app can remove it there" in page


def test_every_browser_is_listed_this_one_first(alice: Visitor, elsewhere: Visitor) -> None:
    when = "Signed in: just now · Last used: just now"
    unknown = "A browser that does not say its name"

    assert sign_ins(alice.get("/account").text) == [f"{unknown} this one {when}", f"Mobile Safari on iOS {when}"]
    assert sign_ins(elsewhere.get("/account").text) == [f"Mobile Safari on iOS this one {when}", f"{unknown} {when}"]


def test_times_are_told_as_people_say_them(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    earlier = time.time() - 3 * 3600
    with monkeypatch.context() as then:
        then.setattr("web.accounts.time.time", lambda: earlier)
        alice.sign_in()

    page = alice.get("/account").text

    assert "Signed in: 3 hours ago · Last used: just now" in sign_ins(page)[0]
    assert f'<time datetime="{time.strftime("%Y-%m-%dT%H:%M:%S+00:00", time.gmtime(earlier))}"' in page
    assert "3 時間前" in alice.get("/account", headers={"Accept-Language": "ja"}).text


def test_other_people_are_not_listed(alice: Visitor, app: Flask, sandbox: Running) -> None:
    Visitor(app, sandbox).sign_in("bob")

    assert len(sign_ins(alice.get("/account").text)) == 1


def test_no_key_is_in_the_page_and_nothing_of_where_it_leads(alice: Visitor, elsewhere: Visitor) -> None:
    page = alice.get("/account").text

    for visitor in (alice, elsewhere):
        for key in visitor.cookie()["accounts"]:
            assert key not in page
            assert hashlib.sha256(key.encode()).hexdigest()[:8] not in page  # how the id of its entry begins


@pytest.mark.parametrize(
    ("permissions", "words"),
    [(["write:notes"], "Post and delete notes"), ([""], "Nothing: this app only received your profile.")],
)
def test_the_permissions_of_this_sign_in_are_listed(visitor: Visitor, permissions: list[str], words: str) -> None:
    session_id = visitor.begin(permission=permissions)
    visitor.allow(session_id)
    visitor.get(f"/callback?session={session_id}")

    page = visitor.get("/account").text

    assert words in page
    assert "See your account and your timelines" not in page


def test_of_a_token_made_by_hand_nobody_knows_what_it_may_do(visitor: Visitor, sandbox: Running) -> None:
    visitor.post("/signin/token", {"host": sandbox.origin, "token": "aliceNativeToken"})

    assert "The token was made by hand" in visitor.get("/account").text


def test_a_name_that_a_browser_gives_itself_is_text(visitor: Visitor) -> None:
    visitor.client.environ_base["HTTP_USER_AGENT"] = "Mozilla/5.0 <script>alert(1)</script>/1.0 <b>bot/2.0"
    visitor.sign_in()

    page = visitor.get("/account").text

    assert "<script>alert" not in page
    assert "<b>" not in page


def test_the_page_is_about_the_account_that_was_asked_for(alice: Visitor) -> None:
    of_alice = public_id(alice)
    alice.sign_in("bob")

    assert "@alice@" in alice.get(f"/account?account={of_alice}").text
    assert "@bob@" in alice.get("/account").text


def test_signing_out_everywhere_ends_every_sign_in(alice: Visitor, elsewhere: Visitor) -> None:
    assert alice.post("/signout/everywhere", {"account": public_id(alice)}).location == "/"

    assert "in any browser" in alice.get("/").text
    for visitor in (alice, elsewhere):
        assert visitor.get("/dashboard").location == "/"
        assert visitor.get("/dashboard/profile", headers={"HX-Request": "true"}).status_code == 401


def test_signing_out_everywhere_leaves_others_alone(alice: Visitor, app: Flask, sandbox: Running) -> None:
    bob = Visitor(app, sandbox)
    bob.sign_in("bob")
    alice.sign_in("bob")

    alice.post("/signout/everywhere")

    assert bob.get("/dashboard").location == "/"
    assert "Hello, Alice" in alice.get("/dashboard").text


def test_signing_out_everywhere_finds_sign_ins_from_before_a_new_secret_key(
    alice: Visitor, make_app: Callable[..., Flask], sandbox: Running
) -> None:
    old_key = alice.app.config["SECRET_KEY"]
    rotated = Visitor(
        make_app(SECRET_KEY="n" * 40, SECRET_KEY_FALLBACKS=old_key, PRIVATE_SERVERS=sandbox.origin), sandbox
    )
    rotated.sign_in("alice")
    assert len(sign_ins(rotated.get("/account").text)) == 2

    rotated.post("/signout/everywhere")

    assert alice.get("/dashboard").location == "/"


def test_a_page_of_an_account_that_is_gone_signs_nobody_else_out(alice: Visitor) -> None:
    of_alice = public_id(alice)
    alice.post("/signout")
    alice.sign_in("bob")

    answer = alice.post("/signout/everywhere", {"account": of_alice})

    assert answer.status_code == 404
    assert "not signed in here" in answer.text
    assert "Hello, bob" in alice.get("/dashboard").text


def test_the_account_of_the_page_is_signed_out_not_the_one_in_use(alice: Visitor) -> None:
    of_alice = public_id(alice)
    alice.sign_in("bob")

    alice.post("/signout", {"account": of_alice})

    assert "Hello, bob" in alice.get("/dashboard").text
    assert len(alice.cookie()["accounts"]) == 1


def test_signing_out_of_one_browser_leaves_the_others(alice: Visitor, elsewhere: Visitor) -> None:
    alice.post("/signout", {"account": public_id(alice)})

    assert len(sign_ins(elsewhere.get("/account").text)) == 1


def test_all_accounts_of_a_browser_can_be_signed_out_at_once(
    alice: Visitor, elsewhere: Visitor, sandbox: Running
) -> None:
    alice.sign_in("bob")

    assert alice.post("/signout", {"all": "yes"}).location == "/"

    page = alice.get("/").text
    assert "You are signed out" in page
    assert page.count("Remove the token at") == 2
    assert f"alice@{sandbox.origin[7:]}" in page
    assert f"bob@{sandbox.origin[7:]}" in page
    assert alice.cookie()["accounts"] == []
    assert elsewhere.get("/dashboard").status_code == 200


def test_accounts_at_servers_that_are_no_longer_allowed_are_signed_out_too(
    alice: Visitor, app: Flask, make_app: Callable[..., Flask], sandbox: Running
) -> None:
    (key,) = alice.cookie()["accounts"]
    alice.app = make_app()
    alice.__post_init__()
    with alice.client.session_transaction() as session:
        session["accounts"] = [key]

    alice.post("/signout", {"all": "yes"})

    with app.app_context():
        assert accounts.load(key) is None


def test_the_menu_offers_to_sign_all_out_when_there_are_several(alice: Visitor) -> None:
    assert "Sign out all accounts" not in alice.get("/dashboard").text
    alice.sign_in("bob")

    page = alice.get("/dashboard").text

    assert "Sign out all accounts" in page
    assert f'href="/account?account={public_id(alice)}"' in page


def test_the_cookie_stays_small_when_many_accounts_are_signed_out(
    visitor: Visitor, app: Flask, sandbox: Running
) -> None:
    for number in range(accounts.MAX_ACCOUNTS):
        user = User(f"id{number}", f"person{number}" * 10, "Person", Server(sandbox.origin))
        with visitor.client.session_transaction() as session, app.test_request_context():
            session["accounts"] = [*session.get("accounts", []), accounts.save(Grant(user, "token"), None).key]

    visitor.post("/signout", {"all": "yes"})

    cookie = visitor.client.get_cookie(visitor.cookie_name)
    assert cookie
    assert len(cookie.value) < 3800
    assert visitor.get("/").text.count("Remove the token at") == accounts.MAX_ACCOUNTS


def test_what_else_a_person_has_in_the_store_is_not_listed(alice: Visitor, app: Flask) -> None:
    with app.app_context():
        account = accounts.load(alice.cookie()["accounts"][0])
        assert account
        services.token_store().put("something else", "of hers", 60, owner=account.owner)

    assert len(sign_ins(alice.get("/account").text)) == 1


def test_signing_out_everywhere_forgets_all_that_the_person_has(alice: Visitor, app: Flask) -> None:
    with app.app_context():
        account = accounts.load(alice.cookie()["accounts"][0])
        assert account
        services.token_store().put("something else", "of hers", 60, owner=account.owner)
        services.token_store().put("much more", "of hers", 60, owner=account.data_owner)

        alice.post("/signout/everywhere")

        assert services.token_store().owned_by(account.owner) == []
        assert services.token_store().get("something else") is None
        assert services.token_store().get("much more") is None
