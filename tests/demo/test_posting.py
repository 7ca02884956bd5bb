"""Posting a note."""

from __future__ import annotations

import html
import io
import re
import sqlite3
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from urllib3 import encode_multipart_formdata

from misskey import Transport
from sandbox import Misbehaviour, Running
from tests import hostile
from tests.cast import Visitor
from tests.hostile import Caller, answers, moved_to, says

FRAGMENT = {"HX-Request": "true"}


def draft() -> str:
    return str(uuid.uuid4())


@pytest.fixture
def alice(visitor: Visitor) -> Visitor:
    """Alice, signed in, who lets the app post and write to her drive."""
    visitor.sign_in(permissions=["read:account", "write:notes", "write:drive"])
    return visitor


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


def test_a_zero_byte_which_no_server_can_store_is_left_out(alice: Visitor, sandbox: Running) -> None:
    """Pasted from some programs; a database answers with an error that says nothing to the visitor."""
    answer = alice.post("/notes", {"text": "a\0b\r\nc", "cw": "\0", "draft": draft()})

    assert answer.status_code == 303
    assert (newest(sandbox)["text"], newest(sandbox)["cw"]) == ("ab\nc", None)
    assert alice.post("/notes", {"text": "\0", "draft": draft()}).status_code == 422


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


@pytest.mark.parametrize(
    "change", [{"text": "twice"}, {"cw": "careful"}, {"visibility": "public"}, {"local_only": "y"}]
)
def test_a_form_that_was_changed_meanwhile_is_another_note(
    alice: Visitor, sandbox: Running, change: dict[str, str]
) -> None:
    """As after a connection that was lost on the way back, or from a page that the browser had kept."""
    form = {"text": "once", "visibility": "home", "draft": draft()}

    first, second = alice.post("/notes", form), alice.post("/notes", form | change)

    assert first.location != second.location
    assert len(posted(sandbox)) == 2
    assert form["text"] in alice.get(first.location).text
    assert (form | change)["text"] in alice.get(second.location).text


def test_a_double_click_posts_one_note(alice: Visitor, app: Flask, sandbox: Running) -> None:
    form = {"text": "once", "draft": draft(), "csrf_token": alice.csrf_token()}
    cookie = alice.client.get_cookie(alice.cookie_name)
    assert cookie
    sandbox.world.misbehaviour = Misbehaviour.SLOW
    sandbox.world.slow_seconds = 0.2

    def click(_: int) -> int:
        hand = Visitor(app, sandbox)
        hand.client.set_cookie(hand.cookie_name, cookie.value)
        return hand.client.post("/notes", data=form).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(click, range(2))) == [303, 303]
    assert len(posted(sandbox)) == 1


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"text": "  \n "}, "Write something or add a file first"),
        ({"text": "x" * 20_001}, "longer than 20000 characters"),
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


def test_a_note_longer_than_the_server_takes_is_told_with_its_limit(alice: Visitor, sandbox: Running) -> None:
    answer = alice.post("/notes", {"draft": draft(), "text": "x" * 3001})

    assert answer.status_code == 422
    assert 'id="text-error">Your server takes notes of up to 3000 characters.<' in answer.text
    assert "x" * 3001 in answer.text
    assert newest(sandbox)["text"] != "x" * 3001


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        ({"code": "MAX_LENGTH", "message": "Too long."}, 422, 'id="text-error">This is longer than your server takes.'),
        ({"code": "CONTAINS_PROHIBITED_WORDS"}, 422, 'id="text-error">There are words in it that'),
        ({"code": "CONTAINS_TOO_MANY_MENTIONS"}, 422, 'id="text-error">It mentions more people than'),
        (
            {
                "code": "INVALID_PARAM",
                "message": "Invalid param.",
                "info": {"param": "#/properties/fileIds/maxItems", "reason": "must NOT have more than 2 items"},
            },
            502,
            "Invalid param. fileIds must NOT have more than 2 items",
        ),
        (
            {
                "code": "INVALID_PARAM",
                "message": "Invalid param.",
                "info": {"param": "#/x", "reason": "must be string"},
            },
            502,
            "The server said: Invalid param. must be string",
        ),
        (
            {
                "code": "INVALID_PARAM",
                "message": "Invalid param.",
                "info": {"param": "#/properties/cw/maxLength", "reason": "must NOT have more than 5 characters"},
            },
            422,
            'id="cw-error">Your server takes content warnings of up to 5 characters.<',
        ),
        ({"code": "INVALID_PARAM", "message": "Invalid param.", "info": ["odd"]}, 502, "said: Invalid param.</p>"),
    ],
)
def test_what_a_server_refuses_about_a_note_is_told(
    alice: Visitor, error: dict[str, object], status: int, words: str
) -> None:
    with moved_to(says({"error": error}, 400), alice):
        answer = alice.post("/notes", {"draft": draft(), "text": "kept"})

    assert answer.status_code == status
    assert words in answer.text.replace(" Your text is still here.", "")
    assert "kept" in answer.text


