"""The measurements measure what they say, and the attacks among them reach the app."""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from socket import socket

import pytest

from bench import bystander, watches
from bench.attacks import ATTACKS
from bench.hosting import MAX_SECONDS, Hosted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs many addresses on one machine, and /proc")


def test_a_percentile_is_the_value_that_so_many_do_not_exceed() -> None:
    """Of a hundred values, one may be longer than the 99th percentile."""
    assert watches.percentile([*[1.0] * 99, 50.0], 99) == 1
    assert watches.percentile([*[1.0] * 98, 7.0, 50.0], 99) == 7
    assert watches.percentile([3.0, 1.0, 2.0], 50) == 2
    assert watches.percentile([3.0, 1.0, 2.0], 100) == 3


def test_a_standstill_counts_as_long_as_it_is() -> None:
    """While nothing is answered, a request comes on schedule all the same, and each waits until the standstill ends."""
    moves = threading.Event()

    def stand_still(number: int) -> bool:
        if number == 10:
            moves.set()
        return moves.wait(MAX_SECONDS)

    with watches.Series(stand_still) as series:
        moves.wait(MAX_SECONDS)
    assert sorted(series.waited)[-10:] >= [n * watches.EVERY_SECONDS * 1000 for n in range(1, 11)]


def test_no_answer_counts_as_the_longest() -> None:
    """A refusal is quick and still no answer, and so is a connection that breaks."""

    def refuse(number: int) -> bool:
        asked.release()
        if number % 2:
            raise ConnectionResetError
        return False

    asked = threading.Semaphore(0)
    with watches.Series(refuse) as series:
        for _ in range(4):
            asked.acquire(timeout=MAX_SECONDS)
    assert set(series.waited) == {MAX_SECONDS * 1000}


def test_a_row_tells_what_was_measured() -> None:
    """With nobody attacking, everything is answered, and compared with itself the bar is kept."""
    row = bystander.measure("nothing", seconds=1)
    assert row.missed(row) == []
    assert row.workers.mebibytes > 10
    assert max(row.page.waited + row.panel.waited) < MAX_SECONDS * 1000


@pytest.fixture(scope="module")
def place() -> Iterator[tuple[Hosted, list[socket]]]:
    """An app, and the sockets at which an attacker's servers may be."""
    at_once = ("--graceful-timeout", "0")  # whatever an attack has left
    with bystander.attacked({"MIAUTH_SIGNIN_LIMIT": "1000 per minute"}, at_once) as place:
        yield place


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_reaches_the_app(name: str, place: tuple[Hosted, list[socket]]) -> None:
    """It signs in where it needs to, goes on for as long as it should, and tells what was answered."""
    app, sockets = place
    with bystander.attack(name, 0.2, app.url, sockets, crowd=6) as told:
        assert not re.search("×(404|405|500)", told.readline())


def test_a_worker_that_is_replaced_is_noticed(place: tuple[Hosted, list[socket]]) -> None:
    """Whoever waited for it has lost their answer."""
    app, _ = place
    worker = Path(f"/proc/{app.pid}/task/{app.pid}/children").read_text().split()[0]
    with watches.Workers(app) as workers:
        os.kill(int(worker), signal.SIGKILL)
        assert workers.replaced.wait(MAX_SECONDS)
