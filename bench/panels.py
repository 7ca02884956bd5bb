"""How soon a dashboard is whole when every call to the server takes 200 ms: the app as it is hosted, over sockets."""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from misskey import DEMO
from sandbox import Misbehaviour, Running, serve

ROUNDS = 20
SLOW_SECONDS = 0.2
LIMIT_MILLISECONDS = 300.0
#: Six, as many as a browser asks for at once.
PANELS = ("profile", "server", "timeline", "timeline?which=local", "notifications", "drive")


@contextmanager
def hosted(settings: Mapping[str, str]) -> Iterator[str]:
    """Yield the address of the app under gunicorn, in processes of its own."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://localhost:{port}"
    environ = {**settings, "MIAUTH_PUBLIC_URL": url, "PORT": str(port)}
    command = [
        sys.executable,
        "-m",
        "gunicorn",
        "-c",
        "web/gunicorn.conf.py",
        "--log-level",
        "error",
        "app:create_app()",
    ]
    with subprocess.Popen(command, env=environ, stdout=subprocess.DEVNULL) as process:
        try:
            with requests.Session() as session:
                session.mount(url, HTTPAdapter(max_retries=Retry(20, backoff_factor=0.1)))
                session.get(f"{url}/healthz", timeout=10).raise_for_status()
            yield url
        finally:
            process.terminate()


def sign_in(browser: requests.Session, url: str, server: Running) -> None:
    """Sign in as alice."""
    token = re.findall('name="csrf_token" value="([^"]+)"', browser.get(f"{url}/signin").text)[0]
    form = {"host": server.origin, "csrf_token": token}
    begun = browser.post(f"{url}/signin", data=form, allow_redirects=False)
    session_id = urlsplit(begun.headers["Location"]).path.rpartition("/")[2]
    server.world.approve(server.world.people["alice"], DEMO, session_id, "bench")
    browser.get(f"{url}/callback", params={"session": session_id}).raise_for_status()


def load(browser: requests.Session, url: str, pool: ThreadPoolExecutor) -> float:
    """Return the milliseconds from the shell to the last of the panels."""
    browser.get(f"{url}/dashboard").raise_for_status()
    began = time.perf_counter()
    for answer in pool.map(
        lambda panel: browser.get(f"{url}/dashboard/{panel}", headers={"HX-Request": "true"}), PANELS
    ):
        answer.raise_for_status()
    return (time.perf_counter() - began) * 1000


def measure(settings: Mapping[str, str]) -> float:
    """Return the median of the milliseconds from the shell to a whole dashboard, at a server that takes its time."""
    with (
        serve() as server,
        hosted({**settings, "MIAUTH_PRIVATE_SERVERS": server.origin}) as url,
        requests.Session() as browser,
        ThreadPoolExecutor(len(PANELS)) as pool,
    ):
        sign_in(browser, url, server)
        server.world.misbehaviour, server.world.slow_seconds = Misbehaviour.SLOW, SLOW_SECONDS
        return statistics.median(load(browser, url, pool) for _ in range(ROUNDS))
