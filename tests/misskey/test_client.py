"""Calling endpoints: what is sent, what every answer becomes, and that the token stays where it belongs."""

from __future__ import annotations

import copy
import gc
import json
import logging
import pickle
import time
import traceback
import tracemalloc
import weakref
from collections.abc import Iterator
from dataclasses import asdict, replace
from email.utils import formatdate

import pytest

from misskey import (
    MASK,
    APIError,
    AuthenticationFailed,
    Client,
    Exchange,
    InvalidAnswer,
    MisskeyError,
    PermissionDenied,
    RateLimited,
    Redirected,
    Server,
    ServerTimeout,
    ServerUnreachable,
    Transport,
    TransportError,
    clean_text,
)
from misskey.json_values import SHOWN_CHARACTERS, indented
from tests import hostile
from tests.hostile import TOKEN, Behaviour, Hostile, answers, echoes, says, serve


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport("test/1.0", total_seconds=10)
    yield transport
    transport.close()


class Caught(list[Exchange]):
    """The exchanges of one client."""


def call(transport: Transport, behaviour: Behaviour, token: str | None = TOKEN) -> tuple[object, Exchange, Hostile]:
    """Call an endpoint; return what came of it, an error too, how it is shown, and the server."""
    exchanges = Caught()
    with serve(behaviour) as server:
        client = Client(Server.parse_origin(server.origin), transport, token, exchanges.append)
        try:
            result = client.call("i", {"detail": True})
        except MisskeyError as error:
            result = error
    return result, exchanges[-1], server


def failure(transport: Transport, behaviour: Behaviour) -> MisskeyError:
    error, _, _ = call(transport, behaviour)
    assert isinstance(error, MisskeyError)
    return error


# What is sent.


def test_a_call_is_a_post_of_json_with_the_token_as_i(transport: Transport) -> None:
    _, _, server = call(transport, says({}))
    request = server.requests[0]

    assert (request.method, request.path) == ("POST", "/api/i")
    assert request.headers["content-type"] == "application/json"
    assert json.loads(request.body) == {"i": TOKEN, "detail": True}
    assert "authorization" not in request.headers


def test_without_a_token_there_is_no_i_but_a_body(transport: Transport) -> None:
    _, shown, server = call(transport, says({}), token=None)

    assert json.loads(server.requests[0].body) == {"detail": True}
    assert shown.body == '{\n  "detail": true\n}'


def test_a_call_without_parameters_sends_an_empty_object(transport: Transport) -> None:
    with serve(says({})) as server:
        Client(Server.parse_origin(server.origin), transport).call("ping")

    assert server.requests[0].body == b"{}"


def test_a_get_sends_no_body_and_no_token(transport: Transport) -> None:
    exchanges = Caught()
    with serve(says([1])) as server:
        client = Client(Server.parse_origin(server.origin), transport, TOKEN, exchanges.append)
        assert client.get("/api.json") == [1]

    assert server.requests[0].method == "GET"
    assert server.requests[0].headers["accept"] == "application/json"
    assert server.requests[0].body == b""
    assert TOKEN not in str(server.requests[0].headers)
    assert exchanges[0].body is None


def test_what_only_reads_is_sent_again_when_a_kept_connection_is_dropped(transport: Transport) -> None:
    with serve(hostile.hangs_up_when_asked_again) as server:
        client = Client(Server.parse_origin(server.origin), transport)
        for _ in range(2):
            client.get("/api.json")
            client.call("meta", idempotent=True)
        with pytest.raises(ServerUnreachable):
            client.call("meta")

    assert server.connections == 4


# What comes back.


@pytest.mark.parametrize("value", [None, 42, 10**299, True, "dark", "", [], [{"a": [1]}], {}, {"text": "日本語\n"}])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_json_comes_back_and_is_shown_as_it_is(transport: Transport, value: object, mark: str) -> None:
    """`i/registry/get` gives whatever was put there; a proxy may add a byte order mark."""
    result, shown, _ = call(transport, answers(200, (mark + json.dumps(value)).encode()))

    assert result == value
    assert shown.answer == json.dumps(value, indent=2, ensure_ascii=False)


