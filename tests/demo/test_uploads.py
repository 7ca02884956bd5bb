"""Uploading a file to the drive."""

from __future__ import annotations

import io
import uuid
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from urllib3 import encode_multipart_formdata
from werkzeug.test import TestResponse

from demo.upload_limits import MAX_PARTS
from demo.uploads import drive_name
from misskey import Transport
from sandbox import Misbehaviour, Running
from sandbox.world import SHAPES
from tests import hostile
from tests.cast import Visitor
from tests.hostile import Behaviour, answers, moved_to, says
from web.security import MAX_FORM_BYTES

FRAGMENT = {"HX-Request": "true"}
ALLOWED = ["read:account", "write:notes", "read:drive", "write:drive"]


@pytest.fixture
def alice(visitor: Visitor) -> Visitor:
    """Alice, signed in, who lets the app write to her drive."""
    visitor.sign_in(permissions=ALLOWED)
    return visitor


def upload(visitor: Visitor, content: bytes = b"content", name: str = "a.txt", **form: Any) -> TestResponse:
    """Send the form, as a part of a page with ``fragment=True``."""
    headers = FRAGMENT if form.pop("fragment", False) else {}
    usual = {"csrf_token": visitor.csrf_token(), "draft": str(uuid.uuid4()), "file": (name, content)}
    body, content_type = encode_multipart_formdata(usual | form)
    return visitor.client.post("/files", data=body, content_type=content_type, headers=headers)


def created(sandbox: Running) -> int:
    return sandbox.requests.count(("POST", "/api/drive/files/create"))


def drive(sandbox: Running, person: str = "alice") -> dict[str, Any]:
    """What is in somebody's drive, by name."""
    return {file["name"]: file for file in sandbox.world.people[person].files.values()}


def test_a_file_is_uploaded_and_shown(alice: Visitor, sandbox: Running) -> None:
    answer = upload(alice, b"what is in it", "空の色 “evening”.txt", comment="An evening sky", sensitive="y")

    assert answer.status_code == 303
    file = drive(sandbox)["空の色 “evening”.txt"]
    assert (file["size"], file["comment"], file["isSensitive"]) == (13, "An evening sky", True)
    page = alice.get(answer.location).text
    for words in (
        "Uploaded",
        "空の色 “evening”.txt",
        "13\u00a0bytes",
        f'href="{file["url"]}"',
        "/dashboard/drive?account=",
    ):
        assert words in page


def test_a_file_that_the_drive_had_already_and_that_is_not_marked_now_says_so(alice: Visitor) -> None:
    """Misskey before 2024.5 keeps the mark of the file that it has."""
    words = "whether it is marked as sensitive"
    first = alice.get(upload(alice, b"the same", "a.txt").location).text
    again = alice.get(upload(alice, b"the same", "a.txt", sensitive="y").location).text

    assert words not in first
    assert words in again


def test_a_file_that_the_drive_had_already_keeps_its_description(alice: Visitor, sandbox: Running) -> None:
    words = "Your drive had this file already."
    first = alice.get(upload(alice, b"the same", "a.txt", comment="First").location).text
    second = alice.get(upload(alice, b"the same", "b.txt", comment="Second").location).text

    assert words not in first
    assert words in second
    assert drive(sandbox)["a.txt"]["comment"] == "First"


def test_what_was_sent_is_shown_without_token_and_bytes(alice: Visitor) -> None:
    page = alice.get(upload(alice, b"the bytes themselves").location).text

    assert "/api/drive/files/create" in page
    assert "(a.txt, text/plain, 20 bytes)" in page
    assert "&#34;i&#34;: &#34;•••&#34;" in page
    assert "the bytes themselves" not in page


def test_what_was_uploaded_is_a_part_of_a_page_too(alice: Visitor) -> None:
    answer = upload(alice, fragment=True)

    fragment = alice.get(answer.location, headers=FRAGMENT).text
    assert "Uploaded" in fragment
    assert "<html" not in fragment


def test_an_empty_file_is_a_file(alice: Visitor, sandbox: Running) -> None:
    assert upload(alice, b"", "empty.txt").status_code == 303
    assert drive(sandbox)["empty.txt"]["size"] == 0


def test_a_form_sent_twice_uploads_once(alice: Visitor, sandbox: Running) -> None:
    draft = str(uuid.uuid4())

    first, second = upload(alice, draft=draft), upload(alice, draft=draft)

    assert first.location == second.location
    assert created(sandbox) == 1


def test_somebody_elses_upload_is_not_shown(alice: Visitor, app: Flask, sandbox: Running) -> None:
    location = upload(alice).location
    bob = Visitor(app, sandbox)
    bob.sign_in("bob")

    assert bob.get(location.partition("?")[0]).status_code == 404


