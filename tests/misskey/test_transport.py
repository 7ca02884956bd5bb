"""The only place that opens a connection: guarded, bounded, pooled. With real servers on real sockets."""

from __future__ import annotations

import base64
import gzip
import io
import logging
import os
import socket
import ssl
import sys
import threading
import time
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from trustme import KeyType

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
from misskey.addresses import is_public
from misskey.connections import POOLED_SERVERS
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


def test_a_request_says_who_asks_and_how_the_answer_may_be_packed(transport: Transport) -> None:
    with serve(answers(200, b"{}")) as server:
        transport.request("GET", private(server), "/nodeinfo/2.0")

    [request] = server.requests
    assert request.headers["user-agent"] == "test/1.0 (+https://app.example)"
    assert request.headers["accept-encoding"] == "gzip, deflate"
    assert "content-length" not in request.headers


def leads_to(*addresses: str) -> Callable[..., list[tuple[Any, ...]]]:
    """A name service that knows one answer, whatever the name."""

    def resolve(host: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return [entry for address in addresses for entry in socket.getaddrinfo(address, port, **options)]

    return resolve


# Which addresses.


@pytest.mark.parametrize(
    "address",
    [PUBLIC, "1.1.1.1", "2606:4700:4700::1111", "2a00:1450:4001:81b::200e", "64:ff9b::8.8.8.8", "64:ff9b::101:101"],
)
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
        *("64:ff9b::a00:1", "64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "64:ff9b::192.0.0.1", "64:ff9b::"),
        *("64:ff9b:1::1", "64:ff9b:1::808:808", "64:ff9b::1:808:808", "2002:a00:1::", "2002:808:808::1"),
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

    assert connects == [f"1.1.1.{last}" for last in range(1, 7)]


def test_of_many_addresses_both_kinds_are_tried_by_turns(make_transport: MakeTransport, connects: list[str]) -> None:
    ipv6, ipv4 = [f"2606:4700::{last}" for last in range(1, 9)], ["1.1.1.1", "1.1.1.2"]
    with pytest.raises(ServerUnreachable):
        post(make_transport(resolve=leads_to(*ipv6, *ipv4)), MISSKEY)

    assert connects == [ipv6[0], ipv4[0], ipv6[1], ipv4[1], ipv6[2], ipv6[3]]


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
        transport = make_transport(connect_seconds=60, total_seconds=600, resolve=lambda *_, **__: entries * 2)

        assert post(transport, server) == b"{}"


def test_no_further_address_is_connected_to_while_one_answers(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}")) as server:
        for _ in range(2):
            transport = make_transport(resolve=leads_to("127.0.0.1", "127.0.0.1", "127.0.0.1"))
            assert post(transport, f"http://misskey.lan:{server.port}") == b"{}"

        assert server.connections == 2


def test_an_address_of_a_kind_that_this_machine_does_not_have_is_passed_over(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}"), name="misskey.example") as server:
        entries = socket.getaddrinfo("127.0.0.1", server.port, type=socket.SOCK_STREAM)
        unknown = (socket.AF_APPLETALK, *entries[0][1:])
        transport = make_transport(resolve=lambda *_, **__: [unknown, *entries])
        lost = make_transport(connect_seconds=600, total_seconds=600, resolve=lambda *_, **__: [unknown])

        assert post(transport, server) == b"{}"
        with pytest.raises(ServerUnreachable):
            post(lost, server)


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
    answered, waiting = threading.Event(), list[threading.Thread]()

    def resolve(*_: Any, **__: Any) -> list[tuple[Any, ...]]:
        waiting.append(threading.current_thread())
        answered.wait()
        return []

    with pytest.raises(ServerTimeout, match="the name service did not answer in time"):
        post(make_transport(connect_seconds=0.1, resolve=resolve), MISSKEY)
    assert [thread.daemon for thread in waiting] == [True]  # the program can end meanwhile
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


def test_what_tls_sends_for_itself_counts_too(make_transport: MakeTransport, trusted: None) -> None:
    """Tickets can come without end, for as long as the server likes."""
    tls = hostile.certified("127.0.0.1")
    tls.num_tickets = 8192  # of some 250 bytes
    with serve(answers(200, b"{}"), tls=tls) as server, pytest.raises(AnswerTooLarge):
        post(make_transport(), server)


@pytest.mark.parametrize(("ciphers", "is_spoken"), [("ECDHE+AES", True), ("DHE+AES", False)])
def test_a_server_can_not_choose_numbers_that_take_long(
    make_transport: MakeTransport, trusted: None, tmp_path: Path, ciphers: str, is_spoken: bool
) -> None:
    """With those of the old key exchange, a client computes for half a second."""
    numbers = bytes.fromhex("30820108 0282010100") + b"\xff" * 256 + bytes.fromhex("020102")  # 2048 bits, and 2
    name, text = "DH PARAMETERS", base64.encodebytes(numbers).decode()
    (tmp_path / "numbers.pem").write_text(f"-----BEGIN {name}-----\n{text}-----END {name}-----\n")
    tls = hostile.certified("127.0.0.1", key_type=KeyType.RSA)
    tls.maximum_version = ssl.TLSVersion.TLSv1_2
    tls.load_dh_params(str(tmp_path / "numbers.pem"))
    tls.set_ciphers(ciphers)
    with serve(answers(200, b"{}"), tls=tls) as server:
        if is_spoken:
            assert post(make_transport(), server) == b"{}"
        else:
            with pytest.raises(ServerUnreachable):
                post(make_transport(), server)


def test_a_drip_on_a_connection_that_was_kept_ends_in_a_time_out(make_transport: MakeTransport) -> None:
    def first_well(caller: Caller) -> None:
        caller.request()
        caller.send(http(200, b"{}"))
        hostile.SLOW["drips its headers"](caller)

    transport = make_transport(total_seconds=3)
    with serve(first_well) as server:
        assert post(transport, server) == b"{}"
        with pytest.raises(ServerTimeout):
            post(transport, server)

    assert server.connections == 1


def test_a_server_that_never_accepts_ends_in_a_time_out(make_transport: MakeTransport) -> None:
    with hostile.full_backlog() as origin, pytest.raises(ServerTimeout):
        post(make_transport(connect_seconds=0.2), origin)


@pytest.mark.parametrize("name", hostile.TOO_LARGE)
def test_what_is_read_has_a_limit(make_transport: MakeTransport, name: str) -> None:
    with serve(hostile.TOO_LARGE[name]) as server, pytest.raises(AnswerTooLarge):
        post(make_transport(max_answer_bytes=hostile.MEBIBYTE, total_seconds=600), server)


def test_an_answer_may_be_as_large_as_the_limit(make_transport: MakeTransport) -> None:
    with serve(answers(200, b" " * 100_000)) as server:
        assert len(post(make_transport(max_answer_bytes=100_000), server)) == 100_000
        with pytest.raises(AnswerTooLarge, match="more than 99999 bytes"):
            post(make_transport(max_answer_bytes=99_999), server)


def test_a_packed_answer_is_unpacked(transport: Transport) -> None:
    with serve(answers(200, gzip.compress(b"{}" * 50_000), "Content-Encoding: gzip")) as server:
        assert post(transport, server) == b"{}" * 50_000


def test_a_packed_answer_is_unpacked_no_further_than_the_limit(make_transport: MakeTransport) -> None:
    transport = make_transport(max_answer_bytes=hostile.MEBIBYTE, total_seconds=600)
    with serve(hostile.packed("bomb", "gzip")) as server:
        with pytest.raises(AnswerTooLarge):
            post(transport, server)  # for which the server packs it
        tracemalloc.start()
        with pytest.raises(AnswerTooLarge):
            post(transport, server)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()

    assert peak < 8 * hostile.MEBIBYTE


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


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("expired", "certificate has expired"),
        ("for another name", "certificate is not valid for '127.0.0.1'"),
        ("from an unknown authority", "unable to get local issuer certificate"),
    ],
)
def test_a_bad_certificate_is_refused(
    transport: Transport, trusted: None, name: str, cause: str, make_transport: MakeTransport
) -> None:
    with (
        serve(answers(200, b"{}"), tls=hostile.bad_certificates()[name]) as server,
        pytest.raises(InsecureConnection, match=f"the certificate is not valid: .*{cause}"),
    ):
        post(make_transport(), server)

    assert server.requests == []