@pytest.mark.parametrize("text", ["dark", "'dark'", "", " ", '"dark', "\ufeff", '\ufeff\ufeff"dark"', '"a" "b"'])
def test_text_is_not_taken_for_a_string_in_json(transport: Transport, text: str) -> None:
    error, shown, _ = call(transport, answers(200, text.encode()))

    assert isinstance(error, InvalidAnswer)
    assert shown.answer == text.removeprefix("\ufeff")


def test_a_string_in_an_error_is_no_text_either(transport: Transport) -> None:
    assert isinstance(failure(transport, says("no", 400)), InvalidAnswer)


def test_204_has_nothing_to_say(transport: Transport) -> None:
    result, shown, _ = call(transport, answers(204))

    assert result is None
    assert (shown.status, shown.answer) == (204, "")


@pytest.mark.parametrize("name", hostile.NOT_MISSKEY)
def test_what_is_not_json_is_an_invalid_answer(transport: Transport, name: str) -> None:
    error = failure(transport, hostile.NOT_MISSKEY[name])

    assert isinstance(error, InvalidAnswer)
    assert error.status in (200, 403)
    assert error.host.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", hostile.WRONG_JSON)
def test_json_of_the_wrong_kind_is_for_the_caller_to_judge(transport: Transport, name: str) -> None:
    result, shown, _ = call(transport, hostile.WRONG_JSON[name])

    assert not isinstance(result, MisskeyError)
    json.dumps(result, ensure_ascii=False).encode()
    assert shown.answer is not None
    shown.answer.encode()


@pytest.mark.parametrize("status", [300, 301, 302, 303, 307, 308])
def test_a_redirect_is_an_invalid_answer(transport: Transport, status: int) -> None:
    error = failure(transport, hostile.redirects(status, "https://elsewhere.example/"))

    assert isinstance(error, Redirected)
    assert error.status == status
    assert not error.maybe_done
    assert str(error) == f"{error.host}: leads elsewhere"


@pytest.mark.parametrize(
    ("location", "kept"),
    [("https://elsewhere.example/", True), ("/x", True), ("https://x.example/" + "%" * 3000, False), ("a\x01b", False)],
)
def test_a_redirect_tells_where_it_leads_in_bounds(transport: Transport, location: str, kept: bool) -> None:
    error = failure(transport, hostile.redirects(301, location))

    assert isinstance(error, Redirected)
    assert error.location == (location if kept else "")


# What may have been done all the same.


@pytest.mark.parametrize("name", hostile.MAYBE_DONE)
def test_an_answer_that_tells_nothing_may_mean_that_it_was_done(transport: Transport, name: str) -> None:
    assert failure(transport, hostile.MAYBE_DONE[name]).maybe_done


@pytest.mark.parametrize("name", hostile.NOT_DONE)
def test_a_refusal_means_that_it_was_not_done(transport: Transport, name: str) -> None:
    assert not failure(transport, hostile.NOT_DONE[name]).maybe_done


def test_too_large_an_answer_may_mean_that_it_was_done() -> None:
    small = Transport("test/1.0", max_answer_bytes=10)
    assert failure(small, answers(200, b"x" * 11)).maybe_done
    small.close()


def test_a_slow_answer_may_mean_that_it_was_done() -> None:
    hasty = Transport("test/1.0", total_seconds=0.2)
    assert failure(hasty, hostile.silent).maybe_done
    hasty.close()


def test_what_never_arrived_was_not_done(transport: Transport) -> None:
    def nowhere(*_: object, **__: object) -> list[tuple[object, ...]]:
        raise OSError

    lost = Transport("test/1.0", total_seconds=1, resolve=nowhere)
    hasty = Transport("test/1.0", connect_seconds=0.2)
    expired = hostile.bad_certificates()["expired"]
    with hostile.refusing() as closed, hostile.full_backlog() as full, serve(hostile.misskey, tls=expired) as insecure:
        tries = [
            (transport, Server.parse_origin(closed)),
            (hasty, Server.parse_origin(full)),
            (transport, Server.parse_origin(insecure.origin)),
            (lost, Server.parse("misskey.example")),
        ]
        for through, server in tries:
            with pytest.raises(TransportError) as caught:
                Client(server, through).call("notes/create")
            assert not caught.value.maybe_done, caught.value
    lost.close()
    hasty.close()


