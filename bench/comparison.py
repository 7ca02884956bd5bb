"""What pages cost, beside the shortest app for the same journey: both under gunicorn, in turns, at one server over TLS.

Processor time is that of the workers, from the system's own accounting. Needs Linux.
"""

from __future__ import annotations

import math
import re
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import count, cycle
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.fast_server import FastServer, fast_server
from bench.hosting import PERMISSIONS, Hosted, Visitor, hosted
from tests.cast import environment

ROUNDS, VISITORS = 12, 25
WARM_UP = 2  # rounds that do not count
LOAD_SECONDS, LOAD_THREADS = 3.0, 8
NAIVE = ("-k", "gthread", "-w", "2", "--threads", "8", "bench.naive:create_app()")
#: How much of the shortest app's time each page may take.
BAR = {"home": 1.5, "begin a sign-in": 1.5, "callback": 0.4, "a panel": 0.4}
PATHS = {"home": "/", "a panel": "/dashboard/profile", "/healthz": "/healthz"}
HEADERS = {"Accept-Encoding": "br, gzip", "HX-Request": "true"}


@dataclass
class App:
    """One of the two apps, and what was measured of it, by the page."""

    hosted: Hosted
    server: FastServer
    cost: dict[str, list[float]] = field(default_factory=dict)  # milliseconds of processor time
    latency: dict[str, list[float]] = field(default_factory=dict)  # milliseconds
    connections: dict[str, list[float]] = field(default_factory=dict)  # opened, for each call to the server
    people: Iterator[int] = field(default_factory=lambda: count(256))

    def visitor(self) -> Visitor:
        """Return somebody new, with an address of their own."""
        number = next(self.people)
        return Visitor(self.hosted.url, f"127.0.{number // 250}.{1 + number % 250}")

    def forget(self) -> None:
        """Forget what was measured until now."""
        self.cost, self.latency, self.connections = {}, {}, {}

    def round(self) -> list[Visitor]:
        """Have some visitors sign in, each page being asked for by all of them before the next one."""
        visitors = [self.visitor() for _ in range(VISITORS)]
        pages = self._page("home", [partial(ask, visitor, "/") for visitor in visitors])
        forms = [{"host": self.server.origin} | csrf_token(page) for page in pages]
        begun = self._page(
            "begin a sign-in",
            [partial(begin, *pair) for pair in zip(visitors, forms, strict=True)],
        )
        back = [f"/callback?session={session_id}" for session_id in begun]
        self._page("callback", [partial(ask, *pair) for pair in zip(visitors, back, strict=True)])
        self._page("a panel", [partial(ask, visitor, PATHS["a panel"]) for visitor in visitors])
        return visitors

    def healthz(self) -> None:
        """Ask for the shortest page, over a connection that stays open: to open one costs more."""
        self._page("/healthz", [partial(ask, self.visitor(), "/healthz")] * VISITORS)

    def per_second(self, page: str, visitors: list[Visitor]) -> float:
        """Return how many requests are answered in a second, when some visitors ask all the time."""
        over, answered = threading.Event(), count()

        def go_on(own: list[Visitor]) -> None:
            for visitor in cycle(own):  # by turns, so that nobody comes to a rate limit
                if over.is_set():
                    return
                ask(visitor, PATHS[page])
                next(answered)

        each = [visitors[number::LOAD_THREADS] for number in range(LOAD_THREADS)]
        threads = [threading.Thread(target=go_on, args=(own,)) for own in each if own]
        for thread in threads:
            thread.start()
        over.wait(LOAD_SECONDS)
        over.set()
        for thread in threads:
            thread.join()
        return next(answered) / LOAD_SECONDS

    def _page(self, name: str, requests: list[Callable[[], Any]]) -> list[Any]:
        answers, latency = [], self.latency.setdefault(name, [])
        cost, connections, calls = self._used(), self.server.connections.value, self.server.calls.value
        for request in requests:
            began = time.perf_counter()
            answers.append(request())
            latency.append((time.perf_counter() - began) * 1000)
        self.cost.setdefault(name, []).append((self._used() - cost) * 1000 / len(requests))
        if called := self.server.calls.value - calls:
            opened = self.server.connections.value - connections
            self.connections.setdefault(name, []).append(opened / called)
        return answers

    def _used(self) -> float:
        """Return the seconds of processor time that the workers have used."""
        workers = Path(f"/proc/{self.hosted.pid}/task/{self.hosted.pid}/children").read_text().split()
        return sum(time.clock_gettime(~int(pid) << 3 | 2) for pid in workers)  # the clock of another process


