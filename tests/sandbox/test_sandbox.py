"""The sandbox keeps what was measured of a real Misskey server, and the promises of its own pages."""

from __future__ import annotations

import html
import importlib.metadata
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
from websocket import WebSocket, WebSocketBadStatusException, WebSocketTimeoutException, create_connection

from sandbox import Misbehaviour, Running, create_app, serve
from sandbox.endpoints import ENDPOINTS, Call
from sandbox.world import SHAPES as DEFAULTS
from tests.cast import wait_until

ALICE, BOB = "aliceNativeToken", "bobbyNativeToken"
ROOT = Path(__file__).parents[2]
JSON = "application/json; charset=utf-8"
PRIVATE = "private, max-age=0, must-revalidate"
INVALID = 'Bearer realm="Misskey", error="invalid_request", error_description="Invalid param."'
NO_ACCESS = 'Bearer realm="Misskey", error="invalid_request", error_description="Access denied."'
SESSION = "5f0e5b6a-1f5e-4b39-9d5c-3a8d7d0f6b11"
CHECK = f"/api/miauth/{SESSION}/check"


def call(sandbox: Running, name: str, token: str | None = ALICE, /, **params: Any) -> requests.Response:
    body = params | ({} if token is None else {"i": token})
    return requests.post(f"{sandbox.origin}/api/{name}", json=body, timeout=60)


def app_token(sandbox: Running, *permissions: str, person: str = "alice") -> str:
    return sandbox.world.approve(sandbox.world.people[person], permissions, None, "test").value


def miauth(sandbox: Running, query: str, decision: str = "allow", person: str = "alice") -> requests.Response:
    """Press a button on the page to which an app sends its visitors."""
    form = {"decision": decision, "person": person}
    url = f"{sandbox.origin}/miauth/{SESSION}?{query}"
    return requests.post(url, data=form, timeout=60, allow_redirects=False)