def test_without_an_account_nothing_is_uploaded(visitor: Visitor) -> None:
    assert (upload(visitor).status_code, upload(visitor).location) == (303, "/")
    assert upload(visitor, fragment=True).status_code == 401


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"file": ""},
        {"file": "a text in the place of a file"},
        {"file": (io.BytesIO(b""), "")},
        {"other": (io.BytesIO(b"x"), "x.txt")},
    ],
)
def test_without_a_file_the_form_says_so(alice: Visitor, sandbox: Running, form: dict[str, Any]) -> None:
    answer = alice.post("/files", {"draft": str(uuid.uuid4()), "comment": "kept", **form})

    assert answer.status_code == 422
    assert "Choose a file first." in answer.text
    assert 'value="kept"' in answer.text
    assert not created(sandbox)


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"comment": "x" * 513}, "longer than 512 characters"),
        ({"max_file_mb": "0.000001"}, "up to 1e-06 MB; this one is larger"),
    ],
)
def test_a_wrong_form_is_told_beside_the_field(
    alice: Visitor, sandbox: Running, form: dict[str, Any], words: str
) -> None:
    answer = upload(alice, **form)

    assert answer.status_code == 422
    assert words in answer.text
    assert "choose again:" in answer.text
    assert not created(sandbox)


def test_two_files_at_once_are_too_many(alice: Visitor, sandbox: Running) -> None:
    two = [(io.BytesIO(b"a"), "a.txt"), (io.BytesIO(b"b"), "b.txt")]

    answer = alice.post("/files", {"draft": str(uuid.uuid4()), "file": two})

    assert answer.status_code == 422
    assert "Choose one file" in answer.text
    assert not created(sandbox)


@pytest.mark.parametrize("limit", ["nan", "-1", "1e999", "", "ten", "0", "9" * 5000, "１"])
def test_a_limit_that_is_no_number_is_none(alice: Visitor, limit: str) -> None:
    assert upload(alice, max_file_mb=limit).status_code == 303


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"no parts at all",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nnever ends',
        b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename*=utf-8''a%00\r\n\r\nx\r\n--x--\r\n",
        b"--x\r\n\r\nnameless\r\n--x--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"; filename="\xff\xfe/../x"\r\n\r\nx\r\n--x--\r\n',
    ],
)
def test_odd_forms_never_break(alice: Visitor, body: bytes) -> None:
    headers = {"X-CSRFToken": alice.csrf_token()}

    for path in ("/files", "/notes"):
        answer = alice.client.post(path, data=body, content_type="multipart/form-data; boundary=x", headers=headers)
        assert answer.status_code in (303, 422)
    assert alice.client.post("/files", content_type="multipart/form-data", headers=headers).status_code == 422


@pytest.mark.parametrize(
    ("name", "known"),
    [
        ("C:\\pictures\\red.png", "red.png"),
        ("../../etc/passwd", "passwd"),
        ("what...png", "what.png"),
        ("a\r\nb\x00\u202egnp.txt", "a b gnp.txt"),
        ("x" * 300 + ".png", "x" * 196 + ".png"),
        ("folder/", "untitled"),
        ("か\u3099.png", "が.png"),
    ],
)
def test_a_name_becomes_one_that_misskey_takes(alice: Visitor, sandbox: Running, name: str, known: str) -> None:
    assert drive_name(name) == known
    assert upload(alice, name.encode(), name).status_code == 303


@pytest.mark.parametrize(
    "behaviour",
    [
        answers(413),
        answers(413, b"<h1>413 Request Entity Too Large</h1>", "Content-Type: text/html"),
        hostile.refuses_early(413),
    ],
    ids=["nothing", "a page", "before all was sent"],
)
def test_a_file_that_a_proxy_finds_too_large_is_told(alice: Visitor, behaviour: Behaviour) -> None:
    with moved_to(behaviour, alice):
        answer = upload(alice, bytes(2_000_000), "film.mp4")

    assert answer.status_code == 422
    assert "“film.mp4” is larger than your server takes." in answer.text


def test_a_file_that_is_too_large_is_told(alice: Visitor) -> None:
    answer = upload(alice, bytes(10 * 1024 * 1024 + 1), "film.mp4")

    assert answer.status_code == 422
    assert "“film.mp4” is larger than your server takes." in answer.text
    assert "MAX_FILE_SIZE_EXCEEDED" in answer.text


