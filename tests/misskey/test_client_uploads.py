"""Uploading a file: what goes over the wire, in how much memory, and what becomes of servers that don't want it."""

from __future__ import annotations

import errno
import io
import resource
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any, BinaryIO, cast

import pytest

from misskey import (
    MASK,
    APIError,
    Client,
    Exchange,
    InvalidAnswer,
    MisskeyError,
    Server,
    ServerTimeout,
    ServerUnreachable,
    Transport,
    connections,
)
from sandbox import Running
from tests import hostile
from tests.hostile import MEBIBYTE, TOKEN, Behaviour, Caller, answers, drains, http, refuses_early, says, serve

LARGE = 8 * MEBIBYTE  # more than the buffers between two sockets hold


class _Zeros(io.RawIOBase):
    """A file of any size that takes no room."""

    def __init__(self, size: int) -> None:
        self.size, self.at = size, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        self.at = offset + (self.size if whence else 0)
        return self.at

    def read(self, size: int = -1) -> bytes:
        piece = bytes(min(size, self.size - self.at))
        self.at += len(piece)
        return piece


def zeros(size: int) -> BinaryIO:
    return cast(BinaryIO, _Zeros(size))


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport("test/1.0")
    yield transport
    transport.close()


@pytest.fixture
def alice(transport: Transport, sandbox: Running) -> Client:
    """A client with Alice's token."""
    return Client(Server.parse_origin(sandbox.origin), transport, "aliceNativeToken")


def upload(transport: Transport, behaviour: Behaviour, file: Any = None, **options: Any) -> tuple[object, Exchange]:
    """Upload to a server; return what came of it, an error too, and how it is shown."""
    exchanges: list[Exchange] = []
    with serve(behaviour) as server:
        client = Client(Server.parse_origin(server.origin), transport, TOKEN, exchanges.append)
        try:
            result = client.upload(file or io.BytesIO(b"content"), options.pop("name", "a.txt"), **options)
        except MisskeyError as error:
            result = error
    return result, exchanges[-1]


@pytest.mark.parametrize(
    "name", ["red.png", 'a "quote".txt', "two\r\nlines: here", "青い空.png", "🌍🌱.txt", "a;b=c.txt", "%22.txt"]
)
def test_a_file_arrives_under_its_name(alice: Client, sandbox: Running, name: str) -> None:
    file = alice.upload(io.BytesIO(b"what is in " + name.encode()), name)

    assert (file["name"], file["size"]) == (name, 11 + len(name.encode()))
    assert sandbox.world.contents[file["md5"]][1] == b"what is in " + name.encode()


def test_a_name_with_half_a_surrogate_pair_arrives_in_some_way(alice: Client) -> None:
    assert alice.upload(io.BytesIO(b"odd"), "odd\udcff.txt", comment="odd\udcff")["name"] == "odd?.txt"


def test_what_is_said_of_a_file_arrives(alice: Client) -> None:
    file = alice.upload(io.BytesIO(b"x"), "x.txt", comment="An “x”.\r\nLarge.", sensitive=True)

    assert (file["comment"], file["isSensitive"]) == ("An “x”.\r\nLarge.", True)


def test_an_empty_file_is_a_file(alice: Client) -> None:
    assert alice.upload(io.BytesIO(), "empty.txt")["size"] == 0


def test_a_file_is_sent_from_its_beginning(alice: Client) -> None:
    file = io.BytesIO(b"whole")
    file.read()

    assert alice.upload(file, "whole.txt")["size"] == 5


def test_it_is_sent_as_a_browser_sends_a_form(transport: Transport) -> None:
    with serve(says({})) as server:
        Client(Server.parse_origin(server.origin), transport, TOKEN).upload(
            io.BytesIO(b"x"), "é.txt", mime_type="text/plain"
        )
    request = server.requests[0]
    boundary = request.headers["content-type"].removeprefix("multipart/form-data; boundary=")

    assert request.path == "/api/drive/files/create"
    assert request.headers["content-length"] == str(len(request.body))
    assert request.body.decode().split(f"--{boundary}") == [
        "",
        f'\r\nContent-Disposition: form-data; name="i"\r\n\r\n{TOKEN}\r\n',
        '\r\nContent-Disposition: form-data; name="name"\r\n\r\né.txt\r\n',
        '\r\nContent-Disposition: form-data; name="isSensitive"\r\n\r\nfalse\r\n',
        '\r\nContent-Disposition: form-data; name="file"; filename="é.txt"\r\nContent-Type: text/plain\r\n\r\nx\r\n',
        "--\r\n",
    ]


@pytest.mark.parametrize("kind", ["", "text", "a/b\r\nX-Evil: 1", "text/plain; charset=utf-8", "é/é"])
def test_what_is_no_type_is_not_sent_as_one(transport: Transport, kind: str) -> None:
    with serve(says({})) as server:
        Client(Server.parse_origin(server.origin), transport).upload(io.BytesIO(b"x"), "x", mime_type=kind)

    assert b"Content-Type: application/octet-stream\r\n\r\n" in server.requests[0].body
    assert b'name="i"' not in server.requests[0].body


