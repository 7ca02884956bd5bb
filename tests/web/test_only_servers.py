"""An app for the people of one server, or of some."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask

from misskey import InvalidAnswer, ServerNotFound
from sandbox import Misbehaviour, Running
from tests.cast import FIRST_PAGE, Visitor, query
from tests.hostile import says, serve
from web import signin_pages
from web.forms import SignInForm


@pytest.fixture
def app(make_app: Callable[..., Flask], sandbox: Running) -> Flask:
    """An app for one server only."""
    return make_app(PRIVATE_SERVERS=sandbox.origin, ONLY_SERVERS=sandbox.origin)


def host(sandbox: Running) -> str:
    return sandbox.origin.removeprefix("http://")


def test_with_one_server_the_form_is_a_button(visitor: Visitor, sandbox: Running) -> None:
    page = visitor.get("/").text

    assert f"<h1>Sign in with {host(sandbox)}</h1>" in page
    assert f'<input type="hidden" name="host" value="{host(sandbox)}">' in page
    assert f'<button type="submit">Continue to {host(sandbox)}</button>' in page
    assert 'type="text"' not in page
    assert "misskey-hub.net/servers" not in page


def test_the_button_signs_in(visitor: Visitor) -> None:
    assert visitor.sign_in().location == FIRST_PAGE


@pytest.mark.parametrize("path", ["/signin", "/signin/token"])
def test_another_server_is_refused_with_the_ones_that_work(visitor: Visitor, sandbox: Running, path: str) -> None:
    answer = visitor.post(path, {"host": "misskey.io", "token": "abc"})

    assert answer.status_code == 422
    assert f"Here you can sign in only with: {host(sandbox)}." in answer.text


@pytest.mark.parametrize("only", ["misskey.example", ""])
def test_who_chose_a_server_is_not_asked_to_check_what_was_typed(
    make_app: Callable[..., Flask], sandbox: Running, only: str
) -> None:
    app = make_app(ONLY_SERVERS=only)
    page = ""
    for error in (
        ServerNotFound("misskey.example", "no server has this name"),
        InvalidAnswer("misskey.example", "no JSON"),
    ):
        with app.test_request_context("/signin", method="POST", data={"host": "misskey.example"}):
            answer = signin_pages.refused(SignInForm(), error)
            assert isinstance(answer, tuple)
            page += str(answer[0])

    assert "misskey.example can’t be found." in page
    assert "may be offline just now." in page
    assert page.count("Check the spelling") == (0 if only else 2)


def test_a_token_made_by_hand_works_there_too(visitor: Visitor, sandbox: Running) -> None:
    assert f'<input type="hidden" name="host" value="{host(sandbox)}">' in visitor.get("/signin/token").text

    token = sandbox.world.approve(sandbox.world.people["alice"], ["read:account"], None, "by hand").value

    assert visitor.post("/signin/token", {"host": host(sandbox), "token": token}).location == FIRST_PAGE


def test_what_the_app_may_do_can_be_chosen_all_the_same(visitor: Visitor, sandbox: Running) -> None:
    answer = visitor.post("/signin", {"host": host(sandbox), "preset": "own", "permission": ["", "write:votes"]})

    assert query(answer.location)["permission"] == "write:votes"


def test_several_servers_are_a_choice(make_app: Callable[..., Flask], sandbox: Running) -> None:
    app = make_app(PRIVATE_SERVERS=sandbox.origin, ONLY_SERVERS=f"misskey.example {sandbox.origin}")
    visitor = Visitor(app, sandbox)

    page = visitor.get(f"/signin?host={host(sandbox)}").text

    assert re.findall(r"<option( selected)?>([^<]+)", page) == [("", "misskey.example"), (" selected", host(sandbox))]
    assert visitor.sign_in().location == FIRST_PAGE
    assert visitor.post("/signin", {"host": "misskey.io"}).status_code == 422


@pytest.mark.parametrize("other", [Misbehaviour.NONE, Misbehaviour.MIAUTH_OFF])
def test_a_server_that_calls_itself_another_one_does_not_lead_there(
    make_app: Callable[..., Flask], sandbox: Running, other: Misbehaviour
) -> None:
    sandbox.world.misbehaviour = other
    told = {"version": "2025.1.0", "uri": sandbox.origin, "features": {"miauth": True}}
    with serve(says(told)) as server:
        app = make_app(PRIVATE_SERVERS=f"{server.origin} {sandbox.origin}", ONLY_SERVERS=server.origin)
        visitor = Visitor(app, sandbox)
        sandbox.requests.clear()

        for path in ("/signin", "/signin/token") if other is Misbehaviour.NONE else ("/signin/token",):
            answer = visitor.post(path, {"host": server.origin, "token": "aliceNativeToken"})
            assert answer.status_code == 422
            assert "leads to another server" in answer.text

    assert ("POST", "/api/i") not in sandbox.requests


def test_who_signed_in_elsewhere_before_is_not_let_in_any_more(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    before = Visitor(make_app(PRIVATE_SERVERS=sandbox.origin), sandbox)
    session_id = before.begin()
    before.allow(session_id)
    signed_in = Visitor(before.app, sandbox)
    signed_in.sign_in("alice")
    app = make_app(PRIVATE_SERVERS=sandbox.origin, ONLY_SERVERS="misskey.example")

    assert before.twin(app).get(f"/callback?session={session_id}").status_code == 400
    assert signed_in.twin(app).get("/dashboard").location == "/"


def test_the_private_server_of_a_name_is_meant_and_not_the_public_one(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    visitor = Visitor(make_app(PRIVATE_SERVERS="http://misskey.example", ONLY_SERVERS="misskey.example"), sandbox)

    assert "Here you can sign in only with" in visitor.post("/signin", {"host": "https://misskey.example"}).text


def test_how_it_works_is_told_with_the_only_server(make_app: Callable[..., Flask], sandbox: Running) -> None:
    app = make_app(PRIVATE_SERVERS=sandbox.origin, ONLY_SERVERS=sandbox.origin)

    page = Visitor(app, sandbox).get("/how-it-works").text

    assert f"{sandbox.origin}/api/meta" in page
    assert "https://misskey.io/api" not in page