def ask(visitor: Visitor, path: str) -> str:
    """Return a page."""
    answer = visitor.browser.get(visitor.url + path, headers=HEADERS, allow_redirects=False, timeout=60)
    if answer.status_code not in (200, 302, 303):
        raise OSError(f"{path.partition('?')[0]} was answered with {answer.status_code}.")
    return answer.text


def begin(visitor: Visitor, form: dict[str, str]) -> str:
    """Begin a sign-in; return its session id."""
    answer = visitor.browser.post(f"{visitor.url}/signin", data=form, allow_redirects=False, timeout=60)
    if answer.status_code not in (302, 303):
        raise OSError(f"A sign-in was answered with {answer.status_code}.")
    return urlsplit(answer.headers["Location"]).path.rpartition("/")[2]


def csrf_token(page: str) -> dict[str, str]:
    """Return the field that keeps other sites out, where a page has one."""
    return {"csrf_token": found[1]} if (found := re.search('name="csrf_token" value="([^"]+)"', page)) else {}


@contextmanager
def both() -> Iterator[tuple[App, App]]:
    """Yield this app and the shortest one, both served as they would be, at the same server."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = stack.enter_context(fast_server(folder))
        settings = environment(
            folder, PRIVATE_SERVERS=server.origin, SIGNIN_LIMIT="100000 per minute", PERMISSIONS=" ".join(PERMISSIONS)
        )
        settings |= {"REQUESTS_CA_BUNDLE": str(server.certificates), "WEB_CONCURRENCY": "2"}
        ours, naive = stack.enter_context(hosted(settings)), stack.enter_context(hosted(settings, app=NAIVE))
        yield App(ours, server), App(naive, server)


def measure() -> tuple[App, App, dict[str, tuple[float, float]]]:
    """Return both apps, measured in turns, and how many requests per second each answers, by the page."""
    with both() as (ours, naive):
        people, others = ours.round(), naive.round()
        for number in range(WARM_UP + ROUNDS):
            if number == WARM_UP:
                ours.forget()
                naive.forget()
            people, others = ours.round(), naive.round()
            ours.healthz()
            naive.healthz()
        load = {"a panel": (ours.per_second("a panel", people), naive.per_second("a panel", others))}
    return ours, naive, load


HEAD = f"""Beside the shortest app for the same journey (bench/naive.py): gunicorn, 2 workers, a fast server over TLS

{"":18}{"processor time, ms":>32}{"latency, ms":>20}{"connections a call":>20}{"a second":>18}
{"":18}{"this":>8}{"shortest":>10}{"ratio":>7}{"bar":>7}{("this".rjust(10) + "shortest".rjust(10)) * 2}"""
HEAD += f"{'this':>8}{'shortest':>10}"


def table() -> None:
    """Print what was measured."""
    ours, naive, load = measure()
    print(HEAD)
    for page in ours.cost:
        row = [f"{page:18}"]
        cost, other = (statistics.median(app.cost.get(page, [math.nan])) for app in (ours, naive))
        row.append(f"{cost:8.2f}{other:10.2f}{cost / other:7.2f}{BAR.get(page, math.nan):7.1f}")
        row.append("".join(f"{statistics.median(app.latency.get(page, [math.nan])):10.1f}" for app in (ours, naive)))
        row.append("".join(f"{statistics.mean(app.connections.get(page, [math.nan])):10.2f}" for app in (ours, naive)))
        row.append("{:8.0f}{:10.0f}".format(*load.get(page, (math.nan, math.nan))))
        print("".join(row).replace("nan", "  –"))
