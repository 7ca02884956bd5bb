"""The three steps of MiAuth, and what a server could do wrong in the third."""

from __future__ import annotations

import contextlib
import json
import random
import re
import uuid
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from misskey import (
    Client,
    Grant,
    InvalidAnswer,
    MiAuthMissing,
    MisskeyError,
    PermissionDenied,
    Server,
    Transport,
    User,
    authorize_url,
    check_app,
    check_session,
    new_session_id,
    whoami,
)
from misskey.miauth import read_user
from tests import hostile
from tests.hostile import ALICE, TOKEN, Behaviour, Caller, answers, http, says, serve

MISSKEY = Server.parse("misskey.example")
CALLBACK = "https://app.example/callback"
BIDI = "\u202e\u2066\u200f"


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport("test/1.0", total_seconds=10)
    yield transport
    transport.close()


def checked(transport: Transport, behaviour: Behaviour) -> Grant | None:
    with serve(behaviour) as server:
        return check_session(Client(Server.parse_origin(server.origin), transport), "a-session-id")


def granting(**changes: object) -> dict[str, object]:
    """The answer of `check`, with a person who is changed."""
    return {"ok": True, "token": TOKEN, "user": {**ALICE, **changes}}


# The session id.


def test_a_session_id_is_a_fresh_random_uuid() -> None:
    ids = {new_session_id() for _ in range(1000)}

    assert len(ids) == 1000
    assert {uuid.UUID(session_id).version for session_id in ids} == {4}
    assert all(str(uuid.UUID(session_id)) == session_id for session_id in ids)


def test_no_state_of_the_program_tells_the_next_session_id() -> None:
    """Only the system's randomness can't be worked out from what it gave before."""
    before = random.getstate()
    session_id = new_session_id()
    random.setstate(before)

    assert new_session_id() != session_id


# What the app says of itself.


@pytest.mark.parametrize("name", ["M", "MyApp", "ミスキーで入る", "C++ & more = fun?", "x" * 128, "50 % off"])
def test_a_name_that_the_page_shows_as_it_is_may_be_used(name: str) -> None:
    check_app(name, "https://app.example/icon.png".ljust(512, "x"), CALLBACK)