def test_a_full_drive_is_told(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES["policies"], "driveCapacityMb", 0)

    answer = upload(alice, b"one more", "more.txt")

    assert answer.status_code == 422
    assert "“more.txt” does not fit into your drive any more." in answer.text


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("INAPPROPRIATE", "“100%s.txt” shows something that your server"),
        ("MAX_FILE_SIZE_EXCEEDED", "“100%s.txt” is larger than your server takes."),
        ("UNALLOWED_FILE_TYPE", "“100%s.txt” is of a kind that your server does not take."),
    ],
)
def test_a_file_that_the_server_does_not_let_in_is_told_beside_it(alice: Visitor, code: str, words: str) -> None:
    with moved_to(says({"error": {"code": code}}, 400), alice):
        answer = upload(alice, b"content", "100%s.txt")

    assert answer.status_code == 422
    assert words in answer.text


@pytest.mark.parametrize(
    ("misbehaviour", "words"),
    [
        (Misbehaviour.BROKEN, "has a problem"),
        (Misbehaviour.RATE_LIMITED, "has had too many requests"),
        (Misbehaviour.FORBIDDEN, "gave an answer that this app can’t read"),
    ],
)
def test_a_failure_at_the_server_is_told_above_the_form(
    alice: Visitor, sandbox: Running, misbehaviour: Misbehaviour, words: str
) -> None:
    sandbox.world.misbehaviour = misbehaviour

    answer = upload(alice, comment="kept", fragment=True)

    assert answer.status_code == 502
    for expected in (words, 'value="kept"', "choose again:", "a.txt", "What was sent"):
        assert expected in answer.text


def test_a_server_that_hangs_up_may_find_the_file_too_large(alice: Visitor) -> None:
    with moved_to(hostile.hangs_up_unanswered, alice):
        answer = upload(alice)

    assert answer.status_code == 502
    assert "the file may be too large for it" in answer.text


def test_a_missing_permission_leads_to_asking_for_it(visitor: Visitor) -> None:
    visitor.sign_in(permissions=["read:account"])

    answer = upload(visitor)

    assert answer.status_code == 403
    assert 'name="permission" value="write:drive"' in answer.text


def test_a_permission_that_was_never_asked_for_is_offered_with_the_form(visitor: Visitor) -> None:
    session_id = visitor.begin(permission="read:account")
    visitor.allow(session_id, permissions=["read:account"])
    visitor.get(f"/callback?session={session_id}")

    page = visitor.get("/files").text

    assert "or try anyway" in page
    assert 'name="permission" value="write:drive"' in page
    assert 'type="file"' in page


@pytest.mark.parametrize("answer", [{}, [], {"id": "../x"}, {"id": 5}, "id"])
def test_a_file_that_the_server_does_not_give_back_is_told(alice: Visitor, answer: object) -> None:
    with moved_to(says(answer), alice):
        page = upload(alice)

    assert page.status_code == 502
    assert "gave an answer that this app can’t read" in page.text


@pytest.mark.parametrize(
    "url", ["javascript:alert(1)", "//evil.example", 5, None, "https://x y", "https://x\n", "x" * 3000, "ftp://x"]
)
def test_what_the_server_says_of_a_file_is_data(alice: Visitor, url: object) -> None:
    said = {"id": "f1", "name": "<b>name</b>\u202e", "size": "huge", "url": url}
    with moved_to(says(said), alice):
        page = alice.get(upload(alice).location).text

    assert '&lt;b&gt;name&lt;/b&gt;</bdi> <span class="aside size">7\u00a0bytes</span>' in page
    assert "Open the file" not in page


@pytest.mark.parametrize("change", [{"content": b"more content"}, {"name": "b.txt"}, {"comment": "described"}])
def test_a_form_that_was_changed_meanwhile_is_another_upload(
    alice: Visitor, sandbox: Running, change: dict[str, Any]
) -> None:
    draft = str(uuid.uuid4())

    assert upload(alice, draft=draft).location != upload(alice, draft=draft, **change).location
    assert created(sandbox) == 2


def test_an_upload_whose_first_try_came_to_nothing_is_told(alice: Visitor, app: Flask) -> None:
    (key,), draft = alice.cookie()["accounts"], str(uuid.uuid4())
    name = urlsplit(upload(alice, draft=draft).location).path.rpartition("/")[2]
    app.extensions["token_store"].put(f"file {key} {name}", "", 1)  # somebody is at it, and never comes back

    answer = upload(alice, draft=draft)

    assert answer.status_code == 502
    assert "It is not known whether the file was uploaded" in answer.text


def test_the_form_knows_the_servers_limit_and_keeps_it(alice: Visitor) -> None:
    page = alice.get("/files").text
    assert 'data-most-bytes="10485760"' in page
    assert 'name="max_file_mb" value="10"' in page

    again = alice.post("/files", {"draft": str(uuid.uuid4()), "max_file_mb": "10"}).text
    assert 'data-most-bytes="10485760"' in again


