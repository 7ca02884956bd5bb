"""Several machines of the app, as gunicorn serves it on each, behind one public address and with one Redis."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests

from sandbox import Running, serve
from tests.cast import FIRST_PAGE, NATIVE_TOKENS, environment
from tests.ports import free_port
from tests.redis_server import LASTING, RedisServer, running

ROOT = Path(__file__).parents[1]
PUBLIC_URL = "http://localhost:9"  # where a proxy would be that leads to one machine or the other
START_SECONDS = 60
SIGNIN_LIMIT = 10


@dataclass
class Machine:
    """One process of the app."""

    port: int
    log: Path
    pid: int

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


@dataclass
class Machines:
    """The machines, the Redis that they share, and a Misskey server."""

    each: list[Machine]
    redis: RedisServer
    sandbox: Running


@contextmanager
def gunicorn(folder: Path, port: int, *options: str, workers: int = 1, **settings: str) -> Iterator[Machine]:
    """Serve the app until the block ends; settings are given without their prefix."""
    env = os.environ | environment(folder, **settings) | {"PORT": str(port), "WEB_CONCURRENCY": str(workers)}
    command = [sys.executable, "-m", "gunicorn", "-c", "web/gunicorn.conf.py", *options, "app:create_app()"]
    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=output, stderr=output)
        try:
            while len(booted := re.findall(r"Booting worker with pid: (\d+)", log.read_text())) < workers:
                assert process.poll() is None, f"gunicorn ended with {process.returncode}: {log.read_text()}"
                time.sleep(0.02)
            yield Machine(port, log, int(booted[0]))
        finally:
            process.terminate()
            process.wait(60)


@contextmanager
def two_machines(folder: Path) -> Iterator[Machines]:
    """Run two machines, with a Redis that keeps what it is given."""
    folders = [folder / name for name in ("redis", "one", "two")]
    for made in folders:
        made.mkdir()
    with ExitStack() as stack:
        redis = stack.enter_context(running(folders[0], *LASTING))
        sandbox = stack.enter_context(serve())
        settings: dict[str, Any] = {
            "PUBLIC_URL": PUBLIC_URL,
            "TOKEN_STORE": redis.url,
            "PRIVATE_SERVERS": sandbox.origin,
        }
        settings["SIGNIN_LIMIT"] = f"{SIGNIN_LIMIT} per minute"
        each = [stack.enter_context(gunicorn(place, free_port(), **settings)) for place in folders[1:]]
        for machine in each:
            wait_until_ready(machine)
        yield Machines(each, redis, sandbox)


def wait_until_ready(machine: Machine) -> None:
    """Return when a machine says that it can do its work."""
    deadline = time.monotonic() + START_SECONDS
    while requests.get(f"{machine.url}/readyz", timeout=60).status_code != 200:
        assert time.monotonic() < deadline, machine.log.read_text()
        time.sleep(0.05)


@dataclass
class Browser:
    """A browser that a proxy leads to whichever machine."""

    sandbox: Running
    session: requests.Session = field(default_factory=requests.Session)

    def ask(self, machine: Machine, method: str, path: str, **options: Any) -> requests.Response:
        headers = {"Host": urlsplit(PUBLIC_URL).netloc}
        return self.session.request(
            method, machine.url + path, headers=headers, allow_redirects=False, timeout=60, **options
        )

    def get(self, machine: Machine, path: str) -> requests.Response:
        return self.ask(machine, "GET", path)

    def post(self, machine: Machine, path: str, **form: object) -> requests.Response:
        """Send a form as a page of this machine would."""
        return self.ask(machine, "POST", path, data={"csrf_token": self.csrf_token(machine), **form})

    def csrf_token(self, machine: Machine) -> str:
        found = re.search(r'name="csrf_token" value="([^"]+)"', self.get(machine, "/signin").text)
        assert found
        return found[1]

    def begin(self, machine: Machine) -> str:
        """Begin a sign-in, allow it as Alice and return its session id."""
        begun = self.post(machine, "/signin", host=self.sandbox.origin, permission="read:account")
        assert begun.status_code == 303, begun.text
        session_id = urlsplit(begun.headers["Location"]).path.rpartition("/")[2]
        allowed = {"i": NATIVE_TOKENS["alice"], "session": session_id, "permission": ["read:account", "write:notes"]}
        requests.post(f"{self.sandbox.origin}/api/miauth/gen-token", json=allowed, timeout=60).raise_for_status()
        return session_id

    def sign_in(self, machine: Machine) -> None:
        """Go the whole way on one machine."""
        answer = self.get(machine, f"/callback?session={self.begin(machine)}")
        assert answer.headers["Location"] == FIRST_PAGE

    def twin(self) -> Browser:
        """The same browser, in another tab."""
        twin = Browser(self.sandbox)
        twin.session.cookies.update(self.session.cookies)
        return twin