# Errors of every shape.


def test_an_endpoints_error_keeps_code_words_and_details(transport: Transport) -> None:
    told = {
        "code": "INVALID_PARAM",
        "message": "Invalid param.",
        "id": "3d81",
        "kind": "client",
        "info": {"param": "x"},
    }
    error = failure(transport, says({"error": told}, 400))

    assert type(error) is APIError
    assert (error.status, error.code, error.text, error.info) == (
        400,
        "INVALID_PARAM",
        "Invalid param.",
        {"param": "x"},
    )
    assert str(error) == f"{error.host}: 400 INVALID_PARAM Invalid param."


def test_an_error_of_the_layer_below_keeps_code_and_words(transport: Transport) -> None:
    told = {"statusCode": 400, "code": "FST_ERR", "error": "Bad Request", "message": "Body cannot be empty"}
    error = failure(transport, says(told, 400))

    assert isinstance(error, APIError)
    assert (error.status, error.code, error.text, error.info) == (400, "FST_ERR", "Body cannot be empty", None)


@pytest.mark.parametrize("status", [400, 404, 405, 413, 500])
def test_an_error_without_words_keeps_its_status(transport: Transport, status: int) -> None:
    error = failure(transport, answers(status))

    assert type(error) is APIError
    assert (error.status, error.code, error.text) == (status, "", "")
    assert str(error) == f"{error.host}: {status}"
    assert error.maybe_done == (status == 500)
    assert vars(APIError(error.host, status)) == vars(error)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "AUTHENTICATION_FAILED", AuthenticationFailed),
        (403, "AUTHENTICATION_FAILED", AuthenticationFailed),
        (401, "CREDENTIAL_REQUIRED", AuthenticationFailed),
        (403, "PERMISSION_DENIED", PermissionDenied),
        (400, "PERMISSION_DENIED", PermissionDenied),
        (403, "ACCESS_DENIED", APIError),
        (403, "YOUR_ACCOUNT_SUSPENDED", APIError),
        (429, "RATE_LIMIT_EXCEEDED", RateLimited),
    ],
)
def test_some_refusals_have_a_kind_of_their_own(
    transport: Transport, status: int, code: str, kind: type[APIError]
) -> None:
    error = failure(transport, says({"error": {"code": code}}, status))

    assert type(error) is kind
    assert error.code == code


@pytest.mark.parametrize("body", [b"", b"<html>Slow down</html>", b'{"error": {}}', b"[]"])
def test_429_is_a_rate_limit_whatever_comes_with_it(transport: Transport, body: bytes) -> None:
    error = failure(transport, answers(429, body, "Retry-After: 17"))

    assert isinstance(error, RateLimited)
    assert error.retry_after == 17


@pytest.mark.parametrize(
    ("wait", "seconds"),
    [("0", 1), ("0.129", 1), ("1.2", 2), ("999999", 999_999), ("Wed, 21 Oct 2015 07:28:00 GMT", 1)],
)
def test_a_wait_is_at_least_a_second_and_a_whole_number(transport: Transport, wait: str, seconds: int) -> None:
    error = failure(transport, answers(429, b"", f"Retry-After: {wait}"))

    assert isinstance(error, RateLimited)
    assert error.retry_after == seconds


def test_a_wait_may_be_until_a_date(transport: Transport) -> None:
    error = failure(transport, answers(429, b"", f"Retry-After: {formatdate(time.time() + 3000, usegmt=True)}"))

    assert isinstance(error, RateLimited)
    assert error.retry_after in range(2000, 3001)


