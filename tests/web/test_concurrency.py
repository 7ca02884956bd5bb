"""How much each visitor may have under way at once."""

from __future__ import annotations

import threading
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FuturesTimeout
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from flask import Flask, Response, request

from sandbox import Misbehaviour, Running
from tests.cast import Visitor, per_visitor_of, wait_until
from web import pending_signins
from web.hosting import concurrency

FRAGMENT = {"HX-Request": "true"}


def test_whoever_has_too_much_under_way_is_asked_to_wait(
    alice: Visitor, app: Flask, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "MAX_REQUESTS", 1)
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


def test_a_network_can_not_take_all_threads(
    alice: Visitor, app: Flask, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many addresses a stranger has in it, and whichever of them the requests come from."""
    monkeypatch.setattr(concurrency, "MAX_REQUESTS_OF_NETWORK", 3)
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    before, addresses = len(sandbox.requests), ["2001:db8:1:1::1", "2001:db8:1:2::1", "2001:db8:1:2::1"]
    with ThreadPoolExecutor(3) as pool:
        for address in addresses:
            pool.submit(alice.get, "/dashboard/profile", environ_base={"REMOTE_ADDR": address})
        wait_until(lambda: len(sandbox.requests) == before + 3)

        refused = alice.get("/", environ_base={"REMOTE_ADDR": "2001:db8:1:3::1"})
        elsewhere = alice.get("/", environ_base={"REMOTE_ADDR": "2001:db8:2:3::1"})
        sandbox.world.misbehaviour = Misbehaviour.NONE

    assert (refused.status_code, elsewhere.status_code) == (429, 303)
    assert alice.get("/", environ_base={"REMOTE_ADDR": "2001:db8:1:3::1"}).status_code == 303


def visitors_of(app: Flask) -> Any:
    """What is kept of visitors."""
    return vars(per_visitor_of(app))["_visitors"]


def test_a_place_is_given_back_whatever_the_answer(alice: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(concurrency, "MAX_REQUESTS", 1)

    statuses = [alice.get(path).status_code for path in ("/dashboard", "/nowhere", "/dashboard/profile", "/healthz")]

    assert statuses == [200, 404, 200, 200]
    assert visitors_of(app) == {}


def test_a_visitor_without_an_address_gives_the_place_back_too(
    visitor: Visitor, app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As at a Unix socket, when nothing in front says who asks."""
    monkeypatch.setattr(concurrency, "MAX_REQUESTS", 1)

    assert [visitor.get("/healthz", environ_base={"REMOTE_ADDR": ""}).status_code for _ in range(3)] == [200] * 3


# Turns.


@pytest.fixture
def visitor_of_turns() -> concurrency.Visitor:
    return concurrency.Visitor(lambda: None)


def test_requests_of_one_visitor_take_turns(visitor_of_turns: concurrency.Visitor) -> None:
    began = threading.Event()

    def second() -> None:
        began.set()
        with concurrency.take_turn(visitor_of_turns):
            pass

    with ThreadPoolExecutor(1) as pool:
        with concurrency.take_turn(visitor_of_turns):
            assert concurrency.current() is visitor_of_turns
            waiting = pool.submit(second)
            began.wait()
            with pytest.raises(FuturesTimeout):
                waiting.result(0.05)
        waiting.result()
    assert concurrency.current() is None


def test_who_has_computed_rests_while_others_are_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock stands still here: on a busy machine the time of rest could be over before the next turn."""
    rests: list[float] = []
    clock = SimpleNamespace(sleep=rests.append, monotonic=lambda: 0.0, thread_time=time.thread_time)
    monkeypatch.setattr(concurrency, "time", clock)
    for is_alone in (True, False):
        visitor = concurrency.Visitor(lambda: None, partial(bool, is_alone))
        for _ in range(2):
            with concurrency.take_turn(visitor):
                sum(range(2_000_000))

    assert len(rests) == 1
    assert rests[0] > 0


def test_who_steps_aside_lets_others_go_on(visitor_of_turns: concurrency.Visitor) -> None:
    def other() -> str:
        with concurrency.take_turn(visitor_of_turns):
            return "went on"

    with ThreadPoolExecutor(1) as pool, concurrency.take_turn(visitor_of_turns):
        with concurrency.waiting(), concurrency.waiting():
            assert pool.submit(other).result() == "went on"
        assert visitor_of_turns.turn.locked()
        assert concurrency.current() is visitor_of_turns


def test_who_failed_aside_has_the_turn_again(visitor_of_turns: concurrency.Visitor) -> None:
    with concurrency.take_turn(visitor_of_turns):
        with pytest.raises(OSError, match="while waiting"), concurrency.remote_call(), concurrency.waiting():
            raise OSError("while waiting")
        assert visitor_of_turns.turn.locked()
    assert not visitor_of_turns.turn.locked()


def test_outside_of_requests_nobody_waits() -> None:
    with concurrency.take_turn(None), concurrency.waiting(), concurrency.remote_call():
        assert concurrency.current() is None
    assert concurrency.in_parallel([lambda: 1, lambda: 2]) == [1, 2]


def test_jobs_side_by_side_wait_together_and_compute_in_turns(visitor_of_turns: concurrency.Visitor) -> None:
    together, computing = threading.Barrier(3), threading.Lock()

    def job(number: int) -> int:
        with concurrency.remote_call(), concurrency.waiting():
            together.wait()
        assert computing.acquire(blocking=False)
        time.sleep(0.01)
        computing.release()
        return number

    with concurrency.take_turn(visitor_of_turns):
        assert concurrency.in_parallel([partial(job, number) for number in range(3)]) == [0, 1, 2]
        assert concurrency.current() is visitor_of_turns


def test_one_visitor_asks_so_many_servers_at_once(
    alice: Visitor, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "MAX_CALLS", 1)
    monkeypatch.setattr(concurrency, "WAIT_SECONDS", 0.01)
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    before = len(sandbox.requests)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(alice.get, "/dashboard/profile")
        wait_until(lambda: len(sandbox.requests) > before)

        refused = alice.twin().get("/dashboard/server")
        assert refused.status_code == 429
        assert "Too many requests in a short time. Wait a minute, then try again." in refused.text
        assert alice.twin().get("/account").status_code == 200  # asks nobody
        sandbox.world.misbehaviour = Misbehaviour.NONE
        slow.result()
    assert alice.get("/dashboard/server").status_code == 200


def test_who_waits_for_a_place_lets_others_go_on(visitor_of_turns: concurrency.Visitor) -> None:
    for _ in range(concurrency.MAX_CALLS):
        visitor_of_turns.calls.acquire()
    began = threading.Event()

    def call() -> str:
        with concurrency.take_turn(visitor_of_turns):
            began.set()
            with concurrency.remote_call():
                return "called"

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call)
        began.wait()
        with concurrency.take_turn(visitor_of_turns):
            visitor_of_turns.calls.release()
        assert waiting.result() == "called"


def test_a_call_that_failed_gives_its_place_back(
    visitor_of_turns: concurrency.Visitor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "WAIT_SECONDS", 0)
    with concurrency.take_turn(visitor_of_turns):
        for _ in range(concurrency.MAX_CALLS + 1):
            with pytest.raises(OSError, match="cut off"), concurrency.remote_call():
                raise OSError("cut off")


def test_a_stream_keeps_its_place_until_it_ends(app: Flask) -> None:
    visitors = visitors_of(app)

    @app.get("/stream")
    def stream() -> Response:
        response = Response(iter(["a", "b"]))
        concurrency.keep_place(response)
        return response

    answer = app.test_client().get("/stream")
    assert [visitor.requests for visitor in visitors.values()] == [1]
    answer.close()
    assert visitors == {}


def test_a_place_is_given_back_when_the_app_itself_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[bytes]:
        raise RuntimeError

    app = Flask(__name__)
    monkeypatch.setattr(app, "wsgi_app", fail)
    per_visitor = concurrency.PerVisitor(app.wsgi_app, lambda _: "somebody")
    with pytest.raises(RuntimeError):
        per_visitor({}, lambda *_: lambda _: None)

    assert vars(per_visitor)["_visitors"] == {}


# Cookies.


def test_cookies_are_looked_at_once_and_as_far_as_they_can_be_ours(app: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at: list[str] = []
    real = pending_signins._salt

    def watched(session_id: str) -> str:
        looked_at.append(session_id)
        return real(session_id)

    monkeypatch.setattr(pending_signins, "_salt", watched)
    ours = [f"signin-{uuid.uuid4()}=WyJhIl0.abc" for _ in range(50)]
    strange = ["signin-1=x", f"signin-{uuid.uuid4()}={'x' * 4000}", "signin-=x", *(f"a{n}=b" for n in range(20))]

    answer = app.test_client(use_cookies=False).get("/", headers={"Cookie": "; ".join(strange + ours)})

    assert answer.status_code == 200
    assert len(looked_at) == pending_signins.MAX_COOKIES


def test_no_more_cookies_are_read_than_browsers_send(app: Flask) -> None:
    names = [f"cookie{number}=1" for number in range(57_000)]

    with app.test_request_context(headers={"Cookie": "; ".join(names)}):
        assert 0 < len(request.cookies) < 2000
