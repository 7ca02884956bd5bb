"""The gallery of hostile servers against the whole app: every failure is a page in words, and one line in the log."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import cast

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from app import create_app
from misskey import Transport
from sandbox import Running
from tests import hostile
from tests.cast import FIRST_PAGE, Visitor, environment
from tests.hostile import ALICE, TOKEN, Behaviour, Caller, Hostile, misskey, says, serve
from web import services

TIMEOUT = (504, "takes too long")
UNREACHABLE = (502, "can’t be reached")
TOO_MUCH = (502, "sends too much")
NONSENSE = (502, "can’t read")
NOT_MISSKEY = (422, "It answers, but not as Misskey does")

UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")

#: What is the same whatever was asked.
GALLERY: dict[str, tuple[Behaviour, tuple[int, str]]] = {
    **{name: (behaviour, TIMEOUT) for name, behaviour in hostile.SLOW.items()},
    **{name: (behaviour, TOO_MUCH) for name, behaviour in hostile.TOO_LARGE.items()},
    **{name: (behaviour, UNREACHABLE) for name, behaviour in hostile.BROKEN.items()},
}
#: What depends on what was asked: in the place of `meta`, JSON is not Misskey's; anything else may be a firewall's.
ANSWERS = hostile.NOT_PACKED | hostile.NOT_MISSKEY | hostile.WRONG_JSON


@dataclass
class Scene:
    """A server that behaves until it turns, the app, and a visitor who has just come."""

    server: Hostile
    visitor: Visitor
    caplog: pytest.LogCaptureFixture

    def turn(self, behaviour: Behaviour) -> None:
        """Have the server behave so from now on; the app gives up soon only where that is what is tested."""
        self.server.behaviour = behaviour
        extensions = self.visitor.app.extensions
        extensions["transport"].close()
        seconds = 0.2 if behaviour in hostile.SLOW.values() else 60
        extensions["transport"] = Transport("test/1.0", total_seconds=seconds, max_answer_bytes=hostile.MEBIBYTE)

    def sign_in(self) -> None:
        session_id = self.visitor.begin()
        assert self.visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE

    def failed(self, answer: TestResponse, status: int, words: str) -> None:
        """Check that a failure has its words, one line in the log, and lets nothing out."""
        page = answer.text
        assert (answer.status_code, words in page) == (status, True), (answer.status_code, page)
        records = [record for record in self.caplog.records if record.levelno >= logging.WARNING]
        assert len(records) == 1, [record.getMessage() for record in records]
        assert records[0].exc_info is None
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", records[0].getMessage())
        assert not UNPRINTABLE.search(page)
        assert "Traceback" not in page + self.caplog.text
        for text in (page, str(answer.headers), str(self.visitor.cookie()), self.caplog.text):
            assert TOKEN not in text
        assert "<script>alert" not in page
        assert not re.search(r'(?:href|src|action)="javascript:', page)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Hostile, Flask]]:
    """One server and one app for all: making an app takes longer than most tests here."""
    with serve(misskey) as server:
        settings = {"SIGNIN_LIMIT": "100000 per minute", "PRIVATE_SERVERS": server.origin}
        app = create_app(environment(tmp_path_factory.mktemp("store"), **settings))
        yield server, app
        app.extensions["transport"].close()


@pytest.fixture
def scene(stage: tuple[Hostile, Flask], caplog: pytest.LogCaptureFixture) -> Scene:
    server, app = stage
    vars(services.find_server)["cache"].clear()
    scene = Scene(server, Visitor(app, cast(Running, server)), caplog)
    scene.turn(misskey)
    return scene


# The same whatever was asked.


@pytest.mark.parametrize("name", GALLERY)
def test_a_sign_in_can_not_begin(scene: Scene, name: str) -> None:
    behaviour, (status, words) = GALLERY[name]
    scene.turn(behaviour)

    scene.failed(scene.visitor.post("/signin", {"host": scene.server.origin}), status, words)


@pytest.mark.parametrize("name", GALLERY)
def test_a_sign_in_can_not_be_finished(scene: Scene, name: str) -> None:
    behaviour, (status, words) = GALLERY[name]
    session_id = scene.visitor.begin()
    scene.turn(behaviour)

    scene.failed(scene.visitor.get(f"/callback?session={session_id}"), status, words)
    scene.turn(misskey)
    assert scene.visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE


@pytest.mark.parametrize("name", GALLERY)
def test_a_token_can_not_be_used(scene: Scene, name: str) -> None:
    behaviour, (status, words) = GALLERY[name]
    scene.visitor.begin()
    scene.turn(behaviour)

    answer = scene.visitor.post("/signin/token", {"host": scene.server.origin, "token": TOKEN})
    scene.failed(answer, status, words)


@pytest.mark.parametrize("name", GALLERY)
def test_a_panel_stays_empty(scene: Scene, name: str) -> None:
    behaviour, (status, words) = GALLERY[name]
    scene.sign_in()
    scene.turn(behaviour)

    scene.failed(scene.visitor.get("/dashboard/profile"), status, words)


# Answers that Misskey would not give.


@pytest.mark.parametrize("name", ANSWERS)
def test_a_server_that_answers_nonsense_is_not_misskey(scene: Scene, name: str) -> None:
    scene.turn(ANSWERS[name])

    answer = scene.visitor.post("/signin", {"host": scene.server.origin})
    scene.failed(answer, *(NOT_MISSKEY if name in hostile.WRONG_JSON else NONSENSE))


@pytest.mark.parametrize("name", ANSWERS)
def test_nonsense_in_the_place_of_a_token_signs_nobody_in(scene: Scene, name: str) -> None:
    session_id = scene.visitor.begin()
    scene.turn(ANSWERS[name])

    scene.failed(scene.visitor.get(f"/callback?session={session_id}"), *NONSENSE)


@pytest.mark.parametrize("name", ANSWERS)
def test_nonsense_in_the_place_of_a_person_signs_nobody_in(scene: Scene, name: str) -> None:
    scene.visitor.begin()
    scene.turn(ANSWERS[name])

    answer = scene.visitor.post("/signin/token", {"host": scene.server.origin, "token": TOKEN})
    scene.failed(answer, *NONSENSE)


@pytest.mark.parametrize("name", hostile.NOT_PACKED | hostile.NOT_MISSKEY)
@pytest.mark.parametrize("panel", ["profile", "server"])
def test_nonsense_leaves_a_panel_empty(scene: Scene, name: str, panel: str) -> None:
    scene.sign_in()
    scene.turn(ANSWERS[name])

    scene.failed(scene.visitor.get(f"/dashboard/{panel}"), *NONSENSE)


@pytest.mark.parametrize("name", hostile.WRONG_JSON)
@pytest.mark.parametrize("panel", ["profile", "server"])
def test_json_of_the_wrong_kind_leaves_a_panel_empty_or_shows_what_is_there(
    scene: Scene, name: str, panel: str
) -> None:
    scene.sign_in()
    scene.turn(ANSWERS[name])

    answer = scene.visitor.get(f"/dashboard/{panel}")
    if answer.status_code != 200:
        scene.failed(answer, *NONSENSE)


@pytest.mark.parametrize("name", hostile.REFUSALS)
@pytest.mark.parametrize("path", ["/callback", "/signin/token", "/dashboard/profile"])
def test_a_refusal_has_its_words(scene: Scene, name: str, path: str) -> None:
    scene.sign_in()
    session_id = scene.visitor.begin()
    scene.turn(hostile.REFUSALS[name])
    if path == "/signin/token":
        answer = scene.visitor.post(path, {"host": scene.server.origin, "token": TOKEN})
    else:
        answer = scene.visitor.get(path, query_string={"session": session_id})

    expected = {"an odd wait": "has had too many requests", "an HTML 503": "can’t read", "an empty 405": "said no"}
    scene.failed(answer, 502, expected.get(name, "has a problem"))


# Where nobody listens, or not in TLS.


def test_a_server_that_refuses_connections_can_not_be_reached(scene: Scene) -> None:
    session_id = scene.visitor.begin()
    scene.server.refuse()
    answer = scene.visitor.get(f"/callback?session={session_id}")
    scene.server.listen()

    scene.failed(answer, *UNREACHABLE)


def test_a_server_that_accepts_nobody_takes_too_long(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    with hostile.full_backlog() as origin:
        app = make_app(PRIVATE_SERVERS=origin)
        app.extensions["transport"] = transport = Transport("test/1.0", connect_seconds=0.2)
        visitor = Visitor(app, cast(Running, None))
        answer = visitor.post("/signin", {"host": origin})
        transport.close()

    assert (answer.status_code, TIMEOUT[1] in answer.text) == (504, True)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("name", [*hostile.bad_certificates(), "drips", "plain HTTP"])
def test_a_server_without_good_tls_is_told_apart(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    certificates = hostile.bad_certificates()
    behaviour = {"drips": hostile.drips_in_handshake, "plain HTTP": hostile.plain_http}.get(name, misskey)
    expected = {"drips": TIMEOUT, "plain HTTP": UNREACHABLE}.get(name, (502, "is not secure"))
    with serve(behaviour, tls=certificates.get(name, certificates["expired"])) as server:
        app = make_app(PRIVATE_SERVERS=server.origin)
        app.extensions["transport"] = transport = Transport("test/1.0", total_seconds=0.4 if name == "drips" else 10)
        scene = Scene(server, Visitor(app, cast(Running, server)), caplog)
        scene.failed(scene.visitor.post("/signin", {"host": server.origin}), *expected)
        transport.close()

    assert ("the certificate is not valid: unable to get local issuer" in caplog.text) == (name in certificates)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_inward_leads_nowhere(scene: Scene, status: int) -> None:
    session_id = scene.visitor.begin()
    with serve(says({})) as inner:
        scene.turn(hostile.redirects(status, inner.origin))
        scene.failed(scene.visitor.get(f"/callback?session={session_id}"), *NONSENSE)

    assert inner.connections == 0


# People with odd names.


def granting(token: object = TOKEN, **changes: object) -> Behaviour:
    """A server that lets everybody in, as somebody odd."""

    def behaviour(caller: Caller) -> None:
        if not (request := caller.request()):
            return
        person = {**ALICE, **changes}
        whole = {"ok": True, "token": token, "user": person}
        says(whole if request.path.endswith("/check") else person)(_Asked(caller))

    return behaviour


class _Asked(Caller):
    """A caller whose request was read already; it gets one answer."""

    def __init__(self, caller: Caller) -> None:
        super().__init__(caller.sock, caller.server)
        self.left = 1

    def request(self) -> hostile.Request | None:
        self.left -= 1
        return self.server.requests[-1] if self.left == 0 else None


@pytest.mark.parametrize("token", [None, 1, "", "a b", "a\r\nSet-Cookie: a=b", "x" * 1_000_000, [TOKEN]])
def test_an_odd_token_signs_nobody_in(scene: Scene, token: object) -> None:
    session_id = scene.visitor.begin()
    scene.turn(granting(token))

    scene.failed(scene.visitor.get(f"/callback?session={session_id}"), *NONSENSE)


@pytest.mark.parametrize(
    "changes",
    [{"host": "misskey.io"}, {"username": "<b>"}, {"username": "alice@misskey.io"}, {"id": "../"}, {"username": TOKEN}],
    ids=str,
)
def test_a_person_that_can_not_be_signs_nobody_in(scene: Scene, changes: dict[str, str]) -> None:
    session_id = scene.visitor.begin()
    scene.turn(granting(**changes))

    scene.failed(scene.visitor.get(f"/callback?session={session_id}"), *NONSENSE)


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>",
        "\u202e\u2066evil\x1b[31m\r\n",
        "x" * 200_000,
        f"I am {TOKEN}",
        "\ud800",
        '"><b>',
        None,
    ],
    ids=["markup", "control", "long", "token", "surrogate", "quotes", "none"],
)
@pytest.mark.parametrize("path", ["/dashboard", "/dashboard/profile", "/signin"])
def test_a_persons_words_are_shown_as_words(scene: Scene, name: object, path: str) -> None:
    session_id = scene.visitor.begin()
    bad = dict.fromkeys(("avatarUrl", "bannerUrl", "url", "uri"), "javascript:alert(1)")
    scene.turn(granting(name=name, description=name, location=name, **bad))
    assert scene.visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE

    answer = scene.visitor.get(path)
    assert answer.status_code == 200
    assert len(answer.text) < 100_000
    assert "<script>alert" not in answer.text
    assert '"><b>' not in answer.text
    assert not re.search('="javascript:', answer.text)
    assert not UNPRINTABLE.search(answer.text)
    assert TOKEN not in answer.text + str(scene.visitor.cookie()) + scene.caplog.text