@pytest.mark.parametrize(
    "wait",
    [
        *("", "-1", "1.", ".5", "1e3", "nan", "soon", "1m0s", "١٢", "1000000", "9" * 400, "1, 2", "\x1b[31m"),
        *("Wed, 21 Oct 2099 07:28:00 GMT", "Wed, 99 Oct 2015 07:28:00 GMT", "Wed, 21 Oct 99999 07:28:00 GMT"),
    ],
)
def test_an_odd_wait_is_none(transport: Transport, wait: str) -> None:
    line = f"Retry-After: {wait}".encode().decode("latin-1")
    error = failure(transport, says({"error": {}}, 429, line))

    assert isinstance(error, RateLimited)
    assert error.retry_after is None


@pytest.mark.parametrize("status", [401, 403, 429, 502, 503])
def test_a_firewalls_page_is_never_quoted(transport: Transport, status: int) -> None:
    error = failure(transport, answers(status, b"<html><h1>Blocked by a firewall</h1></html>"))

    assert "Blocked" not in str(error)


@pytest.mark.parametrize("told", ["no", 1, None, [], {"code": 1, "message": []}, {"code": None, "message": {}}])
def test_an_error_of_the_wrong_kind_is_an_error_without_words(transport: Transport, told: object) -> None:
    error = failure(transport, says({"error": told}, 400))

    assert isinstance(error, APIError)
    assert (error.code, error.text) == ("", "")


def test_a_list_as_an_error_is_an_invalid_answer(transport: Transport) -> None:
    assert isinstance(failure(transport, says([1], 400)), InvalidAnswer)


def test_a_servers_words_become_one_short_line(transport: Transport) -> None:
    error = failure(transport, hostile.REFUSALS["markup and control characters"])

    assert isinstance(error, APIError)
    assert (error.code, len(error.text)) == ("A B", 300)
    assert not any(letter in str(error) for letter in "\r\n\x1b\u202e")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("Alice", "Alice"),
        (" a\r\nb ", "a b"),
        ("a\x00\x1b\x7f\x85b", "a b"),
        ("\u202eecilA\u2066 \u200f!", "ecilA   !"),
        ("日本語", "日本語"),
        ("x" * 1_000_000, "x" * 300),
        ("\n" * 1_000_000, ""),
        *(
            (sign * 3, "")
            for sign in "\u200b\u3164\u2800\u115f\u1160\uffa0\xad\u034f\u3000\ufe0f\U000e0041\U000e0100\u2060\ufeff"
        ),
        ("\u200b\u3164 \u2800", ""),
        ("\u200bAlice\u3164", "\u200bAlice\u3164"),
        ("👩\u200d👧", "👩\u200d👧"),
    ],
)
def test_cleaned_text_is_one_line_that_can_not_turn_around(text: str, cleaned: str) -> None:
    assert clean_text(text) == cleaned


# What is shown.


def test_an_exchange_shows_what_went_over_the_wire(transport: Transport) -> None:
    _, shown, server = call(transport, says({"name": "愛"}))

    assert (shown.method, shown.url, shown.status) == ("POST", f"{server.origin}/api/i", 200)
    assert shown.body == json.dumps({"i": MASK, "detail": True}, ensure_ascii=False, indent=2)
    assert shown.answer == '{\n  "name": "愛"\n}'
    assert shown.milliseconds is not None
    assert shown.size == len('{"name": "\\u611b"}')


def test_what_is_shown_is_what_went_over_the_wire_whatever_became_of_it(transport: Transport) -> None:
    exchanges, params = Caught(), {"tags": ["a"]}
    with serve(says({"tags": ["b"]})) as server:
        client = Client(Server.parse_origin(server.origin), transport, TOKEN, exchanges.append)
        client.call("i", params)["tags"].append("changed")
        params["tags"].append("changed")

    assert "changed" not in str(exchanges)


def test_an_exchange_can_be_stored_and_read_back(transport: Transport) -> None:
    _, shown, _ = call(transport, says({"name": "Alice"}))

    assert Exchange(**asdict(shown)) == replace(shown) == shown


