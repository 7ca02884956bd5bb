"""What a signed-in visitor sees with the token."""

from __future__ import annotations

import uuid

from sandbox import Running
from tests.cast import Visitor
from tests.hostile import moved_to, says

FRAGMENT = {"HX-Request": "true"}


def draft() -> str:
    return str(uuid.uuid4())


def test_a_panel_shows_what_was_sent_with_the_token_masked(alice: Visitor, sandbox: Running) -> None:
    page = alice.get("/dashboard/profile").text

    assert f"POST <bdi>{sandbox.origin}/api/i</bdi>" in page
    assert "&#34;i&#34;: &#34;•••&#34;" in page
    assert "status 200" in page


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
