"""What was begun with an account ends when its browser leaves it."""

from __future__ import annotations

import time
from typing import Any

import pytest
from flask import Flask

from demo import account_data
from demo.live import may_go_on
from misskey import Client
from sandbox import Running
from tests.cast import Visitor
from web import accounts, services


def account_of(visitor: Visitor) -> accounts.Account:
    """The current account of a visitor, as the store has it."""
    with visitor.app.app_context():
        account = accounts.load(visitor.cookie()["accounts"][0])
    assert account
    return account


def is_current(visitor: Visitor, account: accounts.Account, since: float) -> bool:
    with visitor.app.app_context():
        return may_go_on(account, since)


def test_an_account_is_current_until_it_is_signed_out(alice: Visitor) -> None:
    account, since = account_of(alice), time.time()
    assert is_current(alice, account, since)

    alice.post("/signout")

    assert not is_current(alice, account, since)


def test_signing_in_again_ends_what_the_older_sign_in_began(alice: Visitor) -> None:
    account, since = account_of(alice), time.time()

    alice.sign_in("alice")

    assert not is_current(alice, account, since)


def test_an_account_is_current_until_its_browser_goes_over_to_another(alice: Visitor) -> None:
    account, since = account_of(alice), time.time()

    alice.sign_in("bob")

    assert not is_current(alice, account, since)
    assert is_current(alice, account_of(alice), since)
    assert is_current(alice, account, time.time())


def test_coming_back_does_not_bring_back_what_was_left(alice: Visitor) -> None:
    account, since = account_of(alice), time.time()
    alice.sign_in("bob")

    alice.post(f"/accounts/{account.public_id}/switch")

    assert not is_current(alice, account, since)
    assert is_current(alice, account, time.time())


def test_staying_is_not_leaving(alice: Visitor) -> None:
    account, since = account_of(alice), time.time()

    alice.post(f"/accounts/{account.public_id}/switch")

    assert is_current(alice, account, since)


def test_another_browser_leaves_nothing_here(alice: Visitor, app: Flask, sandbox: Running) -> None:
    account, since = account_of(alice), time.time()
    elsewhere = Visitor(app, sandbox)
    elsewhere.sign_in("alice")
    elsewhere.sign_in("bob")

    assert is_current(alice, account, since)


def test_signing_out_forgets_what_is_kept_beside_the_account(alice: Visitor, app: Flask) -> None:
    account, names = account_of(alice), ("trace", "console", "left")
    alice.post("/console", {"endpoint": "i", "params": "{}", "draft": "5b6a3c38-56c7-4a2e-9d8a-0d5a6a6c9f10"})
    alice.sign_in("bob")
    with app.app_context():
        assert all(account_data.load(account, name) for name in names)

    alice.post("/signout", {"account": account.public_id})

    with app.app_context():
        assert not any(account_data.load(account, name) for name in names)


def test_what_is_kept_beside_sign_ins_is_not_read_to_list_them(alice: Visitor, app: Flask) -> None:
    alice.post("/notes", {"text": "hello", "draft": "5b6a3c38-56c7-4a2e-9d8a-0d5a6a6c9f10"})
    alice.post("/console", {"endpoint": "i", "params": "{}", "draft": "5b6a3c38-56c7-4a2e-9d8a-0d5a6a6c9f10"})
    account = account_of(alice)

    with app.app_context():
        (only,) = services.token_store().owned_by(account.owner)
        assert only.startswith(accounts.BEGINNING)


def test_signing_out_everywhere_forgets_all_that_the_person_has(alice: Visitor, app: Flask) -> None:
    draft = "5b6a3c38-56c7-4a2e-9d8a-0d5a6a6c9f10"
    assert alice.post("/notes", {"text": "hello", "draft": draft}).status_code == 303
    with app.app_context():
        account = accounts.load(alice.cookie()["accounts"][0])
        assert account
        assert len(services.token_store().owned_by(account.owner)) == 1
        assert len(services.token_store().owned_by(account.data_owner)) == 2  # how it signed in, its note

        alice.post("/signout/everywhere")

        assert services.token_store().owned_by(account.owner) == []
        assert services.token_store().owned_by(account.data_owner) == []
        assert services.token_store().get(f"note {account.key} {draft}") is None


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/notes", {"text": "hello"}),
        ("/console", {"endpoint": "i", "params": "{}"}),
    ],
)
def test_what_was_under_way_while_the_person_signed_out_leaves_nothing(
    alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch, path: str, form: dict[str, str]
) -> None:
    account, real = account_of(alice), Client.call

    def call(client: Client, *args: Any, **kwargs: Any) -> Any:
        answer = real(client, *args, **kwargs)
        with app.app_context():
            services.token_store().delete_owned_by(account.owner, account.data_owner)
        return answer

    monkeypatch.setattr(Client, "call", call)
    alice.post(path, {**form, "draft": "5b6a3c38-56c7-4a2e-9d8a-0d5a6a6c9f10"})

    with app.app_context():
        assert services.token_store().owned_by(account.data_owner) == []
