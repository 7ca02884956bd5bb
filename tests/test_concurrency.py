"""How much each visitor may have under way at once."""

from __future__ import annotations

import io
import shutil
import threading
import uuid
from types import SimpleNamespace

import pytest
from flask import Flask

from sandbox import Misbehaviour, Running
from tests.cast import Visitor
from web import concurrency, upload_limits

FRAGMENT = {"HX-Request": "true"}


def upload(visitor: Visitor) -> int:
    form = {"draft": str(uuid.uuid4()), "file": (io.BytesIO(b"hello"), "a.txt")}
    return visitor.post("/files", form).status_code


def test_whoever_has_too_much_under_way_is_asked_to_wait(
    alice: Visitor, app: Flask, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "MOST_REQUESTS", 1)
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    before = len(sandbox.requests)
    slow = threading.Thread(target=alice.get, args=("/dashboard/profile",))
    slow.start()
    while len(sandbox.requests) == before:  # until the first one is under way
        pass

    refused = Visitor(app, sandbox).get("/")
    elsewhere = Visitor(app, sandbox).get("/", environ_base={"REMOTE_ADDR": "203.0.113.9"})
    sandbox.world.misbehaviour = Misbehaviour.NONE
    slow.join()

    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert refused.text == concurrency.REFUSAL
    assert refused.headers["Content-Security-Policy"]
    assert elsewhere.status_code == 200
    assert Visitor(app, sandbox).get("/").status_code == 200


def test_a_place_is_given_back_whatever_the_answer(alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "MOST_REQUESTS", 1)

    statuses = [alice.get(path).status_code for path in ("/dashboard", "/nowhere", "/dashboard/drive", "/healthz")]

    assert statuses == [200, 404, 200, 200]
    assert vars(app.wsgi_app)["_visitors"] == {}


def test_files_need_room_on_the_disk(alice: Visitor, sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    assert upload(alice) == 303
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=upload_limits.SPARE_BYTES))
    sandbox.requests.clear()

    assert upload(alice) == 503
    assert alice.post("/notes", {"text": "x", "draft": str(uuid.uuid4())}).status_code == 303  # no files, no room
    assert ("POST", "/api/drive/files/create") not in sandbox.requests


def test_one_visitor_uploads_so_much_at_once(alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limits, "MOST_UPLOADS", 1)

    assert [upload(alice), upload(alice)] == [303, 303]  # one after the other
    monkeypatch.setattr(upload_limits, "MOST_UPLOADS", 0)
    assert upload(alice) == 429
    assert vars(app.wsgi_app)["_visitors"] == {}


def test_a_form_that_finds_no_room_stays_as_it_is(alice: Visitor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload_limits, "MOST_UPLOADS", 0)

    form = {"draft": str(uuid.uuid4()), "file": (io.BytesIO(b"hello"), "a.txt")}
    answer = alice.post("/files", form, headers=FRAGMENT)

    assert answer.status_code == 429
    assert answer.headers["HX-Reswap"] == "innerHTML show:top"


def test_a_visitor_without_an_address_gives_the_place_back_too(
    visitor: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a Unix socket, when nothing in front says who asks."""
    monkeypatch.setattr(concurrency, "MOST_REQUESTS", 1)

    assert [visitor.get("/healthz", environ_base={"REMOTE_ADDR": ""}).status_code for _ in range(3)] == [200] * 3
