"""The live channel: notes as they are written, at a real sandbox and at servers that misbehave."""

from __future__ import annotations

import json
import logging
import socket
import struct
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from misskey import (
    MASK,
    AnswerTooLarge,
    APIError,
    AuthenticationFailed,
    Client,
    InsecureConnection,
    InvalidAnswer,
    MisskeyError,
    PermissionDenied,
    RateLimited,
    Redirected,
    Server,
    ServerForbidden,
    ServerTimeout,
    ServerUnreachable,
    Stream,
    Transport,
    streaming,
)
from sandbox import Running
from tests import hostile
from tests.cast import NATIVE_TOKENS, wait_until
from tests.hostile import TOKEN, Behaviour, Caller, Hostile, answers, event, frame, opens, says, serve

NOTE = {"id": "9note", "text": "live"}
MakeClient = Callable[..., Client]


@pytest.fixture(autouse=True)
def trusted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The tests' own authority is trusted."""
    hostile.authority().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))


@pytest.fixture
def make_client() -> Iterator[MakeClient]:
    transports = []

    def make(server: Hostile | Running | str, token: str | None = TOKEN, **options: Any) -> Client:
        transports.append(Transport("test/1.0 (+https://app.example)", **options))
        origin = server if isinstance(server, str) else server.origin
        return Client(Server.parse_origin(origin), transports[-1], token)

    yield make
    for transport in transports:
        transport.close()


@pytest.fixture
def alice(make_client: MakeClient, sandbox: Running) -> Client:
    return make_client(sandbox, NATIVE_TOKENS["alice"])


def post(sandbox: Running, text: str, person: str = "bob") -> None:
    """Post a note; what the sandbox has heard before it was then heard by every stream too."""
    sandbox.world.post(sandbox.world.people[person], text=text, visibility="home")


def connected(stream: Stream, sandbox: Running) -> Iterator[dict[str, Any] | None]:
    """What the stream yields, from when the server has connected the channel: it tells nobody when."""
    wait_until(lambda: any(stream.channels for stream in sandbox.world.streams))
    return iter(stream)


def first(stream: Stream) -> dict[str, Any]:
    """The next note, however long it takes."""
    return next(note for note in stream if note)


def outcome(client: Client, **options: Any) -> Any:
    """The first note, or the error that came instead; silence is one."""
    with Stream(client, **{"silence_seconds": 20, **options}) as stream:
        return first(stream)


# At a server that behaves.


def test_a_new_note_comes_as_misskey_sends_it(alice: Client, sandbox: Running) -> None:
    with Stream(alice) as stream:
        notes = connected(stream, sandbox)
        post(sandbox, "live")
        note = next(notes)

    assert note
    assert (note["text"], note["user"]["username"]) == ("live", "bob")


def test_when_there_is_none_a_tick_comes(alice: Client) -> None:
    with Stream(alice, tick_seconds=0.01) as stream:
        notes = iter(stream)

        assert [next(notes) for _ in range(3)] == [None] * 3


def test_leaving_the_block_ends_the_stream_at_the_server(alice: Client, sandbox: Running) -> None:
    with Stream(alice) as stream:
        connected(stream, sandbox)

    wait_until(lambda: not sandbox.world.streams)


def test_a_stream_can_be_opened_again(alice: Client, sandbox: Running) -> None:
    stream = Stream(alice)
    for text in ("first", "second"):
        with stream:
            notes = connected(stream, sandbox)
            post(sandbox, text)
            assert (next(notes) or {})["text"] == text
        wait_until(lambda: not sandbox.world.streams)


@pytest.mark.parametrize("token", ["wrong", "", None])
def test_a_wrong_token_is_refused(make_client: MakeClient, sandbox: Running, token: str | None) -> None:
    with pytest.raises(AuthenticationFailed), Stream(make_client(sandbox, token)):
        pass


def test_a_token_without_the_permission_is_told_from_a_wrong_one(make_client: MakeClient, sandbox: Running) -> None:
    token = sandbox.world.approve(sandbox.world.people["alice"], ["write:notes"], None, None).value

    with pytest.raises(PermissionDenied), Stream(make_client(sandbox, token)):
        pass