def test_a_call_without_an_answer_is_shown_too() -> None:
    hasty = Transport("test/1.0", total_seconds=0.1)
    error, shown, _ = call(hasty, hostile.silent)
    hasty.close()

    assert isinstance(error, ServerTimeout)
    assert (shown.status, shown.milliseconds, shown.answer) == (None, None, None)
    assert shown.body is not None


def test_an_answer_that_is_not_json_is_shown_as_text(transport: Transport) -> None:
    _, shown, _ = call(transport, answers(502, b"<h1>Bad gateway</h1>"))

    assert shown.answer == "<h1>Bad gateway</h1>"


@pytest.mark.parametrize("body", [b'"' + b"x" * 100_000 + b'"', b"x" * 100_000, b"[" + b"1," * 50_000 + b"1]"])
def test_a_long_answer_is_shown_in_part(transport: Transport, body: bytes) -> None:
    _, shown, _ = call(transport, answers(200, body))

    assert shown.answer is not None
    assert len(shown.answer) == SHOWN_CHARACTERS + 2
    assert shown.answer.endswith(" …")


def test_an_answer_may_be_shown_whole_up_to_a_limit(transport: Transport) -> None:
    body = b'"' + b"x" * (SHOWN_CHARACTERS - 2) + b'"'
    _, shown, _ = call(transport, answers(200, body))

    assert shown.answer == body.decode()


@pytest.mark.parametrize("text", ["<b>\x07\u202e</b>", '"\u202e\u2066"'])
def test_what_can_not_be_seen_is_shown_escaped(transport: Transport, text: str) -> None:
    _, shown, _ = call(transport, answers(200, text.encode()))

    assert shown.answer == text.encode("ascii", "backslashreplace").decode().replace("\x07", "\\u0007")


def test_an_answer_that_indentation_would_make_huge_is_shown_in_part(transport: Transport) -> None:
    depth, count = 300, 190_000  # 600 spaces before each of so many numbers
    _, shown, _ = call(transport, answers(200, b"[" * depth + b"1," * count + b"1" + b"]" * depth))

    assert shown.answer is not None
    assert len(shown.answer) == SHOWN_CHARACTERS + 2


@pytest.mark.parametrize(("value", "most"), [("1", 116), ("[]", 19), ("{}", 19), ('{"a": 1}', 11), ('"a://b"', 116)])
@pytest.mark.parametrize("limits", [(1200, None), (10_000_000, 1200)])
def test_an_answer_of_more_values_than_its_size_allows_is_not_taken_apart(
    value: str, most: int, limits: tuple[int, int | None]
) -> None:
    """A list or an object counts as five, a colon as four unless it is an address's, a comma as one.

    There may be one for every ten bytes.
    """
    transport, exchanges = Transport("test/1.0", max_answer_bytes=limits[0]), Caught()
    fits, too_many = (f"[{','.join([value] * count)}]" for count in (most, most + 1))
    with serve(answers(200, fits.encode())) as server, serve(answers(200, too_many.encode())) as other:
        client = Client(Server.parse_origin(server.origin), transport, None, exchanges.append)
        assert client.call("i", max_answer_bytes=limits[1]) == json.loads(fits)
        client.server = Server.parse_origin(other.origin)
        with pytest.raises(InvalidAnswer):
            client.call("i", max_answer_bytes=limits[1])
    transport.close()

    assert [shown.answer for shown in exchanges] == [json.dumps(json.loads(fits), indent=2), too_many]


class Content(dict[str, int]):
    """JSON of which can be seen whether it is still there."""


def test_an_answer_that_is_shown_in_part_takes_no_memory_for_the_rest_and_does_not_stay() -> None:
    content = Content({str(number): number for number in range(100_000)})
    is_there = weakref.ref(content)
    gc.disable()
    tracemalloc.start()
    indented(content, TOKEN)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    del content
    stays = is_there()
    gc.enable()

    assert peak < hostile.MEBIBYTE
    assert stays is None


