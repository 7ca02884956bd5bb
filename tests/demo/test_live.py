"""The live timeline: events as a browser gets them, from the app served for real, beside a real sandbox."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask

from demo import live
from misskey import APIError, Client, MisskeyError, PermissionDenied, RateLimited, ServerUnreachable
from sandbox import Running
from sandbox.streaming import Stream
from tests import hostile
from tests.cast import PATIENCE_SECONDS, Visitor, served, wait_until
from tests.hostile import Caller, event, frame, opens, serve
from tests.redis_server import LASTING, running
from web import accounts
from web.hosting import concurrency
from web.storage.store_backend import StoreUnavailable

Event = tuple[str, str]
ALICE = {"id": "9alice", "username": "alice"}


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for longer than a moment."""
    monkeypatch.setattr(live, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(live, "MAX_PAUSE_SECONDS", 0.1)


@contextmanager
def watching(site: str, visitor: Visitor, query: str = "", **headers: str) -> Iterator[Iterator[Event]]:
    """Watch as the page does; yield the events as they come."""
    cookie = visitor.client.get_cookie(visitor.cookie_name)
    assert cookie
    cookies = {f"miauth_session_{urlsplit(site).port}": cookie.value}
    with requests.get(f"{site}/live{query}", headers=headers, cookies=cookies, stream=True, timeout=60) as answer:
        assert answer.status_code == 200
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        yield events(answer)


def events(answer: requests.Response) -> Iterator[Event]:
    """The events in an answer, without comments, as browsers read them; fails where none comes."""
    fields: dict[str, str] = {}
    ends = time.monotonic() + PATIENCE_SECONDS
    for line in answer.iter_lines(chunk_size=1, decode_unicode=True):
        name, _, value = line.partition(": ")
        assert time.monotonic() < ends, "no event came"
        if line:
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        else:
            if "event" in fields:
                yield fields["event"], fields["data"]
                ends = time.monotonic() + PATIENCE_SECONDS
            fields = {}


def state(events: Iterator[Event]) -> str:
    """The next event's state."""
    name, data = next(events)
    assert name == "state", data
    return str(json.loads(data)["state"])


def words(events: Iterator[Event]) -> str:
    """The next event's words."""
    return str(json.loads(next(events)[1])["words"])


def streams(sandbox: Running) -> list[Stream]:
    """The sandbox's open streams that have connected their channel, the oldest first."""
    return [stream for stream in list(sandbox.world.streams) if stream.channels]


def connected(events: Iterator[Event], sandbox: Running) -> Iterator[Event]:
    """Go on when the stream, the only one, is live and the sandbox has connected its channel."""
    assert state(events) == "live"
    wait_until(lambda: streams(sandbox))
    return events


def post(sandbox: Running, text: str) -> dict[str, Any]:
    return sandbox.world.post(sandbox.world.people["bob"], text=text, visibility="home")


def cut(sandbox: Running) -> None:
    """Cut every connection to the sandbox."""
    for connection in list(sandbox.open):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def test_a_new_note_comes_as_the_page_shows_it(alice: Visitor, site: str, sandbox: Running) -> None:
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        note = post(sandbox, "hello, <b>live</b>\r\nworld")

        name, html = next(watched)
    assert name == "note"
    assert html.strip().startswith(f'<article class="note" id="note-{note["id"]}">')
    assert "hello, &lt;b&gt;live&lt;/b&gt;" in html


def test_the_answer_is_for_nobody_to_keep_and_for_nobody_to_collect(alice: Visitor) -> None:
    headers = alice.client.head("/live").headers

    assert headers["Cache-Control"] == "no-store, no-transform"
    assert headers["X-Accel-Buffering"] == "no"
    assert "Content-Encoding" not in headers


def test_browsers_that_lost_the_app_together_do_not_come_back_together(alice: Visitor) -> None:
    waits = set()
    for _ in range(5):
        with closing(alice.client.get("/live")) as answer:
            waits.add(next(answer.iter_encoded()))

    assert len(waits) > 1
    assert all(3 < int(wait.removeprefix(b"retry: ")) / 1000 < 8 for wait in waits)


def test_it_waits_for_the_calls_that_its_visitor_has_under_way(
    alice: Visitor, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "MAX_CALLS", 0)
    monkeypatch.setattr(concurrency, "WAIT_SECONDS", 0.01)
    cookie = alice.client.get_cookie(alice.cookie_name)
    assert cookie
    cookies = {f"miauth_session_{urlsplit(site).port}": cookie.value}

    with requests.get(f"{site}/live", cookies=cookies, stream=True, timeout=PATIENCE_SECONDS) as answer:
        lines = answer.iter_lines(chunk_size=1)
        _retry, *comments = [next(lines) for _ in range(8)]

    assert set(comments) == {b"", live.HEARTBEAT.strip().encode()}


def test_it_is_for_those_who_are_signed_in(visitor: Visitor, alice: Visitor) -> None:
    assert visitor.get("/live").location == "/"
    assert alice.get("/live?account=0123456789abcdef").status_code == 401


def test_the_words_are_in_the_language_of_the_browser(alice: Visitor, site: str) -> None:
    with watching(site, alice, **{"Accept-Language": "ja"}) as watched:
        assert "ライブ" in words(watched)


# It ends.


def test_signing_out_ends_it_here_and_at_the_server(alice: Visitor, site: str, sandbox: Running) -> None:
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        alice.post("/signout")

        assert state(watched) == "stopped"
        assert list(watched) == []
    wait_until(lambda: not sandbox.world.streams)


def test_the_next_note_after_signing_out_does_not_come(
    alice: Visitor, site: str, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "TICK_SECONDS", PATIENCE_SECONDS)  # so it is the note that has it asked
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        alice.post("/signout")
        post(sandbox, "for nobody here")

        assert state(watched) == "stopped"
        assert list(watched) == []


def test_going_over_to_another_account_ends_it(alice: Visitor, site: str, sandbox: Running) -> None:
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        alice.sign_in("bob")

        assert "no longer the one in use" in words(watched)
        assert list(watched) == []
    wait_until(lambda: not sandbox.world.streams)


def test_a_page_of_another_account_gets_nothing(alice: Visitor, site: str, sandbox: Running) -> None:
    with alice.app.test_request_context():
        key = accounts.load(alice.cookie()["accounts"][0])
    assert key
    alice.sign_in("bob")
    with watching(site, alice, f"?account={key.public_id}") as watched:
        assert [name for name, _ in watched] == ["state"]

    assert ("GET", "/streaming") not in sandbox.requests


def test_a_page_that_goes_away_ends_the_stream_at_the_server(alice: Visitor, site: str, sandbox: Running) -> None:
    with watching(site, alice) as watched:
        connected(watched, sandbox)

    wait_until(lambda: not sandbox.world.streams)


def test_a_page_that_goes_away_in_a_pause_is_noticed(
    alice: Visitor, site: str, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_PAUSE_SECONDS", 600)
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 600)
    left: list[bool] = []
    place = live._place

    @contextmanager
    def watched_place(account: accounts.Account) -> Iterator[Callable[[], bool]]:
        try:
            with place(account) as is_kept:
                yield is_kept
        finally:
            left.append(True)

    monkeypatch.setattr(live, "_place", watched_place)
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        cut(sandbox)
        assert state(watched) == "waiting"

    wait_until(lambda: left)


def test_signing_out_in_a_pause_ends_it(
    alice: Visitor, site: str, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "MAX_PAUSE_SECONDS", 600)
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 600)
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        cut(sandbox)
        assert state(watched) == "waiting"
        alice.post("/signout")

        assert state(watched) == "stopped"


