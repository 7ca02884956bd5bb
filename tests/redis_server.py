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

from tests.ports import free_port

PASSWORD = "the/password@of:redis"
IN_URLS = "the%2Fpassword%40of%3Aredis"
SERVICE = "sign-ins"
#: Options with which it keeps all that it is given, also when it is killed; "everysec" may lose two seconds.
LASTING = ("--appendonly", "yes", "--appendfsync", "always")
START_SECONDS = 60
HELP = """\
The tests run a Redis of their own, and no redis-server was found. Any of these helps:
  - Debian and Ubuntu: sudo apt install redis-server (it need not be running);
  - macOS: brew install redis;
  - Valkey's valkey-server will do as well."""


@dataclass
class RedisServer:
    """A Redis; its URLs hold the password, percent-encoded."""

    folder: Path
    port: int
    command: list[str]
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "redis.sock"

    @property
    def url(self) -> str:
        return f"redis://:{IN_URLS}@127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://:{IN_URLS}@{self.socket}?db=0"

    def client(self) -> redis.Redis:
        """Return a way to look into it."""
        return redis.Redis(unix_socket_path=str(self.socket), password=PASSWORD)

    def start(self) -> None:
        """Start it, with what it wrote to its folder, and wait until it answers."""
        self.process = subprocess.Popen(self.command)
        _wait(self)

    def send_signal(self, number: int) -> None:
        """Have it stop or go on."""
        assert self.process
        self.process.send_signal(number)

    def kill(self) -> None:
        """End it at once."""
        if self.process:
            self.process.kill()
            self.process.wait()


@contextmanager
def running(folder: Path, *options: str, port: int | None = None) -> Iterator[RedisServer]:
    """Run a Redis that keeps nothing, unless ``options`` say so; its files are in ``folder``."""
    port = port or free_port()
    server = RedisServer(folder, port, [program(), "--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)])
    server.command += ["--unixsocket", str(server.socket), "--requirepass", PASSWORD, "--masterauth", PASSWORD]
    server.command += ["--save", "", "--appendonly", "no", "--logfile", "redis.log", *options]
    try:
        server.start()
        yield server
    finally:
        server.kill()


@dataclass
class Replicated:
    """A Redis with a replica, which a Sentinel makes the master when the master is gone."""

    master: RedisServer
    replica: RedisServer
    sentinel_port: int
    log: Path

    @property
    def url(self) -> str:
        """The address of two Sentinels, the first of which is down."""
        return f"redis+sentinel://:{IN_URLS}@127.0.0.1:{free_port()},127.0.0.1:{self.sentinel_port}/{SERVICE}/0"

    def kill_master(self) -> None:
        """End the master, once the replica has all that was written."""
        self._wait_for_replica()
        self.master.kill()

    def change_master(self) -> None:
        """Have the Sentinel make a replica of the master and a master of the replica, as for maintenance."""
        self._wait_for_replica()
        with redis.Redis(port=self.sentinel_port) as client:
            client.execute_command("SENTINEL", "FAILOVER", SERVICE)

    def _wait_for_replica(self) -> None:
        with self.master.client() as client:
            assert client.wait(1, START_SECONDS * 1000) == 1

    def told(self) -> str:
        """What the Sentinel wrote down."""
        return self.log.read_text() if self.log.exists() else ""


@contextmanager
def replicated(folder: Path, *settings: str) -> Iterator[Replicated]:
    """Run a master, its replica and a Sentinel with these ``settings`` besides."""
    for name in ("master", "replica", "sentinel"):
        (folder / name).mkdir()
    with (
        running(folder / "master") as master,
        running(folder / "replica", "--replicaof", "127.0.0.1", str(master.port)) as replica,
    ):
        port, file = free_port(), folder / "sentinel" / "sentinel.conf"
        lines = ["bind 127.0.0.1", f"port {port}", f"dir {file.parent}", f"logfile {file.parent}/log", *settings]
        lines += [f"sentinel monitor {SERVICE} 127.0.0.1 {master.port} 1", f"sentinel auth-pass {SERVICE} {PASSWORD}"]
        lines += [f"sentinel down-after-milliseconds {SERVICE} 500", f"sentinel failover-timeout {SERVICE} 5000"]
        file.write_text("\n".join(lines))
        sentinel = subprocess.Popen([program(), str(file), "--sentinel"])
        try:
            found = Replicated(master, replica, port, file.parent / "log")
            _wait_for_replica(found)
            yield found
        finally:
            sentinel.kill()
            sentinel.wait()


def program() -> str:
    """Return where the Redis of this machine is."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    assert found, HELP
    return found


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
    while server.process and server.process.poll() is None and time.monotonic() < deadline:
        with suppress(redis.ConnectionError), server.client() as client:
            client.ping()
            return
        time.sleep(0.02)
    raise AssertionError(f"The Redis did not start: {(server.folder / 'redis.log').read_text()}")


def _wait_for_replica(found: Replicated) -> None:
    deadline = time.monotonic() + START_SECONDS
    while "+slave " not in found.told():
        assert time.monotonic() < deadline, found.told()
        time.sleep(0.02)
