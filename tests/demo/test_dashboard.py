"""What a signed-in visitor sees with the token."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest
from flask import Flask

from sandbox import Misbehaviour, Running
from tests.cast import Visitor
from tests.hostile import moved_to, says

FRAGMENT = {"HX-Request": "true"}


def draft() -> str:
    return str(uuid.uuid4())


def test_the_shell_comes_without_waiting_for_the_server(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    before = len(sandbox.requests)

    assert alice.get("/dashboard").status_code == 200
    assert len(sandbox.requests) == before


@pytest.mark.parametrize(
    ("panel", "words"),
    [("profile", ["Alice", "@alice@127.0.0.1", "Followers"]), ("server", ["Misskey sandbox", "2025", "3,000"])],
)
def test_a_panel_is_a_page_and_a_fragment(alice: Visitor, panel: str, words: list[str]) -> None:
    page = alice.get(f"/dashboard/{panel}").text
    fragment = alice.get(f"/dashboard/{panel}", headers=FRAGMENT).text

    for word in words:
        assert word in page
        assert word in fragment
    assert "<html" in page
    assert "<html" not in fragment


def test_a_panel_shows_what_was_sent_with_the_token_masked(alice: Visitor, sandbox: Running) -> None:
    page = alice.get("/dashboard/profile").text

    assert f"POST <bdi>{sandbox.origin}/api/i</bdi>" in page
    assert "&#34;i&#34;: &#34;•••&#34;" in page
    assert "status 200" in page


def test_a_panel_that_does_not_exist_is_told(alice: Visitor) -> None:
    assert alice.get("/dashboard/nonsense").status_code == 404


def test_without_an_account_a_page_leads_home_and_a_fragment_says_so(visitor: Visitor) -> None:
    for path in ("/dashboard", "/dashboard/profile", f"/notes/{draft()}"):
        assert (visitor.get(path).status_code, visitor.get(path).location) == (303, "/")
        fragment = visitor.get(path, headers=FRAGMENT)
        assert fragment.status_code == 401
        assert "<html" not in fragment.text
        assert "You are signed out" in fragment.text


@pytest.mark.parametrize(
    ("misbehaviour", "status", "words"),
    [
        (Misbehaviour.FORBIDDEN, 502, "gave an answer that this app can’t read"),
        (Misbehaviour.BROKEN, 502, "has a problem"),
        (Misbehaviour.NOT_JSON, 502, "gave an answer that this app can’t read"),
        (Misbehaviour.RATE_LIMITED, 502, "has had too many requests"),
    ],
)
def test_a_panel_fails_alone_with_its_own_words(
    alice: Visitor, sandbox: Running, misbehaviour: Misbehaviour, status: int, words: str
) -> None:
    sandbox.world.misbehaviour = misbehaviour

    answer = alice.get("/dashboard/profile", headers=FRAGMENT)

    assert answer.status_code == status
    assert words in answer.text
    assert 'href="/dashboard/profile?account=' in answer.text
    assert "What was sent" in answer.text


def test_a_removed_token_leads_to_a_new_sign_in_at_the_same_server(alice: Visitor, sandbox: Running) -> None:
    for value in [value for value, token in sandbox.world.tokens.items() if not token.native]:
        del sandbox.world.tokens[value]

    answer = alice.get("/dashboard/profile")

    assert answer.status_code == 502
    assert "no longer accepts the token" in answer.text
    assert f'name="host" value="{sandbox.origin.removeprefix("http://")}"' in answer.text
    assert 'name="permission" value="read:account"' in answer.text


def test_a_missing_permission_can_be_asked_for(visitor: Visitor) -> None:
    visitor.sign_in(permissions=["write:notes"])

    answer = visitor.get("/dashboard/profile")

    assert answer.status_code == 403
    assert "permission for this is missing" in answer.text
    assert 'name="permission" value="read:account"' in answer.text


def test_a_tab_of_one_account_does_not_act_as_another(alice: Visitor, sandbox: Running) -> None:
    page = alice.get("/dashboard").text.split('name="account" value="')[1][:16]
    alice.sign_in("bob")

    assert "@alice@" in alice.get(f"/dashboard/profile?account={page}").text
    alice.post("/notes", {"text": "from Alice's tab", "draft": draft(), "account": page})
    authors = [note["user"]["username"] for note in sandbox.world.notes.values() if note["text"] == "from Alice's tab"]
    assert authors == ["alice"]
    alice.post("/signout", {"account": page})
    assert "Hello, bob" in alice.get("/dashboard").text
    refused = alice.post("/notes", {"text": "mine", "draft": draft(), "account": page}, headers=FRAGMENT)
    assert refused.status_code == 401
    assert refused.headers["HX-Retarget"] == "previous .told"


def test_what_a_server_says_in_an_error_is_shown_as_text(alice: Visitor) -> None:
    message = '<img src=x><b hx-post="/signout" hx-trigger="load">'
    with moved_to(says({"error": {"code": "ODD", "message": message}}, 400), alice):
        for page in (
            alice.get("/dashboard/profile").text,
            alice.get("/dashboard/profile", headers=FRAGMENT).text,
            alice.post("/notes", {"text": "hello", "draft": draft()}).text,
        ):
            assert "The server said: &lt;img" in page
            assert "<img src=x>" not in page
            assert "<b hx-post" not in page


def test_a_server_that_the_settings_no_longer_allow_is_forgotten(alice: Visitor, app: Flask) -> None:
    session_id = alice.begin()
    app.extensions["settings"] = replace(app.extensions["settings"], private_servers=())

    assert alice.get("/").status_code == 200
    assert alice.get("/dashboard").status_code == 303
    assert alice.get(f"/callback?session={session_id}").status_code == 400


def test_what_people_wrote_of_themselves_is_shown_as_text(alice: Visitor, sandbox: Running) -> None:
    alice_there = next(token.person for token in sandbox.world.tokens.values() if token.person.username == "alice")
    alice_there.shown |= {"name": "<script>alert(1)</script>\u202egnp.exe\n\x00", "description": {"not": "text"}}

    page = alice.get("/dashboard/profile").text
    shown = page.partition("What was sent")[0]

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; gnp.exe" in shown
    assert "\u202e" not in shown