def test_a_fifth_place_is_the_oldest_one(alice: Visitor, site: str, sandbox: Running) -> None:
    with watching(site, alice) as oldest, ExitStack() as stack:
        connected(oldest, sandbox)
        former = streams(sandbox)[0]
        others = [stack.enter_context(watching(site, alice)) for _ in range(live.MAX_AT_ONCE)]
        assert [state(watched) for watched in others] == ["live"] * 4
        assert "too many places" in words(oldest)
        wait_until(lambda: len(streams(sandbox)) == len(others) and former not in streams(sandbox))
        post(sandbox, "for four")

        assert [next(watched)[0] for watched in others] == ["note"] * 4


def test_a_place_that_was_left_is_free_for_others(alice: Visitor) -> None:
    with alice.app.test_request_context():
        account = accounts.load(alice.cookie()["accounts"][0])
    assert account
    with live._place(account) as is_kept:
        for _ in range(live.MAX_AT_ONCE):
            with live._place(account):
                pass

        assert is_kept()


def test_it_rests_for_longer_than_a_note_took(
    alice: Visitor, site: str, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    rests: list[float] = []
    computed = count()  # a second at each look
    clock = SimpleNamespace(
        sleep=rests.append, monotonic=time.monotonic, time=time.time, thread_time=lambda: next(computed)
    )
    monkeypatch.setattr(live, "time", clock)
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        wait_until(lambda: rests)

    assert rests[0] == live.RESTS_FOR


# The server's side.


def test_a_stream_that_is_cut_is_opened_again(alice: Visitor, site: str, sandbox: Running) -> None:
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        (former,) = streams(sandbox)
        cut(sandbox)
        assert "can’t be reached. Next try in 1 second." in words(watched)
        wait_until(lambda: former not in streams(sandbox))
        connected(watched, sandbox)
        note = post(sandbox, "back again")

        assert f"note-{note['id']}" in next(watched)[1]


def test_a_person_who_was_suspended_is_told_and_it_ends(alice: Visitor, site: str, sandbox: Running) -> None:
    sandbox.world.people["alice"].suspended = True
    with watching(site, alice) as watched:
        assert "has suspended your account. Only whoever runs that server can lift this." in words(watched)
        assert list(watched) == []


def test_a_token_that_was_revoked_ends_it_when_it_is_opened_again(alice: Visitor, site: str, sandbox: Running) -> None:
    with watching(site, alice) as watched:
        connected(watched, sandbox)
        sandbox.world.revoke_app_tokens()
        cut(sandbox)
        assert state(watched) == "waiting"

        assert "no longer accepts the token" in words(watched)
        assert list(watched) == []


def test_a_token_without_the_permission_ends_it(visitor: Visitor, site: str) -> None:
    visitor.sign_in(permissions=["write:notes"])
    with watching(site, visitor) as watched:
        assert "The permission for this is missing" in words(watched)


def test_a_store_that_is_down_for_a_while_is_waited_for(
    make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path
) -> None:
    with running(tmp_path, *LASTING) as redis, ExitStack() as stack:
        alice = Visitor(make_app(TOKEN_STORE=redis.url, PRIVATE_SERVERS=sandbox.origin), sandbox)
        alice.sign_in()
        site = stack.enter_context(served(make_app, TOKEN_STORE=redis.url, PRIVATE_SERVERS=sandbox.origin))
        with watching(site, alice) as watched:
            connected(watched, sandbox)
            redis.kill()
            assert words(watched) == "Our memory is not available"
            note = post(sandbox, "meanwhile")
            redis.start()

            assert state(watched) == "live"
            assert f'id="note-{note["id"]}"' in next(watched)[1]
            alice.post("/signout")
            assert state(watched) == "stopped"


def test_who_was_signed_out_before_the_store_went_down_gets_nothing_more(
    alice: Visitor, site: str, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = iter([1, 2])

    def ask(*_: object) -> bool:
        for _try in tries:
            raise StoreUnavailable("database is locked")
        return False

    with watching(site, alice) as watched:
        connected(watched, sandbox)
        monkeypatch.setattr(live, "may_go_on", ask)

        assert [state(watched), state(watched)] == ["waiting", "stopped"]
        assert list(watched) == []


@pytest.mark.parametrize(
    ("failures", "error", "least", "most"),
    [
        (0, ServerUnreachable("h", "w"), 0.75, 1.25),
        (3, ServerUnreachable("h", "w"), 6, 10),
        (10**6, ServerUnreachable("h", "w"), 45, 75),
        (0, RateLimited("h", 429, retry_after=30), 30, 30),
        (0, RateLimited("h", 429, retry_after=999_999), 600, 600),
        (0, RateLimited("h", 429), 0.75, 1.25),
        (0, APIError("h", 500), 0.75, 1.25),
    ],
    ids=["first", "fourth", "late", "asked to wait", "asked to wait for days", "not told how long", "an error"],
)
def test_pauses_grow_and_do_what_the_server_asks(
    monkeypatch: pytest.MonkeyPatch, failures: int, error: MisskeyError, least: float, most: float
) -> None:
    monkeypatch.undo()

    assert least <= live._pause(failures, error) <= most


def test_a_stream_that_held_long_is_opened_again_soon(
    alice: Visitor, site: str, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "STEADY_SECONDS", 0)
    monkeypatch.setattr(live, "MAX_PAUSE_SECONDS", 10**9)
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 0.002)
    with watching(site, alice) as watched:
        for _ in range(15):  # were each a failure, the last pause would take half a minute
            connected(watched, sandbox)
            cut(sandbox)
            assert state(watched) == "waiting"


def signs_in_and(talk: Callable[[Caller], object]) -> Callable[[Caller], object]:
    """A server where people can sign in, and whose stream does what it likes."""

    def behaviour(caller: Caller) -> None:
        first = caller.sock.recv(16, socket.MSG_PEEK)
        (opens(talk) if first.startswith(b"GET /streaming") else hostile.misskey)(caller)

    return behaviour


def test_hostile_data_neither_ends_it_nor_reaches_the_page(make_app: Callable[..., Flask], sandbox: Running) -> None:
    def talk(caller: Caller) -> None:
        odd = [{}, {"id": "<b>"}, {"id": "1", "user": None}, {"id": ["1"], "user": ALICE}, {"id": "1" * 100_000}]
        marked = {"id": "9a", "user": ALICE, "text": "<script>\n\nevent: state\ndata: {}\u2028\x1b[31m"}
        caller.send(*(frame(event(note)) for note in [*odd, marked]))
        caller.hold()

    with serve(signs_in_and(talk)) as server, served(make_app, PRIVATE_SERVERS=server.origin) as site:
        person = Visitor(make_app(PRIVATE_SERVERS=server.origin), sandbox)
        person.get(f"/callback?session={person.begin(server.origin)}")
        with watching(site, person) as watched:
            assert state(watched) == "live"
            name, html = next(watched)

    assert (name, html.count("<article")) == ("note", 1)
    assert "&lt;script&gt;" in html
    assert not any(mark in html for mark in ("<script", "\x1b", "\u2028"))


def test_the_token_is_not_in_what_the_browser_gets(make_app: Callable[..., Flask], sandbox: Running) -> None:
    def talk(caller: Caller) -> None:
        caller.send(frame(event({"id": "9a", "user": ALICE, "text": f"yours is {hostile.TOKEN}"})))
        caller.hold()

    with serve(signs_in_and(talk)) as server, served(make_app, PRIVATE_SERVERS=server.origin) as site:
        person = Visitor(make_app(PRIVATE_SERVERS=server.origin), sandbox)
        person.get(f"/callback?session={person.begin(server.origin)}")
        with watching(site, person) as watched:
            assert state(watched) == "live"
            assert "yours is •••" in next(watched)[1]


def test_a_missing_permission_ends_it_whatever_the_status(
    alice: Visitor, site: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Forks tell it with 400 as well."""

    def refused(*_: object) -> Iterator[str]:
        raise PermissionDenied("misskey.example", 400, "PERMISSION_DENIED")

    monkeypatch.setattr(live, "_stream", refused)
    with watching(site, alice) as watched:
        assert state(watched) == "stopped"
        assert list(watched) == []


def test_what_a_stream_asks_is_not_kept_for_its_page(
    alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page of a stream lives for hours, and each try may ask the server why it refuses."""
    clients: list[Client] = []

    class Refused(Exception):
        pass

    def refuse(client: Client, **_: object) -> None:
        clients.append(client)
        raise Refused

    monkeypatch.setattr(live, "Stream", refuse)
    with app.test_request_context():
        account = accounts.load(alice.cookie()["accounts"][0])
        assert account
        with pytest.raises(Refused):
            next(iter(live._stream(account, None)))

    assert [client.on_exchange for client in clients] == [None]
