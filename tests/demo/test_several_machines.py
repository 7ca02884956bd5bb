"""What is done at a server is done once, whichever machine is asked for it."""

from __future__ import annotations

import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import requests

from sandbox import Misbehaviour
from tests.machines import Browser, Machine, Machines


def test_a_form_that_is_sent_to_two_machines_posts_one_note(machines: Machines) -> None:
    alice = Browser(machines.sandbox)
    alice.sign_in(machines.each[0])
    form = {"text": "once", "draft": str(uuid.uuid4()), "csrf_token": alice.csrf_token(machines.each[0])}
    together = threading.Barrier(2)

    def post(machine: Machine) -> requests.Response:
        tab = alice.twin()
        together.wait()
        return tab.ask(machine, "POST", "/notes", data=form)

    machines.sandbox.world.misbehaviour = Misbehaviour.SLOW
    machines.sandbox.world.slow_seconds = 0.2
    try:
        with ThreadPoolExecutor(2) as pool:
            at_once = list(pool.map(post, machines.each))
    finally:
        machines.sandbox.world.misbehaviour = Misbehaviour.NONE
    later = alice.ask(machines.each[1], "POST", "/notes", data=form)

    assert [answer.status_code for answer in (*at_once, later)] == [303] * 3
    assert len({answer.headers["Location"] for answer in (*at_once, later)}) == 1
    assert [path for _, path in machines.sandbox.requests].count("/api/notes/create") == 1
    for machine in machines.each:
        assert "once" in alice.get(machine, later.headers["Location"]).text