def test_a_note_that_a_firewall_stops_says_what_may_be_wrong_with_it(alice: Visitor) -> None:
    """Some of them take commands and addresses in a note for an attack."""
    with moved_to(answers(403, b"<h1>Blocked</h1>"), alice):
        answer = alice.post("/notes", {"draft": draft(), "text": "cat /etc/passwd"})

    assert answer.status_code == 502
    assert "it is something in this one that the firewall does not like" in answer.text
    assert "cat /etc/passwd" in answer.text


@pytest.mark.parametrize(
    ("cw", "shown"), [("", "Content warning"), ("\u200b", "Content warning"), ("secret", "secret")]
)
def test_a_note_that_the_server_folds_is_shown_folded(alice: Visitor, cw: str, shown: str) -> None:
    with moved_to(says({"createdNote": {"id": "9a", "text": "Everyone dances", "cw": cw}}), alice):
        page = alice.get(alice.post("/notes", {"text": "Everyone dances", "draft": draft()}).location).text

    folded = page.partition('<details class="cw">')[2].partition("</details>")[0]
    assert f"<bdi>{shown}</bdi></summary>" in folded
    assert "Everyone dances" in folded
    assert "Everyone dances" not in page.replace(folded, "").partition("What was sent")[0]


def test_a_warning_of_spaces_is_none(alice: Visitor, sandbox: Running) -> None:
    alice.post("/notes", {"draft": draft(), "text": "plain", "cw": "   "})

    assert newest(sandbox)["cw"] is None


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


def test_a_note_that_the_server_does_not_give_back_is_told(alice: Visitor) -> None:
    with moved_to(says({"createdNote": {"id": "../../x"}}), alice):
        answer = alice.post("/notes", {"text": "hello", "draft": draft()})

    assert answer.status_code == 502
    assert "gave an answer that this app can’t read" in answer.text


def test_a_note_whose_first_try_came_to_nothing_keeps_its_text(alice: Visitor, app: Flask) -> None:
    (key,), form = alice.cookie()["accounts"], {"text": "hello again", "draft": draft()}
    name = urlsplit(alice.post("/notes", form).location).path.rpartition("/")[2]
    app.extensions["token_store"].put(f"note {key} {name}", "", 1)  # somebody is at it, and never comes back

    answer = alice.post("/notes", form)

    assert answer.status_code == 502
    assert "It is not known whether the note was posted" in answer.text
    assert f'value="{name}"' not in answer.text
    assert "hello again" in answer.text


def test_a_great_answer_to_a_note_is_not_kept_whole(alice: Visitor, tmp_path: Path) -> None:
    form = {"text": "x" * 3000, "draft": draft()}
    before = sum(path.stat().st_size for path in tmp_path.iterdir())

    alice.post("/notes", form)

    assert sum(path.stat().st_size for path in tmp_path.iterdir()) - before < 300_000


# Notes with files.


def files(*names: str) -> list[tuple[io.BytesIO, str]]:
    return [(io.BytesIO(f"what is in {name}".encode()), name) for name in names]


def newest(sandbox: Running) -> dict[str, Any]:
    return list(sandbox.world.notes.values())[-1]


def uploads(sandbox: Running) -> int:
    return sandbox.requests.count(("POST", "/api/drive/files/create"))


def kept(page: str) -> list[str]:
    """The files that a form says are uploaded already, as it sends them back."""
    return [html.unescape(value) for value in re.findall('name="file_id" value="(.*?)"', page)]


def test_a_note_is_posted_with_its_files(alice: Visitor, sandbox: Running) -> None:
    answer = alice.post("/notes", {"text": "two pictures", "draft": draft(), "files": files("a.png", "空.png")})

    assert [file["name"] for file in newest(sandbox)["files"]] == ["a.png", "空.png"]
    page = alice.get(answer.location).text
    for words in ("two pictures", "<bdi>空.png</bdi>", "(a.png, image/png, 16 bytes)", "&#34;fileIds&#34;"):
        assert words in page


