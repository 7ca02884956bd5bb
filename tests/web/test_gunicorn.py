"""The app as gunicorn serves it."""

from __future__ import annotations

import json
import math
import os
import re
import resource
import runpy
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import urlsplit

import pytest
import requests

from sandbox import Running
from tests import machines
from tests.cast import FIRST_PAGE, Visitor, environment, wait_until
from tests.hostile import ALICE, TOKEN, Caller, Hostile, serve, silent
from tests.hostile import http as answer
from tests.ports import free_port
from web.hosting import concurrency, gunicorn_worker
from web.hosting.gunicorn_worker import Connection, Socket, Unreader, Worker

ROOT = Path(__file__).parents[2]
FORM = "application/x-www-form-urlencoded"


def takes_files(caller: Caller) -> None:
    """A Misskey server that signs Alice in and takes files, which it only counts."""
    path = caller.sock.recv(200, socket.MSG_PEEK).split(b" ")[1].decode()
    caller.drain()
    said: object = {"id": "f1", "name": "zeros", "url": None}
    if path == "/api/meta":
        said = {"version": "2025.4.1", "uri": caller.server.origin, "features": {"miauth": True}}
    elif path.endswith("/check"):
        said = {"ok": True, "token": TOKEN, "user": ALICE}
    caller.send(answer(200, json.dumps(said).encode(), "Connection: close"))


@contextmanager
def started(
    folder: Path, server: Hostile | Running, *options: str, workers: int = 1, **settings: str
) -> Iterator[machines.Machine]:
    """Serve the app, with a Misskey server that it knows as a private one."""
    port = free_port()
    usual = {"PUBLIC_URL": f"http://localhost:{port}", "PRIVATE_SERVERS": server.origin, "SIGNIN_LIMIT": ""}
    with machines.gunicorn(folder, port, *options, workers=workers, **usual | settings) as machine:
        yield machine


@contextmanager
def gunicorn(
    folder: Path, server: Hostile | Running, *options: str, workers: int = 1, **settings: str
) -> Iterator[tuple[str, int]]:
    """Serve the app; yield its address and the first worker's process id."""
    with started(folder, server, *options, workers=workers, **settings) as machine:
        yield machine.url, machine.pid


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[machines.Machine]:
    """The app, for tests that take it as it is; those with many connections come from networks of their own."""
    with serve(takes_files) as server, started(tmp_path_factory.mktemp("machine"), server) as machine:
        yield machine


@pytest.fixture
def url(machine: machines.Machine) -> str:
    """The address of the app."""
    return machine.url


def sign_in(url: str, server: Hostile, browser: requests.Session | None = None) -> tuple[str, str]:
    """Sign in as Alice; return the cookie and the token of a form."""
    browser = browser or requests.Session()
    begun = browser.post(
        f"{url}/signin", {"csrf_token": csrf_token(browser, url), "host": server.origin}, allow_redirects=False
    )
    session_id = urlsplit(begun.headers["Location"]).path.rpartition("/")[2]
    assert browser.get(f"{url}/callback?session={session_id}").url == f"{url}{FIRST_PAGE}"
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in browser.cookies), csrf_token(browser, url)


def csrf_token(browser: requests.Session, url: str) -> str:
    return str(re.findall('csrf_token" value="(.+?)"', browser.get(f"{url}/signin").text)[0])


def test_what_is_no_request_is_noted_without_who_sent_it(machine: machines.Machine) -> None:
    noted = machine.log.read_text().count("Invalid request")
    with socket.create_connection(("127.0.0.1", machine.port)) as odd:
        odd.sendall(b"GET /callback?session=secret\r\n\r\n")
        while odd.recv(1000):
            pass
    wait_until(lambda: machine.log.read_text().count("Invalid request") > noted)

    log = machine.log.read_text()
    assert "secret" not in log
    assert "ip=" not in log


