"""Several machines with one Redis: the same to a visitor, also while it is down, and when its master changes."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import requests
from flask import Flask

from sandbox import Running
from tests.cast import FIRST_PAGE, SECRET_KEY, Visitor, environment
from tests.machines import SIGNIN_LIMIT, Browser, Machine, Machines, wait_until_ready
from tests.ports import free_port
from tests.redis_server import PASSWORD, SERVICE, RedisServer, replicated, running
from web import config
from web.storage.redis_backend import RedisBackend
from web.storage.redis_connection import CONNECTIONS, PREFIX
from web.storage.store_backend import StoreUnavailable
from web.token_store import open_store

WAIT_SECONDS = 60


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        with suppress(StoreUnavailable):
            if condition():
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def browser(machines: Machines) -> Browser:
    return Browser(machines.sandbox)


def entries(redis_server: RedisServer, kind: str) -> list[bytes]:
    with redis_server.client() as client:
        return list(client.scan_iter(f"{PREFIX}:{kind}:*"))


# One to a visitor.


def test_a_sign_in_goes_on_at_whichever_machine(machines: Machines, browser: Browser) -> None:
    one, two = machines.each
    session_id = browser.begin(one)

    assert browser.get(two, f"/callback?session={session_id}").headers["Location"] == FIRST_PAGE
    assert "Hello, Alice" in browser.get(one, "/dashboard").text
    browser.post(one, "/signout/everywhere")
    assert browser.get(two, "/dashboard").headers["Location"] == "/"


def test_two_callbacks_at_once_end_in_one_account(machines: Machines, browser: Browser) -> None:
    session_id = browser.begin(machines.each[0])
    together = threading.Barrier(4)

    def call_back(tab: Browser, machine: Machine) -> requests.Response:
        together.wait()
        return tab.get(machine, f"/callback?session={session_id}")

    tabs = [browser.twin() for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(call_back, tabs, machines.each * 2))

    assert [answer.headers.get("Location") for answer in answers] == [FIRST_PAGE] * 4
    checks = [path for _, path in machines.sandbox.requests if path == f"/api/miauth/{session_id}/check"]
    assert len(checks) == 1
    for tab, machine in zip(tabs, reversed(machines.each * 2), strict=True):
        assert "Hello, Alice" in tab.get(machine, "/dashboard").text
        assert tab.get(machine, "/account").text.count("Last used:") == 1


def test_a_rate_limit_counts_what_all_machines_are_asked(machines: Machines, browser: Browser) -> None:
    statuses = [
        browser.post(machine, "/signin", host="no server").status_code
        for machine in machines.each * (SIGNIN_LIMIT // 2 + 1)
    ]

    assert statuses == [422] * SIGNIN_LIMIT + [429] * 2
    assert entries(machines.redis, "counter")
    assert not [name for name in entries(machines.redis, "*") if b"127.0.0.1" in name]


# What a limit costs and tells.


def test_counters_in_a_redis_count_for_each_visitor_and_end(redis_server: RedisServer) -> None:
    here, there = (open_store(redis_server.url, [SECRET_KEY]) for _ in "12")

    assert [store.count("alice", 60) for store in (here, there, here)] == [1, 2, 3]
    assert there.count("bob", 60) == 1
    with redis_server.client() as client:
        assert [0 < client.ttl(name) <= 60 for name in entries(redis_server, "counter")] == [True, True]


def test_without_the_redis_nothing_that_has_a_limit_is_done(tmp_path: Path) -> None:
    with running(tmp_path) as server:
        store = open_store(server.url, [SECRET_KEY])
    with pytest.raises(StoreUnavailable) as caught:
        store.count("alice", 60)

    assert PASSWORD not in str(caught.value)


def test_what_a_sign_in_costs_the_redis_does_not_grow_with_the_others(
    make_app: Callable[..., Flask], redis_server: RedisServer, sandbox: Running
) -> None:
    store = open_store(redis_server.url, [SECRET_KEY])

    def commands() -> dict[str, int]:
        """Sign Alice in, look at a page and sign her out; return what that asked the Redis."""
        with redis_server.client() as client:
            client.config_resetstat()
            visitor = Visitor(make_app(TOKEN_STORE=redis_server.url, PRIVATE_SERVERS=sandbox.origin), sandbox)
            visitor.sign_in()
            visitor.get("/dashboard")
            visitor.post("/signout/everywhere")
            stats = client.info("commandstats")
        return {name.removeprefix("cmdstat_"): said["calls"] for name, said in stats.items()}

    commands()  # makes the scripts known
    alone = commands()
    for number in range(500):
        store.put(f"key {number}", "account", 600, owner=f"person {number}")

    assert commands() == alone
    assert not alone.keys() & {"keys", "scan", "sscan", "hscan", "zscan", "smembers", "hgetall", "dbsize", "sort"}


# A Redis that is down for a while.


class Stream:
    """People who keep asking both machines; counts what they are answered."""

    def __init__(self, machines: Machines, browser: Browser) -> None:
        self.answers: Counter[tuple[str, int]] = Counter()
        self.without_words: list[str] = []
        self._over = threading.Event()
        self._machines, self._browser = machines, browser
        self._token = {"csrf_token": browser.csrf_token(machines.each[0])}

    @contextmanager
    def flowing(self) -> Iterator[None]:
        paths = ["/dashboard", "/account", "/callback?session=none", "/healthz", "/signin", "/"]
        asked: list[tuple[str, str, dict[str, str]]] = [("GET", path, {}) for path in paths]
        asked.append(("POST", "/signin", {"host": self._machines.sandbox.origin}))
        with ThreadPoolExecutor(2 * len(asked)) as pool:
            asking = [pool.submit(self._ask, machine, *each) for machine in self._machines.each for each in asked]
            try:
                yield
            finally:
                self._over.set()
            for each in asking:
                each.result()

    def wait_for(self, status: int, path: str = "/dashboard") -> None:
        """Return when ``path`` was answered so a few times more."""
        enough = self.answers[path, status] + 5
        wait_until(lambda: self.answers[path, status] >= enough)

    def _ask(self, machine: Machine, method: str, path: str, form: dict[str, str]) -> None:
        tab = self._browser.twin()
        while not self._over.is_set():
            answer = tab.ask(machine, method, path, data=form | self._token if form else None)
            self.answers[path, answer.status_code] += 1
            if answer.status_code == 503 and "Our memory is not available" not in answer.text:
                self.without_words.append(answer.text)


def test_a_redis_that_is_down_for_a_while_costs_nobody_a_sign_in(machines: Machines, browser: Browser) -> None:
    redis, (one, two) = machines.redis, machines.each
    browser.sign_in(one)
    session_id = browser.begin(one)
    stream = Stream(machines, browser)
    try:
        with stream.flowing():
            stream.wait_for(200)
            redis.kill()
            stream.wait_for(503)
            assert [requests.get(f"{one.url}{path}", timeout=60).status_code for path in ("/healthz", "/readyz")] == [
                200,
                503,
            ]
            redis.start()
            stream.wait_for(200)
            for _ in range(3):
                redis.kill()
                redis.start()
            stream.wait_for(200)
    finally:
        redis.kill()
        redis.start()

    assert {status for _, status in stream.answers} <= {200, 303, 400, 429, 503}
    assert not stream.without_words
    assert {status for path, status in stream.answers if path == "/healthz"} == {200}
    assert "Hello, Alice" in browser.get(two, "/dashboard").text
    assert browser.get(two, f"/callback?session={session_id}").headers["Location"] == FIRST_PAGE
    for machine in machines.each:
        log = machine.log.read_text()
        assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:6000]
        assert PASSWORD not in log


def test_while_the_redis_is_down_no_sign_in_begins(machines: Machines, browser: Browser) -> None:
    one, two = machines.each
    browser.get(one, "/signin")
    machines.redis.kill()
    try:
        answer = browser.post(one, "/signin", host=machines.sandbox.origin)
    finally:
        machines.redis.start()

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "30")
    assert "Our memory is not available" in answer.text
    wait_until_ready(two)
    browser.sign_in(two)


def test_an_answer_that_comes_too_late_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("web.storage.redis_connection.WAIT_SECONDS", 0.1)
    late: list[str] = []
    over = threading.Event()

    def ask(mine: str) -> set[bytes | None]:
        answers: set[bytes | None] = set()
        while not over.is_set():
            try:
                answers.add(backend.get(mine))
            except StoreUnavailable:
                late.append(mine)
        return answers

    with running(tmp_path) as redis, ThreadPoolExecutor(8) as pool:
        backend = RedisBackend(redis.url)
        for name in "abcdefgh":
            backend.put(name, name.encode(), 60)
        asking = {name: pool.submit(ask, name) for name in "abcdefgh"}
        redis.send_signal(signal.SIGSTOP)
        wait_until(lambda: set(late) == set(asking))
        redis.send_signal(signal.SIGCONT)
        wait_until(lambda: backend.get("a") == b"a")
        over.set()

    assert {name: asked.result() for name, asked in asking.items()} == {name: {name.encode()} for name in asking}


# Sentinels.


def test_when_the_master_is_gone_its_replica_goes_on(
    make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path
) -> None:
    with replicated(tmp_path) as redis:
        visitor = Visitor(make_app(TOKEN_STORE=redis.url, PRIVATE_SERVERS=sandbox.origin), sandbox)
        visitor.sign_in()
        session_id = visitor.begin()
        redis.kill_master()

        assert visitor.get("/dashboard").status_code == 503
        wait_until(lambda: visitor.get("/readyz").status_code == 200)
        assert "Hello, Alice" in visitor.get("/dashboard").text
        visitor.allow(session_id, "bob")
        assert visitor.get(f"/callback?session={session_id}").status_code == 303


def test_without_any_sentinel_nothing_piles_up(tmp_path: Path) -> None:
    with running(tmp_path) as gone:
        pass
    backend = RedisBackend(f"redis+sentinel://127.0.0.1:{gone.port}/sign-ins")
    for _ in range(CONNECTIONS + 10):
        with pytest.raises(StoreUnavailable, match="No master found"):
            backend.get("id")

    assert len(vars(backend.redis.connection_pool)["_connections"]) == 1


def test_sentinels_are_asked_where_the_address_says() -> None:
    url = "redis+sentinel://app:pass%2Fword@one.example,[::1]:26380/mymaster/2?sentinel_password=s3cret"
    pool: Any = RedisBackend(url).redis.connection_pool
    asked = [sentinel.get_connection_kwargs() for sentinel in pool.sentinel_manager.sentinels]

    assert [(one["host"], one["port"], one["password"]) for one in asked] == [
        ("one.example", 26379, "s3cret"),
        ("::1", 26380, "s3cret"),
    ]
    of_master = pool.connection_kwargs
    assert pool.service_name == "mymaster"
    assert (of_master["username"], of_master["password"], of_master["db"]) == ("app", "pass/word", 2)


def test_that_no_sentinel_answers_is_told_in_a_line(tmp_path: Path) -> None:
    with running(tmp_path) as gone:
        pass
    with pytest.raises(StoreUnavailable, match=f"127.0.0.1:{gone.port}. Connection refused") as caught:
        RedisBackend(f"redis+sentinel://127.0.0.1:{gone.port}/sign-ins").get("id")

    assert len(str(caught.value)) < 200


def test_sentinels_may_have_a_password_which_is_not_told(tmp_path: Path) -> None:
    with replicated(tmp_path, "requirepass s3cret") as redis:
        assert RedisBackend(f"{redis.url}?sentinel_password=s3cret").put("id", b"value", 60)
        with pytest.raises(StoreUnavailable) as caught:
            RedisBackend(f"{redis.url}?sentinel_password=wr0ng").get("id")

    assert "wr0ng" not in str(caught.value)


def test_threads_that_ask_sentinels_at_once_lose_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library puts the one that answered first, in a list of all threads."""
    with replicated(tmp_path) as redis, ThreadPoolExecutor(2) as pool:
        asked = vars(RedisBackend(redis.url).redis.connection_pool)["sentinel_manager"]
        second, together = asked.sentinels[1], threading.Barrier(2)
        ask = second.sentinel_masters
        monkeypatch.setattr(second, "sentinel_masters", lambda: (ask(), together.wait())[0])

        assert set(pool.map(asked.discover_master, [SERVICE] * 2)) == {("127.0.0.1", redis.master.port)}
        assert len(set(asked.sentinels)) == 2