def test_a_note_with_files_needs_no_text(alice: Visitor, sandbox: Running) -> None:
    assert alice.post("/notes", {"text": " ", "draft": draft(), "files": files("a.txt")}).status_code == 303
    assert (newest(sandbox)["text"], len(newest(sandbox)["files"])) == (None, 1)


def test_files_with_the_same_content_are_attached_once(alice: Visitor, sandbox: Running) -> None:
    same = [(io.BytesIO(b"the same"), name) for name in ("a.txt", "b.txt")]
    answer = alice.post("/notes", {"text": "twice", "draft": draft(), "files": same})

    assert answer.status_code == 303, answer.text
    assert len(newest(sandbox)["files"]) == 1


def test_a_note_with_files_that_is_sent_twice_is_one(alice: Visitor, sandbox: Running) -> None:
    name = draft()
    for _ in range(2):
        assert alice.post("/notes", {"draft": name, "files": files("a.txt")}).status_code == 303

    assert (len(posted(sandbox)), uploads(sandbox)) == (1, 1)


def test_more_than_four_files_are_too_many(alice: Visitor, sandbox: Running) -> None:
    form = {"text": "kept", "draft": draft(), "files": files(*"abcd"), "file_id": "f1 e.txt"}

    answer = alice.post("/notes", form)

    assert answer.status_code == 422
    assert "up to 4 files here" in answer.text
    assert "choose again:" in answer.text
    assert kept(answer.text) == ["f1 e.txt"]
    assert not uploads(sandbox)


def test_after_a_failure_the_files_that_were_uploaded_are_kept(alice: Visitor, sandbox: Running) -> None:
    too_large = (io.BytesIO(bytes(10 * 1024 * 1024 + 1)), "film.mp4")
    form: dict[str, object] = {"text": "do not lose me", "draft": draft()}
    chosen = encode_multipart_formdata(
        [("csrf_token", alice.csrf_token()), *((name, str(value)) for name, value in form.items())]
        + [("files", (name, stream.read())) for stream, name in [*files('a "b".txt'), too_large, *files("c.txt")]]
    )

    answer = alice.client.post("/notes", data=chosen[0], content_type=chosen[1])

    assert answer.status_code == 422
    assert "“film.mp4” is larger than your server takes." in answer.text
    assert "do not lose me" in answer.text
    assert "<bdi>film.mp4</bdi>, <bdi>c.txt</bdi>" in answer.text
    assert [value.partition(" ")[2] for value in kept(answer.text)] == ['a "b".txt']

    again = alice.post("/notes", form | {"file_id": kept(answer.text), "files": files("c.txt")})
    assert again.status_code == 303
    assert [file["name"] for file in newest(sandbox)["files"]] == ['a "b".txt', "c.txt"]
    assert uploads(sandbox) == 3


def test_when_only_the_note_failed_all_its_files_are_kept(visitor: Visitor, sandbox: Running) -> None:
    visitor.sign_in(permissions=["read:account", "write:drive"])

    answer = visitor.post("/notes", {"text": "kept", "draft": draft(), "files": files("a.txt", "b.txt")})

    assert answer.status_code == 403
    assert [value.partition(" ")[2] for value in kept(answer.text)] == ["a.txt", "b.txt"]
    assert "choose again:" not in answer.text
    assert 'name="permission" value="write:notes"' in answer.text


def test_files_without_the_permission_lead_to_asking_for_it(visitor: Visitor, sandbox: Running) -> None:
    visitor.sign_in(permissions=["read:account", "write:notes"])

    answer = visitor.post("/notes", {"text": "kept", "draft": draft(), "files": files("a.txt")})

    assert answer.status_code == 403
    assert 'name="permission" value="write:drive"' in answer.text
    assert "<bdi>a.txt</bdi>" in answer.text
    assert not posted(sandbox)


def test_a_file_can_be_left_out_again(alice: Visitor, sandbox: Running) -> None:
    assert alice.post("/notes", {"text": "without", "draft": draft(), "file_id": []}).status_code == 303
    assert newest(sandbox)["files"] == []


@pytest.mark.parametrize("value", ["", " ", "../x name", "a" * 65, "ä name", "\x00"])
def test_what_is_no_file_id_is_not_sent_as_one(alice: Visitor, sandbox: Running, value: str) -> None:
    assert alice.post("/notes", {"text": "hello", "draft": draft(), "file_id": value}).status_code == 303
    assert newest(sandbox)["fileIds"] == []


