"""An id for each request, and the log as JSON."""

from __future__ import annotations

import json
import logging
import re
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask, Response

from sandbox import Misbehaviour, Running
from tests.cast import Visitor, served, who_reads_all
from tests.hostile import hangs_up_unanswered, serve
from tests.web.test_error_pages import break_store
from tests.web.test_gunicorn import gunicorn, takes_files
from web.hosting import concurrency
from web.hosting.request_log import TextFormatter

Lines = Callable[[], list[str]]


@pytest.fixture
def lines(json_log: Lines) -> Callable[..., list[dict[str, Any]]]:
    """Returns what was logged since the last time, of one kind if asked for."""

    def read(event: str = "") -> list[dict[str, Any]]:
        return [line for line in map(json.loads, json_log()) if event in ("", line["event"])]

    return read


@pytest.fixture
def app(lines: object, make_app: Callable[..., Flask], sandbox: Running) -> Flask:
    return make_app(PRIVATE_SERVERS=sandbox.origin, LOG="json")


@pytest.fixture
def visitor(app: Flask, sandbox: Running) -> Visitor:
    return who_reads_all(app, sandbox)


@pytest.fixture
def alice(visitor: Visitor) -> Visitor:
    visitor.sign_in()
    return visitor


# The id of a request.


@pytest.mark.parametrize("path", ["/", "/nowhere", "/static/app.css", "/static/icon.png", "/healthz", "/callback"])
def test_every_answer_has_an_id_of_its_own(visitor: Visitor, path: str) -> None:
    ids = [visitor.get(path).headers["X-Request-Id"] for _ in range(2)]

    assert all(re.fullmatch("[0-9a-f]{16}", found) for found in ids)
    assert ids[0] != ids[1]