def test_the_server_learns_which_program_calls_and_the_token_whole(make_client: MakeClient) -> None:
    with serve(answers(500)) as server, pytest.raises(APIError):
        outcome(make_client(server, "a/b?c=d&e#f g+h"))

    request = server.requests[0]
    assert request.path == "/streaming?i=a%2Fb%3Fc%3Dd%26e%23f+g%2Bh"
    assert request.headers["user-agent"] == "test/1.0 (+https://app.example)"
    assert "sec-websocket-extensions" not in request.headers


def test_without_a_token_and_at_any_name_the_handshake_is_the_same(make_client: MakeClient) -> None:
    def here(_name: str, *port: int, **options: Any) -> Any:
        return socket.getaddrinfo("127.0.0.1", *port, **options)

    with serve(answers(500)) as server, pytest.raises(APIError):
        outcome(make_client(server.origin.replace("127.0.0.1", "http.example"), None, resolve=here))

    request = server.requests[0]
    assert request.path == "/streaming?i="
    assert request.headers["host"] == server.origin.replace("http://127.0.0.1", "http.example")


# Handshakes that fail.


OPENS_NOTHING: dict[str, tuple[Behaviour, type[MisskeyError]]] = {
    "an empty 401": (answers(401), AuthenticationFailed),
    "an empty 403, as of old servers": (says({"error": {"code": "AUTHENTICATION_FAILED"}}, 403), AuthenticationFailed),
    "an HTML 403": (answers(403, b"<h1>Access denied</h1>", "Content-Type: text/html"), InvalidAnswer),
    "a page": (answers(200, b"<h1>Welcome</h1>"), InvalidAnswer),
    "an empty 404": (answers(404), APIError),
    "an HTML 502": (answers(502, b"<h1>Bad gateway</h1>"), InvalidAnswer),
    "a redirect": (hostile.redirects(302, "https://misskey.example/streaming"), Redirected),
    "an odd length": (hostile.starts(b"HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"), ServerUnreachable),
    "another's key": (opens(Caller.hold, accept="made up"), InvalidAnswer),
    "a header that is none": (opens(Caller.hold, "X-Name: a\x00b"), InvalidAnswer),
    "a switch to nothing": (hostile.starts(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"), InvalidAnswer),
    "compression": (opens(Caller.hold, "Sec-WebSocket-Extensions: permessage-deflate"), InvalidAnswer),
    "hangs up": (hostile.hangs_up, ServerUnreachable),
    "hangs up unanswered": (hostile.hangs_up_unanswered, ServerUnreachable),
}


@pytest.mark.parametrize("name", OPENS_NOTHING)
def test_an_answer_that_opens_no_stream_says_why(make_client: MakeClient, name: str) -> None:
    behaviour, error = OPENS_NOTHING[name]
    with serve(behaviour) as server, pytest.raises(MisskeyError) as caught:
        outcome(make_client(server))

    assert type(caught.value) is error


@pytest.mark.parametrize(("status", "refusal"), [(401, AuthenticationFailed), (403, APIError)])
def test_a_server_that_refuses_the_stream_alone_is_asked_why(
    make_client: MakeClient, status: int, refusal: type[APIError]
) -> None:
    said = json.dumps({"error": {"message": f"not with {TOKEN}"}}).encode()

    def fond_of_calls(caller: Caller) -> None:
        while request := caller.request():
            caller.send(hostile.http(200, b"{}") if request.path == "/api/i" else hostile.http(status, said))

    with serve(fond_of_calls) as server, pytest.raises(APIError) as caught:
        outcome(make_client(server))

    assert type(caught.value) is refusal
    assert caught.value.text == f"not with {MASK}"
    assert [request.path for request in server.requests[1:]] == ["/api/i"]


def test_a_server_that_asks_to_wait_says_how_long(make_client: MakeClient) -> None:
    with serve(answers(429, b"", "Retry-After: 30")) as server, pytest.raises(RateLimited) as caught:
        outcome(make_client(server))

    assert caught.value.retry_after == 30


@pytest.mark.parametrize("name", hostile.BROKEN)
def test_what_is_not_an_answer_in_http_opens_no_stream(make_client: MakeClient, name: str) -> None:
    with serve(hostile.BROKEN[name]) as server, pytest.raises((ServerUnreachable, InvalidAnswer, AnswerTooLarge)):
        outcome(make_client(server))


@pytest.mark.parametrize("name", hostile.TOO_LARGE)
def test_an_answer_without_end_opens_no_stream(make_client: MakeClient, name: str) -> None:
    with (
        serve(hostile.TOO_LARGE[name]) as server,
        pytest.raises((AnswerTooLarge, ServerUnreachable, InvalidAnswer, ServerTimeout)),
    ):
        outcome(make_client(server, total_seconds=1))


@pytest.mark.parametrize("name", hostile.SLOW)
def test_a_slow_handshake_ends_in_a_time_out(make_client: MakeClient, name: str) -> None:
    with serve(hostile.SLOW[name]) as server, pytest.raises(ServerTimeout):
        outcome(make_client(server, total_seconds=0.3))


def test_a_server_that_refuses_connections_is_unreachable(make_client: MakeClient) -> None:
    with hostile.refusing() as origin, pytest.raises(ServerUnreachable):
        outcome(make_client(origin))


# Guarded as every other connection.


def test_a_stream_over_tls(make_client: MakeClient) -> None:
    with serve(opens(talks_of({"text": "x" * 100_000})), tls=hostile.certified("127.0.0.1")) as server:
        assert outcome(make_client(server)) == {"text": "x" * 100_000}


@pytest.mark.parametrize("name", hostile.bad_certificates())
def test_a_bad_certificate_is_refused(make_client: MakeClient, name: str) -> None:
    with serve(opens(Caller.hold), tls=hostile.bad_certificates()[name]) as server, pytest.raises(InsecureConnection):
        outcome(make_client(server))

    assert server.requests == []


def test_a_certificate_that_only_the_tests_know_is_refused_elsewhere(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    with serve(opens(Caller.hold), tls=hostile.certified("127.0.0.1")) as server, pytest.raises(InsecureConnection):
        outcome(make_client(server))


def test_a_drip_in_the_tls_handshake_ends_in_a_time_out(make_client: MakeClient) -> None:
    with serve(hostile.drips_in_handshake, tls=hostile.certified("127.0.0.1")) as server, pytest.raises(ServerTimeout):
        outcome(make_client(server, total_seconds=0.3))


def test_a_name_that_leads_inward_is_refused() -> None:
    def resolve(_: str, port: int, **options: Any) -> list[tuple[Any, ...]]:
        return list(socket.getaddrinfo("127.0.0.1", port, **options))

    transport = Transport("test/1.0", resolve=resolve)
    with pytest.raises(ServerForbidden), Stream(Client(Server.parse("misskey.example"), transport, TOKEN)):
        pass
    transport.close()


@pytest.mark.parametrize("secure", [True, False])
def test_a_proxy_in_the_environment_is_used(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, secure: bool
) -> None:
    tls = hostile.certified("misskey.example") if secure else None
    name = "misskey.example"
    with serve(opens(talks_of(NOTE)), tls=tls, name=name) as server, serve(hostile.proxy(server)) as between:
        monkeypatch.setenv("HTTPS_PROXY" if secure else "HTTP_PROXY", between.origin)
        assert outcome(make_client(server)) == NOTE

    assert [(request.method, request.path) for request in between.requests] == [("CONNECT", f"{name}:{server.port}")]


@pytest.mark.parametrize("behaviour", [answers(403, b"no"), hostile.starts(b"what?\r\n\r\n")], ids=["403", "garbage"])
def test_a_proxy_that_refuses_makes_a_server_unreachable(
    make_client: MakeClient, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour
) -> None:
    with serve(behaviour) as between:
        monkeypatch.setenv("HTTPS_PROXY", between.origin)
        with pytest.raises(ServerUnreachable):
            outcome(make_client("https://misskey.example"))


# What comes over an open stream.


def talks_of(*notes: object) -> Callable[[Caller], object]:
    """Tell of notes, and keep the stream open."""

    def talk(caller: Caller) -> None:
        caller.send(*(frame(event(note)) for note in notes))
        caller.hold()

    return talk


def sends(*pieces: bytes) -> Behaviour:
    """Open a stream and send ``pieces``, then a note."""

    def talk(caller: Caller) -> None:
        caller.send(*pieces)
        talks_of(NOTE)(caller)

    return opens(talk)


def test_what_is_not_understood_is_passed_over(make_client: MakeClient) -> None:
    texts = [
        *(b"", b"null", b"42", b"[]", b"{}", b'"note"', b"{", b"\xff\xfe", b"NaN", b'{"type": "channel"}'),
        *(b"[" * 100_000, b'{"a":' * 50_000, b'{"type": "channel", "body": null}', b"9" * 100_000, b"[{}]" * 100_000),
        *(event(NOTE, kind="renote"), event(NOTE, channel="2"), event(NOTE, channel=1), event(NOTE, channel=["1"])),
        *(event(None), event([NOTE]), event("note"), json.dumps({"type": "noteUpdated", "body": {"id": "1"}}).encode()),
    ]
    with serve(sends(*map(frame, texts))) as server:
        assert outcome(make_client(server)) == NOTE


def test_binary_messages_are_passed_over(make_client: MakeClient) -> None:
    other = event({"text": "binary"})
    pieces = (frame(other, 2), frame(other[:9], 2, fin=False), frame(other[9:], 0))
    with serve(sends(*pieces)) as server:
        assert outcome(make_client(server)) == NOTE


def test_a_note_may_come_in_pieces_with_a_ping_between_them(make_client: MakeClient) -> None:
    text = event({"text": "in pieces"})
    pieces = (frame(text[:9], fin=False), frame(b"", 0, fin=False), frame(b"?", 9), frame(text[9:], 0))
    with serve(sends(*pieces)) as server:
        assert outcome(make_client(server)) == {"text": "in pieces"}


def opens_with(piece: bytes) -> Behaviour:
    """Send ``piece`` along with the handshake."""

    def eager(caller: Caller) -> None:
        send, caller.send = caller.send, lambda *head: send(*head, piece)  # type: ignore[method-assign]
        opens(Caller.hold)(caller)

    return eager


def test_a_note_that_comes_along_with_the_handshake_is_not_lost(make_client: MakeClient) -> None:
    with serve(opens_with(frame(event(NOTE)))) as server:
        assert outcome(make_client(server)) == NOTE


@pytest.mark.parametrize("name", ["a farewell", "no such opcode"])
def test_what_ends_the_stream_may_come_along_with_the_handshake(make_client: MakeClient, name: str) -> None:
    sent, error = ENDS[name]
    with serve(opens_with(sent)) as server, pytest.raises(error):
        outcome(make_client(server))


def test_a_token_that_the_server_repeats_is_masked(make_client: MakeClient) -> None:
    with serve(opens(talks_of({"text": f"your token: {TOKEN}"}))) as server:
        assert outcome(make_client(server)) == {"text": "your token: •••"}


ENDS: dict[str, tuple[bytes, type[MisskeyError]]] = {
    "a long message": (frame(b"x" * (streaming.MESSAGE_BYTES + 1)), AnswerTooLarge),
    "a message of many pieces": (
        frame(b"x", fin=False) + frame(b"x" * 100_000, 0, fin=False) * 9,
        AnswerTooLarge,
    ),
    "compressed, which nobody asked for": (b"\xc1\x01x", InvalidAnswer),
    "no such opcode": (b"\x83\x00", InvalidAnswer),
    "masked, as only clients do": (b"\x81\x81\x00\x00\x00\x00x", InvalidAnswer),
    "the end of nothing": (frame(b"x", 0), InvalidAnswer),
    "a ping that is too long": (b"\x89\x7e\x00\x7e" + b"x" * 126, InvalidAnswer),
    "a farewell": (frame(b"", 8), ServerUnreachable),
    "a farewell with a reason": (frame(b"\x03\xe9going away", 8), ServerUnreachable),
    "half a farewell": (b"\x88\x01\x03", InvalidAnswer),
    "half a message": (b"\x81\x10begun", ServerUnreachable),
    "nothing": (b"", ServerUnreachable),
}


@pytest.mark.parametrize("name", ENDS)
def test_what_breaks_the_protocol_ends_the_stream(make_client: MakeClient, name: str) -> None:
    sent, error = ENDS[name]
    with serve(opens(lambda caller: caller.send(sent))) as server, pytest.raises(MisskeyError) as caught:
        outcome(make_client(server))

    assert type(caught.value) is error


def test_notes_before_the_end_are_not_lost(make_client: MakeClient) -> None:
    with serve(sends(frame(event({"text": "last"})), frame(b"", 8))) as server, Stream(make_client(server)) as stream:
        notes = iter(stream)
        assert next(notes) == {"text": "last"}
        with pytest.raises(ServerUnreachable):
            next(notes)


def test_a_server_that_resets_the_connection_is_unreachable(make_client: MakeClient) -> None:
    def reset(caller: Caller) -> None:
        caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.server.open.discard(caller.sock)
        caller.sock.close()

    with serve(opens(reset)) as server, pytest.raises(ServerUnreachable):
        outcome(make_client(server))


FLOODS = {"long": frame(b"x" * 1000), "empty": frame(b""), "of another channel": frame(event(NOTE, channel="2"))}


@pytest.mark.parametrize("piece", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_ends_the_stream(make_client: MakeClient, piece: bytes) -> None:
    flood = piece * (10_000_000 // len(piece))
    with serve(opens(lambda caller: caller.send(flood))) as server, pytest.raises(AnswerTooLarge, match="without end"):
        outcome(make_client(server), tick_seconds=600)


def test_what_tls_wraps_around_a_stream_counts_too(make_client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "TICK_BYTES", 100_000)

    def sends_each_byte_alone(caller: Caller) -> None:
        for byte in frame(b"x" * 8000):
            caller.send(bytes([byte]))

    with (
        serve(opens(sends_each_byte_alone), tls=hostile.certified("127.0.0.1")) as server,
        pytest.raises(AnswerTooLarge, match="without end"),
    ):
        outcome(make_client(server), tick_seconds=60)


def test_small_notes_count_for_the_time_that_a_page_takes_to_draw_them(make_client: MakeClient) -> None:
    notes: list[object] = []
    flood = frame(event(NOTE)) * 100
    with (
        serve(opens(lambda caller: caller.pour(flood))) as server,
        pytest.raises(AnswerTooLarge, match="without end"),
        Stream(make_client(server)) as stream,
    ):
        notes.extend(stream)  # keeps those before the error

    assert len(notes) < 300


def test_a_flood_does_not_keep_the_ticks_away(make_client: MakeClient) -> None:
    def steady(caller: Caller) -> None:
        while True:
            caller.send(frame(b"{}"))
            time.sleep(0.001)

    with serve(opens(steady)) as server, Stream(make_client(server), tick_seconds=0.02) as stream:
        notes = iter(stream)
        assert [next(notes) for _ in range(3)] == [None] * 3


# Pings and silence.


def test_a_ping_is_answered(make_client: MakeClient) -> None:
    answered: list[bytes] = []

    def pings(caller: Caller) -> None:
        caller.send(frame(b"are you there?", 9))
        answered.append(caller.sock.recv(65536))
        talks_of(NOTE)(caller)

    with serve(opens(pings)) as server:
        assert outcome(make_client(server)) == NOTE

    assert answered[0][0] & 15 == 10
    assert len(answered[0]) == 6 + len("are you there?")


def test_pings_that_come_together_are_answered_one_by_one(make_client: MakeClient) -> None:
    answered = bytearray()

    def pings(caller: Caller) -> None:
        caller.send(frame(b"1", 9) + frame(b"2", 9))
        while len(answered) < 2 * 7:
            answered.extend(caller.sock.recv(65536))
        talks_of(NOTE)(caller)

    with serve(opens(pings)) as server:
        assert outcome(make_client(server)) == NOTE

    assert (answered[0] & 15, answered[7] & 15, len(answered)) == (10, 10, 14)


def test_a_silent_server_is_pinged_and_stays_as_long_as_it_answers(make_client: MakeClient) -> None:
    def answers_pings(caller: Caller) -> None:
        for _ in range(2):
            while caller.sock.recv(6)[0] & 15 != 9:
                pass
            caller.send(frame(b"", 10))
        talks_of(NOTE)(caller)

    with serve(opens(answers_pings)) as server:
        assert outcome(make_client(server), tick_seconds=0.01, silence_seconds=2) == NOTE


def test_a_server_that_stays_silent_counts_as_gone(make_client: MakeClient) -> None:
    with serve(opens(Caller.hold)) as server, pytest.raises(ServerTimeout, match="has fallen silent"):
        outcome(make_client(server), tick_seconds=0.01, silence_seconds=0.05)


@pytest.mark.parametrize("secure", [True, False])
def test_a_message_that_drips_counts_as_silence_and_keeps_no_tick_away(make_client: MakeClient, secure: bool) -> None:
    behaviour = opens(lambda caller: caller.drip(frame(event({"text": "x" * 100_000}))))
    tls = hostile.certified("127.0.0.1") if secure else None
    with serve(behaviour, tls=tls) as server, pytest.raises(ServerTimeout, match="has fallen silent"):
        outcome(make_client(server), tick_seconds=0.01, silence_seconds=0.2)


def pings_without_reading(caller: Caller) -> None:
    caller.pour(frame(b"x" * 125, 9) * 500)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing bounds what comes, only how long sending may take."""
    monkeypatch.setattr(streaming, "TICK_BYTES", 10**12)
    monkeypatch.setattr(streaming, "SEND_SECONDS", 0.1)


def test_a_server_that_asks_and_never_listens_ends_in_a_time_out(make_client: MakeClient, impatient: None) -> None:
    with serve(opens(pings_without_reading)) as server, pytest.raises(ServerTimeout, match="no longer reads"):
        outcome(make_client(server), tick_seconds=600)


def test_leaving_a_stream_whose_server_does_not_read_waits_for_nothing(
    make_client: MakeClient, impatient: None
) -> None:
    with serve(opens(pings_without_reading)) as server:
        stream = Stream(make_client(server), tick_seconds=600)
        with pytest.raises(ServerTimeout), stream:
            first(stream)


def test_a_server_that_has_gone_when_something_is_sent_is_unreachable(make_client: MakeClient) -> None:
    gone = threading.Event()

    def hangs_up(caller: Caller) -> None:
        caller.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        caller.server.open.discard(caller.sock)
        caller.send(frame(b"?", 9))
        caller.sock.close()
        gone.set()

    with serve(opens(hangs_up)) as server, Stream(make_client(server)) as stream:
        gone.wait()
        with pytest.raises(ServerUnreachable):
            first(stream)


# The token.


FAILURES: dict[str, Behaviour] = {
    "repeats it": hostile.echoes(401),
    "hangs up unanswered": hostile.hangs_up_unanswered,
    "an HTML 403": answers(403, b"<h1>"),
    "falls silent": opens(Caller.hold),
    "repeats it on the stream": opens(lambda caller: caller.send(frame(TOKEN.encode()), b"\x83\x00")),
}


@pytest.mark.parametrize("name", FAILURES)
def test_the_token_is_in_no_log_and_in_no_error(
    make_client: MakeClient, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with serve(FAILURES[name]) as server, pytest.raises(MisskeyError) as caught:
        outcome(make_client(server), tick_seconds=0.01, silence_seconds=0.05)

    assert TOKEN in server.requests[0].path
    assert TOKEN not in "".join(traceback.format_exception(caught.value))
    assert TOKEN not in caplog.text


# Informational answers.

HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"
FIRST = {
    "one": [HINTS],
    "many at once": [HINTS * 100, b"HTTP/1.1 100 Continue\r\n\r\n"],
    "in pieces": [HINTS[:20], HINTS[20:-1], HINTS[-1:] + HINTS[:10], HINTS[10:]],
}


def preceded(pieces: list[bytes], behaviour: Callable[[Caller], object]) -> Behaviour:
    """Send ``pieces``, each by itself, before everything else that is sent."""

    def preceding(caller: Caller) -> None:
        send, ahead = caller.send, list(pieces)

        def with_pieces(*content: bytes) -> None:
            while ahead:
                send(ahead.pop(0))
                time.sleep(0.02)
            send(*content)

        caller.send = with_pieces  # type: ignore[method-assign]
        behaviour(caller)

    return preceding


@pytest.mark.parametrize("name", FIRST)
def test_informational_answers_before_a_stream_are_read_past(make_client: MakeClient, name: str) -> None:
    with serve(preceded(FIRST[name], opens(talks_of({"text": "hello"})))) as server:
        assert outcome(make_client(server)) == {"text": "hello"}


@pytest.mark.parametrize("name", FIRST)
def test_informational_answers_before_a_refusal_are_read_past(make_client: MakeClient, name: str) -> None:
    with (
        serve(preceded(FIRST[name], answers(429, b"", "Retry-After: 30"))) as server,
        pytest.raises(RateLimited) as caught,
    ):
        outcome(make_client(server))

    assert caught.value.retry_after == 30
