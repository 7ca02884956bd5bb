"""The console: any endpoint by hand."""

from __future__ import annotations

import gc
import json
import re
import uuid
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit
from weakref import ref

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from demo.forms import is_endpoint
from misskey import NATIVE_ONLY_ENDPOINTS, UPLOAD_ENDPOINT
from sandbox import Misbehaviour, Running
from tests.cast import Visitor, environment
from tests.hostile import Caller, answers, echoes, http, moved_to, says

FRAGMENT = {"HX-Request": "true"}


def draft() -> str:
    return str(uuid.uuid4())


def send(person: Visitor, endpoint: str, params: str = "{}", **form: str) -> TestResponse:
    """Send a call and go where the answer leads."""
    answer = person.post("/console", {"draft": draft(), "endpoint": endpoint, "params": params, **form})
    return person.get(answer.location) if answer.status_code == 303 else answer


def plain(answer: TestResponse) -> str:
    """What a page says, without its markup."""
    return " ".join(unescape(re.sub("<[^>]*>", "", answer.text)).split())


def called(sandbox: Running, endpoint: str) -> int:
    return sandbox.requests.count(("POST", f"/api/{endpoint}"))


# The page.


def test_the_page_comes_without_waiting_for_the_server(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    before = len(sandbox.requests)

    answer = alice.get("/console")

    assert answer.status_code == 200
    assert 'value="i"' in answer.text
    assert "{}</textarea>" in answer.text
    assert len(sandbox.requests) == before


def test_the_account_menu_leads_to_it(alice: Visitor) -> None:
    assert re.search(r'<a href="/console\?account=\w{16}">Console</a>', alice.get("/dashboard").text)


@pytest.mark.parametrize(
    "path", ["/console", f"/console/{uuid.UUID(int=1)}", "/console/endpoints", "/console/parameters"]
)
def test_without_an_account_it_leads_home(visitor: Visitor, path: str) -> None:
    assert (visitor.get(path).status_code, visitor.get(path).location) == (303, "/")
    assert visitor.get(path, headers=FRAGMENT).status_code == 401


def test_no_keyboard_mends_what_is_for_a_machine(alice: Visitor) -> None:
    fields = re.findall(r'<(?:input|textarea)[^>]* id="(?:endpoint|params)"[^>]*>', alice.get("/console").text)

    assert len(fields) == 2
    for field in fields:
        assert {'autocapitalize="none"', 'autocorrect="off"', 'spellcheck="false"'} <= set(field[:-1].split())


def test_a_link_fills_in_an_endpoint_and_at_most_an_example(alice: Visitor) -> None:
    example = alice.get("/console?endpoint=notes/local-timeline&params=planted").text
    other = alice.get('/console?endpoint=<b>"').text

    assert "&#34;limit&#34;: 3" in example
    assert "planted" not in example
    assert 'value="&lt;b&gt;&#34;"' in other


# What the server knows.


def test_endpoints_are_a_fragment_and_a_page(alice: Visitor) -> None:
    fragment = alice.get("/console/endpoints", headers=FRAGMENT).text
    page = alice.get("/console/endpoints").text

    assert '<option value="notes/create"></option>' in fragment
    assert '<option value="i/revoke-token" label="the server’s own client only">' in fragment
    assert "<html" not in fragment
    assert "This server has 22 endpoints." in page
    assert "/console/parameters?endpoint=notes%2Fcreate&amp;account=" in page


def test_no_more_endpoints_are_shown_than_a_page_can_bear(alice: Visitor) -> None:
    with moved_to(says([f"n{number}" for number in range(3000)]), alice):
        assert alice.get("/console/endpoints", headers=FRAGMENT).text.count("<option") == 2000


def test_parameters_are_a_fragment_and_a_page(alice: Visitor) -> None:
    fragment = alice.get("/console/parameters?endpoint=notes/create", headers=FRAGMENT).text
    page = alice.get("/console/parameters?endpoint=notes/create").text

    for text in (fragment, page):
        assert 'name="insert" value="text" data-empty="&#34;&#34;"' in text
        assert 'name="insert" value="localOnly" data-empty="false"' in text
    assert "<html" not in fragment
    assert 'value="notes/create"' in page


def test_an_empty_endpoint_is_told_beside_its_field_only(alice: Visitor) -> None:
    page = send(alice, "", show="parameters").text

    assert "no endpoint of this name" not in page


@pytest.mark.parametrize(
    ("endpoint", "words"),
    [
        ("no/such", "no endpoint of this name"),
        ("../admin", "no endpoint of this name"),
        ("ping", "takes no parameters"),
        ("i/revoke-token", "Only the server’s own client may call this"),
        ("drive/files/create", "takes a file"),
    ],
)
def test_an_endpoint_that_is_special_is_told(alice: Visitor, endpoint: str, words: str) -> None:
    assert words in alice.get(f"/console/parameters?endpoint={endpoint}", headers=FRAGMENT).text


def test_the_endpoints_are_asked_for_once_and_without_the_token(alice: Visitor) -> None:
    with moved_to(says(["i", "notes/create", "<b>", "../x", 5, None]), alice) as server:
        (page,) = {alice.get("/console/endpoints", headers=FRAGMENT).text for _ in range(3)}

    assert re.findall('value="(.*?)"', page) == ["i", "notes/create"]
    assert [request.body for request in server.requests] == [b"{}"]


def test_the_parameters_are_asked_for_once_and_without_the_token(alice: Visitor) -> None:
    with moved_to(says({"params": []}), alice) as server:
        for endpoint in ("i", "i", "ping", "i"):
            alice.get(f"/console/parameters?endpoint={endpoint}", headers=FRAGMENT)

    assert [request.body for request in server.requests] == [b'{"endpoint": "i"}', b'{"endpoint": "ping"}']


@pytest.mark.parametrize(
    "params",
    [
        [{"name": '"><script>', "type": "<b>"}],
        [{"name": "x" * 5000, "type": "y" * 5000}],
        [5, None, {"name": 5, "type": None}, {}, []],
        [{"name": f"n{number}", "type": "String"} for number in range(5000)],
    ],
)
def test_odd_parameters_are_made_fit_to_be_shown(alice: Visitor, params: list[object]) -> None:
    with moved_to(says({"params": params}), alice):
        answer = alice.get("/console/parameters?endpoint=i", headers=FRAGMENT)

    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert answer.text.count('name="insert"') <= 200
    assert "x" * 200 not in answer.text


@pytest.mark.parametrize("path", ["/console/endpoints", "/console/parameters?endpoint=i"])
@pytest.mark.parametrize("told", [{"params": 5}, {}, "text", 5, True, [{}]])
def test_a_server_that_knows_nothing_is_told(alice: Visitor, path: str, told: object) -> None:
    with moved_to(says(told), alice):
        for headers in ({}, FRAGMENT):
            answer = alice.get(path, headers=headers)

            assert answer.status_code in (200, 502)
            assert "can’t read" in answer.text or (path == "/console/endpoints" and told == [{}])


def test_a_server_that_fails_is_told_with_what_was_sent(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    for headers in ({}, FRAGMENT):
        answer = alice.get("/console/endpoints", headers=headers)
        assert answer.status_code == 502
        assert "has a problem" in answer.text
        assert f"{sandbox.origin}/api/endpoints" in answer.text


# Sending.


def test_a_call_is_sent_and_its_answer_shown(alice: Visitor, sandbox: Running) -> None:
    answer = send(alice, " /api/notes/local-timeline ", '{\r\n  "limit": 1\r\n}')

    assert answer.status_code == 200
    assert "Answer of notes/local-timeline: 200" in answer.text
    assert re.search(r"<dd>\d+ ms</dd>", answer.text)
    assert re.search(r"<dd>[\d.,]+\s(bytes|kB)</dd>", answer.text)
    assert '<span class="nt">"createdAt"</span>' in answer.text
    assert "{\n  &#34;limit&#34;: 1\n}</textarea>" in answer.text
    assert called(sandbox, "notes/local-timeline") == 1


def test_the_token_goes_along_and_is_shown_nowhere(alice: Visitor, app: Flask) -> None:
    (key,) = alice.cookie()["accounts"]
    token = json.loads(app.extensions["token_store"].get(key))["token"]
    with moved_to(echoes(200), alice) as server:
        answer = send(alice, "i", json.dumps({"mine": token, token: [token]}))
        again = alice.get("/console?again=" + re.findall("again=([0-9a-f-]+)", answer.text)[0])

        assert json.loads(server.requests[-1].body)["i"] == token
        assert token not in answer.text
        assert token not in again.text
        assert "•••" in answer.text


def test_no_parameters_at_all_are_an_empty_object(alice: Visitor) -> None:
    assert "Answer of i: 200" in send(alice, "i", " \n ").text


@pytest.fixture
def reader(visitor: Visitor) -> Visitor:
    """Alice, signed in for reading her account and nothing else."""
    session_id = visitor.begin(permission="read:account")
    visitor.allow(session_id)
    visitor.get(f"/callback?session={session_id}")
    return visitor


@pytest.mark.parametrize(
    ("endpoint", "params", "status", "words"),
    [
        ("no/such", "{}", 404, "not found"),
        ("notes/show", "{}", 400, "Invalid param."),
        ("notes/reactions/create", "{}", 403, "The permission for this is missing"),
        ("i/revoke-token", "{}", 403, "Access denied."),
    ],
)
def test_a_no_is_an_answer_too(reader: Visitor, endpoint: str, params: str, status: int, words: str) -> None:
    answer = send(reader, endpoint, params)

    assert answer.status_code == 200
    assert f"Answer of {endpoint}: {status}" in answer.text
    assert words in plain(answer)
    assert "What was sent" in answer.text


def test_what_the_server_said_is_shown_as_it_said_it(alice: Visitor) -> None:
    said = 'It\'s 5 < 6 & "odd"'
    with moved_to(says({"error": {"code": "ODD", "message": said}}, 400), alice):
        answer = send(alice, "i")

    assert f"The server said: {said}" in plain(answer)


def test_a_missing_permission_can_be_asked_for(reader: Visitor) -> None:
    answer = send(reader, "notes/reactions/create")

    assert '<option value="write:reactions">' in answer.text
    assert '<option value="read:account">' not in answer.text
    assert 'type="hidden" name="permission" value="read:account"' in answer.text


def test_a_removed_token_leads_to_a_new_sign_in(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.revoke_app_tokens()

    answer = send(alice, "i")

    assert "Answer of i: 401" in answer.text
    assert "no longer accepts the token" in answer.text
    assert "Sign in at 127.0.0.1" in answer.text


def test_an_empty_answer_is_told(alice: Visitor, sandbox: Running) -> None:
    note = next(iter(sandbox.world.notes))
    alice.sign_in(permissions=["read:account", "write:reactions"])

    answer = send(alice, "notes/reactions/create", json.dumps({"noteId": note, "reaction": "👍"}))

    assert "Answer of notes/reactions/create: 204" in answer.text
    assert "nothing to say" in answer.text


def test_an_answer_that_is_not_json_is_shown_as_text(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.FORBIDDEN

    answer = send(alice, "i")

    assert answer.status_code == 200
    assert "Answer of i: 403" in answer.text
    assert "gave an answer that this app can’t read" in answer.text
    assert "<h1>Sorry, you have been blocked</h1>" in plain(answer)
    assert "<h1>Sorry" not in answer.text


@pytest.mark.parametrize(
    "told", ["</span></code></pre><script>alert(1)</script>", '"<img src=x>"', '{"<b>": "</pre>"}']
)
def test_nothing_in_an_answer_becomes_markup(alice: Visitor, told: str) -> None:
    with moved_to(answers(200, told.encode()), alice):
        answer = send(alice, "i")

    shown = answer.text.partition('<pre class="json"')[2].partition("What was sent")[0]
    assert not re.search("<(?!/?span|/?code|/?pre|/?section|/?details|/?summary)", shown.partition("</pre>")[0])
    assert "<script>alert" not in answer.text


def test_a_great_answer_is_shown_in_part(alice: Visitor) -> None:
    with moved_to(says(["x" * 50] * 20_000), alice):
        answer = send(alice, "i")

    assert "1\u00a0MB" in answer.text
    assert "Only the beginning is shown." in answer.text
    assert len(answer.text) < 200_000


def test_a_server_that_can_not_be_reached_is_told(alice: Visitor) -> None:
    with moved_to(says({}), alice) as server:
        server.refuse()
        answer = send(alice, "notes/create", '{"text": "kept"}')

    assert answer.status_code == 502
    assert "can’t be reached" in answer.text
    assert "kept" in answer.text
    assert "What was sent" in answer.text


def test_a_server_that_is_too_slow_is_told(alice: Visitor, app: Flask, sandbox: Running) -> None:
    app.extensions["transport"].total_seconds = 0.2
    sandbox.world.misbehaviour = Misbehaviour.HANGING

    answer = send(alice, "i")

    assert answer.status_code == 504
    assert "takes too long" in answer.text


@pytest.mark.parametrize(
    ("endpoint", "params", "words"),
    [
        ("", "{}", "Type an endpoint"),
        ("Notes/Create", "{}", "small letters, digits, hyphens and slashes only"),
        ("../admin", "{}", "small letters, digits, hyphens and slashes only"),
        ("notes//create", "{}", "small letters, digits, hyphens and slashes only"),
        ("i?x=1", "{}", "small letters, digits, hyphens and slashes only"),
        ("x" * 129, "{}", "small letters, digits, hyphens and slashes only"),
        ("drive/files/create", "{}", "takes a file"),
        ("i", '{\n  "limit": }', "Line 2, column 12"),
        ("i", "[]", "Parameters are an object"),
        ("i", '{"i": "token"}', "adds the token itself"),
        ("i", '{"a": "' + "x" * 20_000 + '"}', "longer than 20000 characters"),
    ],
)
def test_what_is_wrong_is_told_with_the_text_kept(
    alice: Visitor, sandbox: Running, endpoint: str, params: str, words: str
) -> None:
    before = len(sandbox.requests)

    answer = send(alice, endpoint, params)

    assert answer.status_code == 422
    assert words in answer.text
    assert params in unescape(answer.text)
    assert len(sandbox.requests) == before


def test_letters_of_every_script_fit_into_the_form(alice: Visitor) -> None:
    assert send(alice, "i", json.dumps({"a": "👩" * 19_900}, ensure_ascii=False)).status_code == 200


def test_half_a_surrogate_pair_breaks_nothing(alice: Visitor) -> None:
    params = r'{"text": "\ud83d"}'

    assert send(alice, "i", params).status_code == 200
    assert send(alice, "notes/create", params, insert="cw").status_code == 200


def test_a_file_is_explained_and_shown_as_code(alice: Visitor, app: Flask) -> None:
    answer = send(alice, "drive/files/create", '{"comment": "it\'s"}')
    (key,) = alice.cookie()["accounts"]

    assert json.loads(app.extensions["token_store"].get(key))["token"] not in answer.text
    assert "i=YOUR_ACCESS_TOKEN" in answer.text

    assert "/dashboard/drive?account=" in alice.get("/console/parameters?endpoint=drive/files/create").text
    assert "--form-string 'comment=it'\"'\"'s'" in unescape(answer.text)
    assert "-F file=@YOUR_FILE" in answer.text


def test_a_call_can_be_copied_without_the_token(alice: Visitor, sandbox: Running) -> None:
    page = unescape(send(alice, "notes/local-timeline", '{"limit": 1}').text)

    assert f"curl {sandbox.origin}/api/notes/local-timeline" in page
    assert 'json={\n      "i": "YOUR_ACCESS_TOKEN",\n      "limit": 1\n    },' in page
    assert f'await fetch("{sandbox.origin}/api/notes/local-timeline"' in page


# Once.


def test_who_signs_out_during_a_call_leaves_no_history_behind(alice: Visitor, app: Flask) -> None:
    store, (key,) = app.extensions["token_store"], alice.cookie()["accounts"]

    def signs_out(caller: Caller) -> None:
        caller.request()
        store.delete(key)
        caller.send(http(200, b"{}"))

    with moved_to(signs_out, alice):
        alice.post("/console", {"draft": draft(), "endpoint": "i", "params": "{}"})

    assert store.get(f"console {key}") is None


def test_what_is_kept_of_a_call_is_as_small_as_its_letters(alice: Visitor, app: Flask) -> None:
    store, (key,) = app.extensions["token_store"], alice.cookie()["accounts"]
    with moved_to(says({"text": "愛" * 30_000}), alice):
        answer = alice.post("/console", {"draft": draft(), "endpoint": "i", "params": "{}"})

    name = urlsplit(answer.location).path.rpartition("/")[2]
    assert len(store.get(f"console {key} {name}").encode()) < 70_000


def test_a_form_that_was_changed_meanwhile_makes_another_call(alice: Visitor, sandbox: Running) -> None:
    form = {"draft": draft(), "endpoint": "ping", "params": "{}"}

    first, second = alice.post("/console", form), alice.post("/console", form | {"endpoint": "stats"})

    assert first.location != second.location
    assert (called(sandbox, "ping"), called(sandbox, "stats")) == (1, 1)


def test_a_form_sent_twice_makes_one_call(alice: Visitor, sandbox: Running) -> None:
    form = {"draft": draft(), "endpoint": "ping", "params": "{}"}

    first, second = alice.post("/console", form), alice.post("/console", form)
    alice.get(first.location)
    alice.get(first.location)

    assert first.location == second.location
    assert called(sandbox, "ping") == 1


def test_a_call_without_an_answer_is_not_sent_again_by_a_reload(alice: Visitor, app: Flask, sandbox: Running) -> None:
    app.extensions["transport"].total_seconds = 0.2
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    form = {"draft": draft(), "endpoint": "ping", "params": "{}"}

    assert alice.get(alice.post("/console", form).location).status_code == 504
    assert alice.get(alice.post("/console", form).location).status_code == 504
    assert called(sandbox, "ping") == 1


def test_a_double_click_makes_one_call(alice: Visitor, app: Flask, sandbox: Running) -> None:
    form = {"draft": draft(), "endpoint": "ping", "params": "{}", "csrf_token": alice.csrf_token()}
    cookie = alice.client.get_cookie(alice.cookie_name)
    assert cookie
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 0.2

    def click(_: int) -> int:
        hand = Visitor(app, sandbox)
        hand.client.set_cookie(hand.cookie_name, cookie.value)
        return hand.client.post("/console", data=form).status_code

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(click, range(2))) == [303, 303]
    assert called(sandbox, "ping") == 1


def test_a_call_of_which_nothing_is_known_keeps_its_text(alice: Visitor, app: Flask) -> None:
    (key,), form = (
        alice.cookie()["accounts"],
        {"draft": draft(), "endpoint": "notes/create", "params": '{"text": "kept"}'},
    )
    name = urlsplit(alice.post("/console", form).location).path.rpartition("/")[2]
    app.extensions["token_store"].put(f"console {key} {name}", "", 1)  # somebody is at it, and never comes back

    answer = alice.post("/console", form)

    assert answer.status_code == 502
    assert "The result of this call is not known" in answer.text
    assert "kept" in answer.text


def test_somebody_elses_answer_is_not_shown(alice: Visitor, app: Flask, sandbox: Running) -> None:
    location = alice.post("/console", {"draft": draft(), "endpoint": "i", "params": "{}"}).location
    bob = Visitor(app, sandbox)
    bob.sign_in("bob")

    assert bob.get(location).status_code == 401
    assert bob.get(location.partition("?")[0]).status_code == 404


def test_a_tab_of_one_account_does_not_call_as_another(alice: Visitor, sandbox: Running) -> None:
    tab = alice.get("/console").text.split('name="account" value="')[1][:16]
    alice.sign_in("bob")

    assert '"alice"' in plain(send(alice, "i", account=tab))
    alice.post("/signout", {"account": tab})
    assert send(alice, "i", account=tab).status_code == 401


def test_an_answer_is_a_page_and_a_fragment(alice: Visitor) -> None:
    location = alice.post("/console", {"draft": draft(), "endpoint": "ping"}, headers=FRAGMENT).location

    assert "<html" in alice.get(location).text
    fragment = alice.get(location, headers=FRAGMENT).text
    assert "<html" not in fragment
    assert "Answer of ping: 200" in fragment


# Without scripts.


def test_parameters_are_shown_beside_what_was_typed(alice: Visitor, sandbox: Running) -> None:
    answer = send(alice, "notes/create", '{"text": "typed', show="parameters")

    assert answer.status_code == 200
    assert 'name="insert" value="visibility"' in answer.text
    assert '{"text": "typed' in unescape(answer.text)
    assert called(sandbox, "notes/create") == 0


def test_parameters_that_the_server_does_not_tell_leave_what_was_typed(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    answer = send(alice, "notes/create", '{"text": "typed', show="parameters")

    assert answer.status_code == 502
    assert "has a problem" in answer.text
    assert "/api/endpoint<" in answer.text
    assert '{"text": "typed' in unescape(answer.text)


@pytest.mark.parametrize(
    ("insert", "inserted"),
    [
        ("cw", '{\n  "cw": "",\n  "text": "愛"\n}'),
        ("localOnly", '{\n  "localOnly": false,\n  "text": "愛"\n}'),
        ("text", '{\n  "text": "愛"\n}'),
        ("unheard-of", '{\n  "unheard-of": null,\n  "text": "愛"\n}'),
    ],
)
def test_a_parameter_is_inserted(alice: Visitor, sandbox: Running, insert: str, inserted: str) -> None:
    answer = send(alice, "notes/create", '{"text": "愛"}', insert=insert)

    assert f"{inserted}</textarea>" in unescape(answer.text)
    assert called(sandbox, "notes/create") == 0


def test_a_parameter_is_not_inserted_into_what_is_no_json(alice: Visitor) -> None:
    answer = send(alice, "notes/create", '{"text": "typed', insert="cw")

    assert answer.status_code == 422
    assert "Line 1, column 10" in answer.text
    assert '{"text": "typed' in unescape(answer.text)


# The history.


def test_the_last_calls_are_listed_and_can_be_filled_in_again(alice: Visitor) -> None:
    send(alice, "notes/local-timeline", '{"limit": 2}')
    page = send(alice, "no/such").text

    found = re.findall(r'href="(/console\?again=[^"]+)"><code>(.+?)</code></a>\s+(\d+) · \d+ ms', page)
    assert [(endpoint, status) for _, endpoint, status in found] == [
        ("no/such", "404"),
        ("notes/local-timeline", "200"),
    ]
    again = unescape(alice.get(unescape(found[1][0])).text)
    assert 'value="notes/local-timeline"' in again
    assert '{"limit": 2}</textarea>' in again


def test_a_call_without_an_answer_is_listed_as_such(alice: Visitor) -> None:
    with moved_to(says({}), alice) as server:
        server.refuse()
        assert re.search(r"<code>i</code></a>\s+no answer ·", send(alice, "i").text)


def test_the_history_is_short(alice: Visitor) -> None:
    page = [send(alice, f"no/such-{number}").text for number in range(22)][-1]

    assert page.count("again=") == 20
    assert "no/such-21" in page
    assert ">no/such-1<" not in page


def test_the_history_of_great_calls_is_shorter(alice: Visitor) -> None:
    params = json.dumps({"a": "愛" * 12_000}, ensure_ascii=False)
    page = [send(alice, "ping", params).text for _ in range(4)][-1]

    assert page.count("again=") == 2


def test_the_history_can_be_cleared(alice: Visitor) -> None:
    send(alice, "ping")

    assert alice.post("/console/clear").status_code == 303
    assert "again=" not in alice.get("/console").text


def test_the_history_is_each_accounts_own(alice: Visitor) -> None:
    send(alice, "ping")
    alice.sign_in("bob")

    assert "again=" not in alice.get("/console").text


def test_the_history_is_neither_in_the_cookie_nor_readable_on_the_disk(alice: Visitor, tmp_path: Path) -> None:
    send(alice, "notes/show", '{"noteId": "private"}')

    assert "private" not in str(alice.cookie())
    assert not any(b"private" in path.read_bytes() for path in tmp_path.iterdir())


# Facts.


def test_the_endpoints_that_are_not_for_apps_are_endpoints() -> None:
    assert len(NATIVE_ONLY_ENDPOINTS) == 52
    assert all(map(is_endpoint, NATIVE_ONLY_ENDPOINTS | {UPLOAD_ENDPOINT}))


@pytest.mark.parametrize("endpoint", ["i/revoke-token", "miauth/gen-token"])
def test_the_sandbox_agrees_that_they_are_not_for_apps(alice: Visitor, endpoint: str) -> None:
    params = '{"session": null, "permission": []}'

    assert endpoint in NATIVE_ONLY_ENDPOINTS
    assert f"Answer of {endpoint}: 403" in send(alice, endpoint, params).text


@pytest.mark.parametrize("value", ["dark", "", 5, True, None])
def test_an_answer_may_be_a_single_value(alice: Visitor, value: object) -> None:
    """`i/registry/get` gives whatever was put there."""
    with moved_to(says(value), alice):
        answer = send(alice, "i/registry/get", '{"key": "theme"}')

    assert answer.status_code == 200
    assert 'class="failure"' not in answer.text
    shown = answer.text.partition('aria-label="Answer"><code>')[2].partition("</code>")[0]
    assert unescape(re.sub("<[^>]*>", "", shown)).strip() == json.dumps(value)


def test_what_servers_told_keeps_no_app_that_is_gone(tmp_path: Path, sandbox: Running) -> None:
    app = create_app(environment(tmp_path, PRIVATE_SERVERS=sandbox.origin))
    alice = Visitor(app, sandbox)
    alice.sign_in("alice")
    assert "notes/create" in alice.get("/console/endpoints", headers=FRAGMENT).text
    store = ref(app.extensions["token_store"])
    del app, alice
    gc.collect()

    assert store() is None
