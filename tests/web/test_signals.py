"""What the app tells other parts of it, and an app of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from blinker import Signal
from flask import Flask

from sandbox import Running
from tests.cast import Visitor
from web import services, signals

Heard = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def heard(app: Flask) -> Iterator[Heard]:
    """What was sent with this app as sender, in order; each is the signal's name and its values."""
    sent: Heard = []
    names: dict[str, Signal] = {
        "sign_in_begun": signals.sign_in_begun,
        "signed_in": signals.signed_in,
        "signed_out": signals.signed_out,
        "account_switched": signals.account_switched,
        "api_called": signals.api_called,
    }

    def listener(name: str) -> Any:
        return lambda _app, **values: sent.append((name, values))

    listeners = {name: listener(name) for name in names}
    for name, signal in names.items():
        signal.connect(listeners[name], sender=app)
    yield sent
    for name, signal in names.items():
        signal.disconnect(listeners[name], sender=app)


def named(heard: Heard, name: str) -> list[dict[str, Any]]:
    return [values for other, values in heard if other == name]


def test_a_sign_in_is_told_once_with_its_account(visitor: Visitor, heard: Heard) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    for _ in range(2):  # a reload of the callback
        visitor.get(f"/callback?session={session_id}")

    [told] = named(heard, "signed_in")
    assert told["account"].username == "alice"
    assert told["is_new"]
    assert told["begun"].session_id == session_id


def test_a_sign_in_that_begins_is_told(visitor: Visitor, heard: Heard) -> None:
    session_id = visitor.begin()

    [told] = named(heard, "sign_in_begun")
    assert told["begun"].session_id == session_id


def test_signing_in_again_is_not_new_here(alice: Visitor, heard: Heard) -> None:
    alice.sign_in("alice")
    alice.sign_in("bob")

    assert [told["is_new"] for told in named(heard, "signed_in")] == [False, True]
    assert [told["account"].username for told in named(heard, "signed_out")] == ["alice"]  # the sign-in of before
    assert [told["account"].username for told in named(heard, "account_switched")] == ["alice"] * 2


def test_a_token_made_by_hand_is_told_too(visitor: Visitor, sandbox: Running, heard: Heard) -> None:
    visitor.post("/signin/token", {"host": sandbox.origin, "token": "aliceNativeToken"})

    [told] = named(heard, "signed_in")
    assert told["begun"] is None


@pytest.mark.parametrize("path", ["/signout", "/signout/everywhere"])
def test_signing_out_is_told(alice: Visitor, heard: Heard, path: str) -> None:
    alice.post(path)

    [told] = named(heard, "signed_out")
    assert told["account"].username == "alice"


def test_signing_out_everywhere_is_told_of_each_sign_in(
    alice: Visitor, app: Flask, sandbox: Running, heard: Heard
) -> None:
    Visitor(app, sandbox).sign_in("alice")

    alice.post("/signout/everywhere")

    assert len({told["account"].key for told in named(heard, "signed_out")}) == 2


def test_calls_are_told_without_the_token(alice: Visitor, sandbox: Running, heard: Heard) -> None:
    alice.get("/dashboard/profile")

    told = named(heard, "api_called")[-1]["exchange"]
    assert told.url == f"{sandbox.origin}/api/i"
    assert "•••" in str(told.body)


def test_another_app_hears_nothing(alice: Visitor, make_app: Any, sandbox: Running, heard: Heard) -> None:
    Visitor(make_app(PRIVATE_SERVERS=sandbox.origin), sandbox).sign_in("bob")

    assert named(heard, "signed_in") == []


def test_a_listener_that_fails_makes_the_sign_in_fail_and_leaves_nothing(visitor: Visitor, app: Flask) -> None:
    owners: list[str] = []

    def refuse(_app: Flask, account: Any, **_: Any) -> None:
        owners.append(account.owner)
        raise RuntimeError("no place for this user")

    with signals.signed_in.connected_to(refuse, app):
        assert visitor.sign_in("alice").status_code == 500

    with app.app_context():
        assert services.token_store().owned_by(owners[0]) == []
    assert visitor.get("/dashboard").location == "/"