def test_a_server_is_told_which_protocol_is_spoken_within_tls(make_transport: MakeTransport, trusted: None) -> None:
    """So that nobody can lead what is meant for it to a server of another protocol with the same certificate."""
    certificate, spoken = hostile.certified("127.0.0.1"), []
    certificate.set_alpn_protocols(["h2", "http/1.1"])

    def behaviour(caller: Caller) -> None:
        spoken.append(cast(ssl.SSLSocket, caller.sock).selected_alpn_protocol())
        answers(200, b"{}")(caller)

    with serve(behaviour, tls=certificate) as server:
        post(make_transport(), server)

    assert spoken == ["http/1.1"]


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


def test_a_proxy_in_the_environment_is_used(
    make_transport: MakeTransport, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = hostile.certified("misskey.example")
    with serve(answers(200, b"{}"), tls=certificate) as server, serve(hostile.proxy(server)) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.origin)
        transport = make_transport()
        assert [post(transport, MISSKEY) for _ in range(3)] == [b"{}"] * 3
        transport.close()

    assert [(request.method, request.path) for request in between.requests] == [("CONNECT", "misskey.example:443")]
    assert server.connections == 1


def test_a_proxy_passes_on_plain_http_and_gets_its_log_in(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(answers(200, b"{}")) as between:
        monkeypatch.setenv("HTTP_PROXY", between.origin.replace("://", "://alice:secret@"))
        transport = make_transport()
        assert [post(transport, "http://misskey.lan:3000") for _ in range(2)] == [b"{}"] * 2

    assert [request.path for request in between.requests] == ["http://misskey.lan:3000/api/meta"] * 2
    assert between.requests[1].headers["proxy-authorization"] == "Basic YWxpY2U6c2VjcmV0"
    assert between.requests[1].headers["host"] == "misskey.lan:3000"
    assert between.connections == 1


def test_a_proxy_without_a_log_in_gets_none(make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(answers(200, b"{}")) as between:
        monkeypatch.setenv("HTTP_PROXY", between.origin)
        post(make_transport(), "http://misskey.lan:3000")

    assert "proxy-authorization" not in between.requests[0].headers


@pytest.mark.parametrize(
    ("proxy", "place"), [("http://[fd00::1]:8080", ("fd00::1", 8080)), ("http://proxy.lan", ("proxy.lan", 80))]
)
def test_a_proxy_is_connected_to_at_its_address_and_port_in_time(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch, proxy: str, place: tuple[str, int]
) -> None:
    tried: list[tuple[tuple[str, int], float]] = []

    def refuses(address: tuple[str, int], seconds: float) -> socket.socket:
        tried.append((address, seconds))
        raise ConnectionRefusedError

    monkeypatch.setenv("HTTP_PROXY", proxy)
    monkeypatch.setattr("misskey.connections.socket.create_connection", refuses)
    with pytest.raises(ServerUnreachable):
        post(make_transport(connect_seconds=5), "http://misskey.lan:3000")

    [(address, seconds)] = tried
    assert address == place
    assert 0 < seconds <= 5


def test_a_connection_through_a_proxy_is_bounded_too(
    make_transport: MakeTransport, trusted: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(hostile.SLOW["drips its headers"]) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.origin)
        with pytest.raises(ServerTimeout):
            post(make_transport(total_seconds=0.3), MISSKEY)


def test_the_log_in_of_a_proxy_may_have_any_letters(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(answers(200, b"{}")) as between:
        monkeypatch.setenv("HTTP_PROXY", between.origin.replace("://", "://アリス:%E7%A7%98%3A@"))
        post(make_transport(), "http://misskey.lan:3000")

    kind, login = between.requests[0].headers["proxy-authorization"].split(" ")
    assert (kind, base64.b64decode(login).decode()) == ("Basic", "アリス:秘:")


@pytest.mark.parametrize("place", ["misskey.example:443", "[fd00::1]:8443"])
def test_a_proxy_that_refuses_makes_a_server_unreachable(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    with serve(answers(403, b"no")) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.origin)
        with pytest.raises(ServerUnreachable):
            post(make_transport(), f"https://{place.removesuffix(':443')}")

    [request] = between.requests
    assert (request.method, request.path, request.headers["host"]) == ("CONNECT", place, place)


def test_a_proxy_that_is_no_address_makes_a_server_unreachable(
    make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for proxy in ("http://proxy.example:99999", "http://", "http://[::1"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
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


def test_an_answer_tells_how_long_it_took(transport: Transport) -> None:
    def behaviour(caller: Caller) -> None:
        caller.request()
        time.sleep(0.05)
        caller.send(http(200, b"{}"))

    with serve(behaviour) as server:
        answer = transport.request("GET", Server.parse_origin(server.origin), "/")

    assert 50 <= answer.milliseconds < 60_000


def test_an_answer_to_head_has_no_body_whatever_it_says_of_its_length(transport: Transport) -> None:
    def behaviour(caller: Caller) -> None:
        while caller.request():
            caller.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")

    with serve(behaviour) as server:
        for _ in range(2):
            assert transport.request("HEAD", Server.parse_origin(server.origin), "/").body == b""

    assert server.connections == 1


def test_a_connection_that_the_server_is_about_to_close_is_not_used_again(transport: Transport) -> None:
    def behaviour(caller: Caller) -> None:
        while caller.request():
            caller.send(http(200, b"{}", "Connection: Keep-Alive", "Connection: x-hop, Close"))

    with serve(behaviour) as server:
        assert [post(transport, server) for _ in range(2)] == [b"{}"] * 2

    assert server.connections == 2


@pytest.mark.skipif(sys.platform != "linux", reason="counts file descriptors as Linux shows them")
def test_a_thousand_servers_leave_nothing_open(make_transport: MakeTransport) -> None:
    transport = make_transport(idle_seconds=0.2)
    with serve(answers(200, b"{}"), listen="0.0.0.0") as server, serve(answers(200, b"{}")) as other:
        before = _file_descriptors()
        for number in range(1000):
            post(transport, f"http://127.0.{number // 250}.{number % 250 + 2}:{server.port}")
        time.sleep(0.3)
        post(transport, other)
        _wait_until(lambda: not server.open)

        assert server.connections == 1000
        assert _file_descriptors() <= before + 4  # both ends of the last one


def test_a_connection_in_use_outlives_the_idle_ones(make_transport: MakeTransport) -> None:
    transport = make_transport(idle_seconds=1)
    with serve(answers(200, b"{}")) as busy, serve(answers(200, b"{}")) as idle:
        post(transport, idle)
        while idle.open:
            post(transport, busy)
        assert busy.connections == 1


def test_a_transport_starts_no_thread_that_stays(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}")) as server:
        before = _own_threads()
        for _ in range(50):
            post(make_transport(), server)
        _wait_until(lambda: _own_threads() <= before)


def _own_threads() -> set[str]:
    """The threads that are not the tests' own servers."""
    return {f"{thread.name} {thread.ident}" for thread in threading.enumerate() if "_answer" not in thread.name}


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


def test_a_connection_in_use_while_the_transport_is_closed_is_closed_after_it(transport: Transport) -> None:
    asked, closed = threading.Event(), threading.Event()

    def waits(caller: Caller) -> None:
        while caller.request():
            asked.set()
            closed.wait()
            caller.send(http(200, b"{}"))

    with serve(waits) as server, ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(post, transport, server)
        asked.wait()
        transport.close()
        closed.set()
        assert under_way.result() == b"{}"
        _wait_until(lambda: not server.open)


# One answer belongs to one request.


INFORMATIONAL = {
    "100 Continue": [b"HTTP/1.1 100 Continue\r\n\r\n"],
    "103 Early Hints": [b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\nContent-Length: 5\r\n\r\n"],
    "a status that nobody knows": [b"HTTP/1.1 199\r\nX-Name: 1\r\n\r\n"],
    "all kinds, many": [f"HTTP/1.1 {100 + n} I\r\n\r\n".encode() for n in range(2, 100)] * 5,
}


@pytest.mark.parametrize("name", INFORMATIONAL)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
def test_informational_answers_are_read_past(
    make_transport: MakeTransport, trusted: None, name: str, tls: bool
) -> None:
    final = threading.Event()

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            caller.send(*INFORMATIONAL[name])
            final.wait()
            caller.send(http(200, request.body))

    transport = make_transport()
    with serve(behaviour, tls=hostile.certified("127.0.0.1") if tls else None) as server:
        with ThreadPoolExecutor(2) as visitors:
            alice, bob = [
                visitors.submit(transport.request, "POST", private(server), "/api/meta", body=body)
                for body in (b'"for Alice"', b'"for Bob"')
            ]
            final.set()
            assert (alice.result().body, bob.result().body) == (b'"for Alice"', b'"for Bob"')
        assert post(transport, server) == b"{}"

    assert server.connections <= 2


@pytest.mark.parametrize("status", ["101 Switching Protocols", "101"])
def test_switching_protocols_is_no_answer_to_a_request(transport: Transport, status: str) -> None:
    with serve(hostile.starts(f"HTTP/1.1 {status}\r\n\r\n".encode())) as server, pytest.raises(ServerUnreachable):
        post(transport, server)


#: Answers after which, or within which, more is on the connection than was asked for.
_OTHER = http(200, b'"for somebody else"')
_CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
_BUFFERED = io.DEFAULT_BUFFER_SIZE  # of it, and no more, is read at once from a TLS record, which can hold more
TOO_MUCH = {
    "a second answer beyond the buffer": (http(200, bytes(_BUFFERED - len(http(200, length=_BUFFERED)))), _OTHER),
    "a second answer": (http(200, b"{}"), _OTHER),
    "a second answer, unreadable": (http(200, b"{}"), bytes(20_000)),
    "one byte too many": (http(200, b"{}"), b"x"),
    "a 204 with a body": (http(204, length=len(_OTHER)), _OTHER),
    "a 304 with a body": (http(304, length=len(_OTHER)), _OTHER),
    "a 204 in chunks": (b"HTTP/1.1 204 OK\r\n" + _CHUNKED, _OTHER),
    "chunks and a length": (http(200, b"2\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), _OTHER),
    "chunks": (b"HTTP/1.1 200 OK\r\n" + _CHUNKED + b"2\r\n{}\r\n0\r\n\r\n", _OTHER),
}


@pytest.mark.parametrize("name", TOO_MUCH)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "later"])
def test_what_comes_beyond_an_answer_reaches_no_other_request(
    make_transport: MakeTransport, trusted: None, name: str, tls: bool, at_once: bool
) -> None:
    answer, more = TOO_MUCH[name]
    answered, sent = threading.Event(), threading.Event()

    def behaviour(caller: Caller) -> None:
        caller.request()
        if server.connections > 1:
            caller.send(http(200, b'"mine"'))
            return
        if at_once:
            caller.send(answer + more)
        else:
            caller.send(answer)
            answered.wait()
            caller.send(more)
        sent.set()
        caller.hold()

    transport = make_transport()
    with serve(behaviour, tls=hostile.certified("127.0.0.1") if tls else None) as server:
        post(transport, server)
        answered.set()
        sent.wait()

        assert post(transport, server) == b'"mine"'


@pytest.mark.parametrize(
    "head",
    [
        *("Content-Length: +2", "Content-Length: 2, 2", "Content-Length: 2 3", "Content-Length: 0x2"),
        *("Content-Length: -2", "Content-Length: ", "Content-Length: 2\r\nContent-Length: 1"),
        *("Transfer-Encoding: gzip, chunked", "Transfer-Encoding: chunked, chunked"),
        *(f"Transfer-Encoding: chunked\r\nTransfer-Encoding: {coding}" for coding in ("gzip", "chunked")),
        *("X-Name: a\rTransfer-Encoding: chunked", "Content-Length: 2\r\nX-Name: a\r\rTransfer-Encoding: chunked"),
    ],
)
def test_an_answer_whose_end_is_doubtful_is_none(transport: Transport, head: str) -> None:
    content = f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n".encode()
    with serve(hostile.starts(content)) as server, pytest.raises(ServerUnreachable):
        post(transport, server)


@pytest.mark.parametrize("size", ["+2", "-2", "0x2", "2_0", "", " 2", "2 2", "1" * 17])
def test_a_chunk_whose_size_is_doubtful_is_none(transport: Transport, size: str) -> None:
    content = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{size}\r\n{{}}\r\n0\r\n\r\n".encode()
    with serve(hostile.starts(content)) as server, pytest.raises(ServerUnreachable):
        post(transport, server)


@pytest.mark.parametrize("status", ["100 Continue", "103 Early Hints"])
def test_an_informational_answer_whose_end_is_doubtful_is_none(transport: Transport, status: str) -> None:
    content = f"HTTP/1.1 {status}\r\nno colon\r\n\r\n".encode() + http(200, b"{}")
    with serve(hostile.starts(content)) as server, pytest.raises(ServerUnreachable):
        post(transport, server)


@pytest.mark.parametrize("end", ["", "\n", "\n\n", "\r", "xx"])
def test_a_chunk_whose_end_is_doubtful_is_none(transport: Transport, end: str) -> None:
    content = f"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{{}}{end}0\r\n\r\n".encode()
    with serve(hostile.starts(content)) as server, pytest.raises(ServerUnreachable):
        post(transport, server)


def test_after_chunks_of_a_server_that_does_not_know_them_the_connection_is_not_used_again(
    transport: Transport,
) -> None:
    content = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" + _CHUNKED + b"2\r\n{}\r\n0\r\n\r\n"

    def behaviour(caller: Caller) -> None:
        while caller.request():
            caller.send(content)

    with serve(behaviour) as server:
        assert [post(transport, server) for _ in range(2)] == [b"{}"] * 2

    assert server.connections == 2


@pytest.mark.parametrize(
    ("header", "connections"),
    [("X-Name: a", 1), ("Content-Length: 0", 1), ("Content-Length: 5", 2), ("Transfer-Encoding: chunked", 2)],
)
@pytest.mark.parametrize("status", [204, 304])
def test_after_an_answer_that_can_have_no_body_and_tells_of_one_the_connection_is_not_used_again(
    transport: Transport, status: int, header: str, connections: int
) -> None:
    def behaviour(caller: Caller) -> None:
        while caller.request():
            caller.send(f"HTTP/1.1 {status} OK\r\n{header}\r\n\r\n".encode())

    with serve(behaviour) as server:
        assert [post(transport, server) for _ in range(2)] == [b""] * 2

    assert server.connections == connections


def test_chunks_may_have_extensions_and_trailers(transport: Transport) -> None:
    words = b" " * 0x1A
    chunks = b"1 ;a=b\r\n{\r\n1A\r\n" + words + b"\r\n01\r\n}\r\n0\r\nX-Trailer: 1\r\n\r\n"
    content = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n" + chunks

    def behaviour(caller: Caller) -> None:
        while caller.request():
            caller.send(content)

    with serve(behaviour) as server:
        assert [post(transport, server) for _ in range(3)] == [b"{" + words + b"}"] * 3

    assert server.connections == 1


def test_spaces_around_a_length_and_no_coding_at_all_are_fine(transport: Transport) -> None:
    with serve(
        hostile.starts(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 2 \r\n\r\n{}")
    ) as server:
        assert post(transport, server) == b"{}"


def test_what_only_reads_is_sent_again_when_a_kept_connection_is_dropped(transport: Transport) -> None:
    with serve(hostile.hangs_up_when_asked_again) as server:
        for _ in range(4):
            assert transport.request("POST", private(server), "/api/meta", body=b"{}", idempotent=True).body == b"{}"

    assert server.connections == 4


def test_what_writes_is_sent_once(transport: Transport) -> None:
    with serve(hostile.hangs_up_when_asked_again) as server:
        post(transport, server)
        with pytest.raises(ServerUnreachable):
            post(transport, server)

    assert (server.connections, len(server.requests)) == (1, 2)


def test_what_only_reads_is_not_sent_again_over_a_new_connection(transport: Transport) -> None:
    with serve(hostile.hangs_up_unanswered) as server, pytest.raises(ServerUnreachable):
        transport.request("POST", private(server), "/api/meta", body=b"{}", idempotent=True)

    assert server.connections == 1


def test_what_only_reads_is_sent_twice_at_most(transport: Transport) -> None:
    def once(caller: Caller) -> None:
        caller.request()
        if server.connections == 1:
            caller.send(http(200, b"{}"))
            caller.request()

    with serve(once) as server:
        post(transport, server)
        with pytest.raises(ServerUnreachable):
            transport.request("POST", private(server), "/api/meta", body=b"{}", idempotent=True)

    assert (server.connections, len(server.requests)) == (2, 3)


def test_an_answer_that_broke_off_is_not_asked_for_again(transport: Transport) -> None:
    def breaks_off(caller: Caller) -> None:
        caller.request()
        caller.send(http(200, b"{}"))
        caller.request()
        caller.send(b"H")

    with serve(breaks_off) as server:
        post(transport, server)
        with pytest.raises(ServerUnreachable):
            transport.request("POST", private(server), "/api/meta", body=b"{}", idempotent=True)

    assert server.connections == 1


# Heads and paths.


def test_a_head_has_a_limit_of_its_own(transport: Transport) -> None:
    cookies = ["Set-Cookie: " + "a;" * 800] * 60
    with serve(answers(200, b"{}", *cookies)) as server, pytest.raises(AnswerTooLarge):
        post(transport, server)


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("/a?b=c&d=%20%41", "/a?b=c&d=%20%41"),
        ("/a b|{c}", "/a%20b%7C%7Bc%7D"),
        ("/a#b", "/a"),
        ("//other.example/a", "//other.example/a"),
        ("/@alice:~(x)!$'*+,;=[1]", "/@alice:~(x)!$'*+,;=[1]"),
    ],
)
def test_a_path_is_sent_as_it_is_with_what_no_path_can_hold_escaped(transport: Transport, path: str, sent: str) -> None:
    with serve(answers(200, b"{}")) as server:
        transport.request("GET", private(server), path)

    assert server.requests[0].path == sent


def test_cookies_are_dropped_unread(transport: Transport) -> None:
    with serve(answers(200, b"{}", "Set-Cookie: a=b", "set-cookie: " + "a;" * 20_000, "Set-Cookie2: c=d")) as server:
        answer = transport.request("GET", private(server), "/")

    assert not any("cookie" in name.lower() for name in answer.headers)


def test_white_space_around_a_header_is_no_part_of_it(transport: Transport) -> None:
    with serve(answers(200, gzip.compress(b"{}"), "Content-Encoding: gzip \t", "X-Name: \t a b \t")) as server:
        answer = transport.request("GET", private(server), "/")

    assert (answer.body, answer.headers["X-Name"]) == (b"{}", "a b")


def test_a_header_in_two_lines_is_read_as_one(transport: Transport) -> None:
    with serve(answers(200, b"{}", "X-Name: a\r\n b")) as server:
        assert transport.request("GET", private(server), "/").headers["X-Name"] == "a b"


def test_a_header_of_two_lines_is_not_sent(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}")) as server, pytest.raises(ValueError, match="a header has to be one line"):
        post(make_transport("test/1.0\r\nX-Name: value"), server)

    assert server.requests == []


def test_a_proxy_whose_name_none_can_be_is_not_reached(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://{'a' * 64}.example:3128")
    with pytest.raises(ServerUnreachable):
        post(transport, "http://misskey.lan:3000")


def test_a_request_that_has_no_time_left_is_not_sent(make_transport: MakeTransport) -> None:
    with serve(answers(200, b"{}")) as server, pytest.raises(ServerTimeout):
        post(make_transport(total_seconds=0), server)

    assert server.requests == []


@pytest.mark.parametrize("path", ["/" + "%" * 5000, "/a b\n", "/a\r\nHost: b", "/caf\u00e9", "/\x00", "/\x7f"])
def test_a_path_that_no_server_has_is_refused_before_anything_looks_at_it(transport: Transport, path: str) -> None:
    with pytest.raises(ValueError, match="a path is printable ASCII"):
        transport.request("GET", MISSKEY, path)


@pytest.mark.parametrize("brief", [True, False])
def test_others_go_on_while_a_server_is_waited_for(make_transport: MakeTransport, brief: bool) -> None:
    turn = threading.Lock()

    @contextmanager
    def aside() -> Iterator[None]:
        turn.release()
        yield
        turn.acquire()

    asked, answered = threading.Event(), threading.Event()

    def waits(caller: Caller) -> None:
        caller.request()
        asked.set()
        answered.wait()
        caller.send(http(200, b"{}"))

    def waits_before_it_reads(caller: Caller) -> None:
        asked.set()
        answered.wait()
        caller.drain()
        caller.send(http(200, b"{}"))

    def request() -> bytes:
        with turn:
            return transport.request("POST", private(server), "/api/meta", body=bytes(size)).body

    transport = make_transport(while_waiting=aside, total_seconds=600, step_seconds=600)
    size, behaviour = (10, waits) if brief else (8 * hostile.MEBIBYTE, waits_before_it_reads)
    with serve(behaviour) as server, ThreadPoolExecutor(1) as threads:
        under_way = threads.submit(request)
        asked.wait()
        with turn:
            answered.set()
        assert under_way.result() == b"{}"


def test_tls_is_computed_in_turn(make_transport: MakeTransport, trusted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server can make it take long."""
    waits, computed = [], []

    @contextmanager
    def aside() -> Iterator[None]:
        waits.append(True)
        yield
        waits.pop()

    class Watched(ssl.SSLObject):
        def do_handshake(self) -> None:
            computed.append(bool(waits))
            super().do_handshake()

        def read(self, *args: Any) -> Any:
            computed.append(bool(waits))
            return super().read(*args)

    monkeypatch.setattr(ssl.SSLContext, "sslobject_class", Watched)
    transport = make_transport(while_waiting=aside)
    with serve(answers(200, b"{}"), tls=hostile.certified("127.0.0.1")) as server:
        post(transport, server)

    assert set(computed) == {False}


def _port(origin: str) -> int:
    return int(origin.rpartition(":")[2])


def _wait_until(condition: Callable[[], bool]) -> None:
    while not condition():
        time.sleep(0.01)


def _file_descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - pathlib would open more


# What makes a connection unfit to be used again.


def refuses_once(head: bytes, server: list[Hostile]) -> Behaviour:
    """Send this to whoever comes first, then what was meant for nobody; answer the others."""

    def behaviour(caller: Caller) -> None:
        caller.request()
        if server[0].connections > 1:
            caller.send(http(200, b'"mine"'))
            return
        caller.send(head)
        caller.request()
        caller.send(http(200, b'"stale"'))
        caller.hold()

    return behaviour


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\na: b\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=["a trailer that stalls", "a trailer without end", "two lengths", "switching protocols", "packed twice"],
)
def test_after_a_response_that_was_refused_the_next_request_has_its_own_connection(
    make_transport: MakeTransport, head: bytes
) -> None:
    transport, servers = make_transport(step_seconds=0.5), list[Hostile]()
    with serve(refuses_once(head, servers)) as server:
        servers.append(server)
        with pytest.raises(MisskeyError):
            post(transport, server)

        assert post(transport, server) == b'"mine"'


def test_a_kept_connection_to_a_private_server_is_not_for_who_may_not_go_there(make_transport: MakeTransport) -> None:
    def behaviour(caller: Caller) -> None:
        while caller.request():
            caller.send(http(200, b"{}"))

    transport = make_transport()
    with serve(behaviour) as server:
        post(transport, server)

        with pytest.raises(ServerForbidden):
            transport.request("POST", Server(server.origin), "/api/meta", body=b"{}")


def test_a_proxy_over_tls_is_not_used(make_transport: MakeTransport, monkeypatch: pytest.MonkeyPatch) -> None:
    """Within its TLS, nothing would bound how long a record takes."""
    monkeypatch.setenv("HTTPS_PROXY", "https://127.0.0.1:9")

    with pytest.raises(ServerUnreachable, match="proxy over TLS"):
        make_transport().request("POST", MISSKEY, "/api/meta", body=b"{}")
