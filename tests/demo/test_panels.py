"""The dashboard's panels: what each shows, what comes after it, and what it needs."""

from __future__ import annotations

import re

import pytest

from demo.panels import PANELS
from misskey import IDENTITY_ONLY
from sandbox import Misbehaviour, Running
from tests.cast import Visitor
from tests.hostile import Behaviour, answers, moved_to, says
from tests.panels import ENDLESS, FRAGMENT, PAGINGS, REASONS, after, follow, pages_of
from web import dashboard


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


def test_older_goes_on_where_the_last_part_ended(alice: Visitor) -> None:
    pages, path = [], "/dashboard/timeline?which=local"
    while path:
        pages.append(alice.get(path, headers=FRAGMENT).text)
        more = re.search(r'class="older"><a [^>]*href="([^"]+)"', pages[-1])
        path = more[1].replace("&amp;", "&") if more else ""
    ids = [found for page in pages for found in re.findall(r'<article class="note" id="note-(\w+)"', page)]

    assert len(pages) > 1
    assert ids == sorted(set(ids), reverse=True)
    assert "Planted sunflowers" in pages[-2]
    assert "That was all." in pages[-1]
    assert "<h2>" not in pages[-1]


@pytest.mark.parametrize("code", ["LTL_DISABLED", "STL_DISABLED", "GTL_DISABLED"])
def test_a_timeline_that_is_switched_off_is_told_and_not_tried_again(alice: Visitor, code: str) -> None:
    with moved_to(says({"error": {"code": code, "message": "It is disabled."}}, 400), alice) as hostile:
        page = alice.get("/dashboard/timeline?which=global", headers=FRAGMENT).text

    assert f"{hostile.origin.removeprefix('http://')} does not offer this timeline" in page
    assert "Try again" not in page
    assert "Start again" not in page
    assert "which=home" in page


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


@pytest.mark.parametrize("panel", [panel.name for panel in PANELS])
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
    with moved_to(says([note] * 2_000), alice):
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
    with moved_to(says({"error": {"code": "ODD"}}, 400), alice):
        answer = alice.get("/dashboard/timeline?which=global", headers=FRAGMENT)

    assert answer.status_code == 502
    assert "which=home" in answer.text
    assert re.search(r'role="button" [^>]*href="/dashboard/timeline\?account=\w+&amp;which=global"', answer.text)


@pytest.mark.parametrize("name", REASONS)
@pytest.mark.parametrize("panel", ["timeline", "drive"])
def test_what_is_wrong_with_all_panels_is_told_above_them(alice: Visitor, panel: str, name: str) -> None:
    with moved_to(REASONS[name], alice):
        part = alice.get(f"/dashboard/{panel}", headers=FRAGMENT).text
        page = alice.get(f"/dashboard/{panel}").text

    inside, _, above = part.partition('<div hx-swap-oob="innerHTML:#trouble">')
    assert 'class="failure"' not in inside
    assert "Nothing came; the reason is above." in inside
    assert above.count('class="failure" role="alert"') == 1
    buttons = 0 if name == "a suspended person" else 1  # trying again mends nothing there
    assert len(re.findall('role="button"|<button', above.partition("</section>")[0])) == buttons
    assert "hx-swap-oob" not in page
    assert page.count('class="failure"') == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        says({"error": {"code": "ODD"}}, 400),
        says(5),
        answers(404, b"<h1>"),
        says({"error": {"code": "GTL_DISABLED"}}, 400),
    ],
    ids=["refused", "another shape", "not there", "switched off"],
)
def test_what_is_wrong_with_one_panel_is_told_there(alice: Visitor, behaviour: Behaviour) -> None:
    with moved_to(behaviour, alice):
        part = alice.get("/dashboard/timeline", headers=FRAGMENT).text

    assert "hx-swap-oob" not in part
    assert part.count('class="failure"') == 1


def test_when_older_fails_what_is_there_stays(alice: Visitor, sandbox: Running) -> None:
    until = next(reversed(sandbox.world.notes))
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    answer = alice.get(f"/dashboard/timeline?until={until}", headers=FRAGMENT)

    assert answer.status_code == 502
    assert f'until={until}" hx-target="closest .older" hx-swap="outerHTML">Try again' in answer.text
    assert "<h2>" not in answer.text


KINDS = {"timeline": 'id="note-(e[0-9]+)"', "drive": "<bdi>([0-9]+).txt</bdi>"}


@pytest.mark.parametrize("panel", KINDS)
@pytest.mark.parametrize("name", PAGINGS)
def test_every_entry_of_a_list_comes_once(alice: Visitor, panel: str, name: str) -> None:
    with moved_to(pages_of(PAGINGS[name]), alice):
        found = [number.removeprefix("e") for page in follow(alice, panel, KINDS[panel]) for number in page]

    assert found == [str(number) for number in range(25)]


@pytest.mark.parametrize("panel", KINDS)
@pytest.mark.parametrize("name", ENDLESS)
def test_a_list_ends_when_nothing_new_comes(alice: Visitor, panel: str, name: str) -> None:
    with moved_to(pages_of(ENDLESS[name]), alice):
        found = [number for page in follow(alice, panel, KINDS[panel]) for number in page]

    assert len(found) == len(set(found)) <= 8


def test_a_list_of_hundreds_stays_within_an_address(alice: Visitor) -> None:
    with moved_to(pages_of(lambda until: list(range(after(until), min(after(until) + 10, 700)))), alice):
        assert sum(map(len, follow(alice, "timeline", KINDS["timeline"], most=100))) == 700

    assert len(dashboard.MAX_SEEN * "x" * dashboard.MARK_CHARACTERS) < 3000


@pytest.mark.parametrize("seen", ["x", "a" * 2505, "ab/de", "%00" * 5])
def test_what_an_address_can_not_remember_is_no_page(alice: Visitor, seen: str) -> None:
    assert alice.get(f"/dashboard/timeline?until=e1&seen={seen}").status_code == 404


@pytest.mark.parametrize("query", ["which=other", "which=", "until=../x", "until=a%20b", "which=home&until=%00"])
def test_what_is_no_choice_is_no_page(alice: Visitor, sandbox: Running, query: str) -> None:
    sandbox.requests.clear()

    assert alice.get(f"/dashboard/timeline?{query}").status_code == 404
    assert calls(sandbox) == []
