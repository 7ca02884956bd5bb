"""A worker that is killed while people are there: what it was answering is lost, and nothing else."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from urllib.parse import urlsplit

import requests

from sandbox import Running
from tests.cast import FIRST_PAGE, wait_until
from tests.web.test_behind_nginx import allow, begin
from tests.web.test_gunicorn import gunicorn

VISITORS = 8
SECONDS = 60


class Load:
    """Visitors who ask for a page again and again."""

    def __init__(self, url: str) -> None:
        self.url, self.answered, self.lost = f"{url}/signin", [0] * VISITORS, [0] * VISITORS
        self.wrong: list[int] = []
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self.ask, args=(number,)) for number in range(VISITORS)]

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        for thread in self.threads:
            thread.join()

    def ask(self, number: int) -> None:
        while not self.enough.is_set():
            try:
                answer = requests.get(self.url, timeout=SECONDS)
            except (requests.ConnectionError, requests.exceptions.ChunkedEncodingError):  # the second within an answer
                self.lost[number] += 1
                continue
            if answer.status_code != 200:
                self.wrong.append(answer.status_code)
            self.answered[number] += 1

    def goes_on(self) -> None:
        """Wait until everybody has been answered again."""
        before = list(self.answered)
        wait_until(lambda: all(now > then + 1 for now, then in zip(self.answered, before, strict=True)))


def test_only_requests_under_way_are_lost(tmp_path: Path, sandbox: Running) -> None:
    log, browser, signed_in = tmp_path / "log", requests.Session(), requests.Session()
    with gunicorn(tmp_path, sandbox, workers=2) as (url, worker):
        finished = begin(signed_in, url, sandbox)
        allow(sandbox, finished)
        signed_in.get(f"{url}/callback?session={finished}", timeout=SECONDS)
        session_id = begin(browser, url, sandbox)
        with Load(url) as load:
            load.goes_on()

            os.kill(worker, signal.SIGKILL)

            wait_until(lambda: log.read_text().count("Booting worker") == 3)
            load.goes_on()
            pages = [
                requests.get(f"{url}/dashboard", cookies=signed_in.cookies, timeout=SECONDS)  # at whichever worker
                for _ in range(20)
            ]
        allow(sandbox, session_id)
        callback = browser.get(f"{url}/callback?session={session_id}", timeout=SECONDS)

    assert max(load.lost) <= 1
    assert not load.wrong
    assert urlsplit(callback.url).path == FIRST_PAGE
    assert {urlsplit(page.url).path for page in pages} == {"/dashboard"}
