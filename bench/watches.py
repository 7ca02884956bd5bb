"""What watches an app while it is attacked: requests on schedule, its workers, sign-ins."""

from __future__ import annotations

import math
import re
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Self

from bench.hosting import MAX_SECONDS, Hosted, Visitor

EVERY_SECONDS = 0.05


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest of ``values`` that at least so many percent of them don't exceed."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


class _Watch:
    """Does something in a thread of its own, as long as the block lasts."""

    def __init__(self) -> None:
        self.over = threading.Event()
        self._thread = threading.Thread(target=self.run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self._thread.join()

    def run(self) -> None:
        raise NotImplementedError


class Series(_Watch):
    """Asks on schedule, whatever became of the last request; ``waited`` is in milliseconds since it was to be asked.

    So a standstill counts as long as it is. ``ask`` gets the number of the request and tells whether it was answered.
    """

    def __init__(self, ask: Callable[[int], bool]) -> None:
        super().__init__()
        self.waited: list[float] = []
        self._ask = ask

    def run(self) -> None:
        began, threads = time.perf_counter(), list[threading.Thread]()
        for number in count():
            due = began + number * EVERY_SECONDS
            if self.over.wait(max(due - time.perf_counter(), 0)):
                break
            threads.append(threading.Thread(target=self._measure, args=(number, due)))
            threads[-1].start()
        for thread in threads:
            thread.join()

    def _measure(self, number: int, due: float) -> None:
        answered = False
        with suppress(OSError):
            answered = self._ask(number)
        self.waited.append((time.perf_counter() - due if answered else MAX_SECONDS) * 1000)


class Workers(_Watch):
    """How large the processes became that serve the app, and whether one was replaced."""

    def __init__(self, app: Hosted) -> None:
        super().__init__()
        self.mebibytes, self.replaced = 0.0, threading.Event()
        self._children = Path(f"/proc/{app.pid}/task/{app.pid}/children")

    def run(self) -> None:
        first = self._children.read_text()
        while not self.over.wait(0.25):
            now = self._children.read_text()
            if now != first:
                self.replaced.set()
            for worker in now.split():
                with suppress(OSError):  # it has just ended
                    sizes = re.findall(r"^Pss:\s+(\d+)", Path(f"/proc/{worker}/smaps_rollup").read_text(), re.MULTILINE)
                    self.mebibytes = max(self.mebibytes, *(int(size) / 1024 for size in sizes), 0)


class SignIns(_Watch):
    """Signs in at a healthy server again and again, each time as a new visitor; how many seconds each took.

    It should close each connection, so that its name is looked up every time.
    """

    def __init__(self, url: str, origin: str) -> None:
        super().__init__()
        self.seconds: list[float] = []
        self.failed = 0
        self._url, self._origin = url, origin

    def run(self) -> None:
        for number in count():
            began = time.perf_counter()
            try:
                Visitor(self._url, f"127.0.4.{1 + number % 250}").sign_in(self._origin)
                self.seconds.append(time.perf_counter() - began)
            except OSError:
                self.failed += 1
            if self.over.wait(0.5):
                return