@pytest.mark.parametrize("me", [{}, [], {"policies": []}, {"policies": {"maxFileSizeMb": "<b>"}}, {"policies": None}])
def test_a_limit_that_the_server_does_not_tell_is_none(alice: Visitor, me: object) -> None:
    with moved_to(says(me), alice):
        page = alice.get("/files")

    assert page.status_code == 200
    assert "data-most-bytes" not in page.text


def test_where_the_limit_can_not_be_known_the_form_is_there(alice: Visitor, sandbox: Running) -> None:
    alice.sign_in(permissions=["write:drive"])
    assert 'type="file"' in alice.get("/files").text

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    assert 'type="file"' in alice.get("/files").text


def test_whose_token_was_removed_hears_so_before_choosing_a_file(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.revoke_app_tokens()

    page = alice.get("/files")

    assert page.status_code == 502
    assert "no longer accepts the token" in page.text
    assert 'type="file"' not in page.text


# How much a request may hold.


def test_strangers_can_not_send_large_forms(visitor: Visitor) -> None:
    visitor.get("/")
    for path in ("/files", "/notes"):
        answer = visitor.post(path, {"file": (io.BytesIO(bytes(MAX_FORM_BYTES)), "large")})
        assert answer.status_code == 401
        assert "You are signed out" in answer.text


def test_other_forms_stay_small(alice: Visitor) -> None:
    large = {"file": (io.BytesIO(bytes(MAX_FORM_BYTES)), "large")}

    assert alice.client.post("/signin", data=large).status_code == 413


@pytest.mark.parametrize("path", ["/files", "/notes"])
def test_a_large_form_in_the_encoding_that_is_read_into_memory_is_refused(alice: Visitor, path: str) -> None:
    assert alice.post(path, {"comment": "x" * MAX_FORM_BYTES}).status_code == 413


@pytest.mark.parametrize("path", ["/files", "/notes"])
def test_texts_among_files_stay_small(alice: Visitor, path: str) -> None:
    answer = alice.post(path, {"comment": "x" * (MAX_FORM_BYTES + 1), "file": (io.BytesIO(b"x"), "x")})

    assert answer.status_code == 413
    assert "too much at once" in answer.text


def test_so_do_all_of_them_together(alice: Visitor) -> None:
    texts = {f"text {number}": "x" * 100_000 for number in range(4)}

    answer = alice.post("/files", {**texts, "file": (io.BytesIO(bytes(50_000)), "x")})

    assert answer.status_code == 413
    assert "too much at once" in answer.text


def test_a_form_has_a_limit_of_parts(alice: Visitor) -> None:
    many = {"file": [(io.BytesIO(b"x"), "x")] * MAX_PARTS}

    assert alice.post("/files", many).status_code == 413


def test_a_form_that_was_left_open_too_long_keeps_what_was_typed(alice: Visitor, sandbox: Running) -> None:
    answer = upload(alice, comment="kept", csrf_token="old")

    assert answer.status_code == 422
    assert 'value="kept"' in answer.text
    assert "choose again:" in answer.text
    assert not created(sandbox)


def test_a_file_that_the_server_was_too_slow_for_may_have_arrived(alice: Visitor, app: Flask, sandbox: Running) -> None:
    app.extensions["transport"].close()
    app.extensions["transport"] = Transport("test/1.0", total_seconds=0.1, upload_seconds=0.1)
    sandbox.world.misbehaviour = Misbehaviour.HANGING

    answer = upload(alice)

    assert answer.status_code == 504
    assert "The file may have arrived all the same." in answer.text


@pytest.mark.parametrize("name", [*hostile.MAYBE_DONE, "null", "an object"])
def test_a_file_may_have_arrived_whatever_the_answer(alice: Visitor, name: str) -> None:
    behaviour = (hostile.MAYBE_DONE | {"null": says(None), "an object": says({"id": 5})})[name]
    with moved_to(behaviour, alice):
        answer = upload(alice, b"something", "a.txt")

    assert answer.status_code == 502
    assert "The file may have arrived all the same. Look into your drive before you send it again." in answer.text
    assert "If the file has arrived, pressing Upload sends it a second time." in answer.text
    assert 'aria-describedby="file-again"' in answer.text


@pytest.mark.parametrize("name", hostile.NOT_DONE)
def test_a_file_that_was_refused_did_not_arrive(alice: Visitor, name: str) -> None:
    with moved_to(hostile.NOT_DONE[name], alice):
        answer = upload(alice, b"something", "a.txt")

    assert answer.status_code >= 400
    assert "may have arrived" not in answer.text