def test_a_file_that_is_gone_at_the_server_is_told(alice: Visitor) -> None:
    answer = alice.post("/notes", {"draft": draft(), "file_id": "f1 <b>gone</b>.txt"})

    assert answer.status_code == 502
    assert "Some files are not found." in answer.text
    assert "<bdi>&lt;b&gt;gone&lt;/b&gt;.txt</bdi>" in answer.text


def test_a_permission_that_was_never_asked_for_is_offered_with_the_form(visitor: Visitor) -> None:
    session_id = visitor.begin(permission="read:account")
    visitor.allow(session_id, permissions=["read:account"])
    visitor.get(f"/callback?session={session_id}")

    page = visitor.get("/dashboard").text

    assert "or try anyway" in page
    assert 'name="permission" value="write:notes"' in page
    assert 'name="text"' in page


# Deleting.


def post(alice: Visitor, sandbox: Running) -> str:
    """Post a note; return its id."""
    assert alice.post("/notes", {"text": "to be deleted", "draft": draft()}).status_code == 303
    return str(newest(sandbox)["id"])


def test_a_posted_note_can_be_deleted(alice: Visitor, sandbox: Running) -> None:
    location = alice.post("/notes", {"text": "to be deleted", "draft": draft()}).location
    note_id = newest(sandbox)["id"]
    assert f'action="/notes/{note_id}/delete"' in alice.get(location).text

    page = alice.post(f"/notes/{note_id}/delete")

    assert note_id not in sandbox.world.notes
    assert page.status_code == 200
    for words in ("<h1", "Deleted", "is gone from your server", "/api/notes/delete", "status 204"):
        assert words in page.text


def test_a_deleted_note_is_a_part_of_a_page_too(alice: Visitor, sandbox: Running) -> None:
    fragment = alice.post(f"/notes/{post(alice, sandbox)}/delete", headers=FRAGMENT).text

    assert "Deleted" in fragment
    assert "<html" not in fragment


def test_after_undoing_a_renote_the_note_itself_is_not_said_to_be_gone(alice: Visitor, sandbox: Running) -> None:
    page = alice.post(f"/notes/{post(alice, sandbox)}/delete", {"renote": "yes"}).text

    assert "Your renote is gone from your server. The note that you renoted stays." in page
    assert "The note is gone" not in page


def test_a_note_that_is_gone_already_is_no_error(alice: Visitor, sandbox: Running) -> None:
    note_id = post(alice, sandbox)
    del sandbox.world.notes[note_id]

    answer = alice.post(f"/notes/{note_id}/delete")

    assert answer.status_code == 200
    assert "The note was gone already." in answer.text


