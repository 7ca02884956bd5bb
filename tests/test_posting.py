"""Posting a note."""

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


def test_a_note_without_the_permission_leads_to_asking_for_it(visitor: Visitor) -> None:
    visitor.sign_in(permissions=["read:account"])

    answer = visitor.post("/notes", {"text": "kept", "draft": draft()})

    assert answer.status_code == 403
    assert "kept" in answer.text
    assert 'name="permission" value="write:notes"' in answer.text


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


def test_a_great_answer_to_a_note_is_not_kept_whole(alice: Visitor, app: Flask, tmp_path: Path) -> None:
    form = {"text": "x" * 3000, "draft": draft()}
    before = sum(path.stat().st_size for path in tmp_path.iterdir())

    alice.post("/notes", form)

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) - before < 300_000
