"""How many files at once, and as long as the disk has room; and how often all that calls servers may be asked for."""

from __future__ import annotations

import io
import shutil
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask

from demo import upload_limits
from sandbox import Running
from tests.cast import Visitor, per_visitor_of
from web.rate_limits import limit

FRAGMENT = {"HX-Request": "true"}


def upload(visitor: Visitor) -> int:
    form = {"draft": str(uuid.uuid4()), "file": (io.BytesIO(b"hello"), "a.txt")}
    return visitor.post("/files", form).status_code


def test_files_need_room_on_the_disk(alice: Visitor, sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upload(alice) == 303
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=upload_limits.SPARE_BYTES))
    sandbox.requests.clear()

    assert upload(alice) == 503
    assert alice.post("/notes", {"text": "x", "draft": str(uuid.uuid4())}).status_code == 303  # no files, no room
    assert ("POST", "/api/drive/files/create") not in sandbox.requests


def test_one_visitor_uploads_so_much_at_once(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limits, "MAX_UPLOADS", 1)

    assert [upload(alice), upload(alice)] == [303, 303]  # one after the other
    monkeypatch.setattr(upload_limits, "MAX_UPLOADS", 0)
    assert upload(alice) == 429
    monkeypatch.setattr(upload_limits, "MAX_UPLOADS", 1)
    assert upload(alice) == 303  # the one that was refused took no place


def test_an_upload_gives_its_place_back_while_something_else_is_open(
    alice: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has nothing under way any more is forgotten, with all places."""
    monkeypatch.setattr(upload_limits, "MAX_UPLOADS", 1)
    stream = per_visitor_of(alice.app)._enter("127.0.0.1")
    assert stream

    assert [upload(alice), upload(alice)] == [303, 303]
    stream.leave()


def test_a_form_that_finds_no_room_stays_as_it_is(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limits, "MAX_UPLOADS", 0)

    form = {"draft": str(uuid.uuid4()), "file": (io.BytesIO(b"hello"), "a.txt")}
    answer = alice.post("/files", form, headers=FRAGMENT)

    assert answer.status_code == 429
    assert answer.headers["HX-Reswap"] == "innerHTML show:top"


def test_a_file_finds_the_disk_full_while_it_comes(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when other workers take the room meanwhile."""
    looks = iter([10**12, 0])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(looks)))

    assert upload(alice) == 503


def test_files_take_room_no_longer_than_their_request(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of a form that is not read to its end."""
    opened: list[upload_limits._File] = []

    def open_file(*options: Any) -> upload_limits._File:
        opened.append(file(*options))
        return opened[-1]

    file = upload_limits._File
    monkeypatch.setattr(upload_limits, "_File", open_file)
    assert upload(alice) == 303
    looks = iter([10**12, 0])
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=next(looks)))
    assert upload(alice) == 503

    assert [found.closed for found in opened] == [True, True]


def test_where_all_but_the_data_is_read_only_files_rest_beside_the_tokens(
    monkeypatch: pytest.MonkeyPatch, make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/proc/nowhere"])
    alice = Visitor(make_app(PRIVATE_SERVERS=sandbox.origin), sandbox)
    alice.sign_in("alice")

    before = set(tmp_path.iterdir())

    answer = alice.post("/notes", {"text": "hello", "files": (io.BytesIO(b"x"), "a.txt")})

    assert answer.status_code == 303
    assert set(tmp_path.iterdir()) == before


DRAFT = "0b25ce5a-8d0a-4c1c-8f4e-6a1f6b6a0c1f"
#: What each view that calls servers is counted as, and how often it is allowed in a minute.
LIMITED = {
    "POST /console": [("calls", 300), ("results", 60)],
    f"GET /console/{DRAFT}": [("calls", 300)],
    "GET /console/endpoints": [("calls", 300)],
    "GET /console/parameters": [("calls", 300)],
    "GET /files": [("calls", 300)],
    "POST /files": [("calls", 300), ("results", 60)],
    "GET /live": [("calls", 300)],
    "GET /media": [("media.show", 600)],
    "POST /notes": [("calls", 300), ("results", 60)],
    "POST /notes/9note/delete": [("calls", 300)],
}


@pytest.mark.parametrize(
    ("request_line", "scope", "times"), [(line, *each) for line, counted in LIMITED.items() for each in counted]
)
def test_what_calls_servers_is_allowed_so_often(alice: Visitor, request_line: str, scope: str, times: int) -> None:
    method, path = request_line.split()
    with alice.app.test_request_context(environ_base={"REMOTE_ADDR": "127.0.0.1"}):
        for _ in range(times):
            limit(f"{times} per minute", scope)(lambda: "seen")()

    assert (alice.post if method == "POST" else alice.get)(path).status_code == 429