def shape(value: Any) -> Any:
    """The keys and types of some JSON."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    return [shape(value[0])] if isinstance(value, list) and value else type(value).__name__


# A request, and the status, code and challenge of its answer. "token" stands for one that may read the account.

REFUSALS: dict[str, tuple[str, str, dict[str, str], Any, int, str, Any]] = {
    "no token": ("POST", "/api/i", {}, {}, 401, "CREDENTIAL_REQUIRED", 'Bearer realm="Misskey"'),
    "null as token": ("POST", "/api/i", {}, {"i": None}, 401, "CREDENTIAL_REQUIRED", 'Bearer realm="Misskey"'),
    "a list for parameters": ("POST", "/api/i", {}, [], 401, "CREDENTIAL_REQUIRED", 'Bearer realm="Misskey"'),
    "a text for parameters": (
        "POST", "/api/i", {"Content-Type": "text/plain"}, b'{"i": "token"}', 401, "CREDENTIAL_REQUIRED",
        'Bearer realm="Misskey"',
    ),
    "a wrong token": (
        "POST", "/api/i", {}, {"i": "x" * 32}, 401, "AUTHENTICATION_FAILED",
        'Bearer realm="Misskey", error="invalid_token", '
        'error_description="Authentication failed. Please ensure your token is correct."',
    ),
    "a wrong token where none is needed": ("POST", "/api/meta", {}, {"i": "x"}, 401, "AUTHENTICATION_FAILED", ...),
    "an empty token": ("POST", "/api/i", {}, {"i": ""}, 401, "AUTHENTICATION_FAILED", ...),
    "a wrong bearer": ("POST", "/api/i", {"Authorization": "Bearer no"}, {}, 401, "AUTHENTICATION_FAILED", ...),
    "a permission that is missing": (
        "POST", "/api/drive", {}, {"i": "token"}, 403, "PERMISSION_DENIED",
        'Bearer realm="Misskey", error="insufficient_scope", '
        'error_description="Your app does not have the necessary permissions to use this endpoint."',
    ),
    "an app makes a token": ("POST", "/api/miauth/gen-token", {}, {"i": "token"}, 403, "ACCESS_DENIED", NO_ACCESS),
    "nobody makes a token": ("POST", "/api/miauth/gen-token", {}, {}, 403, "ACCESS_DENIED", NO_ACCESS),
    "an app revokes a token": ("POST", "/api/i/revoke-token", {}, {"i": "token"}, 403, "ACCESS_DENIED", NO_ACCESS),
    "no such user": ("POST", "/api/users/show", {}, {"username": "nobody"}, 404, "NO_SUCH_USER", ...),
    "no such note": ("POST", "/api/notes/show", {}, {"noteId": "abc"}, 400, "NO_SUCH_NOTE", ...),
    "an endpoint that is not there, by GET": ("GET", "/api/no/such", {}, None, 404, "UNKNOWN_API_ENDPOINT", None),
    "a check by GET": ("GET", CHECK, {}, None, 404, "UNKNOWN_API_ENDPOINT", None),
    "a file that is JSON": ("POST", "/api/drive/files/create", {}, {"i": ALICE}, 400, "INVALID_PARAM", ...),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS.values(), ids=REFUSALS.keys())
def test_an_endpoint_refuses(sandbox: Running, case: tuple[str, str, dict[str, str], Any, int, str, Any]) -> None:
    method, path, headers, body, status, code, challenge = case
    if isinstance(body, dict) and body.get("i") == "token":
        body = {"i": app_token(sandbox, "read:account")}
    given = {"data": body} if isinstance(body, bytes) else {} if body is None else {"json": body}

    answer = requests.request(method, sandbox.origin + path, headers=headers, timeout=60, **given)

    assert answer.status_code == status
    assert answer.headers["Content-Type"] == JSON
    assert answer.headers["Cache-Control"] == PRIVATE
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    if challenge is not ...:
        assert answer.headers.get("WWW-Authenticate") == challenge
    error = answer.json()["error"]
    assert set(error) >= {"message", "code", "id", "kind"}
    assert error["code"] == code


BELOW: dict[str, tuple[str, str, dict[str, str], bytes | None, int, str | None]] = {
    "JSON without a body": (
        "POST", CHECK, {"Content-Type": "application/json"}, None, 400, "FST_ERR_CTP_EMPTY_JSON_BODY"),
    "broken JSON": (
        "POST", "/api/i", {"Content-Type": "application/json"}, b'{"i":', 400, "FST_ERR_CTP_INVALID_JSON_BODY"),
    "a body of no type": ("POST", CHECK, {}, b"{}", 415, "FST_ERR_CTP_INVALID_MEDIA_TYPE"),
    "a form": (
        "POST", CHECK, {"Content-Type": "application/x-www-form-urlencoded"}, b"", 415,
        "FST_ERR_CTP_INVALID_MEDIA_TYPE"),
    "an endpoint that is not there": ("POST", "/api/no/such", {}, b"", 404, None),
    "a check by PUT": ("PUT", CHECK, {"Content-Type": "application/json"}, b"{}", 404, None),
}  # fmt: skip


@pytest.mark.parametrize("case", BELOW.values(), ids=BELOW.keys())
def test_the_layer_below_refuses_in_a_shape_of_its_own(
    sandbox: Running, case: tuple[str, str, dict[str, str], bytes | None, int, str | None]
) -> None:
    method, path, headers, body, status, code = case

    answer = requests.request(method, sandbox.origin + path, headers=headers, data=body, timeout=60)

    assert answer.status_code == answer.json()["statusCode"] == status
    assert isinstance(answer.json()["error"], str)
    assert answer.json().get("code") == code
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert answer.headers.get("Cache-Control") == (PRIVATE if code else None)


WRONG_PARAMS: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "no text": ("notes/create", {}, "#/then/required", "must have required property 'text'"),
    "null for text": ("notes/create", {"text": None}, "#/then/properties/text/type", "must be string"),
    "a blank text": (
        "notes/create", {"text": " "}, "#/then/properties/text/pattern", 'must match pattern "[^\\s]+"'),
    "a text too long": (
        "notes/create", {"text": "x" * 3001}, "#/then/properties/text/maxLength",
        "must NOT have more than 3000 characters"),
    "no such visibility": (
        "notes/create", {"text": "x", "visibility": "all"}, "#/properties/visibility/enum",
        "must be equal to one of the allowed values"),
    "a limit too high": ("notes/timeline", {"limit": 101}, "#/properties/limit/maximum", "must be <= 100"),
    "true for a limit": ("notes/timeline", {"limit": True}, "#/properties/limit/type", "must be integer"),
    "no id": (
        "notes/timeline", {"sinceId": "!"}, "#/properties/sinceId/format", 'must match format "misskey:id"'),
    "nobody": ("users/show", {}, "#/anyOf/0/required", "must have required property 'userId'"),
    "a permission twice": (
        "miauth/gen-token", {"session": "s", "permission": ["a", "a"]}, "#/properties/permission/uniqueItems",
        "must NOT have duplicate items"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_PARAMS.values(), ids=WRONG_PARAMS.keys())
def test_a_wrong_parameter_is_named_with_the_rule_it_breaks(
    sandbox: Running, case: tuple[str, dict[str, Any], str, str]
) -> None:
    name, params, param, reason = case

    answer = call(sandbox, name, **params)

    assert answer.status_code == 400
    assert answer.headers["WWW-Authenticate"] == INVALID
    assert answer.json()["error"]["info"] == {"param": param, "reason": reason}


SHAPES: dict[str, tuple[str, dict[str, Any], Any]] = {
    "ping": ("ping", {}, {"pong": "int"}),
    "drive": ("drive", {}, {"capacity": "int", "usage": "int"}),
    "endpoint": ("endpoint", {"endpoint": "notes/show"}, {"params": [{"name": "str", "type": "str"}]}),
    "endpoints": ("endpoints", {}, ["str"]),
}  # fmt: skip


@pytest.mark.parametrize("case", SHAPES.values(), ids=SHAPES.keys())
def test_an_answer_has_its_shape(sandbox: Running, case: tuple[str, dict[str, Any], Any]) -> None:
    name, params, expected = case

    answer = call(sandbox, name, **params)

    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == JSON
    assert answer.headers["Cache-Control"] == PRIVATE
    assert shape(answer.json()) == expected


LITE = {
    "id", "name", "username", "host", "avatarUrl", "avatarBlurhash", "avatarDecorations", "isBot", "isCat", "emojis",
    "onlineStatus", "badgeRoles",
}  # fmt: skip
NOTE = {
    "id", "createdAt", "userId", "user", "text", "cw", "visibility", "localOnly", "reactionAcceptance", "renoteCount",
    "repliesCount", "reactionCount", "reactions", "reactionEmojis", "fileIds", "files", "replyId", "replyUserId",
    "renoteId", "clippedCount",
}  # fmt: skip
FILE = {
    "id", "createdAt", "name", "type", "md5", "size", "isSensitive", "blurhash", "properties", "url", "thumbnailUrl",
    "comment", "folderId", "folder", "userId", "user",
}  # fmt: skip


def test_people_are_shown_in_more_detail_the_nearer_one_is(sandbox: Running) -> None:
    stranger = call(sandbox, "users/show", None, username="bob").json()
    friend = call(sandbox, "users/show", username="bob").json()
    own_app = call(sandbox, "i", app_token(sandbox, "read:account")).json()
    own = call(sandbox, "i").json()

    assert LITE < set(stranger) < set(friend)
    assert set(friend) - set(stranger) >= {"isFollowing", "isBlocking", "withReplies"}
    assert set(stranger) < set(own_app) < set(own)
    assert set(own) - set(own_app) == {"email", "emailVerified", "securityKeysList"}
    assert own["policies"]["maxFileSizeMb"] == 10
    assert (stranger["name"], own["name"]) == (None, "Alice")


def test_everybody_else_follows_a_person(sandbox: Running) -> None:
    alice = call(sandbox, "i").json()["id"]

    [entry] = call(sandbox, "users/followers", userId=alice, limit=10).json()

    assert set(entry) == {"id", "createdAt", "followeeId", "followerId", "follower"}
    assert (entry["followeeId"], entry["follower"]["username"]) == (alice, "bob")
    assert call(sandbox, "users/followers", userId=alice, untilId=entry["id"]).json() == []
    refused = call(sandbox, "users/followers", username="nobody")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "NO_SUCH_USER")


def test_a_token_may_also_come_as_a_bearer(sandbox: Running) -> None:
    headers = {"Authorization": f"Bearer {app_token(sandbox, 'read:account')}"}
    assert requests.post(f"{sandbox.origin}/api/i", json={}, headers=headers, timeout=60).json()["username"] == "alice"


def test_a_suspended_person_is_turned_away(sandbox: Running) -> None:
    sandbox.world.people["alice"].suspended = True

    assert call(sandbox, "i").json()["error"]["code"] == "YOUR_ACCOUNT_SUSPENDED"
    assert call(sandbox, "meta").status_code == 200


def test_every_endpoint_has_its_method() -> None:
    assert all(hasattr(Call, re.sub("[/-]", "_", name)) for name in ENDPOINTS)


# The server itself


def test_meta_tells_of_miauth_only_in_detail(sandbox: Running) -> None:
    full, short = call(sandbox, "meta").json(), call(sandbox, "meta", detail=False).json()

    assert full["features"]["miauth"] is True
    assert full["uri"] == short["uri"] == sandbox.origin
    assert set(full) - set(short) == {
        "features", "cacheRemoteFiles", "cacheRemoteSensitiveFiles", "requireSetup", "proxyAccountName",
    }  # fmt: skip


def test_meta_may_be_asked_by_get_but_nothing_else(sandbox: Running) -> None:
    meta, i = (requests.get(f"{sandbox.origin}/api/{name}", timeout=60) for name in ("meta", "i"))

    assert meta.headers["Cache-Control"] == "public, max-age=60"
    assert meta.json() == call(sandbox, "meta").json()
    assert (i.status_code, i.content) == (405, b"")


def test_nodeinfo_names_the_software(sandbox: Running) -> None:
    links = requests.get(f"{sandbox.origin}/.well-known/nodeinfo", timeout=60).json()["links"]

    for link in links:
        answer = requests.get(link["href"], timeout=60)
        assert answer.json()["software"]["name"] == "misskey"
        assert answer.json()["version"] == link["rel"].rpartition("/")[2]
        assert answer.headers["Cache-Control"] == "public, max-age=600"
        assert answer.headers["Content-Type"] == f'application/json; profile="{link["rel"]}#"; charset=utf-8'
    assert [link["href"][-3:] for link in links] == ["2.1", "2.0"]


def test_options_is_answered_for_scripts_of_other_sites(sandbox: Running) -> None:
    answer = requests.options(sandbox.origin + CHECK, timeout=60)
    assert (answer.status_code, answer.headers["Access-Control-Allow-Origin"]) == (204, "*")


# MiAuth


@pytest.mark.parametrize("body", [{"json": {}}, {}, {"data": b"{}", "headers": {"Content-Type": "text/plain"}}])
def test_check_works_once(sandbox: Running, body: dict[str, Any]) -> None:
    made = call(sandbox, "miauth/gen-token", session=SESSION, name="x", permission=["read:account"]).json()
    first, second = (requests.post(sandbox.origin + CHECK, timeout=60, **body) for _ in range(2))

    assert set(first.json()) == {"ok", "token", "user"}
    assert first.json()["token"] == made["token"]
    assert re.fullmatch("[0-9a-zA-Z]{32}", made["token"])
    assert first.json()["user"]["username"] == "alice"
    assert second.json() == {"ok": False}


@pytest.mark.parametrize("session", ["not-a-uuid", "", "x" * 300, SESSION.upper(), "a/b"])
def test_a_session_that_nobody_allowed_gives_nothing(sandbox: Running, session: str) -> None:
    call(sandbox, "miauth/gen-token", session=SESSION, permission=[])
    assert call(sandbox, f"miauth/{session}/check", None).json() == {"ok": False}


def test_of_two_tokens_for_one_session_the_first_counts(sandbox: Running) -> None:
    tokens = [
        call(sandbox, "miauth/gen-token", person, session=SESSION, permission=[]).json() for person in (ALICE, BOB)
    ]
    checks = [call(sandbox, f"miauth/{SESSION}/check", None).json() for _ in tokens]

    assert checks[0]["token"] == tokens[0]["token"]
    assert checks[1] == {"ok": False}


def test_a_token_without_permissions_only_tells_who(sandbox: Running) -> None:
    call(sandbox, "miauth/gen-token", session=SESSION, permission=["no:such"])
    checked = call(sandbox, f"miauth/{SESSION}/check", None).json()

    assert checked["user"]["username"] == "alice"
    assert call(sandbox, "i", checked["token"]).json()["error"]["code"] == "PERMISSION_DENIED"


@pytest.mark.parametrize("too_long", ["name", "session"])
def test_a_text_that_does_not_fit_breaks_the_server(sandbox: Running, too_long: str) -> None:
    answer = call(sandbox, "miauth/gen-token", **({"session": "s", "permission": []} | {too_long: "x" * 129}))

    assert answer.status_code == 500
    assert answer.json()["error"]["kind"] == "server"
    assert answer.json()["error"]["info"]["code"] == "QueryFailedError"


def test_a_person_is_told_of_every_new_token(sandbox: Running) -> None:
    app_token(sandbox)
    told = call(sandbox, "i/notifications", limit=1).json()
    assert [set(one) for one in told] == [{"id", "createdAt", "type"}]
    assert told[0]["type"] == "createToken"


def test_a_person_can_revoke_their_own_tokens_only(sandbox: Running) -> None:
    token = app_token(sandbox, "read:account")

    assert call(sandbox, "i/revoke-token", BOB, token=token).status_code == 204
    assert call(sandbox, "i", token).status_code == 200
    assert call(sandbox, "i/revoke-token", ALICE, token=token).status_code == 204
    assert call(sandbox, "i", token).json()["error"]["code"] == "AUTHENTICATION_FAILED"
    assert call(sandbox, "i/revoke-token", ALICE, token=token).status_code == 204


# MiAuth's page


def test_the_page_names_the_app_and_asks(sandbox: Running) -> None:
    query = "name=%E5%B1%B1%3Cb%3E&icon=https%3A%2F%2Fapp.example%2Ficon.png&permission=write:notes,no:such"
    page = requests.get(f"{sandbox.origin}/miauth/{SESSION}?{query}", timeout=60)

    assert page.headers["Cache-Control"] == "public, max-age=30"
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["Referrer-Policy"] == "origin"
    assert "山&lt;b&gt;" in page.text
    assert "write:notes" in page.text
    assert "no:such" not in page.text
    assert 'src="https://app.example' not in page.text


@pytest.mark.parametrize("query", ["name=100%%20fun", "name=100%25%20fun", "name=100%2525%2520fun"])
def test_a_percent_sign_in_a_name_stays(sandbox: Running, query: str) -> None:
    assert "Allow 100% fun?" in requests.get(f"{sandbox.origin}/miauth/{SESSION}?{query}", timeout=60).text


@pytest.mark.parametrize(
    ("callback", "location"),
    [
        ("http://app.example/back", f"http://app.example/back?session={SESSION}"),
        ("http://app.example/back?a=1&b=", f"http://app.example/back?a=1&b=&session={SESSION}"),
        ("http://app.example/?session=old&a=1#part", f"http://app.example/?a=1&session={SESSION}#part"),
        ("myapp://back", f"myapp://back?session={SESSION}"),
        # Decoded twice, what was one value becomes two, and a plus becomes a space.
        ("http://app.example/?state=a%26b%3Dc", f"http://app.example/?state=a&b=c&session={SESSION}"),
        ("http://app.example/?state=1%2B1", f"http://app.example/?state=1+1&session={SESSION}"),
    ],
)
def test_allow_leads_back_to_the_app_with_the_session(sandbox: Running, callback: str, location: str) -> None:
    answer = miauth(sandbox, f"permission=read:account&callback={quote(callback, safe='')}", person="bob")

    assert (answer.status_code, answer.headers["Location"]) == (303, location)
    checked = call(sandbox, f"miauth/{SESSION}/check", None).json()
    assert checked["user"]["username"] == "bob"
    assert call(sandbox, "i", checked["token"]).status_code == 200


def test_deny_says_so_and_tells_the_app_nothing(sandbox: Running) -> None:
    answer = miauth(sandbox, "callback=http%3A%2F%2Fapp.example%2F", decision="deny")

    assert (answer.status_code, "Denied" in answer.text) == (200, True)
    assert call(sandbox, f"miauth/{SESSION}/check", None).json() == {"ok": False}


def test_without_a_callback_the_page_sends_the_person_back_in_words(sandbox: Running) -> None:
    assert "go back to the application" in miauth(sandbox, "name=x").text
    assert call(sandbox, f"miauth/{SESSION}/check", None).json()["ok"]


@pytest.mark.parametrize(
    "callback",
    ["/back", "//app.example/", "JavaScript:alert(1)", "java%09script:alert(1)", "data:,x", "file:///x", "tel:1",
     "mailto:a@b.example", "vbscript:x", "http://[x"],
)  # fmt: skip
def test_a_callback_that_is_no_way_back_is_a_problem_yet_the_token_is_made(sandbox: Running, callback: str) -> None:
    answer = miauth(sandbox, f"callback={quote(callback, safe='%')}")

    assert (answer.status_code, "Something went wrong" in answer.text) == (200, True)
    assert call(sandbox, f"miauth/{SESSION}/check", None).json()["ok"]


@pytest.mark.parametrize("query", ["permission=read:account,read:account", f"name={'x' * 129}"])
def test_a_wish_that_the_server_refuses_leads_nowhere(sandbox: Running, query: str) -> None:
    answer = miauth(sandbox, f"{query}&callback=http%3A%2F%2Fapp.example%2F")

    assert (answer.status_code, "Something went wrong" in answer.text) == (200, True)
    assert call(sandbox, f"miauth/{SESSION}/check", None).json() == {"ok": False}


def test_forms_of_other_sites_are_refused(sandbox: Running) -> None:
    for path in ("/sandbox", f"/miauth/{SESSION}"):
        for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 400)):
            headers = {"Sec-Fetch-Site": site}
            form = {"decision": "allow"}
            assert requests.post(sandbox.origin + path, data=form, headers=headers, timeout=60).status_code == status


# Notes


def test_a_new_note_has_the_shape_of_a_note_and_leads_the_timeline(sandbox: Running) -> None:
    created = call(sandbox, "notes/create", text="hello", cw="greeting", visibility="home").json()["createdNote"]

    assert set(created) == NOTE
    assert set(created["user"]) == LITE
    assert call(sandbox, "notes/timeline", limit=1).json() == [created]
    assert call(sandbox, "notes/show", noteId=created["id"]).json() == created
    assert created not in call(sandbox, "notes/local-timeline").json()


def test_the_same_note_again_within_a_minute_is_the_same_note(
    sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def post(token: str = ALICE, **params: str) -> str:
        return str(call(sandbox, "notes/create", token, text="twice", **params).json()["createdNote"]["id"])

    first = post()
    assert post() == first
    assert len({first, post(BOB), post(visibility="home")}) == 3
    call(sandbox, "notes/delete", noteId=first)
    second = post()
    assert second != first
    later = sandbox.world.stamp(minutes_ago=-2)
    monkeypatch.setattr(sandbox.world, "stamp", lambda minutes_ago=0: later)
    assert post() != second


def test_only_those_who_are_meant_see_a_note(sandbox: Running) -> None:
    bob = call(sandbox, "users/show", username="bob").json()["id"]
    secret, own = (
        call(sandbox, "notes/create", text=text, visibility="specified", visibleUserIds=ids).json()["createdNote"]
        for text, ids in (("for bob", [bob]), ("for me", []))
    )

    assert secret["mentions"] == secret["visibleUserIds"] == [bob]
    assert call(sandbox, "notes/show", BOB, noteId=secret["id"]).json()["text"] == "for bob"
    assert call(sandbox, "notes/show", BOB, noteId=own["id"]).status_code == 400
    assert call(sandbox, "notes/show", None, noteId=secret["id"]).status_code == 400


def test_a_timeline_has_pages(sandbox: Running) -> None:
    everything = [note["id"] for note in call(sandbox, "notes/timeline", limit=100).json()]
    upper = call(sandbox, "notes/timeline", limit=3).json()
    lower = call(sandbox, "notes/timeline", limit=3, untilId=upper[-1]["id"]).json()
    newer = call(sandbox, "notes/timeline", limit=2, sinceId=lower[-1]["id"]).json()

    assert [note["id"] for note in upper + lower] == everything[:6] == sorted(everything, reverse=True)[:6]
    assert [note["id"] for note in newer] == everything[:2]


def test_a_timeline_of_notes_with_files_has_no_others(sandbox: Running) -> None:
    for name in ("timeline", "hybrid-timeline", "local-timeline", "global-timeline"):
        notes = call(sandbox, f"notes/{name}", withFiles=True).json()
        assert [note["text"] for note in notes] == ["The sky this evening."]


def test_the_first_notes_are_of_every_kind(sandbox: Running) -> None:
    notes = call(sandbox, "notes/hybrid-timeline", limit=100).json()

    for name in ("cw", "files", "poll", "renote", "reactions"):
        assert any(note.get(name) for note in notes), name
    assert any("こ" in (note["text"] or "") for note in notes)
    assert {note["visibility"] for note in notes} >= {"public", "followers"}


def test_a_renote_carries_the_other_note(sandbox: Running) -> None:
    first = call(sandbox, "notes/create", text="first").json()["createdNote"]
    renote = call(sandbox, "notes/create", BOB, renoteId=first["id"]).json()["createdNote"]

    assert set(renote) == NOTE | {"renote"}
    assert (renote["renote"]["text"], renote["renoteId"], renote["text"]) == ("first", first["id"], None)
    assert call(sandbox, "notes/show", noteId=first["id"]).json()["renoteCount"] == 1


@pytest.mark.parametrize(
    ("params", "code"),
    [({"renoteId": "x"}, "NO_SUCH_RENOTE_TARGET"), ({"fileIds": ["x"]}, "NO_SUCH_FILE"),
     ({"renoteId": None}, "INVALID_PARAM")],
)  # fmt: skip
def test_a_note_can_only_refer_to_what_is_there(sandbox: Running, params: dict[str, Any], code: str) -> None:
    assert call(sandbox, "notes/create", **params).json()["error"]["code"] == code


def test_a_reaction_counts_and_its_author_is_told(sandbox: Running) -> None:
    note = call(sandbox, "notes/create", text="like me").json()["createdNote"]["id"]
    answer = call(sandbox, "notes/reactions/create", BOB, noteId=note, reaction="👍")

    assert (answer.status_code, answer.content) == (204, b"")
    shown = call(sandbox, "notes/show", BOB, noteId=note).json()
    assert (shown["reactions"], shown["reactionCount"]) == ({"👍": 1}, 1)
    told = call(sandbox, "i/notifications", limit=1).json()[0]
    assert (told["type"], told["reaction"], told["user"]["username"]) == ("reaction", "👍", "bob")


def test_notifications_are_read_when_looked_at_unless_asked_not_to(sandbox: Running) -> None:
    app_token(sandbox)
    unread = []
    for params in ({"markAsRead": False}, {}):
        call(sandbox, "i/notifications", **params)
        unread.append(call(sandbox, "i").json()["unreadNotificationsCount"])

    assert unread[0] > unread[1] == 0
    assert call(sandbox, "i").json()["hasUnreadNotification"] is False


def test_deleting_is_for_the_author_and_not_in_haste(sandbox: Running) -> None:
    note = call(sandbox, "notes/create", text="gone").json()["createdNote"]["id"]

    assert call(sandbox, "notes/delete", BOB, noteId=note).json()["error"]["code"] == "ACCESS_DENIED"
    assert call(sandbox, "notes/delete", noteId=note).status_code == 204
    assert call(sandbox, "notes/show", noteId=note).json()["error"]["code"] == "NO_SUCH_NOTE"
    hasty = call(sandbox, "notes/delete", noteId=note)
    assert (hasty.status_code, hasty.headers["Retry-After"]) == (429, "1")
    assert set(hasty.json()["error"]["info"]) == {"remaining", "reset", "resetMs", "total"}


# Files


def upload(sandbox: Running, content: bytes, token: str | None = ALICE, **fields: str) -> requests.Response:
    form = fields | ({} if token is None else {"i": token})
    files = {"file": ("name.bin", content)}
    return requests.post(f"{sandbox.origin}/api/drive/files/create", data=form, files=files, timeout=60)


def test_an_uploaded_file_is_in_the_drive_and_can_be_fetched(sandbox: Running) -> None:
    picture = sandbox.world.contents[next(iter(sandbox.world.contents))][1]
    file = upload(sandbox, picture + b"!", name="red.png", comment="red").json()

    assert set(file) == FILE
    assert (file["name"], file["type"], file["comment"]) == ("red.png", "image/png", "red")
    assert file["properties"] == {"width": 64, "height": 64}
    assert requests.get(file["url"], timeout=60).content == picture + b"!"
    assert call(sandbox, "drive/files", limit=1).json() == [file]
    note = call(sandbox, "notes/create", fileIds=[file["id"]]).json()["createdNote"]
    assert note["files"] == [file | {"userId": note["userId"]}]


def test_the_same_content_is_the_same_file(sandbox: Running) -> None:
    first, second = (upload(sandbox, b"same", name=name).json() for name in ("a", "b"))
    assert first == second
    assert upload(sandbox, b"same", BOB).json()["id"] != first["id"]


def test_a_file_may_be_empty_and_come_in_pieces_but_not_be_too_large(sandbox: Running) -> None:
    most = 10 * 1024 * 1024
    used = call(sandbox, "drive").json()["usage"]

    assert upload(sandbox, b"").json()["thumbnailUrl"] is None
    assert upload(sandbox, b"x" * most).json()["size"] == most
    assert call(sandbox, "drive").json()["usage"] == used + most
    refused = upload(sandbox, b"x" * (most + 1))
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "MAX_FILE_SIZE_EXCEEDED")
    head = b'--b\r\nContent-Disposition: form-data; name="i"\r\n\r\n' + ALICE.encode()
    pieces = [
        head,
        b'\r\n--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n',
        b"abc",
        b"\r\n--b--",
    ]
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    url = f"{sandbox.origin}/api/drive/files/create"
    assert requests.post(url, data=iter(pieces), headers=headers, timeout=60).json()["size"] == 3


def test_a_full_drive_takes_nothing_new(sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    file = upload(sandbox, b"here already").json()
    monkeypatch.setitem(DEFAULTS["policies"], "driveCapacityMb", 0)

    refused = upload(sandbox, b"new")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "NO_FREE_SPACE")
    assert upload(sandbox, b"here already").json() == file


@pytest.mark.parametrize("name", ["a/b", "a\\b", "a..b", "x" * 201])
def test_a_file_can_not_have_any_name(sandbox: Running, name: str) -> None:
    assert upload(sandbox, b"x", name=name).json()["error"]["code"] == "INVALID_FILE_NAME"


def test_an_upload_is_refused_for_the_same_reasons_as_other_calls(sandbox: Running) -> None:
    assert upload(sandbox, b"x", None).json()["error"]["code"] == "CREDENTIAL_REQUIRED"
    assert upload(sandbox, b"x", app_token(sandbox)).json()["error"]["code"] == "PERMISSION_DENIED"
    folder = upload(sandbox, b"x", folderId="x").json()["error"]
    assert (folder["code"], folder["info"]["message"]) == ("FAILED_TO_CREATE_DRIVE_FILE", "folder-not-found")
    url = f"{sandbox.origin}/api/drive/files/create"
    without = requests.post(url, files={"i": (None, ALICE)}, timeout=60)
    assert (without.status_code, without.json()["error"]["code"]) == (422, "INVALID_PARAM")


# Misbehaving


def misbehave(sandbox: Running, how: str) -> requests.Response:
    """Choose it on the control page."""
    return requests.post(f"{sandbox.origin}/sandbox", data={"misbehaviour": how}, timeout=60)


@pytest.mark.parametrize(
    ("how", "status", "kind", "words"),
    [
        ("rate_limited", 429, JSON, "RATE_LIMIT_EXCEEDED"),
        ("forbidden", 403, "text/html; charset=utf-8", "blocked"),
        ("broken", 500, JSON, "INTERNAL_ERROR"),
        ("not_json", 200, "text/html; charset=utf-8", "<!doctype html>"),
        ("mastodon", 404, "text/html; charset=utf-8", "isn't here"),
    ],
)
def test_the_api_misbehaves_and_the_pages_do_not(
    sandbox: Running, how: str, status: int, kind: str, words: str
) -> None:
    page = misbehave(sandbox, how)
    assert f'value="{how}" checked' in page.text

    answer = call(sandbox, "i")
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, kind)
    assert words in answer.text
    assert ("Retry-After" in answer.headers) == (status == 429)
    assert requests.get(f"{sandbox.origin}/miauth/{SESSION}", timeout=60).status_code == 200
    misbehave(sandbox, "none")
    assert call(sandbox, "i").status_code == 200


def test_slow_is_slow(sandbox: Running) -> None:
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 0.2
    begun = time.monotonic()
    assert call(sandbox, "ping").status_code == 200
    assert time.monotonic() - begun >= 0.2


def test_hanging_lasts_until_all_is_well(sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    with pytest.raises(requests.ReadTimeout):
        requests.post(f"{sandbox.origin}/api/ping", json={}, timeout=0.2)
    timer = threading.Timer(0.1, misbehave, (sandbox, "none"))
    timer.start()
    assert call(sandbox, "ping").status_code == 200
    timer.join()


def test_without_miauth_meta_says_so(sandbox: Running) -> None:
    misbehave(sandbox, "miauth_off")
    assert call(sandbox, "meta").json()["features"]["miauth"] is False


def test_as_mastodon_nodeinfo_says_so_and_json_is_refused_in_json(sandbox: Running) -> None:
    misbehave(sandbox, "mastodon")

    links = requests.get(f"{sandbox.origin}/.well-known/nodeinfo", timeout=60).json()["links"]
    assert [requests.get(link["href"], timeout=60).json()["software"]["name"] for link in links] == ["mastodon"]
    headers = {"Accept": "application/json"}
    answer = requests.post(f"{sandbox.origin}/api/meta", json={}, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()) == (404, {"error": "Not Found"})


def test_the_tokens_of_all_apps_can_be_revoked_by_hand(sandbox: Running) -> None:
    tokens = [app_token(sandbox, "read:account") for _ in range(2)]

    page = requests.get(f"{sandbox.origin}/settings/apps", timeout=60).text
    assert 'name="revoke"' in page
    requests.post(f"{sandbox.origin}/sandbox", data={"revoke": "all"}, timeout=60)
    assert [call(sandbox, "i", token).status_code for token in tokens] == [401, 401]
    assert call(sandbox, "i").status_code == 200


def test_a_wish_for_an_unknown_misbehaviour_is_refused(sandbox: Running) -> None:
    assert misbehave(sandbox, "explode").status_code == 400


# The pages, as pages


def test_a_public_note_has_a_page_and_others_have_none(sandbox: Running) -> None:
    notes = sandbox.world.notes.values()
    public = next(note for note in notes if note["visibility"] == "public" and note["text"])
    hidden = [note for note in notes if note["visibility"] not in ("public", "home")]

    page = requests.get(f"{sandbox.origin}/notes/{public['id']}", timeout=60)
    assert page.status_code == 200
    assert html.escape(public["text"]).splitlines()[0] in page.text.replace("&#34;", "&quot;").replace(
        "&#39;", "&#x27;"
    )
    for id_ in ["none", *(note["id"] for note in hidden)]:
        assert requests.get(f"{sandbox.origin}/notes/{id_}", timeout=60).status_code == 404


@pytest.mark.parametrize(
    "path", ["/", "/sandbox", f"/miauth/{SESSION}?name=x&permission=read:account", "/settings/api"]
)
def test_pages_are_whole_without_scripts_or_other_sites(sandbox: Running, path: str) -> None:
    app_token(sandbox, "read:account")
    page = requests.get(sandbox.origin + path, timeout=60)

    assert page.status_code == 200
    assert not re.search(r"<script|<style|\sstyle=|\son\w+=|src=\"https?:", page.text)
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    for link in re.findall(r"(?:href|src)=\"(/[^\"]*)\"", page.text):
        assert requests.get(sandbox.origin + link, timeout=60).status_code == 200, link
    fields = re.findall(r'<select id="(\w+)"', page.text)
    assert all(f'<label for="{name}">' in page.text for name in fields)


def test_home_says_who_lives_here_and_where(sandbox: Running) -> None:
    page = requests.get(sandbox.origin, timeout=60).text
    for words in ("@alice", "@bob", urlsplit(sandbox.origin).netloc, 'action="/sandbox"', "keeps nothing"):
        assert words in page


# Streaming


@contextmanager
def stream(sandbox: Running, query: str = f"?i={ALICE}") -> Iterator[WebSocket]:
    connection = create_connection(sandbox.origin.replace("http", "ws") + "/streaming" + query, timeout=60)
    try:
        yield connection
    finally:
        connection.close()


def connect(connection: WebSocket, channel: str, id_: str) -> None:
    """Connect a channel and wait until it is."""
    connection.send(json.dumps({"type": "connect", "body": {"channel": channel, "id": id_, "pong": True}}))
    assert json.loads(connection.recv()) == {"type": "connected", "body": {"id": id_}}


def test_a_new_note_arrives_on_the_home_timeline(sandbox: Running) -> None:
    with stream(sandbox) as connection:
        connect(connection, "homeTimeline", "1")
        call(sandbox, "notes/create", BOB, text="live", visibility="home")

        frame = json.loads(connection.recv())
    assert (frame["type"], frame["body"]["id"], frame["body"]["type"]) == ("channel", "1", "note")
    assert set(frame["body"]["body"]) == NOTE | {"reactionAndUserPairCache"}
    assert frame["body"]["body"]["text"] == "live"


def test_the_main_channel_tells_of_mentions_and_reactions(sandbox: Running) -> None:
    note = call(sandbox, "notes/create", text="watched").json()["createdNote"]["id"]
    with stream(sandbox) as connection:
        connect(connection, "main", "m")
        call(sandbox, "notes/create", BOB, text="@alice hi")
        call(sandbox, "notes/reactions/create", BOB, noteId=note, reaction="👍")

        frames = [json.loads(connection.recv())["body"] for _ in range(3)]
    assert [frame["type"] for frame in frames] == ["mention", "notification", "notification"]
    assert [frame["body"]["type"] for frame in frames[1:]] == ["mention", "reaction"]


def test_nonsense_is_passed_over_and_a_disconnected_channel_is_silent(sandbox: Running) -> None:
    with stream(sandbox) as connection:
        for frame in ("not json", "[]", '{"type": "ping"}', '{"type": "connect", "body": {"channel": "x", "id": "9"}}'):
            connection.send(frame)
        connect(connection, "homeTimeline", "1")
        connection.send(json.dumps({"type": "disconnect", "body": {"id": "1"}}))
        connect(connection, "localTimeline", "2")
        call(sandbox, "notes/create", text="hello")

        assert json.loads(connection.recv())["body"]["id"] == "2"


def test_channels_that_were_given_the_same_id_all_speak_and_end_together(sandbox: Running) -> None:
    """As megalodon connects them."""
    with stream(sandbox) as connection:
        for channel in ("main", "homeTimeline"):
            connect(connection, channel, "same")
        connect(connection, "localTimeline", "other")
        call(sandbox, "notes/create", BOB, text="@alice hi", visibility="home")
        heard = [json.loads(connection.recv())["body"] for _ in range(3)]
        connection.send(json.dumps({"type": "disconnect", "body": {"id": "same"}}))
        connect(connection, "localTimeline", "another")
        call(sandbox, "notes/create", BOB, text="@alice hi again")
        rest = [json.loads(connection.recv())["body"]["id"] for _ in range(2)]

    assert [(frame["id"], frame["type"]) for frame in heard] == [
        ("same", "note"),
        ("same", "mention"),
        ("same", "notification"),
    ]
    assert rest == ["other", "another"]


def test_nobody_in_particular_sees_the_local_timeline_only(sandbox: Running) -> None:
    with stream(sandbox, "") as connection:
        connect(connection, "homeTimeline", "1")
        connect(connection, "localTimeline", "2")
        call(sandbox, "notes/create", text="for all")

        assert json.loads(connection.recv())["body"]["id"] == "2"
        connection.settimeout(0.1)
        with pytest.raises(WebSocketTimeoutException):
            connection.recv()


@pytest.mark.parametrize("token", ["wrong", "", None])
def test_a_stream_needs_a_token_that_may_read_the_account(sandbox: Running, token: str | None) -> None:
    token = app_token(sandbox, "write:notes") if token is None else token
    with pytest.raises(WebSocketBadStatusException) as refused, stream(sandbox, f"?i={token}"):
        pass
    assert refused.value.status_code == 401
    assert "invalid_token" in (refused.value.resp_headers or {})["www-authenticate"]


def test_a_stream_goes_on_when_its_token_is_revoked(sandbox: Running) -> None:
    with stream(sandbox, f"?i={app_token(sandbox, 'read:account')}") as connection:
        connect(connection, "homeTimeline", "1")
        sandbox.world.revoke_app_tokens()
        call(sandbox, "notes/create", text="still here")
        assert json.loads(connection.recv())["body"]["type"] == "note"


# The server as a server


def test_one_connection_serves_many_requests(sandbox: Running) -> None:
    with requests.Session() as session:
        for path, body in (("/api/i", {"i": ALICE}), ("/api/i/revoke-token", {"i": ALICE}), ("/api/i", {"i": "wrong"})):
            session.post(sandbox.origin + path, json=body, timeout=60)
        session.post(sandbox.origin + "/api/no/such", data=b"x" * 100_000, timeout=60)
        session.get(sandbox.origin + "/api/i", timeout=60)
        session.head(sandbox.origin + "/", timeout=60)
        assert session.post(sandbox.origin + "/api/ping", json={}, timeout=60).status_code == 200

    assert sandbox.connections == 1
    assert len(sandbox.requests) == 7
    assert sandbox.requests[0] == ("POST", "/api/i")


def test_it_stops_whatever_is_open() -> None:
    def own_threads() -> set[threading.Thread]:
        return set(threading.enumerate()) - others

    others = set(threading.enumerate())
    with serve() as sandbox, requests.Session() as session:
        session.post(sandbox.origin + "/api/ping", json={}, timeout=60)
        listening = create_connection(sandbox.origin.replace("http", "ws") + "/streaming", timeout=60)
        sandbox.world.misbehaviour = Misbehaviour.HANGING
        host, port = urlsplit(sandbox.origin).netloc.split(":")
        waiting = socket.create_connection((host, int(port)))
        waiting.sendall(b"POST /api/ping HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n")
        wait_until(lambda: len(own_threads()) > 1)  # those of connections, beside its own

    wait_until(lambda: not own_threads())
    listening.shutdown()  # type: ignore[no-untyped-call]
    waiting.close()
    with pytest.raises(requests.ConnectionError):
        requests.get(sandbox.origin, timeout=1)


PING, STREAM = b"POST /api/ping HTTP/1.1\r\nHost: x\r\n", b"GET /streaming HTTP/1.1\r\nHost: x\r\n"
UPGRADE = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
CUT = {
    "in the request line": b"POST /api/pi",
    "in the head": PING + b"Content-Le",
    "in the body": PING + b"Content-Length: 100\r\n\r\n{",
    "in a chunk": PING + b"Transfer-Encoding: chunked\r\n\r\n10\r\n{",
    "after nonsense": PING + b"Content-Length: many\r\n\r\n",
    "before reading": (PING + b"\r\n") * 100,
    "in a stream": STREAM + UPGRADE,
}


def threads() -> set[threading.Thread]:
    """Those that serve; timers that other tests left to run out are not the sandbox's."""
    return {thread for thread in threading.enumerate() if not isinstance(thread, threading.Timer)}