@pytest.mark.parametrize(
    ("name", "icon", "callback", "words"),
    [
        ("", "", CALLBACK, "name must have 1 to 128 characters"),
        ("x" * 129, "", CALLBACK, "name must have 1 to 128 characters"),
        ("two\nlines", "", CALLBACK, "on one line"),
        (f"turned{BIDI}", "", CALLBACK, "on one line"),
        ("%41pp", "", CALLBACK, "app's name has a %"),
        ("MyApp", "https://app.example/".ljust(513, "x"), CALLBACK, "longer than 512"),
        ("MyApp", "https://app.example/%2F.png", CALLBACK, "app's icon has a %"),
        ("MyApp", "", f"{CALLBACK}?a=b", "^the callback must have no query and no fragment$"),
        ("MyApp", "", f"{CALLBACK}#a", "no query and no fragment"),
        ("MyApp", "", f"{CALLBACK}/%41", "app's callback has a %"),
    ],
)
def test_what_the_page_would_change_or_refuse_is_refused_in_words(
    name: str, icon: str, callback: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        check_app(name, icon, callback)


# The server's own page.


@pytest.mark.parametrize("name", ["MyApp", "ミスキー", "C++ & more = fun?", "a#b/c?d", "50 % off"])
def test_the_page_reads_back_what_was_meant_though_it_decodes_twice(name: str) -> None:
    icon = "https://app.example/icon.png"
    url = authorize_url(MISSKEY, "the-id", name=name, icon=icon, callback=CALLBACK, permissions=["read:account", "a:b"])
    parts = urlsplit(url)
    read = {key: unquote(values[0]) for key, values in parse_qs(parts.query, strict_parsing=True).items()}

    assert (parts.scheme, parts.netloc, parts.path, parts.fragment) == (
        "https",
        "misskey.example",
        "/miauth/the-id",
        "",
    )
    assert read == {"name": name, "icon": icon, "callback": CALLBACK, "permission": "read:account,a:b"}
    assert url.isascii()


def test_what_is_not_given_is_not_in_the_address() -> None:
    url = authorize_url(MISSKEY, "the-id", name="MyApp")

    assert url == "https://misskey.example/miauth/the-id?name=MyApp"


# The check.


def test_a_check_gives_the_person_and_the_token_once_it_is_allowed(transport: Transport) -> None:
    with serve(says(granting())) as server:
        place = Server.parse_origin(server.origin)
        grant = check_session(Client(place, transport), "a-session-id")

    assert grant == Grant(User("9alice", "alice", "Alice", place), TOKEN)
    assert grant.user.address == f"alice@127.0.0.1:{server.port}"
    assert [(request.path, request.body) for request in server.requests] == [("/api/miauth/a-session-id/check", b"{}")]


def test_a_check_gives_nothing_before(transport: Transport) -> None:
    assert checked(transport, says({"ok": False})) is None


@pytest.mark.parametrize("body", [b"", b"<h1>Not found</h1>", b'{"statusCode": 404, "error": "Not Found"}'])
def test_a_check_that_is_not_there_means_no_miauth(transport: Transport, body: bytes) -> None:
    with pytest.raises(MiAuthMissing):
        checked(transport, answers(404, body))


def test_a_grant_shows_no_token(transport: Transport) -> None:
    grant = checked(transport, says(granting()))

    assert TOKEN not in repr(grant) + str(grant)


@pytest.mark.parametrize(
    "answer",
    [
        *(None, 1, True, [], [{"ok": True}], {}, {"ok": None}, {"ok": 1}, {"ok": "true"}, {"token": TOKEN}),
        *({"ok": True}, {"ok": True, "token": TOKEN}, {"ok": True, "user": ALICE}),
        *({"ok": True, "token": TOKEN, "user": user} for user in (None, 1, "alice", [ALICE], {"id": None})),
    ],
)
def test_an_answer_that_is_not_whole_signs_nobody_in(transport: Transport, answer: object) -> None:
    with pytest.raises(InvalidAnswer):
        checked(transport, says(answer))


@pytest.mark.parametrize(
    "token",
    [None, 1, True, [], {}, "", " ", "a b", "a\nb", "a\x00b", "あ", "x" * 513, "x" * 1_000_000, [TOKEN]],
)
def test_a_token_of_the_wrong_kind_signs_nobody_in(transport: Transport, token: object) -> None:
    with pytest.raises(InvalidAnswer, match="token of the wrong kind"):
        checked(transport, says({"ok": True, "token": token, "user": ALICE}))


@pytest.mark.parametrize("user_id", [None, 1, "", "a b", "../x", "<b>", "x" * 65, "あ", "a\n", []])
def test_a_person_with_an_odd_id_is_nobody(transport: Transport, user_id: object) -> None:
    with pytest.raises(InvalidAnswer, match="without an id"):
        checked(transport, says(granting(id=user_id)))


@pytest.mark.parametrize(
    "username",
    [
        *(None, 1, "", " ", "a b", "alice@elsewhere.example", "<b>", "a\n", "\u202ealice", "аlice", "x" * 129),
        *(".alice", "alice.", "-", [], "a" * 1_000_000),
    ],
)
def test_a_person_with_an_odd_user_name_is_nobody(transport: Transport, username: object) -> None:
    with pytest.raises(InvalidAnswer, match="without a user name"):
        checked(transport, says(granting(username=username)))


@pytest.mark.parametrize("username", ["a", "alice", "Alice_1", "alice.b-c", "_", "x" * 128])
def test_a_user_name_as_some_fork_allows_it_is_kept(transport: Transport, username: str) -> None:
    grant = checked(transport, says(granting(username=username)))

    assert grant
    assert grant.user.username == username


@pytest.mark.parametrize("host", ["elsewhere.example", "", 0, False, []])
def test_a_server_can_not_speak_for_another_servers_people(transport: Transport, host: object) -> None:
    with pytest.raises(InvalidAnswer, match="person of another server"):
        checked(transport, says(granting(host=host)))


def test_a_server_may_name_itself_as_the_host_of_its_people() -> None:
    assert read_user({"id": "9alice", "username": "alice", "host": "misskey.example"}, MISSKEY).username == "alice"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Alice", "Alice"),
        (None, "alice"),
        ("", "alice"),
        (BIDI, "alice"),
        (7, "alice"),
        (["Alice"], "alice"),
        ("a\r\nb\x1b", "a b"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),  # text, for whoever shows it to escape
        ("\ud800", "?"),
        ("x" * 1_000_000, "x" * 100),
        (f"I am {TOKEN}", "I am •••"),
    ],
)
def test_a_persons_name_is_one_short_line_and_never_empty(transport: Transport, name: object, shown: str) -> None:
    grant = checked(transport, says(granting(name=name)))

    assert grant
    assert grant.user.name == shown