def test_a_refusal_of_too_much_at_once_has_an_id_too(
    visitor: Visitor, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(concurrency, "MAX_REQUESTS", 0)

    answer = visitor.get("/")

    [line] = lines("request")
    assert (answer.status_code, line["status"]) == (429, 429)
    assert answer.headers["X-Request-Id"] == line["request_id"]
    assert "route" not in line


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_page_of_a_failure_names_the_id_of_header_and_log(
    visitor: Visitor, lines: Any, headers: dict[str, str]
) -> None:
    answer = visitor.get("/nowhere", headers=headers)

    [line] = lines("request")
    assert f"name the request: {line['request_id']}<" in answer.text
    assert answer.headers["X-Request-Id"] == line["request_id"]
    assert line["failure"] == "NotFound"


def test_a_page_of_a_failure_names_the_id_in_japanese(visitor: Visitor) -> None:
    answer = visitor.get("/nowhere", headers={"Accept-Language": "ja"})

    assert f"リクエスト ID をお伝えください：{answer.headers['X-Request-Id']}" in answer.text


def test_what_all_panels_tell_once_is_the_same_each_time(alice: Visitor, sandbox: Running) -> None:
    """The page tells it anew, to people who hear it too, only when it has changed."""
    sandbox.world.misbehaviour = Misbehaviour.BROKEN

    pages = [alice.get("/dashboard/profile", headers={"HX-Request": "true"}).text for _ in range(2)]

    told = [re.findall(r'<section class="failure".*?</section>', page, re.DOTALL) for page in pages]
    assert len(told[0]) == 1
    assert told[0] == told[1]


GIVEN = "f3-A_1.b"


@pytest.mark.parametrize(
    ("proxies", "given", "is_taken"),
    [
        ("1", GIVEN, True),
        ("0", GIVEN, False),
        ("1", "x" * 64, True),
        ("1", "x" * 65, False),
        ("1", "a b", False),
        ("1", "<b>", False),
        ("1", "é", False),
        ("1", "", False),
    ],
)
def test_the_id_of_a_trusted_proxy_is_taken_if_it_is_safe(
    make_app: Callable[..., Flask], proxies: str, given: str, is_taken: bool
) -> None:
    client = make_app(TRUSTED_PROXIES=proxies).test_client()

    answer = client.get("/", headers={"X-Request-Id": given})

    assert (answer.headers["X-Request-Id"] == given) is is_taken
    assert len(answer.headers.get_all("X-Request-Id")) == 1


def test_a_line_of_text_has_the_id_before_a_stack_trace(make_app: Callable[..., Flask]) -> None:
    app, told = make_app(), []
    formatter = TextFormatter("%(levelname)s %(message)s")

    def fail() -> str:
        try:
            return mistake()
        except ZeroDivisionError:
            told.append(
                formatter.format(
                    logging.makeLogRecord({"msg": "failed", "levelname": "INFO", "exc_info": sys.exc_info()})
                )
            )
            return ""

    app.add_url_rule("/fail", view_func=fail)
    answer = app.test_client().get("/fail")

    assert told[0].startswith(f"INFO failed [{answer.headers['X-Request-Id']}]\nTraceback")
    assert formatter.format(logging.makeLogRecord({"msg": "between", "levelname": "INFO"})) == "INFO between"


def mistake() -> str:
    raise ZeroDivisionError("a mistake\n{}")


# Lines of JSON.


def test_a_request_is_one_line_without_its_path(alice: Visitor, lines: Any) -> None:
    lines()
    before = datetime.now(UTC).replace(microsecond=0)
    answer = alice.get("/dashboard/profile?until=secret")

    [line] = lines("request")
    assert before <= datetime.fromisoformat(line.pop("time")) <= datetime.now(UTC)
    assert isinstance(line.pop("ms"), int)
    assert line == {
        "level": "info",
        "event": "request",
        "request_id": answer.headers["X-Request-Id"],
        "method": "GET",
        "route": "/dashboard/<name>",
        "status": 200,
        "bytes": len(answer.data),
    }


def test_a_method_that_is_none_is_not_repeated(visitor: Visitor, lines: Any) -> None:
    visitor.client.open("/", method="SECRET")

    assert [line["method"] for line in lines("request")] == ["other"]


def test_who_only_asks_whether_the_app_lives_is_not_logged(visitor: Visitor, lines: Any) -> None:
    visitor.get("/healthz")

    assert lines() == []


def test_a_stream_is_logged_when_it_ends(app: Flask, lines: Any) -> None:
    app.add_url_rule("/stream", view_func=lambda: Response(iter(["a", "b"]), mimetype="text/event-stream"))
    answer = app.test_client().get("/stream", buffered=False)
    assert lines() == []

    answer.close()

    [line] = lines("request")
    assert line["request_id"] == answer.headers["X-Request-Id"]
    assert "bytes" not in line


def test_a_call_to_a_server_is_one_line(alice: Visitor, sandbox: Running, lines: Any) -> None:
    lines()
    answer = alice.get("/dashboard/profile")

    [line] = lines("remote_request")
    assert line.pop("time")
    assert isinstance(line.pop("ms"), int)
    assert line.pop("bytes") > 100
    assert line == {
        "level": "info",
        "event": "remote_request",
        "request_id": answer.headers["X-Request-Id"],
        "route": "/dashboard/<name>",
        "method": "POST",
        "host": sandbox.origin.removeprefix("http://"),
        "status": 200,
    }


def test_calls_of_discovery_are_logged_too(visitor: Visitor, lines: Any) -> None:
    visitor.begin()

    assert [line["route"] for line in lines("remote_request")] == ["/signin"]


def test_a_server_that_says_no_is_told(alice: Visitor, sandbox: Running, lines: Any) -> None:
    sandbox.world.misbehaviour = Misbehaviour.RATE_LIMITED
    lines()
    answer = alice.get("/dashboard/profile")
    call, warning, request = lines()

    assert call["status"] == 429
    assert (warning["level"], warning["event"]) == ("warning", "log")
    assert warning["message"].startswith("RateLimited at 127.0.0.1")
    assert (request["failure"], request["status"]) == ("RateLimited", answer.status_code)
    assert {line["request_id"] for line in (call, warning, request)} == {answer.headers["X-Request-Id"]}


def test_a_server_that_does_not_answer_is_told(make_app: Callable[..., Flask], lines: Any) -> None:
    with serve(hangs_up_unanswered) as server:
        app = make_app(PRIVATE_SERVERS=server.origin, LOG="json")
        visitor = who_reads_all(app, server)
        visitor.post("/signin", {"host": server.origin})

    calls = lines("remote_request")
    assert {call["failure"] for call in calls} == {"ServerUnreachable"}
    assert not any("status" in call for call in calls)


def test_a_stack_trace_is_in_one_line(visitor: Visitor, app: Flask, lines: Any) -> None:
    app.view_functions["pages.privacy"] = mistake

    answer = visitor.get("/privacy")

    told, request = lines()
    assert told["message"] == "pages.privacy failed"
    assert told["exception"].startswith("Traceback (most recent call last):\n")
    assert told["exception"].endswith("ZeroDivisionError: a mistake\n{}")
    assert told["request_id"] == request["request_id"] == answer.headers["X-Request-Id"]
    assert (request["failure"], request["status"]) == ("ZeroDivisionError", 500)


def test_a_mistake_beside_requests_is_a_line_without_an_id(app: Flask, lines: Any) -> None:
    app.logger.error("between requests")

    [line] = lines()
    assert (line["logger"], line["message"], line["level"]) == ("app", "between requests", "error")
    assert "request_id" not in line


@pytest.mark.parametrize("end", ["\n", "\r\n", "\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\u2029"])
def test_no_text_begins_a_line_of_its_own(visitor: Visitor, app: Flask, lines: Any, end: str) -> None:
    forged = f'harmless{end}{{"event": "request", "status": 200}}'

    app.logger.error("%s", forged)
    visitor.get(f"/nowhere{end}{forged}")

    told, request = lines()
    assert told["message"] == forged
    assert (request["event"], request["status"]) == ("request", 404)


def test_warnings_are_lines_too(app: Flask, lines: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(False)
        logging.captureWarnings(True)  # anew, as pytest has its own in between
        warnings.warn("old\nways", stacklevel=1)
        logging.captureWarnings(False)

    [line] = lines()
    assert line["logger"] == "py.warnings"
    assert "UserWarning: old\nways" in line["message"]


def test_flasks_own_server_adds_no_lines(make_app: Callable[..., Flask], sandbox: Running, lines: Any) -> None:
    with served(make_app, LOG="json", PRIVATE_SERVERS=sandbox.origin) as site:
        requests.get(f"{site}/callback?session=secret", timeout=60)

    assert [line["route"] for line in lines()] == ["/callback"]


# Under gunicorn.


def test_gunicorns_log_is_json_too_with_one_line_for_each_request(tmp_path: Path) -> None:
    with serve(takes_files) as server, gunicorn(tmp_path, server, LOG="json") as (url, _):
        answer = requests.get(f"{url}/nowhere?secret", timeout=60)
        requests.get(f"{url}/static/icon.png", timeout=60)

    told = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    page, picture = [line for line in told if line["event"] == "request"]
    assert page["request_id"] == answer.headers["X-Request-Id"]
    assert (picture["route"], picture["status"]) == ("/static/<path:filename>", 200)
    assert any(line["message"].startswith("Booting worker") for line in told if line["event"] == "log")
    assert "secret" not in str(told)


def test_gunicorns_log_is_text_by_default_with_the_id(tmp_path: Path) -> None:
    with serve(takes_files) as server, gunicorn(tmp_path, server) as (url, _):
        requests.get(f"{url}/readyz", timeout=60)
        break_store(tmp_path)
        answer = requests.get(f"{url}/readyz?secret", timeout=60)

    told = [line for line in (tmp_path / "log").read_text().splitlines() if answer.headers["X-Request-Id"] in line]
    why, request = map(re.escape, (f" [{answer.headers['X-Request-Id']}]", answer.headers["X-Request-Id"]))
    assert re.search(rf"ERROR in error_pages: token store: no such table: entries{why}$", told[0])
    assert re.search(rf"\] GET /readyz 503 \d+ms {request}$", told[1])


def test_no_path_begins_a_line_of_its_own_in_gunicorns_log(tmp_path: Path) -> None:
    with serve(takes_files) as server, gunicorn(tmp_path, server) as (url, _):
        for path in ("/healthz", "/nowhere%0A%E3%81%82/@me?secret"):
            requests.get(url + path, timeout=60)

    log = (tmp_path / "log").read_text()
    assert "] GET /nowhere%0A%E3%81%82/@me 404 " in log
    assert "/healthz" not in log
    assert "secret" not in log
