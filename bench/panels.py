"""How soon a dashboard is whole when every call to the server takes 200 ms: the app as it is hosted, over sockets."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import requests

from bench.hosting import Visitor, hosted
from sandbox import Misbehaviour, serve

ROUNDS = 20
SLOW_SECONDS = 0.2
LIMIT_MILLISECONDS = 300.0
#: Six, as many as a browser asks for at once.
PANELS = ("profile", "server", "timeline", "timeline?which=local", "notifications", "drive")


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
        hosted({**settings, "MIAUTH_PRIVATE_SERVERS": server.origin}) as app,
        ThreadPoolExecutor(len(PANELS)) as pool,
    ):
        visitor = Visitor(app.url)
        visitor.sign_in(server.origin)
        server.world.misbehaviour, server.world.slow_seconds = Misbehaviour.SLOW, SLOW_SECONDS
        return statistics.median(load(visitor.browser, app.url, pool) for _ in range(ROUNDS))
