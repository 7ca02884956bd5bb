"""Fixtures: a sandbox server, the app beside it, visitors, and Chromium."""

from __future__ import annotations

import gc
import io
import logging
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import CodeType, SimpleNamespace
from typing import Any

import pytest
from flask import Flask
from jinja2 import BytecodeCache
from jinja2.bccache import Bucket
from playwright.sync_api import Browser, Page, sync_playwright
from werkzeug.routing import Rule

from app import create_app
from sandbox import Running, serve
from tests import find_browser
from tests.access import Check
from tests.browser_pool import Pool
from tests.browsing import Browsers, watched
from tests.cast import FIRST_PAGE, Visitor, environment, forget_settings, served
from tests.machines import Machines, two_machines
from tests.redis_server import RedisServer, running
from tests.screenshots import write_index
from tests.words import Say, in_language
from web.hosting.request_log import JSONFormatter

ENOUGH_FILES = 4096


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a browser: ``-m "not browser"`` leaves it out. What is ``long`` begins first."""
    for item in items:
        if "chromium" in getattr(item, "fixturenames", ()):
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """What is there before the first test stays: leave it out when looking for garbage."""
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_settings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The settings, proxies and data of whoever runs the tests have nothing to do with these."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        forget_settings(monkeypatch)
        monkeypatch.setattr("web.config.INSTANCE", tmp_path_factory.mktemp("instance"))
        yield


@pytest.fixture(scope="session", autouse=True)
def open_files() -> None:
    """Tests of many connections have a thousand open at once; some systems allow 256 files unless one asks for more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if 0 < soft < ENOUGH_FILES:  # below 0 there is no limit
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(ENOUGH_FILES, hard) if hard > 0 else ENOUGH_FILES, hard))


class Compiled(BytecodeCache):
    """Keeps compiled templates for all apps of the tests."""

    def __init__(self) -> None:
        self._code: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._code.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._code[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture(scope="session", autouse=True)
def compiled_templates() -> Iterator[None]:
    """Templates are compiled once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Flask, "jinja_options", {"bytecode_cache": Compiled()})
        yield


@pytest.fixture(scope="session", autouse=True)
def compiled_rules() -> Iterator[None]:
    """URL rules are compiled once, too."""
    compiled: dict[tuple[object, ...], Any] = {}
    compile_builder: Any = Rule._compile_builder

    def compile_once(rule: Rule, append_unknown: bool = True) -> Any:
        key = (rule.rule, rule.subdomain, rule.host, str(rule.defaults), append_unknown)
        if key not in compiled:
            compiled[key] = compile_builder(rule, append_unknown)
        return compiled[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Rule, "_compile_builder", compile_once)
        yield


@pytest.fixture
def sandbox() -> Iterator[Running]:
    """A Misskey server of this test's own, on a free port."""
    with serve() as running:
        yield running


@pytest.fixture
def json_log(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[str]]]:
    """Returns the lines that apps with ``MIAUTH_LOG=json`` have written to stdout since the last time."""
    stdout = io.StringIO()
    monkeypatch.setattr("web.hosting.request_log.sys", SimpleNamespace(stdout=stdout))  # pytest's own changes meanwhile

    def lines() -> list[str]:
        told = stdout.getvalue().splitlines()
        stdout.seek(stdout.truncate(0))
        return told

    yield lines
    root = logging.getLogger()  # pytest's own handlers come and go by themselves
    root.handlers = [handler for handler in root.handlers if not isinstance(handler.formatter, JSONFormatter)]
    logging.captureWarnings(False)
    for name in ("web.hosting.request_log", "werkzeug"):
        logging.getLogger(name).setLevel(logging.NOTSET)


@pytest.fixture
def make_app(tmp_path: Path) -> Callable[..., Flask]:
    """Make an app; settings are given without their prefix. All of one test's apps share a token store."""

    def make(**settings: str) -> Flask:
        return create_app(environment(tmp_path, **settings))

    return make


@pytest.fixture
def app(make_app: Callable[..., Flask], sandbox: Running) -> Flask:
    """The app, with the sandbox as a private server."""
    return make_app(PRIVATE_SERVERS=sandbox.origin)


@pytest.fixture(scope="session")
def listening() -> Iterator[socket.socket]:
    """Where the app of one test after the other is served."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
def site(make_app: Callable[..., Flask], sandbox: Running, listening: socket.socket) -> Iterator[str]:
    """The address of the app, served for real, with the sandbox as a private server."""
    with served(make_app, at=listening, PRIVATE_SERVERS=sandbox.origin) as url:
        yield url


@pytest.fixture
def visitor(app: Flask, sandbox: Running) -> Visitor:
    """Somebody with nothing."""
    return Visitor(app, sandbox)


@pytest.fixture
def alice(app: Flask, sandbox: Running) -> Visitor:
    """Alice, signed in."""
    person = Visitor(app, sandbox)
    assert person.sign_in("alice").location == FIRST_PAGE
    return person


@pytest.fixture(scope="session")
def redis_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A real Redis; without one the tests fail."""
    with running(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def redis_server(redis_of_all: RedisServer) -> RedisServer:
    """A Redis with nothing in it."""
    with redis_of_all.client() as client:
        client.flushall()
    return redis_of_all


@pytest.fixture(scope="session")
def machines_of_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    """Two machines of the app with one Redis."""
    with two_machines(tmp_path_factory.mktemp("machines")) as machines:
        yield machines


@pytest.fixture
def machines(machines_of_all: Machines) -> Machines:
    """Two machines of the app with one Redis, in which nothing is yet."""
    with machines_of_all.redis.client() as client:
        client.flushall()
    return machines_of_all


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser; without one the tests fail."""
    path = find_browser.find()
    assert path, find_browser.HELP
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=path,
            args=[
                *(["--no-sandbox"] if os.geteuid() == 0 else []),  # Chromium's own sandbox does not start for root
                "--disable-gpu",
                "--disable-software-rasterizer",
                "--disable-site-isolation-trials",  # fewer processes: they take a fifth of the time
                "--renderer-process-limit=1",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield browser
        browser.close()


@pytest.fixture
def language() -> str:
    """The language of the visitor's browser; a test with a parameter of this name chooses others."""
    return "en"


@pytest.fixture
def say(language: str) -> Say:
    """Says in this language what the app says in English."""
    return in_language(language)


@pytest.fixture(scope="session")
def pool(chromium: Browser) -> Pool:
    """Browsers for all tests that are not ``own_browser``."""
    return Pool(chromium)


@pytest.fixture
def browsers(
    request: pytest.FixtureRequest, chromium: Browser, pool: Pool, site: str, sandbox: Running, language: str
) -> Iterator[Browsers]:
    """Browsers for one test, each with cookies of its own; whatever goes wrong in one fails the test."""
    own = request.node.get_closest_marker("own_browser")
    with watched(chromium, site, sandbox, language, None if own else pool) as opened:
        yield opened


@pytest.fixture
def page(browsers: Browsers) -> Page:
    """A visitor's browser, empty."""
    return browsers.open()


@pytest.fixture(scope="session")
def pictures() -> Iterator[Path | None]:
    """The folder for pictures of every state, where one is wanted: make screenshots."""
    folder = Path(os.environ["SCREENSHOTS"]) if "SCREENSHOTS" in os.environ else None
    yield folder
    if folder:
        write_index(folder)


@pytest.fixture
def check(request: pytest.FixtureRequest, language: str, pictures: Path | None) -> Check:
    """Checks that a page, in a state, is fit for everybody."""
    return Check(request.node.originalname.removeprefix("test_"), language, pictures)