@pytest.mark.parametrize("reset", [True, False], ids=["reset", "closed"])
@pytest.mark.parametrize("sent", CUT.values(), ids=CUT.keys())
def test_a_connection_that_is_cut_ends_without_a_word_or_a_thread(
    capfd: pytest.CaptureFixture[str], sent: bytes, reset: bool
) -> None:
    before = threads()
    with serve() as sandbox:
        host, port = urlsplit(sandbox.origin).netloc.split(":")
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            # Closing a socket that lingers for no time resets the connection.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", reset, 0))
            connection.sendall(sent)
        assert call(sandbox, "ping").status_code == 200

    assert threads() <= before
    assert capfd.readouterr().err == ""


def test_two_sandboxes_share_nothing() -> None:
    first, second = create_app().extensions["sandbox"], create_app("http://other.example").extensions["sandbox"]
    first.post(first.people["alice"], text="only here")
    assert len(first.notes) == len(second.notes) + 1
    assert second.people["bob"].shown["avatarUrl"] == "http://other.example/identicon/bob@other.example"


@pytest.mark.parametrize("name", ["misskey/1.0", "Mozilla/5.0 (MissKey/2)", "my-misskey/0.1 (+https://x.example)"])
def test_the_media_proxy_refuses_who_is_called_misskey(sandbox: Running, name: str) -> None:
    alice = sandbox.world.people["alice"]
    pictures = [alice.shown["avatarUrl"], next(iter(alice.files.values()))["thumbnailUrl"]]

    for url in pictures:
        assert url.startswith(f"{sandbox.origin}/proxy/")
        assert requests.get(url, headers={"User-Agent": name}, timeout=60).status_code == 403
        answer = requests.get(url, headers={"User-Agent": "misskey-sign-in/1.0"}, timeout=60)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "image/png")
    drawn = sandbox.world.people["bob"].shown["avatarUrl"]
    assert requests.get(drawn, headers={"User-Agent": name}, timeout=60).status_code == 200


