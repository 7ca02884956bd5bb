"""Which connections are kept, and which one is closed when there are too many."""

from __future__ import annotations

import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from misskey import Server
from misskey.connections import POOLED_PER_SERVER, POOLED_SERVERS, Connection, Pool
from tests import hostile

Used = Callable[[Server], Connection]
SERVER = Server.parse("misskey.example")


def new_connection(server: Server) -> Connection:
    return Connection(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), socket.getaddrinfo, 1, server)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(new_connection, idle_seconds=600)
    yield pool
    pool.close()


@pytest.fixture
def used(pool: Pool) -> Used:
    """Give the pool a connection that can be reused, and return it."""

    def give_back(server: Server) -> Connection:
        connection = new_connection(server)
        connection.sock, connection.can_be_reused = socket.socket(), True
        pool.give_back(connection)
        return connection

    return give_back


def closed(connections: list[Connection]) -> list[int]:
    return [number for number, each in enumerate(connections) if each.sock and each.sock.fileno() == -1]


def test_of_too_many_connections_to_a_server_the_one_that_waited_longest_is_closed(used: Used) -> None:
    kept = [used(SERVER) for _ in range(POOLED_PER_SERVER)]
    assert closed(kept) == []

    assert closed([*kept, used(SERVER), used(SERVER)]) == [0, 1]


def test_of_too_many_servers_the_one_that_was_not_used_for_longest_is_left(used: Used) -> None:
    kept = [used(Server.parse(f"misskey{number}.example")) for number in range(POOLED_SERVERS)]
    used(kept[0].server)
    assert closed(kept) == []

    used(SERVER)
    assert closed(kept) == [1]


def test_closing_a_pool_closes_what_was_given_back_at_the_same_moment(
    pool: Pool, used: Used, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("misskey.connections.time.monotonic", lambda: 7.0)  # some systems' clocks move in steps
    connection = used(SERVER)

    pool.close()

    assert closed([connection]) == [0]


FORKING = """
import os, sys
from misskey import Server, Transport

server, transport = Server.parse_origin(sys.argv[1]), Transport("a test")
transport.request("GET", server, "/before")
child = os.fork()
if not child:
    transport.request("GET", server, "/child")
elif os.waitpid(child, 0)[1]:
    sys.exit("the child failed")
else:
    transport.request("GET", server, "/after")
"""


def test_after_a_fork_no_two_processes_have_one_connection() -> None:
    """Each would get what the other one asked for."""
    with hostile.serve(hostile.says({})) as server:
        subprocess.run([sys.executable, "-c", FORKING, server.origin], check=True)

        assert [request.path for request in server.requests] == ["/before", "/child", "/after"]
        assert server.connections == 2