@pytest.mark.parametrize("odd", ["Content-Length: -1\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nno chunk\r\n"])
def test_what_can_not_be_read_is_told_and_is_no_mistake_of_our_own(machine: machines.Machine, odd: str) -> None:
    url = machine.url
    cookies = "; ".join(f"{name}={value}" for name, value in requests.get(url, timeout=60).cookies.items())
    lines = ("POST /signin HTTP/1.1", f"Host: {urlsplit(url).netloc}", f"Cookie: {cookies}", f"Content-Type: {FORM}")
    with socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 60) as sock:
        sock.sendall("\r\n".join((*lines, odd)).encode())
        answer = b"".join(iter(lambda: sock.recv(65536), b""))

    assert answer[9:12] == b"400"
    assert "Traceback" not in machine.log.read_text()


def test_the_log_tells_of_a_request_but_nothing_of_who_sent_it_whatever_its_format(tmp_path: Path) -> None:
    everything = ("--access-logformat", "A line: %(r)s %(h)s %(a)s %(f)s %(q)s %({cookie}i)s %({http_cookie}e)s")
    headers = {"Cookie": "name=secret", "User-Agent": "secret", "Referer": "http://secret.example"}
    with serve(takes_files) as server, gunicorn(tmp_path, server, *everything) as (url, _):
        requests.get(f"{url}/signin?host=secret", headers=headers, timeout=60)
        wait_until(lambda: "A line: " in (tmp_path / "log").read_text())

    assert re.findall("A line: .*", (tmp_path / "log").read_text()) == ["A line: GET /signin HTTP/1.1 - - - - - -"]


@pytest.fixture
def conf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, Any]:
    """The names in gunicorn's configuration."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    return runpy.run_path(str(ROOT / "web/gunicorn.conf.py"))


def test_where_nothing_else_can_be_written_to_its_files_are_beside_the_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    def nowhere() -> str:
        raise FileNotFoundError

    monkeypatch.setattr("os.access", lambda path, _mode: path != "/dev/shm")
    monkeypatch.setattr("web.hosting.folders.tempfile.gettempdir", nowhere)

    conf = request.getfixturevalue("conf")

    assert conf["worker_tmp_dir"] == str(tmp_path)


LARGE_ANSWERS = """
import runpy, threading

def read() -> None:
    for size in (24, 16, 16):  # glibc keeps what is smaller than something that it gave back before
        answer = bytes([1]) * (size << 20)
        together.wait()
        del answer

runpy.run_path("web/gunicorn.conf.py")
together = threading.Barrier(8)
threads = [threading.Thread(target=read) for _ in range(8)]
for each in (threading.Thread.start, threading.Thread.join):
    for thread in threads:
        each(thread)
print(*(line.split()[1] for line in open("/proc/self/status") if line.startswith(("VmRSS", "VmHWM"))))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads figures of Linux")
def test_what_large_answers_took_is_given_back(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LARGE_ANSWERS]
    environ = os.environ | environment(tmp_path)
    told = subprocess.run(command, check=True, cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True).stdout

    most, at_the_end = map(int, told.split())
    assert most - at_the_end > 8 * 12 * 1024


def test_port_and_number_of_workers_may_stand_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = environment(tmp_path) | {"PORT": "9000", "WEB_CONCURRENCY": "7"}
    (tmp_path / ".env").write_text("\n".join(f"{name}={value}" for name, value in lines.items()))
    monkeypatch.setattr("web.environment.ROOT", tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")

    conf = runpy.run_path(str(ROOT / "web/gunicorn.conf.py"))

    assert conf["bind"][0] == "127.0.0.1:9000"
    assert conf["workers"] == 7


def test_the_first_visitors_wait_for_no_template_and_each_is_compiled_once(
    conf: dict[str, Any], alice: Visitor
) -> None:
    cache: Any = alice.app.jinja_env.cache
    cache.clear()
    files = [path for path in (ROOT / "templates").rglob("*") if path.is_file()]

    conf["post_worker_init"](SimpleNamespace(wsgi=alice.app))
    compiled = set(cache.keys())
    for path in ("/signin", "/signin/token", "/account", "/privacy", "/dashboard", "/dashboard/profile", "/nowhere"):
        alice.get(path)

    assert len(compiled) == len(files) > 20
    assert set(cache.keys()) == compiled


# What visitors can do to a connection.


def test_a_request_that_is_not_sent_to_its_end_is_read_no_further() -> None:
    browser, server = socket.socketpair()
    with browser, server:
        unreader = Unreader(server)
        unreader.ends = ended = time.monotonic() - 1

        assert unreader.chunk() == b""
        assert time.monotonic() - ended < gunicorn_worker.SILENCE_SECONDS
        with suppress(BrokenPipeError):
            browser.sendall(b"GET / HTTP/1.1\r\n\r\n")  # would be the next request
        assert server.recv(100) == b""


def test_who_falls_silent_within_a_request_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gunicorn_worker, "SILENCE_SECONDS", 0.01)
    browser, server = socket.socketpair()
    with browser, server:
        unreader = Unreader(server)
        unreader.ends = time.monotonic() + 10

        assert unreader.chunk() == b""
        assert time.monotonic() < unreader.ends
        assert server.gettimeout() == gunicorn_worker.TAKE_SECONDS  # for the answer


