"""Figures for Prometheus, in one process and under gunicorn."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import requests
from flask import Flask, Response
from prometheus_client.parser import text_string_to_metric_families as parse

from sandbox import Misbehaviour, Running
from tests.cast import Visitor, environment, wait_until, who_reads_all
from tests.hostile import hangs_up_unanswered, serve
from tests.web.test_gunicorn import ROOT, gunicorn, sign_in, takes_files

TOKEN = "scraper-token-0123456789"
SCRAPER = {"Authorization": f"Bearer {TOKEN}"}
Figures = dict[tuple[str, ...], float]


def figures(text: str) -> Figures:
    """What was scraped, without buckets: figures by name and labels' values, in the labels' order of the alphabet."""
    samples = [sample for family in parse(text) for sample in family.samples if "le" not in sample.labels]
    return {(sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value for sample in samples}


def scrape(app: Flask) -> Figures:
    answer = app.test_client().get("/metrics", headers=SCRAPER)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain; version=")
    return figures(answer.text)


def scrape_site(url: str) -> Figures:
    answer = requests.get(f"{url}/metrics", headers=SCRAPER, timeout=60)
    answer.raise_for_status()
    return figures(answer.text)


@pytest.fixture
def app(make_app: Callable[..., Flask], sandbox: Running) -> Flask:
    return make_app(PRIVATE_SERVERS=sandbox.origin, METRICS=TOKEN)


@pytest.fixture
def visitor(app: Flask, sandbox: Running) -> Visitor:
    return who_reads_all(app, sandbox)


@pytest.fixture
def alice(visitor: Visitor) -> Visitor:
    visitor.sign_in()
    return visitor


# Who sees them.


def test_without_the_setting_there_is_no_such_page(make_app: Callable[..., Flask]) -> None:
    assert make_app().test_client().get("/metrics", headers=SCRAPER).status_code == 404


def test_without_the_setting_the_library_is_not_even_loaded(tmp_path: Path) -> None:
    program = "import sys, app; app.create_app(); print([name for name in sys.modules if 'prometheus' in name])"

    found = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | environment(tmp_path, METRICS=token),
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for token in ("", TOKEN)
    ]

    assert found[0] == "[]\n"
    assert "prometheus_client" in found[1]


@pytest.mark.parametrize("given", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", f"Bearer {TOKEN}x", TOKEN, "Bearer é"])
def test_whoever_does_not_send_the_token_sees_nothing(app: Flask, given: str) -> None:
    answer = app.test_client().get("/metrics", headers={"Authorization": given} if given else {})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.mimetype == "text/plain"
    assert "miauth_" not in answer.text
    assert TOKEN not in answer.text


def test_a_scraper_may_come_by_another_name(make_app: Callable[..., Flask]) -> None:
    """As within a network of containers; visitors are led to the public address."""
    app = make_app(METRICS=TOKEN, PUBLIC_URL="https://signin.example")

    assert app.test_client().get("/metrics", headers=SCRAPER, base_url="http://app:8000").status_code == 200


# What they say.


def test_requests_are_counted_by_route_method_and_status(visitor: Visitor, app: Flask) -> None:
    visitor.get("/signin")
    visitor.get("/signin?query")
    visitor.get("/static/app.css")
    visitor.get("/secret/path")
    visitor.client.open("/signin", method="SECRET")

    found = scrape(app)
    assert found["miauth_request_seconds_count", "GET", "/signin", "200"] == 2
    assert found["miauth_request_seconds_count", "GET", "/static/<path:filename>", "200"] == 1
    assert found["miauth_request_seconds_count", "GET", "none", "404"] == 1
    assert found["miauth_request_seconds_count", "other", "none", "405"] == 1
    assert found["miauth_request_seconds_sum", "GET", "/signin", "200"] > 0
    assert "secret" not in str(found).lower()


def test_calls_are_counted_by_what_came_of_them(alice: Visitor, app: Flask, sandbox: Running) -> None:
    before = scrape(app)["miauth_remote_call_seconds_count", "request", "ok"]
    alice.get("/dashboard/profile")
    sandbox.world.misbehaviour = Misbehaviour.RATE_LIMITED
    alice.get("/dashboard/profile")

    found = scrape(app)
    assert found["miauth_remote_call_seconds_count", "request", "ok"] - before == 1
    assert found["miauth_remote_call_seconds_count", "request", "http_4xx"] == 1
    assert "127.0.0.1" not in str(found)


def test_calls_without_an_answer_are_counted_by_why(make_app: Callable[..., Flask]) -> None:
    with serve(hangs_up_unanswered) as server:
        app = make_app(PRIVATE_SERVERS=server.origin, METRICS=TOKEN)
        who_reads_all(app, server).post("/signin", {"host": server.origin})

    assert scrape(app)["miauth_remote_call_seconds_count", "request", "ServerUnreachable"] >= 1


def test_sign_ins_are_counted_at_both_ends(visitor: Visitor, app: Flask, sandbox: Running) -> None:
    visitor.begin()
    visitor.sign_in()
    visitor.post("/signin/token", {"host": sandbox.origin, "token": "aliceNativeToken"})

    found = scrape(app)
    assert found["miauth_sign_ins_begun_total",] == 2
    assert found["miauth_sign_ins_finished_total", "miauth"] == 1
    assert found["miauth_sign_ins_finished_total", "token"] == 1


def test_open_streams_are_counted_until_they_end(app: Flask) -> None:
    app.add_url_rule("/stream", view_func=lambda: Response(iter(["a", "b"]), mimetype="text/event-stream"))
    client = app.test_client()
    streams = [client.get("/stream") for _ in range(3)]
    client.head("/stream").close()
    assert scrape(app)["miauth_open_streams",] == 3

    for stream in streams:
        stream.close()

    assert scrape(app)["miauth_open_streams",] == 0


def test_the_token_store_is_measured_by_operation(alice: Visitor, app: Flask) -> None:
    alice.post("/signout/everywhere")

    found = scrape(app)
    for operation in ("put", "get", "owned_by", "delete_owned_by"):
        assert found["miauth_store_seconds_count", operation] > 0
    assert found["miauth_store_seconds_count", "replace"] == 0


def test_apps_count_for_themselves(app: Flask, make_app: Callable[..., Flask], visitor: Visitor) -> None:
    visitor.get("/signin")

    assert ("miauth_request_seconds_count", "GET", "/signin", "200") not in scrape(make_app(METRICS=TOKEN))


def test_nothing_tells_of_a_person(alice: Visitor, app: Flask) -> None:
    text = app.test_client().get("/metrics", headers=SCRAPER).text

    for secret in ("alice", "Alice", "127.0.0.1", *alice.cookie()["accounts"], *alice.asked):
        assert secret not in text


# Under gunicorn.


def test_the_figures_of_all_workers_add_up(tmp_path: Path) -> None:
    folder = ("--worker-tmp-dir", str(tmp_path))
    with serve(takes_files) as server, gunicorn(tmp_path, server, *folder, workers=2, METRICS=TOKEN) as (url, worker):
        assert len(list(tmp_path.glob("metrics-*"))) == 1
        sign_in(url, server)
        pages = [f"{url}/how-it-works"] * 60
        with ThreadPoolExecutor(20) as pool:
            list(pool.map(lambda page: requests.get(page, timeout=60).raise_for_status(), pages))
        seen = ("miauth_request_seconds_count", "GET", "/how-it-works", "200")
        wait_until(lambda: scrape_site(url).get(seen, 0) >= 60)  # an answer counts when it was sent
        assert len(list(tmp_path.glob("metrics-*/histogram_*.db"))) == 2

        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: (tmp_path / "log").read_text().count("Booting worker") >= 3)
        for page in pages[:20]:
            requests.get(page, timeout=60).raise_for_status()
        wait_until(lambda: scrape_site(url)[seen] >= 80)
        found = scrape_site(url)
        assert found[seen] == 80
        assert found["miauth_sign_ins_begun_total",] == found["miauth_sign_ins_finished_total", "miauth"] == 1
    assert list(tmp_path.glob("metrics-*")) == []


def test_a_reload_goes_on_with_the_same_figures(tmp_path: Path) -> None:
    folder = ("--worker-tmp-dir", str(tmp_path))
    with serve(takes_files) as server, gunicorn(tmp_path, server, *folder, METRICS=TOKEN) as (url, worker):
        requests.get(f"{url}/privacy", timeout=60).raise_for_status()
        os.kill(parent_of(worker), signal.SIGHUP)
        wait_until(lambda: f"Worker exiting (pid: {worker})" in (tmp_path / "log").read_text())

        assert scrape_site(url)["miauth_request_seconds_count", "GET", "/privacy", "200"] == 1
        assert len(list(tmp_path.glob("metrics-*"))) == 1
    assert list(tmp_path.glob("metrics-*")) == []


def parent_of(worker: int) -> int:
    return int(subprocess.run(["ps", "-o", "ppid=", str(worker)], capture_output=True, text=True, check=True).stdout)


def test_a_worker_that_ends_leaves_a_log_that_is_json(tmp_path: Path) -> None:
    with (
        serve(takes_files) as server,
        gunicorn(tmp_path, server, METRICS=TOKEN, LOG="json") as (url, worker),
    ):
        scrape_site(url)
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: (tmp_path / "log").read_text().count("Booting worker") >= 2)

    assert [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    assert TOKEN not in (tmp_path / "log").read_text()