def test_deleting_too_fast_is_told(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.people["alice"].may_delete_at = time.time() + 60

    answer = alice.post(f"/notes/{post(alice, sandbox)}/delete", headers=FRAGMENT)

    assert answer.headers["HX-Retarget"] == "previous .told"
    assert "has had too many requests" in answer.text
    assert "Wait 1 second, then try again." in answer.text
    assert answer.headers["Retry-After"] == "1"


def test_somebody_elses_note_is_not_deleted(alice: Visitor, sandbox: Running) -> None:
    theirs = next(note["id"] for note in sandbox.world.notes.values() if note["user"]["username"] == "bob")

    answer = alice.post(f"/notes/{theirs}/delete")

    assert answer.status_code == 403
    assert "This note is somebody else’s" in answer.text
    assert theirs in sandbox.world.notes


def test_deleting_without_the_permission_leads_to_asking_for_it(visitor: Visitor) -> None:
    visitor.sign_in(permissions=["read:account"])

    answer = visitor.post("/notes/0123456789abcdef/delete")

    assert answer.status_code == 403
    assert 'name="permission" value="write:notes"' in answer.text


@pytest.mark.parametrize("note_id", ["a.b", "%0a", "é", "a" * 65])
def test_what_is_no_note_id_leads_nowhere(alice: Visitor, note_id: str) -> None:
    assert alice.post(f"/notes/{note_id}/delete").status_code == 404


def test_a_note_that_the_server_was_too_slow_for_may_have_been_posted(
    alice: Visitor, app: Flask, sandbox: Running
) -> None:
    app.extensions["transport"].close()
    app.extensions["transport"] = Transport("test/1.0", total_seconds=0.2)
    sandbox.world.misbehaviour = Misbehaviour.HANGING

    answer = alice.post("/notes", {"text": "hello", "draft": draft()})

    assert answer.status_code == 504
    assert "The note may have been posted all the same." in answer.text
    assert "hello</textarea>" in answer.text


MAYBE = "The note may have been posted all the same. Look at your timeline before you post it again."
AGAIN = "If the note has arrived, pressing Post posts it a second time."


def press_again(page: str) -> dict[str, object]:
    """What the form of a page sends when its button is pressed."""
    found = dict(re.findall('<input[^>]*name="(draft|account)"[^>]*value="([^"]*)"', page))
    found["text"] = html.unescape(re.findall(r"<textarea[^>]*>\s*(.*?)</textarea>", page, re.DOTALL)[0])
    return {**found, "file_id": kept(page)}


#: Answers of Misskey that are not what was asked for.
WRONG = {
    "null": says(None),
    "a string": says("ok"),
    "a list": says([]),
    "no note": says({"createdNote": {"id": "../x"}}),
}


@pytest.mark.parametrize("name", [*hostile.MAYBE_DONE, *WRONG])
def test_a_note_may_have_been_posted_whatever_the_answer(alice: Visitor, name: str) -> None:
    form = {"text": "hello", "draft": draft()}
    with moved_to((hostile.MAYBE_DONE | WRONG)[name], alice) as server:
        answer = alice.post("/notes", form)
        assert answer.status_code == 502
        assert MAYBE in answer.text
        assert AGAIN in answer.text.partition("</textarea>")[2]
        assert 'aria-describedby="note-again"' in answer.text

        reloaded = alice.post("/notes", form)
        assert MAYBE in reloaded.text
        assert len(server.requests) == 1

        server.behaviour = says({"createdNote": {"id": "9a", "text": "hello", "cw": None}})
        server.hang_up()
        assert alice.post("/notes", press_again(reloaded.text)).status_code == 303
        assert len(server.requests) == 2


@pytest.mark.parametrize("name", hostile.NOT_DONE)
def test_a_note_that_was_refused_was_not_posted(alice: Visitor, name: str) -> None:
    with moved_to(hostile.NOT_DONE[name], alice) as server:
        form = {"text": "hello", "draft": draft()}
        answers = [alice.post("/notes", form) for _ in range(2)]

    assert len(server.requests) == 2
    for answer in answers:
        assert answer.status_code >= 400
        assert "may have been posted" not in answer.text
        assert "second time" not in answer.text


def test_a_note_that_never_left_was_not_posted(alice: Visitor) -> None:
    with moved_to(says({}), alice) as server:
        server.refuse()
        answer = alice.post("/notes", {"text": "hello", "draft": draft()})

    assert "can’t be reached" in answer.text
    assert "may have been posted" not in answer.text


def test_a_double_click_on_a_note_that_may_have_been_posted_sends_one(alice: Visitor, app: Flask) -> None:
    def slow(caller: Caller) -> None:
        caller.request()
        time.sleep(0.5)
        caller.send(hostile.http(504))

    form = {"text": "once", "draft": draft(), "csrf_token": alice.csrf_token()}
    cookie = alice.client.get_cookie(alice.cookie_name)
    assert cookie

    def click(_: int) -> str:
        hand = Visitor(app, alice.sandbox)
        hand.client.set_cookie(hand.cookie_name, cookie.value)
        return hand.client.post("/notes", data=form).text

    with moved_to(slow, alice) as server, ThreadPoolExecutor(2) as pool:
        assert [MAYBE in page for page in pool.map(click, range(2))] == [True, True]
    assert len(server.requests) == 1


def test_the_files_that_arrived_stay_when_one_may_have_arrived(alice: Visitor) -> None:
    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            first = b"what is in a.txt" in request.body
            caller.send(hostile.http(200, b'{"id": "9a", "name": "a.txt"}') if first else hostile.http(504))

    with moved_to(behaviour, alice):
        answer = alice.post("/notes", {"text": "two", "draft": draft(), "files": files("a.txt", "b.txt")})

    assert "The file may have arrived all the same. Look into your drive" in answer.text
    assert "If the file has arrived, pressing Post sends it a second time." in answer.text
    assert "may have been posted" not in answer.text
    assert kept(answer.text) == ["9a a.txt"]
    assert "<bdi>b.txt</bdi></p>" in answer.text


def test_a_note_whose_result_can_not_be_kept_was_posted_all_the_same(
    alice: Visitor, sandbox: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The store takes the claim, and then no more."""
    with closing(sqlite3.connect(tmp_path / "tokens.sqlite3")) as database, database:
        database.execute("CREATE TRIGGER full BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'full'); END")

    answer = alice.post("/notes", {"text": "hello", "draft": draft()})

    assert answer.status_code == 503
    assert "It was done at your server" in answer.text
    assert "token store: full" in caplog.text
    assert newest(sandbox)["text"] == "hello"
