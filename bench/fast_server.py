"""A Misskey server over TLS that answers at once, with what a real one would send."""

from __future__ import annotations

import json
import multiprocessing
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from ssl import SSLContext

import certifi

from sandbox.world import World
from tests.hostile import authority, certified


@dataclass(frozen=True)
class FastServer:
    """The server: its origin, the certificates by which it is trusted, how many connections and calls it had."""

    origin: str
    certificates: Path
    connections: Synchronized[int]
    calls: Synchronized[int]


@contextmanager
def fast_server(folder: Path) -> Iterator[FastServer]:
    """Yield a server in a process of its own, so that its time does not count."""
    certificates = folder / "authorities.pem"
    certificates.write_bytes(Path(certifi.where()).read_bytes() + authority().cert_pem.bytes())  # as many as usual
    context = multiprocessing.get_context("fork")
    with socket.create_server(("127.0.0.1", 0), backlog=512) as listening:
        origin = f"https://127.0.0.1:{listening.getsockname()[1]}"
        server = FastServer(origin, certificates, context.Value("L", 0), context.Value("L", 0))
        process = context.Process(target=_serve, args=(listening, certified("127.0.0.1"), server), daemon=True)
        process.start()
        try:
            yield server
        finally:
            process.kill()
            process.join()


def _serve(listening: socket.socket, tls: SSLContext, server: FastServer) -> None:
    while True:
        accepted, _ = listening.accept()
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer_all, args=(accepted, tls, server, _answers(server.origin)), daemon=True).start()


def _answer_all(accepted: socket.socket, tls: SSLContext, server: FastServer, answers: dict[str, bytes]) -> None:
    with suppress(OSError), tls.wrap_socket(accepted, server_side=True) as sock, sock.makefile("rb") as reader:
        with server.connections:
            server.connections.value += 1
        while first := reader.readline():
            with server.calls:
                server.calls.value += 1
            length = 0
            while (line := reader.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            reader.read(length)
            path = first.split(b" ")[1].decode()
            body = answers["check" if path.endswith("/check") else path]
            sock.sendall(
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body
            )


def _answers(origin: str) -> dict[str, bytes]:
    """Return the answers by their paths; of a session, whichever, the check gives a token."""
    world = World(origin)
    alice = world.people["alice"]
    user = alice.shown | alice.more
    node = {"software": {"name": "misskey", "version": "2025.4.1"}, "metadata": {}}
    links = [{"rel": "http://nodeinfo.diaspora.software/ns/schema/2.1", "href": f"{origin}/nodeinfo/2.1"}]
    values = {
        "/api/i": user,
        "/api/meta": {"version": "2025.4.1", "uri": origin, "features": {"miauth": True}, "name": "Fast"},
        "/.well-known/nodeinfo": {"links": links},
        "/nodeinfo/2.1": node,
        "check": {"ok": True, "token": "t" * 32, "user": user},
    }
    return {path: json.dumps(value).encode() for path, value in values.items()}
