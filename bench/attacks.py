"""What one stranger can do: with servers of their own, one address and one account, within the rate limits.

``python -m bench.attacks name seconds crowd url sockets…`` prepares itself, prints ``ready``, attacks the app at
``url`` for so long, and prints which answers it got. Its servers are at the sockets, which it inherits by their numbers
and which listen already; the app has to know them as private servers.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import socket
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from html import unescape
from itertools import chain, cycle, repeat
from random import Random

from bench.attacker import BODY_BYTES, NICE, STALLS, Target, misskey, notes, packed, worst_note
from bench.hosting import MAX_SECONDS, Visitor, pour
from tests.hostile import MEBIBYTE, Caller, Hostile, drains, event, frame, opens, silent
from tests.hostile import http as answer


def at_sign_in(target: Target, times: int, answers: dict[str, bytes]) -> None:
    """Sign in at a server with such answers, several times at once."""
    me = target.visitor()
    target.turn(misskey(answers))
    target.loop([partial(me.send, target.form(me, target.servers[0]))] * times)


def nodeinfo(target: Target, times: int) -> None:
    """An address in nodeinfo that is 3.9 million times “%”."""
    links = json.dumps({"links": [{"href": "/" + "%" * 3_900_000}]}).encode()
    at_sign_in(target, times, {"/api/meta": answer(404), "/.well-known/nodeinfo": packed(links)})


def set_cookie(target: Target) -> None:
    """60 lines “Set-Cookie: a;a;a;…” of 64 kB."""
    lines = ["Set-Cookie: " + "a;" * 32_000] * 60
    at_sign_in(target, 4, {"/api/meta": answer(200, b"{}", *lines)})


def long_head(target: Target) -> None:
    """A head of 4 MiB in lines that mean nothing."""
    lines = [f"X-{n}: " + "a" * 46_000 for n in range(90)]
    at_sign_in(target, 4, {"/api/meta": answer(200, b"{}", *lines)})


def before_the_answer(target: Target) -> None:
    """4 MiB of “100 Continue” before the answer."""
    at_sign_in(target, 4, {"/api/meta": b"HTTP/1.1 100 Continue\r\n\r\n" * 160_000 + answer(200, b"{}")})


def pipelined(target: Target) -> None:
    """Four connections with 5,000 requests each, none of which waits for an answer."""
    me = target.visitor()
    pieces = [me.head("GET /how-it-works", last=False) * 4999, me.head("GET /how-it-works")]
    target.loop([partial(me.send, pieces)] * 4)


def flood(target: Target) -> None:
    """50 connections that ask for a page again and again."""
    me = target.visitor()
    target.loop([partial(me.send, [me.head("GET /how-it-works", last=False) * 19, me.head("GET /how-it-works")])] * 50)


def cookies(target: Target) -> None:
    """57,000 cookies that look like sign-ins under way, four times at once."""
    me = target.visitor()
    names = [f"signin-{n:05d}=a.b" for n in range(57_000)]
    lines = ["Cookie: " + ";".join(names[at : at + 950]) for at in range(0, len(names), 950)]
    target.loop([partial(me.send, [me.head("GET /", *lines)])] * 4)


def streams(target: Target, pause: float) -> None:
    """Four live timelines, whose server sends worst notes."""
    me = target.signed_in()
    pieces = [frame(event(worst_note(number, 400))) for number in range(100)]

    def talk(caller: Caller) -> None:
        for piece in cycle(pieces):
            caller.send(piece)
            time.sleep(pause)

    target.turn(opens(talk))
    target.loop([partial(me.send, [me.head("GET /live")])] * 4)


def panels(target: Target) -> None:
    """A panel of worst notes, eight times at once, as often as is allowed."""
    me = target.signed_in()
    target.turn(misskey({"/api/notes/timeline": notes(range(10), 10_000)}))
    target.loop([partial(me.send, [me.head("GET /dashboard/timeline")])] * 8)


def many_values(target: Target, members: int) -> None:
    """Answers with so many members, each of which has a name of its own, 20 at once."""
    me = target.signed_in()
    told = ",".join(f'"{number:04}😀":1.5' for number in range(members))
    target.turn(misskey({"/api/meta": packed(f"{{{told}}}".encode())}))
    target.loop([partial(me.send, [me.head("GET /dashboard/server")])] * 20)


def stalled_drive(target: Target) -> None:
    """4 MiB out of 48 kB, and then silence, 100 times at once."""
    me, random = target.signed_in(), Random(1)
    content = gzip.compress(b"".join(random.randbytes(740) * 88 for _ in range(64))[:BODY_BYTES])
    stalls = answer(200, content, "Content-Encoding: gzip", STALLS, length=len(content) + 1)
    target.turn(misskey({f"/api/{name}": stalls for name in ("drive/stream", "drive/files", "drive", "i")}))
    target.loop([partial(me.send, [me.head("GET /dashboard/drive")])] * 100)


def _upload(me: Visitor, content: Callable[[], Iterable[bytes]], length: int) -> str:
    fields = {"csrf_token": me.form_token("/files"), "draft": str(uuid.uuid4())}
    parts = [f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{fields[name]}\r\n' for name in fields]
    parts.append('--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n')
    before, after = "".join(parts).encode(), b"\r\n--b--\r\n"
    size = len(before) + length + len(after)
    head = me.head("POST /files", "Content-Type: multipart/form-data; boundary=b", f"Content-Length: {size}")
    return me.send(chain([head, before], content(), [after]))


def upload(target: Target) -> None:
    """Two uploads of 300 MB at once, which the attacker's server takes."""
    me = target.signed_in()
    target.turn(drains({"id": "a", "name": "a"}))
    target.loop([partial(_upload, me, lambda: repeat(bytes(MEBIBYTE), 300), 300 * MEBIBYTE)] * 2)


