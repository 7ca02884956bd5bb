"""What a whole visit leaves in the log and in the figures: nothing that is the visitor's own."""

from __future__ import annotations

import json
import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from flask import Flask

from sandbox import Misbehaviour, Running
from tests.cast import NATIVE_TOKENS, Visitor, wait_until
from tests.demo.test_leaving import account_of
from tests.demo.test_live import cut
from tests.web.test_gunicorn import csrf_token, gunicorn
from tests.web.test_metrics import TOKEN, scrape_site

NOTE = "Hello from the sea, Kaede"


def mistake() -> str:
    raise ZeroDivisionError


def test_no_line_of_a_whole_visit_holds_a_secret(
    json_log: Callable[[], list[str]], make_app: Callable[..., Flask], sandbox: Running
) -> None:
    app = make_app(PRIVATE_SERVERS=sandbox.origin, LOG="json")
    app.view_functions["pages.privacy"] = mistake
    alice = Visitor(app, sandbox)
    alice.client.open = partial(alice.client.open, buffered=True)  # type: ignore[method-assign]

    alice.sign_in(permissions=["read:account", "write:notes", "write:drive"])
    account, [key], csrf, cookie = account_of(alice), alice.cookie()["accounts"], alice.csrf_token(), cookie_of(alice)
    for path in ("/dashboard", "/dashboard/profile", "/dashboard/timeline", "/privacy?secret", f"/{NOTE}", "/account"):
        alice.get(path)
    alice.get(alice.post("/notes", {"text": NOTE, "draft": draft()}).location)
    params = json.dumps({"text": NOTE})
    alice.get(alice.post("/console", {"draft": draft(), "endpoint": "notes/create", "params": params}).location)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    alice.get("/dashboard/timeline", headers={"HX-Request": "true"})
    sandbox.world.misbehaviour = Misbehaviour.NONE
    watch(alice)
    alice.post("/signin/token", {"host": sandbox.origin, "token": NATIVE_TOKENS["bob"]})
    alice.post("/signin", {"host": "@alice@misskey.invalid"})
    alice.post("/signout/everywhere")

    lines = json_log()
    told = [json.loads(line) for line in lines]
    routes = {line["route"] for line in told if line["event"] == "request" and "route" in line}
    assert {"/signin", "/callback", "/notes", "/console", "/live", "/privacy", "/signout/everywhere"} <= routes
    assert {"remote_request", "remote_stream", "request", "log"} == {line["event"] for line in told}
    secrets = [account.token, key, account.key, account.owner, account.user_id, csrf, cookie, *alice.asked]
    secrets += [*NATIVE_TOKENS.values(), NOTE, "Kaede", "alice", "bob", account.name, "secret", "notes/create"]
    for line in lines:
        assert [secret for secret in secrets if secret.lower() in line.lower()] == [], line


def draft() -> str:
    return str(uuid.uuid4())


def cookie_of(visitor: Visitor) -> str:
    cookie = visitor.client.get_cookie(visitor.cookie_name)
    assert cookie
    return cookie.value


def watch(visitor: Visitor) -> None:
    """Open the live timeline and close it, as a page does that is left."""
    with visitor.client.get("/live", buffered=False) as answer:
        wait_for(iter(answer.response), '"live"')


def wait_for(events: Iterator[Any], state: str) -> None:
    """Read what a page gets until a state is told."""
    while state.encode() not in next(events):
        pass


@pytest.fixture
def alice(json_log: object, make_app: Callable[..., Flask], sandbox: Running) -> Visitor:
    """Alice, signed in at an app that logs JSON."""
    person = Visitor(make_app(PRIVATE_SERVERS=sandbox.origin, LOG="json"), sandbox)
    person.sign_in()
    return person


def streams(lines: list[str]) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, lines) if line["event"] == "remote_stream"]


def test_a_stream_that_a_server_cuts_off_says_so(
    alice: Visitor, json_log: Callable[[], list[str]], sandbox: Running
) -> None:
    with alice.client.get("/live", buffered=False) as answer:
        events = iter(answer.response)
        wait_for(events, '"live"')
        cut(sandbox)
        wait_for(events, '"waiting"')

    [line] = streams(json_log())
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert (line["route"], line["failure"]) == ("/live", "ServerUnreachable")


def test_a_stream_that_a_server_refuses_says_so(
    alice: Visitor, json_log: Callable[[], list[str]], sandbox: Running
) -> None:
    sandbox.world.revoke_app_tokens()
    with alice.client.get("/live", buffered=False) as answer:
        wait_for(iter(answer.response), '"stopped"')

    [line] = streams(json_log())
    assert (line["failure"], line["status"]) == ("AuthenticationFailed", 401)


def test_streams_of_all_workers_are_counted_until_they_or_their_worker_end(tmp_path: Path, sandbox: Running) -> None:
    with gunicorn(tmp_path, sandbox, workers=2, METRICS=TOKEN) as (url, _), ExitStack() as stack:
        browser = requests.Session()
        form = {"csrf_token": csrf_token(browser, url), "host": sandbox.origin}
        begun = browser.post(f"{url}/signin", form, allow_redirects=False).headers["Location"]
        session_id = urlsplit(begun).path.rpartition("/")[2]
        Visitor(Flask(__name__), sandbox).allow(session_id)
        browser.get(f"{url}/callback?session={session_id}").raise_for_status()
        opened = [stack.enter_context(browser.get(f"{url}/live", stream=True, timeout=60)) for _ in range(4)]
        for answer in opened:
            next(answer.iter_content(10))

        assert scrape_site(url)["miauth_open_streams",] == 4

        log = tmp_path / "log"
        for worker in re.findall(r"Booting worker with pid: (\d+)", log.read_text()):
            os.kill(int(worker), signal.SIGKILL)
        wait_until(lambda: log.read_text().count("Booting worker") >= 4)
        assert scrape_site(url).get(("miauth_open_streams",), 0) == 0