def test_an_upload_is_shown_with_its_fields_and_without_token_and_bytes(transport: Transport) -> None:
    _, shown = upload(transport, says({"id": "1"}), io.BytesIO(b"secret"), name=f"{TOKEN}.txt", comment="é")

    assert (shown.method, shown.url[-23:], shown.status) == ("POST", "/api/drive/files/create", 200)
    assert shown.body is not None
    assert f'"i": "{MASK}"' in shown.body
    assert f'"file": "({MASK}.txt, application/octet-stream, 6 bytes)"' in shown.body
    assert '"comment": "é"' in shown.body
    assert TOKEN not in shown.body
    assert "secret" not in shown.body


def test_a_large_file_needs_no_memory(transport: Transport) -> None:
    size = 200 * MEBIBYTE
    upload(transport, drains({}), zeros(MEBIBYTE))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with serve(drains({"id": "1"})) as server:
        Client(Server.parse_origin(server.origin), transport, TOKEN).upload(zeros(size), "zeros")

    assert size < server.drained < size + 1000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 * 1024


def test_a_file_may_take_its_time(transport: Transport) -> None:
    assert transport.max_upload_seconds(10 * MEBIBYTE) > transport.total_seconds + 60
    assert transport.max_upload_seconds(1024 * MEBIBYTE) < 2 * 60 * 60


def test_a_server_may_take_its_time_over_a_file_alone() -> None:
    def slow(caller: Caller) -> None:
        caller.drain()
        time.sleep(0.3)
        caller.send(http(200, b"{}"))

    with serve(slow) as server, closing(Transport("test/1.0", total_seconds=0.2, step_seconds=0.2)) as hurried:
        client = Client(Server.parse_origin(server.origin), hurried, TOKEN)
        assert client.upload(zeros(1), "zeros") == {}
        with pytest.raises(ServerTimeout):
            client.call("i")


def test_an_early_no_is_read(transport: Transport) -> None:
    no = b'{"error": {"code": "MAX_FILE_SIZE_EXCEEDED", "message": "Too large."}}'

    error, shown = upload(transport, refuses_early(413, no), zeros(LARGE))

    assert isinstance(error, APIError)
    assert (error.status, error.code, shown.status) == (413, "MAX_FILE_SIZE_EXCEEDED", 413)


def test_an_early_no_over_tls_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    hostile.authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with serve(refuses_early(413), tls=hostile.certified("127.0.0.1")) as server, closing(Transport("test/1.0")) as own:
        client = Client(Server.parse_origin(server.origin), own, TOKEN)
        with pytest.raises(APIError, match="413"):
            client.upload(zeros(LARGE), "zeros")


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.upload(zeros(LARGE), "zeros"),
        lambda client: client.call("notes/create", {"text": "x" * LARGE}),
    ],
    ids=["file", "text"],
)
def test_an_early_no_of_a_server_that_does_not_hang_up_is_read(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, send: Callable[[Client], object]
) -> None:
    monkeypatch.setattr(connections, "SEND_SECONDS", 0.1)
    with serve(refuses_early(413, b"<h1>Too large</h1>", hold=True)) as server:
        client = Client(Server.parse_origin(server.origin), transport, TOKEN)
        with pytest.raises(InvalidAnswer) as caught:
            send(client)
        assert caught.value.status == 413

        server.behaviour = answers(200, b"{}")
        assert client.call("ping") == {}  # not in the middle of what was not sent to its end
        assert server.connections == 2


def test_a_server_that_hangs_up_in_the_middle_is_unreachable(transport: Transport) -> None:
    error, shown = upload(transport, lambda caller: caller.sock.recv(65536), zeros(LARGE))

    assert isinstance(error, ServerUnreachable)
    assert shown.status is None


class _Torn(_Zeros):
    """A file of which a part can't be read any more."""

    def read(self, size: int = -1) -> bytes:
        if self.at:
            raise OSError(errno.EIO, "Input/output error")
        return super().read(size)


def test_a_file_that_can_not_be_read_is_not_taken_for_a_slow_server(transport: Transport) -> None:
    error, _ = upload(transport, drains({}), _Torn(LARGE))

    assert isinstance(error, ServerUnreachable)


@pytest.mark.parametrize("behaviour", [hostile.silent, lambda caller: caller.server.stopped.wait()])
def test_a_server_that_never_answers_or_never_reads_ends_in_a_time_out(behaviour: Behaviour) -> None:
    with closing(Transport("test/1.0", total_seconds=0.1, upload_seconds=0.1)) as hurried:
        error, _ = upload(hurried, behaviour, zeros(MEBIBYTE // 8))

    assert isinstance(error, ServerTimeout)


def test_what_follows_a_file_is_no_part_of_a_request_in_it(transport: Transport) -> None:
    """A server can stop reading a file somewhere, and take the rest of it for the beginning of a request."""
    begun, taken = b"POST /api/notes/create HTTP/1.1\r\nContent-Length: 9000\r\n\r\n", list[bytes]()

    def stops_reading(caller: Caller) -> None:
        if server.connections > 1:
            says({"id": "9bob"})(caller)
            return
        received = b""
        while begun not in received:
            received += caller.sock.recv(65536)
        caller.send(http(413, b"{}"))
        while piece := caller.sock.recv(65536):
            taken.append(piece)

    with serve(stops_reading) as server:
        place = Server.parse_origin(server.origin)
        with pytest.raises(APIError):
            Client(place, transport, "tokenOfMallory").upload(io.BytesIO(begun), "a.txt")

        assert Client(place, transport, TOKEN).call("i") == {"id": "9bob"}

    assert TOKEN.encode() not in b"".join(taken)
