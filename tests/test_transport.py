"""The only place that opens a connection: guarded, bounded, pooled. With real servers on real sockets."""

from __future__ import annotations

import gc
import gzip
import logging
import os
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from misskey import (
    AnswerTooLarge,
    InsecureConnection,
    InvalidAnswer,
    MisskeyError,
    Server,
    ServerForbidden,
    ServerNotFound,
    ServerTimeout,
    ServerUnreachable,
    Transport,
)
from misskey.connections import POOLED_SERVERS, is_public
from tests import hostile
from tests.hostile import Behaviour, Caller, Hostile, answers, http, says, serve

PUBLIC = "93.184.215.14"
INNER = ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"]
MISSKEY = Server.parse("misskey.example")
MakeTransport = Callable[..., Transport]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def transport(make_transport: MakeTransport) -> Transport:
    return make_transport()


@pytest.fixture
def make_transport() -> Iterator[MakeTransport]:
    with ExitStack() as stack:

        def make(user_agent: str = "test/1.0 (+https://app.example)", **options: Any) -> Transport:
            transport = Transport(user_agent, **options)
            stack.callback(transport.close)
            return transport

        yield make


@pytest.fixture
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests' own authority is trusted."""
    hostile.authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))


@pytest.fixture
def connects(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that somebody tried to connect to; every try is refused."""
    tried: list[str] = []

    def refuse(_: socket.socket, address: tuple[Any, ...]) -> None:
        tried.append(address[0])
        raise ConnectionRefusedError("the tests stay on this machine")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    return tried


def private(server: Hostile | str) -> Server:
    return Server.parse_origin(server if isinstance(server, str) else server.origin)


def post(transport: Transport, server: Hostile | str | Server) -> bytes:
    place = server if isinstance(server, Server) else private(server)
    return transport.request("POST", place, "/api/meta", body=b"{}").body


def leads_to(*addresses: str) -> Callable[..., list[tuple[Any, ...]]]:
    """A name service that knows one answer, whatever the name."""

    def resolve(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return [entry for address in addresses for entry in socket.getaddrinfo(address, port, **options)]

    return resolve


# Which addresses.


@pytest.mark.parametrize("address", [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e"])
def test_a_public_address_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.1.2.3", "169.254.169.254", "172.16.0.1"),
        *("172.31.255.255", "192.0.0.1", "192.0.0.9", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1"),
        *("198.19.255.255", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1"),
        "255.255.255.255",
        *("::", "::1", "fd00::1", "fc00::1", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1"),
        *("::ffff:10.0.0.1", "::ffff:8.8.8.8", "::10.0.0.1", "::8.8.8.8"),
        *("64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:a00:1::", "2002:808:808::1"),
        *("2001::1", "2001:0:53aa:64c::1", "2001:10::1", "2001:20::1", "2001:db8::1", "3fff::1"),
    ],
)
def test_an_address_inside_a_network_or_on_the_way_to_one_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("inner", INNER)
def test_a_name_that_leads_inward_is_refused_without_connecting(
    make_transport: MakeTransport, connects: list[str], inner: str
) -> None:
    with pytest.raises(ServerForbidden, match=r"misskey\.example: leads to an address that is not public"):
        post(make_transport(resolve=leads_to(inner)), MISSKEY)

    assert connects == []


@pytest.mark.parametrize("inner", INNER)
def test_a_name_that_turns_inward_after_its_first_look_up_leads_nowhere(
    make_transport: MakeTransport, connects: list[str], inner: str
) -> None:
    turns = iter([PUBLIC, inner])

    def resolve(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return leads_to(next(turns))(host, port, **options)

    transport = make_transport(resolve=resolve)
    with pytest.raises(ServerUnreachable):
        post(transport, MISSKEY)
    with pytest.raises(ServerForbidden):
        post(transport, MISSKEY)

    assert connects == [PUBLIC]


def test_of_public_and_inner_addresses_only_the_public_ones_are_tried(
    make_transport: MakeTransport, connects: list[str]
) -> None:
    with pytest.raises(ServerUnreachable):
        post(make_transport(resolve=leads_to("127.0.0.1", PUBLIC, "::1", "1.1.1.1", "10.0.0.1")), MISSKEY)

    assert connects == [PUBLIC, "1.1.1.1"]


def test_a_name_with_very_many_addresses_is_tried_at_a_few(make_transport: MakeTransport, connects: list[str]) -> None:
    with pytest.raises(ServerUnreachable):
        post(make_transport(resolve=leads_to(*(f"1.1.1.{last}" for last in range(1, 200)))), MISSKEY)

    assert connects == ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]


def test_a_public_server_is_connected_to_at_the_usual_port_only(
    make_transport: MakeTransport, connects: list[str]
) -> None:
    ports = []

    def resolve(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        ports.append((host, port))
        return leads_to(PUBLIC)(host, port, **options)

    with pytest.raises(ServerUnreachable):
        post(make_transport(resolve=resolve), MISSKEY)

    assert ports == [("misskey.example", 443)]


def test_the_second_address_is_tried_when_the_first_refuses(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}"), name="misskey.example") as server:
        assert post(make_transport(resolve=leads_to("127.0.0.2", "127.0.0.1")), server) == b"{}"


def test_the_second_address_is_tried_when_the_first_never_answers(make_transport: MakeTransport) -> None:
    with hostile.full_backlog() as full, serve(answers(200, b"{}"), name="misskey.example") as server:
        entries = [
            socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)[0] for port in (_port(full), server.port)
        ]
        transport = make_transport(connect_seconds=0.4, resolve=lambda *_, **__: entries)

        assert post(transport, server) == b"{}"


def test_a_private_server_may_be_http_at_an_inner_address(transport: Transport) -> None:
    with serve(answers(200, b"{}")) as server:
        assert post(transport, server) == b"{}"


def test_a_private_server_may_have_an_ipv6_address(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}"), name="[::1]") as server:
        assert post(make_transport(resolve=leads_to("127.0.0.1")), server) == b"{}"

    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


def test_a_name_that_does_not_exist_is_not_found(make_transport: MakeTransport) -> None:
    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(ServerNotFound, match="no server has this name"):
        post(make_transport(resolve=resolve), MISSKEY)


def test_a_name_service_that_never_answers_ends_in_a_time_out(make_transport: MakeTransport) -> None:
    answered = threading.Event()

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        answered.wait()
        return []

    with pytest.raises(ServerTimeout, match="the name service did not answer in time"):
        post(make_transport(connect_seconds=0.1, resolve=resolve), MISSKEY)
    answered.set()


# How far.


@pytest.mark.parametrize("name", hostile.SLOW)
def test_a_slow_server_ends_in_a_time_out(make_transport: MakeTransport, name: str) -> None:
    with serve(hostile.SLOW[name]) as server, pytest.raises(ServerTimeout, match="took too long"):
        post(make_transport(total_seconds=0.3), server)


def test_silence_in_the_middle_of_an_answer_ends_in_a_time_out(make_transport: MakeTransport) -> None:
    with serve(hostile.SLOW["hangs within its body"]) as server, pytest.raises(ServerTimeout):
        post(make_transport(step_seconds=0.1), server)


def test_a_drip_in_the_tls_handshake_ends_in_a_time_out(make_transport: MakeTransport, trusted: None) -> None:
    with serve(hostile.drips_in_handshake, tls=hostile.certified("127.0.0.1")) as server, pytest.raises(ServerTimeout):
        post(make_transport(total_seconds=0.3), server)


def test_a_drip_in_an_answer_over_tls_ends_in_a_time_out(make_transport: MakeTransport, trusted: None) -> None:
    with (
        serve(hostile.SLOW["drips its body"], tls=hostile.certified("127.0.0.1")) as server,
        pytest.raises(ServerTimeout),
    ):
        post(make_transport(total_seconds=0.3), server)


def test_a_drip_on_a_connection_that_was_kept_ends_in_a_time_out(make_transport: MakeTransport) -> None:
    def first_well(caller: Caller) -> None:
        caller.request()
        caller.send(http(200, b"{}"))
        hostile.SLOW["drips its headers"](caller)

    transport = make_transport(total_seconds=1)
    with serve(first_well) as server:
        assert post(transport, server) == b"{}"
        with pytest.raises(ServerTimeout):
            post(transport, server)

    assert server.connections == 1


def test_a_server_that_never_accepts_ends_in_a_time_out(make_transport: MakeTransport) -> None:
    with hostile.full_backlog() as origin, pytest.raises(ServerTimeout):
        post(make_transport(connect_seconds=0.2), origin)


def test_a_connection_that_comes_about_too_late_is_cut_at_once(make_transport: MakeTransport) -> None:
    def late(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return [_SlowEntry(entry) for entry in socket.getaddrinfo("127.0.0.1", port, **options)]

    with serve(hostile.silent) as server, pytest.raises(ServerTimeout):
        post(make_transport(total_seconds=0.05, step_seconds=600, resolve=late), server)


class _SlowEntry(tuple[Any, ...]):
    """What a name service found, taking its time before anybody can connect there."""

    def __iter__(self) -> Iterator[Any]:
        time.sleep(0.1)
        return super().__iter__()


@pytest.mark.parametrize("name", hostile.TOO_LARGE)
def test_what_is_read_has_a_limit(make_transport: MakeTransport, name: str) -> None:
    with serve(hostile.TOO_LARGE[name]) as server, pytest.raises(AnswerTooLarge):
        post(make_transport(body_bytes=hostile.MEBIBYTE, total_seconds=600), server)


def test_an_answer_may_be_as_large_as_the_limit(make_transport: MakeTransport) -> None:
    with serve(answers(200, b" " * 100_000)) as server:
        assert len(post(make_transport(body_bytes=100_000), server)) == 100_000
        with pytest.raises(AnswerTooLarge, match="more than 99999 bytes"):
            post(make_transport(body_bytes=99_999), server)


def test_a_packed_answer_is_unpacked(transport: Transport) -> None:
    with serve(answers(200, gzip.compress(b"{}" * 50_000), "Content-Encoding: gzip")) as server:
        assert post(transport, server) == b"{}" * 50_000


@pytest.mark.parametrize("name", hostile.NOT_PACKED)
def test_what_can_not_be_unpacked_is_an_invalid_answer(make_transport: MakeTransport, name: str) -> None:
    with serve(hostile.NOT_PACKED[name]) as server, pytest.raises(InvalidAnswer):
        post(make_transport(total_seconds=600), server)


@pytest.mark.parametrize("name", hostile.BROKEN)
def test_what_is_not_an_answer_in_http_makes_a_server_unreachable(
    transport: Transport, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    with serve(hostile.BROKEN[name]) as server, pytest.raises(ServerUnreachable):
        post(transport, server)

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_a_server_that_refuses_is_unreachable(transport: Transport) -> None:
    with hostile.refusing() as origin, pytest.raises(ServerUnreachable):
        post(transport, origin)


# Certificates.


def test_a_server_with_a_good_certificate_is_talked_to(make_transport: MakeTransport, trusted: None) -> None:
    with serve(answers(200, b"{}"), tls=hostile.certified("misskey.example"), name="misskey.example") as server:
        transport = make_transport(resolve=leads_to("127.0.0.1"))
        assert [post(transport, server) for _ in range(10)] == [b"{}"] * 10

    assert server.connections == 1


@pytest.mark.parametrize("name", hostile.bad_certificates())
def test_a_bad_certificate_is_refused(
    transport: Transport, trusted: None, name: str, make_transport: MakeTransport
) -> None:
    with (
        serve(answers(200, b"{}"), tls=hostile.bad_certificates()[name]) as server,
        pytest.raises(InsecureConnection, match="the certificate is not valid"),
    ):
        post(make_transport(), server)

    assert server.requests == []


def test_a_certificate_that_only_the_tests_know_is_refused_elsewhere(transport: Transport) -> None:
    with serve(answers(200, b"{}"), tls=hostile.certified("127.0.0.1")) as server, pytest.raises(InsecureConnection):
        post(transport, server)


@pytest.mark.parametrize("instead", [hostile.plain_http, hostile.hangs_up_before_tls])
def test_a_server_without_tls_at_its_port_is_unreachable(
    make_transport: MakeTransport, trusted: None, instead: Behaviour
) -> None:
    with serve(instead, tls=hostile.certified("127.0.0.1")) as server, pytest.raises(ServerUnreachable) as caught:
        post(make_transport(), server)

    assert not isinstance(caught.value, InsecureConnection)


@pytest.mark.parametrize("name", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_a_ca_bundle_that_is_not_there_stops_in_words(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "/nowhere/ca.pem")

    with pytest.raises(ValueError, match=f"{name} names a file that is not there: /nowhere/ca.pem"):
        Transport("test/1.0")


# Redirects, cookies, log-ins.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(transport: Transport, status: int) -> None:
    with serve(answers(200, b"inner")) as inner, serve(hostile.redirects(status, f"{inner.origin}/")) as server:
        answer = transport.request("POST", private(server), "/api/meta", body=b"{}")

    assert answer.status == status
    assert inner.connections == 0


def test_no_cookie_is_kept(transport: Transport) -> None:
    with serve(says({}, 200, "Set-Cookie: a=b; Path=/; Max-Age=99999999")) as server:
        post(transport, server)
        post(transport, server)
        with serve(answers(200, b"{}")) as other:
            post(transport, other)

    assert not any("cookie" in request.headers for request in server.requests + other.requests)


def test_the_files_of_log_ins_are_not_read(
    transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text("default login alice password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with serve(answers(200, b"{}")) as server:
        post(transport, server)

    assert "authorization" not in server.requests[0].headers


def test_the_server_learns_which_program_calls(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}")) as server:
        make_transport("MyApp/1.0 (+https://myapp.example)").request(
            "POST", private(server), "/api/meta", body=b"{}", headers={"Accept": "application/json"}
        )

    assert server.requests[0].headers["user-agent"] == "MyApp/1.0 (+https://myapp.example)"
    assert server.requests[0].headers["accept"] == "application/json"


def test_an_answer_tells_status_headers_body_and_time_but_shows_neither_headers_nor_body(transport: Transport) -> None:
    with serve(answers(418, b'{"token": "secret"}', "X-Token: secret")) as server:
        answer = transport.request("GET", private(server), "/")

    assert (answer.status, answer.headers["x-token"], answer.body) == (418, "secret", b'{"token": "secret"}')
    assert answer.milliseconds >= 0
    assert "secret" not in repr(answer)


@pytest.mark.parametrize("name", ["a truncated body", "a gzip bomb", "not gzip, though it says so", "hangs up at once"])
def test_no_failure_tells_what_was_sent(make_transport: MakeTransport, name: str) -> None:
    behaviour = (hostile.BROKEN | hostile.TOO_LARGE | hostile.NOT_PACKED)[name]
    with serve(behaviour) as server, pytest.raises(MisskeyError) as caught:
        make_transport().request("POST", private(server), "/api/i", body=hostile.TOKEN.encode())

    assert hostile.TOKEN not in "".join(traceback.format_exception(caught.value))


# Proxies.


def proxy(to: Hostile) -> Behaviour:
    """A proxy that leads every CONNECT to one server."""

    def behaviour(caller: Caller) -> None:
        caller.request()
        with socket.create_connection(("127.0.0.1", to.port)) as other:
            caller.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            threading.Thread(target=_copy, args=(other, caller.sock), daemon=True).start()
            _copy(caller.sock, other)

    return behaviour


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_RDWR)


def test_a_proxy_in_the_environment_is_used(
    make_transport: MakeTransport, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = hostile.certified("misskey.example")
    with serve(answers(200, b"{}"), tls=certificate) as server, serve(proxy(server)) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.origin)
        transport = make_transport()
        assert [post(transport, MISSKEY) for _ in range(3)] == [b"{}"] * 3
        transport.close()

    assert [(request.method, request.path) for request in between.requests] == [("CONNECT", "misskey.example:443")]
    assert server.connections == 1


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
def test_a_connection_through_a_proxy_is_bounded_too(
    make_transport: MakeTransport, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(hostile.SLOW["drips its headers"]) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.origin)
        with pytest.raises(ServerTimeout):
            post(make_transport(total_seconds=0.3), MISSKEY)
    gc.collect()  # Python's ssl module leaves a socket open that was cut before its handshake


def test_a_proxy_that_refuses_makes_a_server_unreachable(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(answers(403, b"no")) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.origin)
        with pytest.raises(ServerUnreachable):
            post(make_transport(), MISSKEY)


def test_a_server_that_needs_no_proxy_gets_none(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answers(200, b"{}")) as server, serve(answers(403)) as between:
        monkeypatch.setenv("HTTP_PROXY", between.origin)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        assert post(transport, server) == b"{}"

    assert between.connections == 0


# Connections that are kept.


def test_a_hundred_calls_need_one_connection(transport: Transport) -> None:
    with serve(answers(200, b"{}")) as server:
        for _ in range(100):
            post(transport, server)

    assert (server.connections, len(server.requests)) == (1, 100)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced(transport: Transport) -> None:
    with serve(hostile.closes_idle) as server:
        for _ in range(5):
            post(transport, server)
            _wait_until(lambda: not server.open)

    assert server.connections == 5


def test_a_thousand_servers_leave_nothing_open(make_transport: MakeTransport) -> None:
    transport = make_transport(idle_seconds=0.2)
    with serve(answers(200, b"{}"), listen="0.0.0.0") as server:
        post(transport, server)
        before = _file_descriptors()
        for number in range(1000):
            post(transport, f"http://127.0.{number // 250}.{number % 250 + 2}:{server.port}")
        _wait_until(lambda: not server.open)

        assert server.connections == 1001
        assert _file_descriptors() < before


def test_a_connection_in_use_outlives_the_idle_ones(make_transport: MakeTransport) -> None:
    transport = make_transport(idle_seconds=0.15)
    with serve(answers(200, b"{}")) as busy, serve(answers(200, b"{}")) as idle:
        post(transport, idle)
        while idle.open:
            post(transport, busy)
        assert busy.connections == 1
        _wait_until(lambda: not busy.open)
        assert post(transport, busy) == b"{}"


def test_more_servers_at_once_than_are_pooled_are_all_answered(make_transport: MakeTransport) -> None:
    count = POOLED_SERVERS + 20
    together = threading.Barrier(count)

    def waits_for_all(caller: Caller) -> None:
        while caller.request():
            together.wait()
            caller.send(http(200, b"{}"))

    transport = make_transport(total_seconds=600, step_seconds=600)
    with serve(waits_for_all, listen="0.0.0.0") as server, ThreadPoolExecutor(count) as threads:
        origins = [f"http://127.1.{number // 250}.{number % 250 + 2}:{server.port}" for number in range(count)]
        for _ in range(2):
            assert list(threads.map(lambda origin: post(transport, origin), origins)) == [b"{}"] * count


def test_a_connection_that_was_in_use_while_others_were_swept_is_swept_later(make_transport: MakeTransport) -> None:
    def slow(caller: Caller) -> None:
        while caller.request():
            time.sleep(0.2)
            caller.send(http(200, b"{}"))

    with serve(slow) as server:
        post(make_transport(idle_seconds=0.05), server)
        _wait_until(lambda: not server.open)


def test_many_calls_at_once_to_one_server_are_no_news_for_the_log(
    make_transport: MakeTransport, caplog: pytest.LogCaptureFixture
) -> None:
    together = threading.Barrier(32)

    def waits_for_all(caller: Caller) -> None:
        while caller.request():
            together.wait()
            caller.send(http(200, b"{}"))

    transport = make_transport(total_seconds=600, step_seconds=600)
    with serve(waits_for_all) as server, ThreadPoolExecutor(32) as threads:
        assert list(threads.map(lambda _: post(transport, server), range(32))) == [b"{}"] * 32

    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_closing_closes_every_connection(make_transport: MakeTransport) -> None:
    transport = make_transport()
    with serve(answers(200, b"{}")) as server:
        post(transport, server)
        transport.close()
        _wait_until(lambda: not server.open)


def test_closing_while_connections_are_swept_is_harmless(make_transport: MakeTransport) -> None:
    transport = make_transport()
    with serve(answers(200, b"{}")) as server:
        post(transport, server)
        manager = transport.adapter.poolmanager
        pool = manager.pools[manager.pools.keys().pop()]
        pool.close()

        assert pool.close_idle(0) == 0


def _port(origin: str) -> int:
    return int(origin.rpartition(":")[2])


def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def _file_descriptors() -> int:
    if not sys.platform.startswith("linux"):
        pytest.skip("counts file descriptors as Linux shows them")
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - pathlib would open more


# Under gevent, as gunicorn runs the app.

GREENLETS = """
from gevent import monkey, pool
monkey.patch_all()
import sys
from misskey import MisskeyError, Server, Transport

def outcome(origin):
    try:
        transport.request("POST", Server.parse_origin(origin), "/api/meta", body=b"{}")
    except MisskeyError as error:
        return type(error).__name__
    return "answered"

seconds, body_bytes, times, *origins = sys.argv[1:]
transport = Transport("test/1.0", total_seconds=float(seconds), body_bytes=int(body_bytes))
for result in pool.Pool(1000).imap_unordered(outcome, origins[:1] * int(times) + origins[1:]):
    print(result)
transport.close()
"""


def outcomes(*origins: str, seconds: float = 1, body_bytes: int = 4 * hostile.MEBIBYTE, times: int = 1) -> list[str]:
    """Call all at once, the first one ``times``, in greenlets of a process of its own; return what came, in order."""
    arguments = [str(seconds), str(body_bytes), str(times), *origins]
    run = subprocess.run([sys.executable, "-c", GREENLETS, *arguments], capture_output=True, text=True, check=False)
    assert run.stderr == ""
    return run.stdout.split()


def test_under_gevent_slow_servers_end_in_a_time_out() -> None:
    with ExitStack() as stack:
        servers = [stack.enter_context(serve(behaviour)) for behaviour in hostile.SLOW.values()]
        assert outcomes(*(server.origin for server in servers)) == ["ServerTimeout"] * len(servers)


def test_under_gevent_a_drip_in_the_handshake_ends_in_a_time_out(trusted: None) -> None:
    tls = hostile.certified("127.0.0.1")
    with serve(hostile.drips_in_handshake, tls=tls) as server, serve(answers(200, b"{}"), tls=tls) as good:
        assert outcomes(server.origin, good.origin) == ["answered", "ServerTimeout"]


def test_under_gevent_hundreds_of_servers_that_never_answer_hold_up_nobody() -> None:
    with serve(hostile.silent) as server, serve(answers(200, b"{}")) as good:
        assert outcomes(server.origin, good.origin, times=300, seconds=2) == ["answered", *["ServerTimeout"] * 300]


@pytest.mark.parametrize("name", ["“100 Continue” without end", "10 GB in chunks of one byte"])
def test_under_gevent_a_server_that_never_pauses_holds_up_nobody(name: str) -> None:
    with serve(hostile.TOO_LARGE[name]) as server, serve(answers(200, b"{}")) as good:
        assert outcomes(server.origin, good.origin, seconds=2, body_bytes=10**12) == ["answered", "ServerTimeout"]
