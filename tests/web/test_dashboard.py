"""The dashboard: a frame that comes at once, and panels that each show what an endpoint answers."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from jinja2 import ChoiceLoader, DictLoader

from sandbox import Misbehaviour, Running
from tests.cast import Visitor
from tests.hostile import Behaviour, Caller, http, moved_to, says
from tests.panels import ENDLESS, FRAGMENT, PAGINGS, REASONS, after, follow
from web import dashboard
from web.dashboard import MARK_CHARACTERS, MAX_ENTRIES, MAX_SEEN, Panel
from web.rate_limits import calls


def add_template(app: Flask, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> None:
    loaders = [DictLoader({name: text}), app.jinja_env.loader]
    monkeypatch.setattr(app.jinja_env, "loader", ChoiceLoader([loader for loader in loaders if loader]))


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


def test_panels_are_shown_so_often_and_no_more(alice: Visitor) -> None:
    with alice.app.test_request_context(environ_base={"REMOTE_ADDR": "127.0.0.1"}):
        for _ in range(300):
            calls(lambda: "seen")()

    assert alice.get("/dashboard/profile").status_code == 429
    assert alice.get("/dashboard").status_code == 200


def test_a_panel_that_does_not_exist_is_told(alice: Visitor) -> None:
    assert alice.get("/dashboard/nonsense").status_code == 404


def test_without_an_account_a_page_leads_home_and_a_fragment_says_so(visitor: Visitor) -> None:
    for path in ("/dashboard", "/dashboard/profile", "/account"):
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


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("YOUR_ACCOUNT_SUSPENDED", "has suspended your account"),
        ("YOUR_ACCOUNT_MOVED", "Sign in at the server where your account is now."),
        ("ROLE_PERMISSION_DENIED", "It needs a role there"),
    ],
)
def test_what_trying_again_does_not_mend_is_told_without_offering_it(alice: Visitor, code: str, words: str) -> None:
    with moved_to(says({"error": {"code": code}}, 403), alice):
        answer = alice.get("/dashboard/profile")

    assert answer.status_code == 502
    assert words in answer.text
    assert ">Try again<" not in answer.text


def test_a_removed_token_leads_to_a_new_sign_in_at_the_same_server(alice: Visitor, sandbox: Running) -> None:
    for value in [value for value, token in sandbox.world.tokens.items() if not token.native]:
        del sandbox.world.tokens[value]

    answer = alice.get("/dashboard/profile")

    assert answer.status_code == 502
    assert "no longer accepts the token" in answer.text
    assert f'name="host" value="{sandbox.origin.removeprefix("http://")}"' in answer.text
    assert 'name="permission" value="read:account"' in answer.text


def test_a_new_sign_in_asks_for_what_the_former_one_did(visitor: Visitor, sandbox: Running) -> None:
    session_id = visitor.begin(permission=["read:account", "read:blocks"])
    visitor.allow(session_id)
    visitor.get(f"/callback?session={session_id}")
    sandbox.world.revoke_app_tokens()

    page = visitor.get("/dashboard/profile").text

    assert re.findall('name="permission" value="(.+?)"', page) == ["read:account", "read:blocks"]


def test_a_missing_permission_can_be_asked_for(visitor: Visitor) -> None:
    visitor.sign_in(permissions=["write:notes"])

    answer = visitor.get("/dashboard/profile")

    assert answer.status_code == 403
    assert "permission for this is missing" in answer.text
    assert 'name="permission" value="read:account"' in answer.text


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
    shown = page.partition('class="sent"')[0]

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt; gnp.exe" in shown
    assert "\u202e" not in shown


@pytest.mark.parametrize(
    ("status", "sent", "words"),
    [
        (404, {"statusCode": 404, "error": "Not Found", "message": "Route not found"}, "can’t do what was asked"),
        (
            500,
            {"error": {"message": "Ask us."}},
            "on the server’s side. Try again in a few minutes. The server said: Ask us.",
        ),
        (502, {"error": {"message": "Ask <us> & wait."}}, "The server said: Ask &lt;us&gt; &amp; wait."),
        (500, {}, "has a problem"),
        (400, {"error": {"message": "Not today."}}, "The server said: Not today."),
        (400, {}, "without giving a reason"),
    ],
)
def test_a_refusal_says_whose_side_it_is_on(alice: Visitor, status: int, sent: dict[str, object], words: str) -> None:
    with moved_to(says(sent, status), alice):
        assert words in alice.get("/dashboard/profile").text


def test_the_server_tells_of_itself_without_the_token(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.revoke_app_tokens()

    for headers in ({}, FRAGMENT):
        page = alice.get("/dashboard/server", headers=headers)
        assert page.status_code == 200
        assert "Misskey sandbox" in page.text


def test_a_server_that_tells_nothing_without_the_token_is_asked_with_it(alice: Visitor) -> None:
    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            told: tuple[int, object] = (200, {"name": "Private"}) if "i" in json.loads(request.body) else (401, {})
            caller.send(http(told[0], json.dumps(told[1]).encode()))

    with moved_to(behaviour, alice):
        page = alice.get("/dashboard/server")

    assert page.status_code == 200
    assert "Private" in page.text


def test_a_server_that_describes_itself_in_html_is_described_in_words(alice: Visitor) -> None:
    described = "<p>For <b>friends</b> &amp; family</p><p>&lt;3<br><a href='javascript:x'>rules</a> &#x202e;abc</p>"
    with moved_to(says({"name": "Private", "description": described}), alice):
        page = alice.get("/dashboard/server").text

    assert '<p class="prose" dir="auto">For friends &amp; family &lt;3 rules abc</p>' in page


def test_whatever_a_server_says_of_itself_is_text_in_bounds(alice: Visitor) -> None:
    words = f"<script>alert(1)</script>\u202e\x1b{'x' * 120_000}"
    with moved_to(says(dict.fromkeys(("name", "description", "version", "maintainerName"), words)), alice):
        page = alice.get("/dashboard/server").text

    assert page.count("&lt;script&gt;alert(1)") >= 3
    assert "<script>alert" not in page
    assert not re.search("[\u202e\x1b]", page)
    assert len(page) < 100_000


def test_a_new_panel_is_one_entry_and_one_template(
    alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(app.extensions["panels"], "ping", Panel("ping", "Is it awake?", "ping"))
    add_template(app, monkeypatch, "panels/ping.html", "<p>It answered at {{ answer['pong'] | count }}.</p>")

    assert 'id="ping"' in alice.get("/dashboard").text
    page = alice.get("/dashboard/ping").text
    assert "<h1>Is it awake?</h1>" in page
    assert re.search(r"It answered at [\d,]+\.", page)


def test_what_an_app_needs_beside_its_panels_is_asked_for(
    app: Flask, visitor: Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(app.extensions["permissions"])
    monkeypatch.setattr("web.dashboard.PERMISSIONS", ("write:votes",))
    dashboard.init_app(app, app.extensions["panels"].values(), before)

    assert set(visitor.asked[visitor.begin()]) == before | {"write:votes"}


#: A list of people, from an endpoint that needs to know who asks.
FOLLOWERS = Panel(
    "followers",
    "Followers",
    "users/followers",
    "read:account",
    lambda account: {"userId": account.user_id, "limit": 10},
    list,
)
FOLLOWERS_TEMPLATE = """{% from "_macros.html" import people %}
{{ people(answer, account, panel.title, wrapped_in="follower") }}
"""


@pytest.fixture
def panels(app: Flask, monkeypatch: pytest.MonkeyPatch) -> dict[str, Panel]:
    """The panels of the app, with one more, and what it takes to show that one."""
    add_template(app, monkeypatch, "panels/followers.html", FOLLOWERS_TEMPLATE)
    found: dict[str, Panel] = app.extensions["panels"]
    monkeypatch.setitem(found, "followers", FOLLOWERS)
    return found


def follower(number: int) -> dict[str, object]:
    return {"id": f"e{number}", "follower": {"username": f"user{number}", "name": None, "host": "far.example"}}


def followers(numbers: Callable[[str], list[int]]) -> Behaviour:
    """Answer with these followers, by the id of the one they come after."""

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            until = json.loads(request.body).get("untilId", "")
            caller.send(http(200, json.dumps([follower(number) for number in numbers(until)]).encode()))

    return behaviour


USERNAME = "<bdi>@user([0-9]+)@far.example"


def test_a_panel_can_ask_for_what_belongs_to_its_account(
    alice: Visitor, panels: dict[str, Panel], sandbox: Running
) -> None:
    asked: list[dict[str, object]] = []

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            asked.append(json.loads(request.body))
            caller.send(http(200, b"[]"))

    with moved_to(behaviour, alice):
        page = alice.get("/dashboard/followers").text

    assert [(sent["userId"], sent["limit"]) for sent in asked] == [(sandbox.world.people["alice"].shown["id"], 10)]
    assert "Nobody yet." in page


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ({"username": "bob", "name": "Bob <b>", "host": None}, ["Bob &lt;b&gt;", "@bob@127.0.0.1"]),
        ({"username": "bob", "name": "", "host": "far.example"}, ["<bdi>bob</bdi>", "@bob@far.example"]),
        ({"username": "bob", "host": "far.example"}, ['/@bob@far.example" rel="noreferrer"><bdi>bob</bdi>']),
        ({"username": 'b"ob', "host": None}, ['/@b%22ob" rel="noreferrer"><bdi>b&#34;ob</bdi>']),
        ({"username": 5, "name": {}, "host": []}, ["@@127.0.0.1"]),
        (None, ["@@127.0.0.1"]),
        (..., ["@@127.0.0.1"]),
        ("bob", ["@@127.0.0.1"]),
    ],
)
def test_people_are_shown_as_text(alice: Visitor, panels: dict[str, Panel], told: object, shown: list[str]) -> None:
    entry = {"id": "e1"} if told is ... else {"id": "e1", "follower": told}
    with moved_to(says([entry]), alice):
        page = alice.get("/dashboard/followers").text

    for words in shown:
        assert words in page


@pytest.mark.parametrize("name", PAGINGS)
def test_every_entry_of_a_list_comes_once(alice: Visitor, panels: dict[str, Panel], name: str) -> None:
    with moved_to(followers(PAGINGS[name]), alice):
        found = [number for page in follow(alice, "followers", USERNAME) for number in page]

    assert found == [str(number) for number in range(25)]


@pytest.mark.parametrize("name", ENDLESS)
def test_a_list_ends_when_nothing_new_comes(alice: Visitor, panels: dict[str, Panel], name: str) -> None:
    with moved_to(followers(ENDLESS[name]), alice):
        found = [number for page in follow(alice, "followers", USERNAME) for number in page]

    assert len(found) == len(set(found)) <= 8


def test_a_list_without_a_limit_is_bounded_all_the_same(alice: Visitor, panels: dict[str, Panel]) -> None:
    panels["followers"] = replace(FOLLOWERS, params={})
    with moved_to(followers(lambda until: list(range(500))), alice):
        page = alice.get("/dashboard/followers").text

    assert len(re.findall(USERNAME, page.partition('class="sent"')[0])) == MAX_ENTRIES


def test_a_list_of_hundreds_stays_within_an_address(alice: Visitor, panels: dict[str, Panel]) -> None:
    with moved_to(followers(lambda until: list(range(after(until), min(after(until) + 10, 700)))), alice):
        assert sum(map(len, follow(alice, "followers", USERNAME, most=100))) == 700

    assert MAX_SEEN * MARK_CHARACTERS < 3000


@pytest.mark.parametrize("query", ["until=../x", "until=a%20b", "until=%00", "seen=x", "seen=ab/de", "seen=%00%00%00"])
def test_what_no_page_asks_for_is_no_page(alice: Visitor, panels: dict[str, Panel], query: str) -> None:
    assert alice.get(f"/dashboard/followers?{query}").status_code == 404


def test_one_of_several_endpoints_can_be_chosen(alice: Visitor, panels: dict[str, Panel]) -> None:
    choices = {"followers": ("Followers", "users/followers"), "following": ("Following", "users/following")}
    panels["followers"] = replace(FOLLOWERS, choices=choices)
    paths: list[str] = []

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            paths.append(request.path)
            caller.send(http(200, b"[]"))

    with moved_to(behaviour, alice):
        page = alice.get("/dashboard/followers?which=following").text
        nothing = alice.get("/dashboard/followers?which=other").status_code

    assert paths == ["/api/users/following"]
    assert re.findall(r'<a href="[^"]*which=(\w+)"[^>]* aria-current="true">', page) == ["following"]
    assert nothing == 404


def test_what_is_beside_an_answer_may_be_missing(alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        app.extensions["panels"], "ping", Panel("ping", "Ping", "ping", also={"me": "i", "no": "nowhere"})
    )
    add_template(app, monkeypatch, "panels/ping.html", "{{ me['username'] }}, {{ no is none }}")

    assert "alice, True" in alice.get("/dashboard/ping").text


@pytest.mark.parametrize("sent", [[], None, 5, {"name": {}, "notesCount": -1, "createdAt": "x"}], ids=range(4))
@pytest.mark.parametrize("panel", ["profile", "server"])
def test_no_answer_of_another_shape_breaks_a_panel(alice: Visitor, panel: str, sent: object) -> None:
    with moved_to(says(sent), alice):
        assert alice.get(f"/dashboard/{panel}").status_code in (200, 502)


@pytest.mark.parametrize("name", REASONS)
def test_what_is_wrong_with_all_panels_is_told_above_them(alice: Visitor, name: str) -> None:
    with moved_to(REASONS[name], alice):
        part = alice.get("/dashboard/profile", headers=FRAGMENT).text
        page = alice.get("/dashboard/profile").text

    inside, _, above = part.partition('<div hx-swap-oob="innerHTML:#trouble">')
    assert 'class="failure"' not in inside
    assert "Nothing came; the reason is above." in inside
    assert above.count('class="failure" role="alert"') == 1
    assert "hx-swap-oob" not in page


def test_a_panel_whose_permission_was_not_asked_for_offers_to_ask(visitor: Visitor) -> None:
    session_id = visitor.begin(permission="")
    visitor.allow(session_id)
    visitor.get(f"/callback?session={session_id}")

    profile = visitor.get("/dashboard").text.partition('id="profile"')[2].partition("</section>")[0]

    assert re.findall('name="permission" value="([^"]+)"', profile) == ["read:account"]
    assert 'hx-trigger="load"' not in profile
    assert visitor.get("/dashboard/server").status_code == 200


def test_when_older_fails_what_is_there_stays(alice: Visitor, panels: dict[str, Panel], sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    answer = alice.get("/dashboard/followers?until=e1", headers=FRAGMENT)

    assert answer.status_code == 502
    assert 'until=e1" hx-target="closest .older" hx-swap="outerHTML">Try again' in answer.text
    assert "<h2>" not in answer.text