def dripping_uploads(target: Target) -> None:
    """Eight uploads of 1 GB, a byte a second."""
    me = target.signed_in()
    target.loop([partial(_upload, me, partial(target.drip, b"-"), 1000 * MEBIBYTE)] * 8)


def needless_body(target: Target) -> None:
    """A body of 100 MB to a page that takes none, and a request after it, four times at once."""
    me = target.visitor()
    head = me.head("GET /privacy", f"Content-Length: {100 * MEBIBYTE}", last=False)
    target.loop([lambda: me.send(chain([head], repeat(bytes(MEBIBYTE), 100), [me.head("GET /privacy")]))] * 4)


def slow_names(target: Target) -> None:
    """Hundreds of pictures at names whose look-up takes long, 250 at once."""
    me, addresses = target.signed_in(), set[str]()
    for number in range(0, 40, 10):
        target.turn(misskey({"/api/notes/timeline": notes(range(number, number + 10), 4, "slow.example")}))
        page = me.browser.get(f"{target.url}/dashboard/timeline", timeout=MAX_SECONDS).text
        addresses.update(map(unescape, re.findall('"(/media[^"]+)"', page)))
    each = cycle(addresses)
    target.loop([lambda: me.send([me.head(f"GET {next(each)}")])] * 250)


def hanging(target: Target) -> None:
    """600 visitors with addresses of their own, at servers that never answer."""
    visitors = [target.visitor(f"127.0.{20 + n // 200}.{1 + n % 200}") for n in range(target.crowd)]
    with ThreadPoolExecutor(8) as pool:
        forms = list(pool.map(target.form, visitors, cycle(target.servers)))
    target.turn(silent)
    target.loop([partial(one.send, form) for one, form in zip(visitors, forms, strict=True)], gap=0.02)


def slow_senders(target: Target) -> None:
    """A crowd of one network that sends the head of a request, a byte a second."""
    visitors = [target.visitor(f"127.0.2.{2 + number % 5}") for number in range(target.crowd)]
    target.loop([partial(lambda me: me.send(target.drip(b"GET / HTTP/1.1\r\nX-Name: ")), me) for me in visitors])


def slow_readers(target: Target) -> None:
    """300 connections that ask for a page 50 times and read nothing."""
    me = target.visitor()
    requests = me.head("GET /how-it-works", last=False) * 50

    def ask() -> None:
        with me.connect() as sock:
            pour(sock, [requests])
            target.over.wait()

    target.loop([ask] * 300)


def watchers(target: Target) -> None:
    """200 people who watch the live timeline of a healthy server, where somebody writes each second."""
    note = frame(event({"id": "a", "user": {"id": "a", "username": "a"}, "text": "Hello"}))

    def talk(caller: Caller) -> None:
        while not caller.server.stopped.wait(1):
            caller.send(note)

    with ThreadPoolExecutor(8) as pool:
        people = list(pool.map(target.signed_in, (f"127.0.2.{1 + n}" for n in range(target.crowd // 3))))
    target.turn(opens(talk))
    target.loop([partial(person.send, [person.head("GET /live")]) for person in people], gap=0.02)


def nothing(target: Target) -> None:
    """No attack: what all others are compared with."""
    target.loop([])


ATTACKS: dict[str, Callable[[Target], object]] = {
    "nothing": nothing,
    "nodeinfo-4": partial(nodeinfo, times=4),
    "nodeinfo-16": partial(nodeinfo, times=16),
    "set-cookie": set_cookie,
    "long-head": long_head,
    "before-the-answer": before_the_answer,
    "pipelined": pipelined,
    "flood": flood,
    "cookies": cookies,
    "streams": partial(streams, pause=0.05),
    "streams-full-speed": partial(streams, pause=0),
    "panels": panels,
    "many-values": partial(many_values, members=83_000),  # no more are read
    "too-many-values": partial(many_values, members=200_000),
    "stalled-drive": stalled_drive,
    "upload": upload,
    "dripping-uploads": dripping_uploads,
    "needless-body": needless_body,
    "slow-names": slow_names,
    "hanging": hanging,
    "slow-senders": slow_senders,
    "slow-readers": slow_readers,
    "watchers": watchers,
}


def main(name: str, seconds: str, crowd: str, url: str, *sockets: str) -> None:
    """Attack, as the module says."""
    os.nice(NICE)
    servers = [Hostile(socket.socket(fileno=int(number)), misskey()) for number in sockets]
    for server in servers:
        threading.Thread(target=server.run, daemon=True).start()
    target = Target(servers, url, float(seconds), int(crowd))
    ATTACKS[name](target)
    print(*(f"{count}×{told}" for told, count in target.answers.most_common(4)), flush=True)
    os._exit(0)  # whatever is still waiting for an answer


if __name__ == "__main__":
    main(*sys.argv[1:])
