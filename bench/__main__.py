"""What pages cost in processor time, beside the shortest possible app, and how soon a slow server's dashboard is whole.

All in one run, so that ratios can be compared.
"""

from __future__ import annotations

import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import requests
from flask.testing import FlaskClient
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from app import create_app
from bench import panels, shortest

ROUNDS = 100
LIMIT_MILLISECONDS = 10.0


@contextmanager
def sandbox() -> Iterator[str]:
    """Yield the origin of a sandbox in another process: its time does not count."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "sandbox", "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            origin = f"http://127.0.0.1:{port}"
            with requests.Session() as session:
                session.mount(origin, HTTPAdapter(max_retries=Retry(10, backoff_factor=0.1)))
                session.get(origin, timeout=10)
            yield origin
        finally:
            process.terminate()


def cost(act: Callable[[], object]) -> float:
    """Return the milliseconds of processor time that ``act`` takes, without the time spent waiting."""
    began = time.process_time()
    act()
    return (time.process_time() - began) * 1000


def begin(client: FlaskClient, origin: str) -> str:
    """Begin a sign-in, allow it at the server, and return its session id."""
    page = client.get("/signin").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', page)
    form = {"host": origin, "csrf_token": token[1] if token else ""}
    session_id = urlsplit(client.post("/signin", data=form).location).path.rpartition("/")[2]
    allow = {"i": "aliceNativeToken", "session": session_id, "name": "bench", "permission": ["read:account"]}
    requests.post(f"{origin}/api/miauth/gen-token", json=allow, timeout=10).raise_for_status()
    return session_id


def measure(make_client: Callable[[], FlaskClient], origin: str) -> dict[str, float]:
    """Return the median cost of the home page and of the callback, each for a new visitor."""
    home, callback = [], []
    for _ in range(ROUNDS):
        client = make_client()
        home.append(cost(lambda client=client: client.get("/")))  # type: ignore[misc]
        session_id = begin(client, origin)
        callback.append(cost(lambda client=client, path=f"/callback?session={session_id}": client.get(path)))  # type: ignore[misc]
    return {"home page": statistics.median(home), "callback": statistics.median(callback)}


def main() -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder, sandbox() as origin:
        settings = {
            "MIAUTH_SECRET_KEY": "k" * 32,
            "MIAUTH_PRIVATE_SERVERS": origin,
            "MIAUTH_PUBLIC_URL": "http://localhost",
            "MIAUTH_TOKEN_STORE": f"sqlite:///{folder}/tokens.sqlite3",
            "MIAUTH_SIGNIN_LIMIT": "100000 per minute",
        }
        this = measure(create_app(settings).test_client, origin)
        other = measure(shortest.create_app(origin).test_client, origin)
        whole = panels.measure(settings)
        print(f"Processor time without waiting, median of {ROUNDS}\n")
    print(f"{'':12}{'this app':>12}{'shortest':>12}{'ratio':>8}")
    for name, value in this.items():
        print(f"{name:12}{value:9.1f} ms{other[name]:9.1f} ms{value / other[name]:8.1f}")
    print(told(max(this.values()), LIMIT_MILLISECONDS))
    print(f"\nSix panels whose calls take 200 ms each, from the shell to the last of them: {whole:.0f} ms")
    print(told(whole, panels.LIMIT_MILLISECONDS))


def told(milliseconds: float, limit: float) -> str:
    """Return in words whether a limit was kept."""
    return f"\nThe limit is {limit:.0f} ms: {'kept' if milliseconds <= limit else 'EXCEEDED'}."


if __name__ == "__main__":
    main()