def test_who_sends_slowly_lets_the_others_of_the_visitor_go_on() -> None:
    visitor, began = concurrency.Visitor(lambda: None), threading.Event()
    browser, server = socket.socketpair()
    unreader = Unreader(server)
    unreader.ends = time.monotonic() + 60

    def read() -> bytes:
        with concurrency.take_turn(visitor):
            began.set()
            return unreader.chunk()

    with browser, server, ThreadPoolExecutor(1) as pool:
        reading = pool.submit(read)
        began.wait()
        with concurrency.take_turn(visitor):
            browser.sendall(b"at last")
        assert reading.result() == b"at last"


def test_what_comes_of_a_large_request_gives_it_time() -> None:
    browser, server = socket.socketpair()
    with browser, server:
        unreader = Unreader(server)
        unreader.ends = ends = time.monotonic() + 60
        browser.sendall(b"x" * 6554)

        assert unreader.chunk() == b"x" * 6554
        assert unreader.ends - ends == pytest.approx(6554 / 65536)


def test_a_slow_reader_has_time_for_each_piece() -> None:
    browser, server = socket.socketpair()
    with browser, Socket(fileno=server.detach()) as sock, ThreadPoolExecutor(1) as pool:
        sock.settimeout(2)
        sending = pool.submit(sock.sendall, bytes(3_000_000))
        received = 0
        while received < 3_000_000:
            received += len(browser.recv(60_000))
            time.sleep(0.06)
        sending.result()


@pytest.mark.parametrize("name", ["Script_Name", "X-Forwarded-Proto", "X-Forwarded-Ssl"])
def test_what_a_proxy_would_say_counts_for_nothing_where_none_is_trusted(url: str, name: str) -> None:
    """Not even from the machine itself, where a proxy would pass on what strangers sent."""
    said = {"Script_Name": "/how", "X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "on"}

    page = requests.get(f"{url}/how-it-works", headers={name: said[name]}, timeout=60).text

    assert f"GET {url}/callback?session=" in page
    assert 'href="/privacy"' in page


@pytest.mark.parametrize("headers", [{f"X-{number}": "x" for number in range(70)}, {"Cookie": "x" * 17_000}])
def test_the_head_of_a_request_has_a_largest_size(url: str, headers: dict[str, str]) -> None:
    assert requests.get(f"{url}/healthz", headers=headers, timeout=60).status_code in (400, 431)


def ask(url: str, address: str) -> bytes:
    """Ask for a page from another address of this machine; return how the answer begins."""
    with connect(url, address) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return sock.recv(15)


def connect(url: str, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", urlsplit(url).port or 0), 30, source_address=(address, 0))


on_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of the machine")


@on_linux
def test_one_address_can_not_take_all_connections(url: str) -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(connect(url, "127.2.0.2")) for _ in range(130)]
        closed = [sock for sock in taken[120:] if sock.recv(1) == b""]

        assert len(closed) == 10
        assert ask(url, "127.2.1.3") == b"HTTP/1.1 200 OK"
        for sock in taken[:120]:
            sock.close()
        while ask_or_nothing(url, "127.2.0.2") != b"HTTP/1.1 200 OK":  # until the worker has noticed
            time.sleep(0.05)


@pytest.mark.parametrize(("proxies", "most"), [("0", 120), ("1", math.inf)])
def test_behind_a_proxy_all_have_its_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxies: str, most: float
) -> None:
    for name, value in environment(tmp_path, TRUSTED_PROXIES=proxies).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Worker, "max_connections", math.inf)

    runpy.run_path(str(ROOT / "web/gunicorn.conf.py"))
    assert Worker.max_connections == most