def test_addresses_in_an_answer_are_not_looked_at(transport: Transport) -> None:
    bad = dict.fromkeys(("avatarUrl", "bannerUrl", "url", "uri", "instance"), "javascript:alert(1)")
    grant = checked(transport, says(granting(**bad)))

    assert grant
    assert "javascript" not in repr(grant)


@pytest.mark.parametrize("name", [*hostile.NOT_MISSKEY, *hostile.WRONG_JSON, *hostile.REFUSALS])
def test_a_hostile_answer_signs_nobody_in(transport: Transport, name: str) -> None:
    gallery = hostile.NOT_MISSKEY | hostile.WRONG_JSON | hostile.REFUSALS
    if name == "204 with a body":
        gallery[name] = hostile.answers(204, json.dumps(granting()).encode())
    with pytest.raises(MisskeyError):
        checked(transport, gallery[name])


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.sampled_from(["alice", BIDI]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


people = st.fixed_dictionaries(
    {"id": st.just("9alice") | json_values, "username": st.text("al_.-é", min_size=1) | json_values},
    optional={"name": st.text() | json_values, "host": st.none() | json_values},
)


@settings(deadline=None)
@given(people | json_values)
def test_whatever_is_in_the_place_of_a_person_is_nobody_or_one_in_plain_letters(value: object) -> None:
    with contextlib.suppress(InvalidAnswer):
        user = read_user(value, MISSKEY)

        assert re.fullmatch(r"[\w.-]+@misskey\.example", user.address, re.ASCII)
        assert 0 < len(user.name) <= 128
        assert not re.search(f"[\x00-\x1f\x7f-\x9f{BIDI}]", user.name)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({}, "an answer to the sign-in that is not Misskey's"),
        (granting() | {"token": ""}, "a token of the wrong kind"),
        (granting(id=None), "a person without an id"),
        (granting(username=None), "a person without a user name"),
        (granting(host="misskey.io"), "a person of another server"),
        (granting(username=TOKEN), "a person that is named after the token"),
    ],
)
def test_what_is_wrong_with_an_answer_is_told_of_its_server(
    transport: Transport, answer: dict[str, object], words: str
) -> None:
    with serve(says(answer)) as server, pytest.raises(InvalidAnswer) as caught:
        check_session(Client(Server.parse_origin(server.origin), transport), "a-session-id")

    assert str(caught.value) == f"127.0.0.1:{server.port}: gave {words}"


# By a token that the person made.


def test_a_token_tells_whose_it_is(transport: Transport) -> None:
    with serve(says(ALICE)) as server:
        place = Server.parse_origin(server.origin)
        assert whoami(Client(place, transport, TOKEN)) == User("9alice", "alice", "Alice", place)

    assert server.requests[0].path == "/api/i"
    assert json.loads(server.requests[0].body) == {"i": TOKEN}


@pytest.mark.parametrize(
    "ask", [lambda client: check_session(client, "a-session-id"), whoami], ids=["check_session", "whoami"]
)
def test_who_somebody_is_is_asked_again_when_a_kept_connection_was_dropped(
    transport: Transport, ask: Callable[[Client], object]
) -> None:
    def hangs_up_when_asked_again(caller: Caller) -> None:
        caller.request()
        caller.send(http(200, json.dumps(granting() | ALICE).encode()))
        caller.request()

    with serve(hangs_up_when_asked_again) as server:
        client = Client(Server.parse_origin(server.origin), transport, "another-token")

        assert ask(client) == ask(client)
    assert server.connections == 2


def test_a_token_that_may_not_tell_whose_it_is_is_denied(transport: Transport) -> None:
    with serve(says({"error": {"code": "PERMISSION_DENIED"}}, 403)) as server, pytest.raises(PermissionDenied):
        whoami(Client(Server.parse_origin(server.origin), transport, TOKEN))


def test_a_single_name_is_not_taken_for_a_list_of_permissions() -> None:
    with pytest.raises(TypeError, match=r"^permissions must be a list of names, not one name$"):
        authorize_url(Server.parse("misskey.io"), "id", name="App", permissions="write:notes")


@pytest.mark.parametrize("field", ["id", "username"])
def test_a_person_who_is_named_after_the_token_is_nobody(transport: Transport, field: str) -> None:
    with pytest.raises(InvalidAnswer, match="named after the token"):
        checked(transport, says({"ok": True, "token": "abc", "user": {"id": "1", "username": "a", field: "abc"}}))
