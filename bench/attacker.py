"""An attacker's means: servers of their own, and what these answer; one address, and what is sent from it."""

from __future__ import annotations

import gzip
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode

from bench.hosting import Visitor
from tests.hostile import ALICE, MEBIBYTE, Behaviour, Caller, Hostile
from tests.hostile import http as answer

ADDRESS = "127.0.0.2"
NICE = 10  # so that the attacker takes less of a small machine from what is measured
BODY_BYTES = 4 * MEBIBYTE - 1000  # of a server's answer; more is refused
STALLS = "X-Stalls: yes"
Act = Callable[[], object]


@dataclass
class Target:
    """The app that is attacked, and the attacker's means."""

    servers: list[Hostile]
    url: str
    seconds: float
    crowd: int
    over: threading.Event = field(default_factory=threading.Event)
    answers: Counter[str] = field(default_factory=Counter)

    def turn(self, behaviour: Behaviour) -> None:
        """Have the attacker's servers behave like this from now on."""
        for server in self.servers:
            server.behaviour = behaviour

    def visitor(self, address: str = ADDRESS) -> Visitor:
        """Return somebody with this address."""
        return Visitor(self.url, address)

    def signed_in(self, address: str = ADDRESS) -> Visitor:
        """Return somebody who is signed in at the attacker's own server."""
        visitor = self.visitor(address)
        visitor.sign_in(self.servers[0].origin)
        return visitor

    def form(self, visitor: Visitor, server: Hostile) -> list[bytes]:
        """Return what begins a sign-in at ``server``."""
        form = urlencode({"host": server.origin, "csrf_token": visitor.form_token("/signin")}).encode()
        lines = ("Content-Type: application/x-www-form-urlencoded", f"Content-Length: {len(form)}")
        return [visitor.head("POST /signin", *lines), form]

    def drip(self, beginning: bytes) -> Iterator[bytes]:
        """Yield ``beginning``, and then a byte a second."""
        yield beginning
        while not self.over.wait(1):
            yield b"-"

    def loop(self, acts: Iterable[Act], gap: float = 0) -> None:
        """Do all of ``acts`` at once, each again and again; with a ``gap`` between them, ready when all have begun."""
        for act in acts:
            threading.Thread(target=self._repeat, args=(act,), daemon=True).start()
            time.sleep(gap)
        print("ready", flush=True)
        time.sleep(self.seconds)
        self.over.set()

    def _repeat(self, act: Act) -> None:
        while not self.over.is_set():
            try:
                told = str(act())
            except OSError as error:
                told = type(error).__name__
            self.answers[told] += 1
            if told != "200":
                time.sleep(0.2)


def misskey(answers: dict[str, bytes] | None = None) -> Behaviour:
    """Sign anybody in, but give ``answers`` at these paths."""

    def behaviour(caller: Caller) -> None:
        if not (request := caller.request()):
            return
        value: Any = {"version": "2025.4.1", "uri": caller.server.origin, "features": {"miauth": True}, "name": "Test"}
        if request.path.endswith("/check"):
            value = {"ok": True, "token": secrets.token_hex(16), "user": ALICE}
        content = (answers or {}).get(request.path) or answer(200, json.dumps(value).encode(), "Connection: close")
        caller.send(content)
        if STALLS.encode() in content[:200]:
            caller.hold()

    return behaviour


def packed(body: bytes) -> bytes:
    """Return an answer that is unpacked by whoever reads it."""
    return answer(200, gzip.compress(body), "Content-Encoding: gzip")


def worst_note(number: int, text: int, at: str = "xn--bcher-kva.example") -> dict[str, Any]:
    """Return a note that takes long to draw, with another one in it; its pictures are at names below ``at``."""
    picture = f"https://n{number}-%s.{at}/p"

    def note(which: str) -> dict[str, Any]:
        user = {"id": "a", "username": "a", "name": "𝒜" * 50, "avatarUrl": picture % which, "host": "bücher.example"}
        image = {"id": "f", "name": "n", "type": "image/png", "size": 1, "url": "https://bücher.example/"}
        return {
            "id": f"{number}{which}",
            "createdAt": "2025-01-01T00:00:00.000Z",
            "user": user,
            "text": "<&>\n" * (text // 4),
            "files": [image | {"thumbnailUrl": picture % f"{which}{n}"} for n in range(16)],
            "reactions": {f":r{n}@x.example:": n + 1 for n in range(40)},
            "poll": {"choices": [{"text": f"c{n}", "votes": n} for n in range(20)]},
            "visibility": "public",
        }

    return note("a") | {"renote": note("b")}


def notes(numbers: Iterable[int], *which: Any) -> bytes:
    """Return an answer with worst notes."""
    return answer(200, json.dumps([worst_note(number, *which) for number in numbers]).encode())