@on_linux
def test_a_network_can_not_take_all_connections_either(url: str) -> None:
    with ExitStack() as stack:
        taken = [stack.enter_context(connect(url, f"127.3.0.{2 + number // 120}")) for number in range(480)]
        for sock in taken:
            sock.setblocking(False)

        assert ask_or_nothing(url, "127.3.0.9") == b""
        assert ask(url, "127.3.1.9") == b"HTTP/1.1 200 OK"
        with pytest.raises(BlockingIOError):  # all others are open
            taken[-1].recv(1)


def test_threads_are_left_when_a_network_holds_all_that_it_may(conf: dict[str, Any]) -> None:
    """Who has begun a request holds a thread; with a proxy in between, that is the proxy."""
    assert Worker.max_connections * gunicorn_worker.ADDRESSES < conf["threads"]


@on_linux
def test_who_says_nothing_holds_no_thread(machine: machines.Machine) -> None:
    """Else those of a few networks would keep all threads waiting, and then everybody else."""
    before = threads_of(machine.pid)
    with ExitStack() as stack:
        for number in range(300):
            stack.enter_context(connect(machine.url, f"127.5.{number // 100}.2"))
        assert ask(machine.url, "127.0.0.1") == b"HTTP/1.1 200 OK"  # so the others were let in before

        assert threads_of(machine.pid) < before + 100


