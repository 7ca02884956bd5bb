"""What a signed-in visitor does with the token."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask

from sandbox import Misbehaviour, Running
from tests.cast import Visitor
from tests.hostile import says, serve

FRAGMENT = {"HX-Request": "true"}


def draft() -> str:
    return str(uuid.uuid4())


def posted(sandbox: Running) -> list[str]:
    return [path for _, path in sandbox.requests if path == "/api/notes/create"]


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
        (Misbehaviour.FORBIDDEN, 502, "gave an answer that makes no sense"),
        (Misbehaviour.BROKEN, 502, "said no"),
        (Misbehaviour.NOT_JSON, 502, "gave an answer that makes no sense"),
        (Misbehaviour.RATE_LIMITED, 502, "asks to slow down"),
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


def test_a_note_is_posted_and_shown(alice: Visitor, sandbox: Running) -> None:
    answer = alice.post("/notes", {"text": "Hello\r\n<b>world</b> 🌍", "cw": "greeting", "draft": draft()})

    assert answer.status_code == 303
    page = alice.get(answer.location).text
    assert "Hello\n&lt;b&gt;world&lt;/b&gt; 🌍" in page
    assert "greeting" in page
    assert f"{sandbox.origin}/notes/" in page
    assert "/api/notes/create" in page
    assert "•••" in page


def test_what_the_form_says_is_what_is_sent(alice: Visitor) -> None:
    form = {"text": "only me", "visibility": "specified", "local_only": "y", "draft": draft()}

    page = alice.get(alice.post("/notes", form).location).text

    assert "&#34;visibility&#34;: &#34;specified&#34;" in page
    assert "&#34;localOnly&#34;: true" in page


def test_a_form_sent_twice_posts_one_note(alice: Visitor, sandbox: Running) -> None:
    form = {"text": "once", "draft": draft()}

    first, second = alice.post("/notes", form), alice.post("/notes", form)

    assert first.location == second.location
    assert len(posted(sandbox)) == 1


def test_a_double_click_posts_one_note(alice: Visitor, app: Flask, sandbox: Running) -> None:
    form = {"text": "once", "draft": draft(), "csrf_token": alice.csrf_token()}
    cookie = alice.client.get_cookie("session")
    assert cookie
    sandbox.world.misbehaviour = Misbehaviour.SLOW
    sandbox.world.slow_seconds = 0.2

    def click(_: int) -> int:
        hand = Visitor(app, sandbox)
        hand.client.set_cookie("session", cookie.value)
        return hand.client.post("/notes", data=form).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(click, range(2))) == [303, 303]
    assert len(posted(sandbox)) == 1


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"text": "  \n "}, "Write something first"),
        ({"text": "x" * 3001}, "longer than 3000 characters"),
        ({"text": "x", "cw": "w" * 101}, "longer than 100 characters"),
        ({"text": "x", "visibility": "nobody"}, "Not a valid choice"),
    ],
)
def test_a_wrong_note_is_told_with_the_text_kept(
    alice: Visitor, sandbox: Running, form: dict[str, object], words: str
) -> None:
    answer = alice.post("/notes", {"draft": draft(), **form})

    assert answer.status_code == 422
    assert words in answer.text
    assert str(form["text"]).strip() in answer.text
    assert not posted(sandbox)


def test_a_failure_keeps_the_text_and_can_be_sent_again(alice: Visitor, sandbox: Running) -> None:
    form = {"text": "do not lose me", "draft": draft()}
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    answer = alice.post("/notes", form)
    assert answer.status_code == 502
    assert "do not lose me" in answer.text
    assert "Your text is still here" in answer.text

    sandbox.world.misbehaviour = Misbehaviour.NONE
    assert alice.post("/notes", form).status_code == 303


def test_somebody_elses_posted_note_is_not_shown(alice: Visitor, app: Flask, sandbox: Running) -> None:
    location = alice.post("/notes", {"text": "mine", "draft": draft()}).location
    bob = Visitor(app, sandbox)
    bob.sign_in("bob")

    assert bob.get(location).status_code == 401
    assert bob.get(location.partition("?")[0]).status_code == 404


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
    assert refused.headers["HX-Retarget"] == "#told"


def test_a_note_without_the_permission_leads_to_asking_for_it(visitor: Visitor) -> None:
    visitor.sign_in(permissions=["read:account"])

    answer = visitor.post("/notes", {"text": "kept", "draft": draft()})

    assert answer.status_code == 403
    assert "kept" in answer.text
    assert 'name="permission" value="write:notes"' in answer.text


def test_what_a_server_says_in_an_error_is_shown_as_text(alice: Visitor, app: Flask) -> None:
    message = '<img src=x><b hx-post="/signout" hx-trigger="load">'
    store, (key,) = app.extensions["token_store"], alice.cookie()["accounts"]
    with serve(says({"error": {"code": "ODD", "message": message}}, 400)) as hostile:
        app.extensions["settings"] = replace(app.extensions["settings"], private_servers=(hostile.origin,))
        store.put(key, json.dumps(json.loads(store.get(key)) | {"origin": hostile.origin}), 60)

        for page in (
            alice.get("/dashboard/profile").text,
            alice.get("/dashboard/profile", headers=FRAGMENT).text,
            alice.post("/notes", {"text": "hello", "draft": draft()}).text,
        ):
            assert "The server said: &lt;img" in page
            assert "<img src=x>" not in page
            assert "<b hx-post" not in page


def test_a_note_that_the_server_does_not_give_back_is_told(alice: Visitor, app: Flask) -> None:
    store, (key,) = app.extensions["token_store"], alice.cookie()["accounts"]
    with serve(says({"createdNote": {"id": "../../x"}})) as hostile:
        app.extensions["settings"] = replace(app.extensions["settings"], private_servers=(hostile.origin,))
        store.put(key, json.dumps(json.loads(store.get(key)) | {"origin": hostile.origin}), 60)

        answer = alice.post("/notes", {"text": "hello", "draft": draft()})

    assert answer.status_code == 502
    assert "gave an answer that makes no sense" in answer.text


def test_a_note_whose_first_try_came_to_nothing_keeps_its_text(alice: Visitor, app: Flask) -> None:
    (key,), name = alice.cookie()["accounts"], draft()
    app.extensions["token_store"].put(f"note {key} {name}", "", 1)  # somebody is at it, and never comes back

    answer = alice.post("/notes", {"text": "hello again", "draft": name})

    assert answer.status_code == 502
    assert "The note was not posted" in answer.text
    assert "hello again" in answer.text


def test_a_server_that_the_settings_no_longer_allow_is_forgotten(alice: Visitor, app: Flask) -> None:
    session_id = alice.begin()
    app.extensions["settings"] = replace(app.extensions["settings"], private_servers=())

    assert alice.get("/").status_code == 200
    assert alice.get("/dashboard").status_code == 303
    assert alice.get(f"/callback?session={session_id}").status_code == 400


def test_a_great_answer_to_a_note_is_not_kept_whole(alice: Visitor, app: Flask, tmp_path: Path) -> None:
    form = {"text": "x" * 3000, "draft": draft()}
    before = sum(path.stat().st_size for path in tmp_path.iterdir())

    alice.post("/notes", form)

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) - before < 300_000


def test_what_people_wrote_of_themselves_is_shown_as_text(alice: Visitor, sandbox: Running) -> None:
    alice_there = next(token.person for token in sandbox.world.tokens.values() if token.person.username == "alice")
    alice_there.shown |= {"name": "<script>alert(1)</script>\u202egnp.exe\n\x00", "description": {"not": "text"}}

    page = alice.get("/dashboard/profile").text
    shown = page.partition("What was sent")[0]

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; gnp.exe" in shown
    assert "\u202e" not in shown