def test_a_connection_to_a_former_master_is_closed(tmp_path: Path) -> None:
    with replicated(tmp_path) as redis:
        backend = RedisBackend(redis.url)
        backend.put("id", b"value", 60)
        pool = vars(backend.redis)["connection_pool"]
        used = pool.get_connection()
        redis.change_master()

        def has_changed() -> bool:
            pool.disconnect(inuse_connections=False)
            backend.get("id")
            return bool(pool.master_address == ("127.0.0.1", redis.replica.port))

        wait_until(has_changed)
        pool.release(used)

        assert not used.is_connected
        assert backend.get("id") == b"value"
        assert backend.put("id", b"another", 60)


# Clusters.


def test_a_cluster_stops_the_start(tmp_path: Path) -> None:
    with running(tmp_path, "--cluster-enabled", "yes", "--cluster-port", str(free_port())) as cluster:
        with pytest.raises(config.SettingsError, match="MIAUTH_TOKEN_STORE can't be a cluster") as caught:
            config.load(environment(tmp_path, TOKEN_STORE=cluster.url))
        with pytest.raises(StoreUnavailable, match="the Redis can't be a cluster"):  # it began after the app
            RedisBackend(cluster.url).get("id")

    assert PASSWORD not in str(caught.value)


def test_the_address_of_a_cluster_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(config.SettingsError, match="MIAUTH_TOKEN_STORE can't be a cluster"):
        config.load(environment(tmp_path, TOKEN_STORE="redis+cluster://localhost:7000,localhost:7001"))


def test_an_account_of_the_redis_need_not_be_allowed_to_ask_about_clusters(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">s3cret", "~*", "+@all", "-info")
        try:
            assert RedisBackend(f"redis://app:s3cret@127.0.0.1:{redis_server.port}").put("id", b"value", 60)
        finally:
            client.execute_command("ACL", "DELUSER", "app")