def threads_of(pid: int) -> int:
    found = re.search(r"^Threads:\t(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found
    return int(found[1])


def silence(folder: Path, seconds: float) -> tuple[str, str]:
    """Options for gunicorn, with which whoever says nothing may stay for so long."""
    limit = f"import web.hosting.gunicorn_worker as worker; worker.SILENCE_SECONDS = {seconds}\n"
    (folder / "conf.py").write_text(f"{limit}exec(open('web/gunicorn.conf.py').read())")
    return "-c", str(folder / "conf.py")


def test_who_says_nothing_for_long_is_not_waited_for(tmp_path: Path) -> None:
    with (
        serve(silent) as server,
        gunicorn(tmp_path, server, *silence(tmp_path, 0.1)) as (url, _),
        connect(url, "127.0.0.1") as sock,
    ):
        assert sock.recv(1) == b""


def test_who_says_nothing_does_not_hold_up_the_end(tmp_path: Path) -> None:
    """Browsers open connections that they may need later."""
    for_long = (*silence(tmp_path, 1000), "--graceful-timeout", "1000")
    with serve(silent) as server, ExitStack() as stack:
        with gunicorn(tmp_path, server, *for_long) as (url, _):
            sock = stack.enter_context(connect(url, "127.0.0.1"))
            assert ask(url, "127.0.0.1") == b"HTTP/1.1 200 OK"  # so the other was let in before

        assert sock.recv(1) == b""


@on_linux
def test_who_can_not_be_let_in_for_want_of_files_is_told_of_in_the_log(tmp_path: Path) -> None:
    with serve(silent) as server, gunicorn(tmp_path, server) as (url, worker), ExitStack() as stack:
        assert ask(url, "127.0.0.3") == b"HTTP/1.1 200 OK"  # so it has all files open that it needs
        _, most = resource.prlimit(worker, resource.RLIMIT_NOFILE)
        open_files = len(list(Path(f"/proc/{worker}/fd").iterdir()))
        resource.prlimit(worker, resource.RLIMIT_NOFILE, (open_files + 5, most))
        for _ in range(20):
            stack.enter_context(connect(url, "127.0.0.2"))
        wait_until(lambda: "can't open more files" in (tmp_path / "log").read_text())

        resource.prlimit(worker, resource.RLIMIT_NOFILE, (open_files + 100, most))
        assert ask(url, "127.0.0.3") == b"HTTP/1.1 200 OK"

    assert (tmp_path / "log").read_text().count("can't open more files") == 1


def ask_or_nothing(url: str, address: str) -> bytes:
    try:
        return ask(url, address)
    except ConnectionError:
        return b""


@on_linux
def test_who_does_not_hang_up_keeps_nobody_waiting(url: str) -> None:
    """gunicorn would wait two seconds for each of them, one after the other."""
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with ExitStack() as stack:
        lingering = [stack.enter_context(connect(url, "127.4.0.2")) for _ in range(40)]
        for sock in lingering:
            sock.sendall(last)
        for sock in lingering:
            assert sock.recv(15) == b"HTTP/1.1 200 OK"

        assert ask(url, "127.4.1.3") == b"HTTP/1.1 200 OK"  # within its time-out


def test_requests_that_wait_for_no_answer_are_all_answered(url: str) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    with connect(url, "127.0.0.1") as sock:
        sock.sendall(one % b"" * 50 + one % b"Connection: close\r\n")
        answers = b""
        while received := sock.recv(65536):
            answers += received

    assert answers.count(b"HTTP/1.1 200 OK") == 51


@pytest.mark.parametrize(
    ("connections", "read_ahead", "alive", "expected"),
    [
        (1, b"", True, True),
        (2, b"", True, False),  # the other threads may be needed
        (1, b"GET", True, False),  # gunicorn goes on with that
        (1, b"", False, False),
    ],
)
def test_a_thread_waits_for_the_next_request_only_where_that_harms_nobody(
    connections: int, read_ahead: bytes, alive: bool, expected: bool
) -> None:
    worker = Worker.__new__(Worker)
    worker.alive, worker.nr_conns, worker.cfg = alive, connections, SimpleNamespace(threads=4)
    visitor, sock = socket.socketpair()
    unreader = SimpleNamespace(buf=BytesIO(read_ahead))
    with visitor, sock:
        visitor.send(b"GET / HTTP/1.1")

        comes_soon = worker.comes_soon(
            cast(Connection, SimpleNamespace(parser=SimpleNamespace(unreader=unreader), sock=sock))
        )

    assert comes_soon is expected


def test_connections_are_answered_whether_their_thread_waits_for_them_or_not(tmp_path: Path) -> None:
    with serve(takes_files) as server, gunicorn(tmp_path, server, "--threads", "4") as (url, _):
        address = ("127.0.0.1", urlsplit(url).port or 0)
        with socket.create_connection(address) as first, socket.create_connection(address) as second:
            for visitor in (first, second, first, first, second):
                visitor.sendall(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert visitor.recv(12) == b"HTTP/1.1 200"
                while not visitor.recv(10_000).endswith(b"ok\n"):
                    pass


@on_linux
def test_who_comes_while_it_ends_is_refused_at_once(tmp_path: Path) -> None:
    """A proxy can ask another machine then, rather than wait for the last answer under way."""
    with (
        serve(silent) as server,
        gunicorn(tmp_path, server, "--graceful-timeout", "60") as (url, worker),
        ThreadPoolExecutor(1) as pool,
    ):
        browser = requests.Session()
        form = {"csrf_token": csrf_token(browser, url), "host": server.origin}
        under_way = pool.submit(browser.post, f"{url}/signin", form, allow_redirects=False)
        wait_until(lambda: server.connections)
        (main,) = re.findall(r"^PPid:\t(\d+)", Path(f"/proc/{worker}/status").read_text(), re.MULTILINE)

        os.kill(int(main), signal.SIGTERM)

        wait_until(lambda: is_refused(url))
        assert not under_way.done()
        server.close()  # whose visitor has an answer now
        assert under_way.result().status_code == 502


def is_refused(url: str) -> bool:
    try:
        connect(url, "127.0.0.1").close()
    except ConnectionRefusedError:
        return True
    return False
