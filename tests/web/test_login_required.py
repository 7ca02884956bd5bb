"""Views of one's own, for people who are signed in, and whose sign-in includes what the view needs."""

from __future__ import annotations

import re

import pytest
from flask import Flask, render_template_string

from misskey import PERMISSIONS
from sandbox import Running
from tests.cast import Visitor
from web.accounts import Account, login_required

FRAGMENT = {"HX-Request": "true"}


@pytest.fixture
def app(app: Flask) -> Flask:
    """The app with views of its own."""

    @app.get("/mine")
    @login_required
    def mine(account: Account) -> str:
        return f"of {account.username}"

    @app.route("/write/<word>", methods=["GET", "POST"])
    @login_required("write:notes", "read:account")
    def write(account: Account, word: str) -> str:
        return f"{account.username} writes {word}"

    @app.get("/everybody")
    def everybody() -> str:
        return render_template_string("{{ (current_account() or {}).username }}")

    return app


def ask(visitor: Visitor, *permissions: str) -> None:
    """Sign in with these permissions and no others."""
    session_id = visitor.begin(permission=["", *permissions])
    visitor.allow(session_id)
    assert visitor.get(f"/callback?session={session_id}").status_code == 303


@pytest.mark.parametrize("path", ["/mine", "/write/it"])
def test_nobody_is_led_home(visitor: Visitor, path: str) -> None:
    assert (visitor.get(path).status_code, visitor.get(path).location) == (303, "/")
    assert visitor.get(path, headers=FRAGMENT).status_code == 401


def test_a_view_has_the_account_and_what_the_address_says(visitor: Visitor) -> None:
    ask(visitor, "read:account", "write:notes")

    assert visitor.get("/mine").text == "of alice"
    assert visitor.get("/write/this").text == "alice writes this"


@pytest.mark.parametrize("granted", [[], ["read:account"], ["write:votes", "read:account"]])
def test_a_sign_in_without_the_permission_is_led_to_one_with_it(visitor: Visitor, granted: list[str]) -> None:
    ask(visitor, *granted)

    assert visitor.get("/mine").status_code == 200
    answers = [visitor.get("/write/this"), visitor.post("/write/this"), visitor.get("/write/this", headers=FRAGMENT)]

    for answer in answers:
        assert answer.status_code == 403
        assert "This sign-in does not include: “Post and delete notes”." in answer.text
        assert ("See your account and your timelines" in answer.text) == (not granted)
        offered = [name for name in re.findall('name="permission" value="([^"]*)"', answer.text) if name]
        assert sorted(offered) == sorted({*granted, "write:notes", "read:account"})
        ask(visitor, *offered)
        assert visitor.get("/write/this").status_code == 200
        ask(visitor, *granted)


def test_it_is_said_in_japanese_too(visitor: Visitor) -> None:
    ask(visitor)

    page = visitor.get("/write/this", headers={"Accept-Language": "ja"}).text

    assert f"「{PERMISSIONS['write:notes'].japanese}」" in page
    assert "この操作の権限がありません" in page
    assert "続けるには、もう一度サインインして許可してください。" in page


def test_of_several_accounts_the_one_of_the_page_counts(visitor: Visitor) -> None:
    ask(visitor, "read:account", "write:notes")
    alice = visitor.get("/dashboard").text.partition("account=")[2][:16]
    session_id = visitor.begin(permission="")
    visitor.allow(session_id, "bob")
    visitor.get(f"/callback?session={session_id}")

    assert visitor.get("/write/this").status_code == 403
    assert visitor.get(f"/write/this?account={alice}").text == "alice writes this"


def test_a_token_made_by_hand_may_try(visitor: Visitor, sandbox: Running) -> None:
    visitor.post("/signin/token", {"host": sandbox.origin, "token": "aliceNativeToken"})

    assert visitor.get("/write/this").text == "alice writes this"


def test_a_permission_that_there_is_not_stops_the_start() -> None:
    with pytest.raises(ValueError, match="unknown permissions: read:notes"):
        login_required("read:notes")


def test_every_template_can_ask_who_is_signed_in(visitor: Visitor) -> None:
    assert visitor.get("/everybody").text == ""

    ask(visitor)

    assert visitor.get("/everybody").text == "alice"
