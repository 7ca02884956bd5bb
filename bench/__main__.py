"""What pages cost in processor time, how soon a slow server's dashboard is whole, what a bystander notices of attacks.

All in one run, so that ratios can be compared. ``python -m bench bystander flood cookies`` measures two attacks only.
"""

from __future__ import annotations

import argparse
import re
import shlex
import statistics
import tempfile
import time
from collections.abc import Callable

from flask.testing import FlaskClient

from app import create_app
from bench import bystander, hosting, panels, shortest
from bench.attacks import ATTACKS
from tests.cast import environment

ROUNDS = 100
LIMIT_MILLISECONDS = 10.0


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
    return hosting.allow(origin, client.post("/signin", data=form).location)


def measure(make_client: Callable[[], FlaskClient], origin: str) -> dict[str, float]:
    """Return the median cost of the home page and of the callback, each for a new visitor."""
    home, callback = [], []
    for _ in range(ROUNDS):
        client = make_client()
        home.append(cost(lambda client=client: client.get("/")))  # type: ignore[misc]
        session_id = begin(client, origin)
        callback.append(cost(lambda client=client, path=f"/callback?session={session_id}": client.get(path)))  # type: ignore[misc]
    return {"home page": statistics.median(home), "callback": statistics.median(callback)}


def pages() -> None:
    """Print what pages cost, and how soon a dashboard is whole."""
    with tempfile.TemporaryDirectory() as folder, hosting.sandbox() as origin:
        settings = environment(folder, PRIVATE_SERVERS=origin, SIGNIN_LIMIT="100000 per minute")
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
    return f"\nThe limit is {limit:.0f} ms: {'kept' if milliseconds <= limit else 'EXCEEDED'}.\n"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("table", nargs="?", choices=["bystander"], help="this table only")
    parser.add_argument("attacks", nargs="*", help=f"only these: {', '.join(ATTACKS)}")
    parser.add_argument("--seconds", type=float, default=bystander.SECONDS, help="how long each attack takes")
    parser.add_argument("--gunicorn", default="", help="further arguments, as in --gunicorn='--threads 100'")
    options = parser.parse_args()
    if unknown := set(options.attacks) - set(ATTACKS):
        parser.error(f"no such attack: {', '.join(unknown)}")
    if not options.table:
        pages()
    bystander.table(options.attacks, shlex.split(options.gunicorn), options.seconds)


if __name__ == "__main__":
    main()
