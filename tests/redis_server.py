"""A real Redis for the tests: their own, on a free port and a socket, gone with them."""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import redis

PASSWORD = "the/password@of:redis"
START_SECONDS = 60
HELP = """\
The tests run a Redis of their own, and no redis-server was found. Any of these helps:
  - Debian and Ubuntu: sudo apt install redis-server (it need not be running);
  - macOS: brew install redis;
  - Valkey's valkey-server will do as well."""


@dataclass
class RedisServer:
    """A Redis that is running; its URLs hold the password, percent-encoded."""

    process: subprocess.Popen[bytes]
    socket: Path
    port: int

    @property
    def url(self) -> str:
        return f"redis://:the%2Fpassword%40of%3Aredis@127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://:the%2Fpassword%40of%3Aredis@{self.socket}?db=0"

    def client(self) -> redis.Redis:
        """Return a way to look into it."""
        return redis.Redis(unix_socket_path=str(self.socket), password=PASSWORD)


@contextmanager
def running(folder: Path, *options: str, port: int | None = None) -> Iterator[RedisServer]:
    """Run a Redis that keeps nothing; its socket is in ``folder``."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    assert program, HELP
    port = port or free_port()
    place = folder / "redis.sock"
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--unixsocket", str(place), "--dir", str(folder)]
    command += ["--requirepass", PASSWORD, "--save", "", "--appendonly", "no", "--logfile", "redis.log", *options]
    server = RedisServer(subprocess.Popen(command), place, port)
    try:
        _wait(server)
        yield server
    finally:
        server.process.kill()
        server.process.wait()


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


@contextmanager
def answering(words: bytes) -> Iterator[int]:
    """Listen on a port, take what comes, and answer it with ``words``, which are no Redis's; yield the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=_answer, args=(listening, words))
        thread.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


def _answer(listening: socket.socket, words: bytes) -> None:
    with suppress(OSError):
        while True:
            connection, _ = listening.accept()
            with connection:
                while connection.recv(65536):
                    connection.sendall(words)


def _wait(server: RedisServer) -> None:
    deadline = time.monotonic() + START_SECONDS
    while server.process.poll() is None and time.monotonic() < deadline:
        with suppress(redis.ConnectionError), server.client() as client:
            client.ping()
            return
        time.sleep(0.02)
    raise AssertionError(f"The Redis did not start: {(server.socket.parent / 'redis.log').read_text()}")
