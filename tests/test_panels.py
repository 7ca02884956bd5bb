"""The dashboard's panels: what each shows, what comes after it, and what it needs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import ChoiceLoader, DictLoader

from misskey import IDENTITY_ONLY
from sandbox import Misbehaviour, Running
from tests.cast import Visitor
from tests.hostile import moved_to, says
from web.dashboard import PANELS, Panel

FRAGMENT = {"HX-Request": "true"}


def calls(sandbox: Running) -> list[str]:
    """The endpoints that were called, in alphabetical order."""
    return sorted(path.removeprefix("/api/") for _, path in sandbox.requests if path.startswith("/api/"))


@pytest.mark.parametrize(
    ("panel", "words"),
    [
        ("timeline", ["did you water the plants?", "How the film ends", "ラーメン", "3 votes", "bob</bdi> renoted"]),
        ("notifications", ["bob mentioned you", "An access token was made for your account"]),
        ("drive", ["evening.png", "384\u00a0bytes", "500\u00a0bytes of 100\u00a0MB used", "<meter"]),
    ],
)
def test_a_panel_shows_what_the_server_has(alice: Visitor, panel: str, words: list[str]) -> None:
    page = alice.get(f"/dashboard/{panel}").text

    for word in words:
        assert word in page.partition("What was sent")[0]
    assert "•••" in page


@pytest.mark.parametrize(
    ("which", "endpoint"),
    [
        ("home", "notes/timeline"),
        ("local", "notes/local-timeline"),
        ("social", "notes/hybrid-timeline"),
        ("global", "notes/global-timeline"),
    ],
)
def test_the_timeline_is_one_of_four(alice: Visitor, sandbox: Running, which: str, endpoint: str) -> None:
    sandbox.requests.clear()
    page = alice.get(f"/dashboard/timeline?which={which}").text

    assert calls(sandbox) == [endpoint]
    assert re.findall(r'<a href="[^"]*which=(\w+)"[^>]* aria-current="true">', page) == [which]


@pytest.mark.parametrize("query", ["which=other", "which=", "until=../x", "until=a%20b", "which=home&until=%00"])
def test_what_is_no_choice_is_no_page(alice: Visitor, sandbox: Running, query: str) -> None:
    sandbox.requests.clear()

    assert alice.get(f"/dashboard/timeline?{query}").status_code == 404
    assert calls(sandbox) == []


def test_older_goes_on_where_the_last_part_ended(alice: Visitor) -> None:
    pages, path = [], "/dashboard/timeline?which=local"
    while path:
        pages.append(alice.get(path, headers=FRAGMENT).text)
        more = re.search(r'class="older"><a [^>]*href="([^"]+)"', pages[-1])
        path = more[1].replace("&amp;", "&") if more else ""
    ids = [found for page in pages for found in re.findall(r'<article class="note" id="note-(\w+)"', page)]

    assert len(pages) > 1
    assert ids == sorted(set(ids), reverse=True)
    assert "Planted sunflowers" in pages[-1]
    assert "<h2>" not in pages[-1]


def test_a_part_with_gaps_is_not_the_last_one(alice: Visitor) -> None:
    """Servers leave out of the notifications what the person may not see, and send what is left."""
    with moved_to(says([{"id": "9b", "type": "test"}, {"id": "9a", "type": "test"}]), alice):
        assert "until=9a" in alice.get("/dashboard/notifications").text


@pytest.mark.parametrize("code", ["LTL_DISABLED", "STL_DISABLED", "GTL_DISABLED"])
def test_a_timeline_that_is_switched_off_is_told_and_not_tried_again(alice: Visitor, code: str) -> None:
    with moved_to(says({"error": {"code": code, "message": "It is disabled."}}, 400), alice) as hostile:
        page = alice.get("/dashboard/timeline?which=global", headers=FRAGMENT).text

    assert f"{hostile.origin.removeprefix('http://')} does not offer this timeline" in page
    assert "Try again" not in page
    assert "Start again" not in page
    assert "which=home" in page


@pytest.mark.parametrize(
    ("status", "sent", "words"),
    [
        (404, {"statusCode": 404, "error": "Not Found", "message": "Route not found"}, "can’t do what was asked"),
        (
            500,
            {"error": {"message": "Ask us."}},
            "on the server’s side. Try again in a few minutes. The server said: Ask us.",
        ),
        (500, {}, "has a problem"),
        (400, {"error": {"message": "Not today."}}, "The server said: Not today."),
        (400, {}, "without giving a reason"),
    ],
)
def test_a_refusal_says_whose_side_it_is_on(alice: Visitor, status: int, sent: dict[str, object], words: str) -> None:
    with moved_to(says(sent, status), alice):
        assert words in alice.get("/dashboard/profile").text


def test_older_is_a_page_of_its_own_too(alice: Visitor, sandbox: Running) -> None:
    until = next(iter(sandbox.world.notes))
    page = alice.get(f"/dashboard/timeline?until={until}").text

    assert "<h1>Timeline</h1>" in page
    assert "That was all." in page


def test_looking_at_notifications_makes_none_of_them_read(alice: Visitor, sandbox: Running) -> None:
    before = sandbox.world.people["alice"].unread
    alice.get("/dashboard/notifications")

    assert sandbox.world.people["alice"].unread == before > 0


def test_the_drive_asks_for_everything_at_the_same_moment(alice: Visitor, sandbox: Running) -> None:
    sandbox.requests.clear()
    page = alice.get("/dashboard/drive").text

    assert calls(sandbox) == ["drive", "drive/stream", "i"]
    assert page.count('<div class="exchange">') == 3


def test_the_drive_does_without_what_is_only_beside_it(visitor: Visitor) -> None:
    visitor.sign_in(permissions=["read:drive"])
    page = visitor.get("/dashboard/drive")

    assert page.status_code == 200
    assert "evening.png" in page.text


def test_nothing_there_is_said(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.notes.clear()
    person = sandbox.world.people["alice"]
    person.notifications.clear()
    person.files.clear()

    assert "Nothing here yet." in alice.get("/dashboard/timeline").text
    assert "Nothing has happened yet." in alice.get("/dashboard/notifications").text
    assert "No files yet." in alice.get("/dashboard/drive").text


@pytest.mark.parametrize("panel", PANELS)
@pytest.mark.parametrize(
    "sent",
    [
        [],
        {},
        None,
        5,
        [None, 5, "x", [], {}],
        [{"id": {}}] * 10,
        [{"id": "9", "user": {}, "note": [], "type": {}, "name": 5, "size": "x"}] * 10,
        {"usage": "all", "capacity": [], "name": {}, "policies": [], "notesCount": -1},
    ],
    ids=range(8),
)
def test_no_answer_of_another_shape_breaks_a_panel(alice: Visitor, panel: str, sent: object) -> None:
    with moved_to(says(sent), alice):
        assert alice.get(f"/dashboard/{panel}").status_code in (200, 502)


@pytest.mark.parametrize("panel", ["timeline", "notifications", "drive"])
def test_a_server_that_sends_more_than_was_asked_for_holds_nobody_up(alice: Visitor, panel: str) -> None:
    note = {"id": "a", "user": {"id": "a", "username": "a"}, "name": "a", "type": "test"}
    with moved_to(says([note] * 10_000), alice):
        part = alice.get(f"/dashboard/{panel}", headers=FRAGMENT).text

    assert 1 <= part.count("<li") <= 10
    assert "until=a" in part


def test_a_panel_whose_permission_was_not_asked_for_offers_to_ask(visitor: Visitor, sandbox: Running) -> None:
    session_id = visitor.begin(permission=["read:account"])
    visitor.allow(session_id, permissions=["read:account"])
    visitor.get(f"/callback?session={session_id}")

    page = visitor.get("/dashboard").text
    notifications = page.partition('id="notifications"')[2].partition("</section>")[0]
    profile = page.partition('id="profile"')[2].partition("</section>")[0]

    assert "See your notifications" in notifications
    assert re.findall('name="permission" value="([^"]+)"', notifications) == ["read:account", "read:notifications"]
    assert 'hx-trigger="load"' not in notifications
    assert 'hx-trigger="load"' in profile or 'hx-trigger="load"' in page


def test_what_the_server_answers_wins_over_what_was_asked_for(visitor: Visitor) -> None:
    session_id = visitor.begin(permission=["read:account"])
    visitor.allow(session_id, permissions=["read:notifications"])
    visitor.get(f"/callback?session={session_id}")

    assert visitor.get("/dashboard/notifications").status_code == 200
    refused = visitor.get("/dashboard/profile")
    assert refused.status_code == 403
    assert 'name="permission" value="read:account"' in refused.text


def test_a_token_made_by_hand_finds_out_by_trying(visitor: Visitor, sandbox: Running) -> None:
    token = sandbox.world.approve(sandbox.world.people["alice"], ["read:account"], None, "by hand").value
    visitor.post("/signin/token", {"host": sandbox.origin, "token": token})

    assert visitor.get("/dashboard").text.count('hx-trigger="load"') == len(PANELS)
    assert visitor.get("/dashboard/profile").status_code == 200
    assert visitor.get("/dashboard/drive").status_code == 403


def test_with_no_permission_at_all_everything_can_be_asked_for(visitor: Visitor) -> None:
    session_id = visitor.begin(permission="")
    visitor.allow(session_id, permissions=list(IDENTITY_ONLY))
    visitor.get(f"/callback?session={session_id}")

    assert visitor.get("/dashboard").text.count("Sign in again with this permission") >= 4
    assert visitor.get("/dashboard/server").status_code == 200


def test_a_failed_choice_can_be_left_for_another(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    answer = alice.get("/dashboard/timeline?which=global", headers=FRAGMENT)

    assert answer.status_code == 502
    assert "which=home" in answer.text
    assert re.search(r'role="button" [^>]*href="/dashboard/timeline\?account=\w+&amp;which=global"', answer.text)


def test_a_new_panel_is_one_entry_and_one_template(
    alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(PANELS, "ping", Panel("ping", "Is it awake?", "ping"))
    template = "<p>It answered at {{ answer['pong'] | count }}.</p>"
    loaders = [app.jinja_env.loader, DictLoader({"panels/ping.html": template})]
    monkeypatch.setattr(app.jinja_env, "loader", ChoiceLoader([loader for loader in loaders if loader]))

    assert 'id="ping"' in alice.get("/dashboard").text
    page = alice.get("/dashboard/ping").text
    assert "<h1>Is it awake?</h1>" in page
    assert re.search(r"It answered at [\d,]+\.", page)
    assert "/api/ping" in page


def test_when_older_fails_what_is_there_stays(alice: Visitor, sandbox: Running) -> None:
    until = next(reversed(sandbox.world.notes))
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    answer = alice.get(f"/dashboard/timeline?until={until}", headers=FRAGMENT)

    assert answer.status_code == 502
    assert f'until={until}" hx-target="closest .older" hx-swap="outerHTML">Try again' in answer.text
    assert "<h2>" not in answer.text