def test_the_media_proxy_fetches_nothing_from_elsewhere(sandbox: Running) -> None:
    for url in ("https://elsewhere.example/a.png", "", "../x", f"{sandbox.origin}/files/none"):
        params = {"url": url}
        assert requests.get(f"{sandbox.origin}/proxy/static.webp", params=params, timeout=60).status_code == 404


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *arguments],
        cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_it_does_not_start_in_production() -> None:
    ended = start(MIAUTH_PUBLIC_URL="https://app.example")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "MIAUTH_PUBLIC_URL" in ended.stderr


def test_a_taken_port_is_told_in_words(sandbox: Running) -> None:
    ended = start("--port", sandbox.origin.rpartition(":")[2])
    assert ended.returncode == 2
    assert "--port" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_client_that_nobody_here_wrote_signs_in(sandbox: Running, tmp_path: Path) -> None:
    """Misskey.py, whose package has the name of ours: in a process that sees its own and what it needs, no more."""
    for name in ("Misskey.py", "requests", "urllib3", "idna", "certifi", "charset-normalizer"):
        for path in {file.parts[0] for file in importlib.metadata.files(name) or () if file.suffix in (".py", ".so")}:
            if path != "..":
                (tmp_path / path).symlink_to(Path(str(importlib.metadata.distribution(name).locate_file(path))))
    program = f"""
import re, sys
sys.path.insert(0, {str(tmp_path)!r})
import requests
from misskey import MiAuth, Misskey
auth = MiAuth({sandbox.origin!r}, name="Misskey.py", permission=["read:account", "write:notes"])
url = auth.generate_url()
page = requests.get(url).text
form = {{"person": re.search(r'value="(alice)"', page)[1], "decision": "allow"}}
assert "go back to the application" in requests.post(url, data=form).text
client = Misskey({sandbox.origin!r}, i=auth.check())
print(client.i()["username"], client.notes_create(text="from Misskey.py")["createdNote"]["text"])
"""
    ended = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.stdout == "alice from Misskey.py\n", ended.stderr