def test_of_json_that_is_deep_the_beginning_is_shown(transport: Transport) -> None:
    body = b'{"a":' * 900 + b"1" + b"}" * 900
    _, shown, _ = call(transport, answers(200, body))

    assert shown.answer is not None
    assert shown.answer.startswith('{\n  "a": {')


# The token.


@pytest.mark.parametrize("status", [200, 400, 401, 403, 429, 500])
@pytest.mark.parametrize("escaped", [False, True])
def test_a_token_that_the_server_repeats_is_masked(
    transport: Transport, status: int, escaped: bool, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    result, shown, _ = call(transport, echoes(status, escaped))
    chain = "".join(traceback.format_exception(result)) if isinstance(result, MisskeyError) else ""
    details = vars(result) if isinstance(result, MisskeyError) else result

    assert MASK in str(shown)
    for told in (str(result), repr(result), str(details), chain, str(shown), repr(shown), caplog.text):
        assert TOKEN not in told


@pytest.mark.parametrize("token", ['quote"and\\backslash', "a/b+c=", "12345678901234567890123456789012"])
def test_an_odd_token_is_masked_too(transport: Transport, token: str) -> None:
    escaped = json.dumps(token).replace("/", "\\/")  # as some programs do
    for behaviour in (says([token]), answers(200, f"[{escaped}]".encode())):
        result, shown, _ = call(transport, behaviour, token)

        assert result == [MASK]
        assert json.dumps(token)[1:-1] not in str(shown)


def test_a_token_in_text_that_is_not_json_is_masked(transport: Transport) -> None:
    error, shown, _ = call(transport, answers(500, f"<b>{TOKEN}</b>".encode()))

    assert shown.answer == f"<b>{MASK}</b>"
    assert TOKEN not in str(error)

    _, shown, _ = call(transport, answers(200, f'["{TOKEN}"{",1" * 200_000}]'.encode()))  # too much for JSON

    assert shown.answer is not None
    assert shown.answer.startswith(f'["{MASK}",1,')


@pytest.mark.parametrize("token", [TOKEN, 'quote"and\\backslash'])
def test_a_token_among_the_parameters_is_masked(transport: Transport, token: str) -> None:
    exchanges = list[Exchange]()
    with serve(says({})) as server:
        client = Client(Server.parse_origin(server.origin), transport, token, exchanges.append)
        client.call("notes/create", {"text": f"my token is {token}"})
        client.call("i", {"i": "another token"})

    for exchange in exchanges:
        assert json.dumps(token)[1:-1] not in str(exchange.body)
        assert "another token" not in str(exchange.body)


@pytest.mark.parametrize("told", [TOKEN, 12, None, {"a": TOKEN}])
def test_a_fresh_token_in_an_answer_is_shown_masked(transport: Transport, told: object) -> None:
    answer = {"ok": True, "token": told, "user": {"name": told}} if told == TOKEN else {"token": told}
    result, shown, _ = call(transport, says(answer), token=None)

    assert result == answer
    assert TOKEN not in str(shown)


def test_what_is_no_token_masks_nothing(transport: Transport) -> None:
    _, shown, _ = call(transport, says({"token": True, "name": "true"}), token=None)

    assert '"name": "true"' in str(shown.answer)


def test_a_client_shows_no_token(transport: Transport) -> None:
    client = Client(Server.parse("misskey.example"), transport, TOKEN)

    assert TOKEN not in repr(client) + str(client)


def test_nothing_of_an_exchange_holds_the_token(transport: Transport) -> None:
    exchanges = list[Exchange]()
    with serve(says({"token": "fresh", "text": TOKEN})) as server:
        Client(Server.parse_origin(server.origin), transport, TOKEN, exchanges.append).call("i")

    [exchange] = exchanges
    for looked_at in (repr(exchange), repr(vars(exchange)), repr(pickle.dumps(exchange)), repr(copy.copy(exchange))):
        assert TOKEN not in looked_at
    assert pickle.loads(pickle.dumps(exchange)) == exchange  # noqa: S301 - our own
