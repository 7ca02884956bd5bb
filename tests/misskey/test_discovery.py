"""Which server a sign-in can be done at, and why not elsewhere."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest

from misskey import (
    AnswerTooLarge,
    InvalidAnswer,
    LoginRequired,
    MiAuthDisabled,
    MiAuthMissing,
    NotMisskey,
    RateLimited,
    Server,
    ServerElsewhere,
    ServerForbidden,
    ServerTimeout,
    ServerUnreachable,
    Transport,
    find_misskey,
)
from misskey.discovery import META_BYTES, NODEINFO_BYTES, _elsewhere
from misskey.responses import MAX_ANSWER_BYTES
from tests import hostile
from tests.hostile import Behaviour, Caller, Hostile, answers, http, misskey, serve


@pytest.fixture
def transport() -> Iterator[Transport]:
    def resolve(host: str, port: int, **options: object) -> list[tuple[object, ...]]:
        return [(2, 1, 6, "", ("127.0.0.1", port))]

    transport = Transport("test/1.0", total_seconds=10, resolve=resolve)
    yield transport
    transport.close()


CHECK = re.compile("/api/miauth/[0-9a-f-]{36}/check")


def paths(**behaviours: Callable[[Caller], object] | object) -> Behaviour:
    """Answer `meta`, `wellknown` (nodeinfo's first step), `check` and `nodeinfo`: bytes as they are, else as JSON."""

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            name = {"/api/meta": "meta", "/.well-known/nodeinfo": "wellknown"}.get(request.path, "nodeinfo")
            name = "check" if CHECK.fullmatch(request.path) else name
            value = behaviours.get(name, {"ok": False} if name == "check" else http(404))
            value = value(caller) if callable(value) else value
            caller.send(value if isinstance(value, bytes) else http(200, json.dumps(value).encode()))

    return behaviour


def meta(uri: str | None = None, **changes: object) -> Callable[[Caller], object]:
    return lambda caller: {"version": "2025.4.1", "uri": uri or caller.server.origin, "features": {}} | changes


def wellknown(caller: Caller) -> dict[str, object]:
    return {"links": [{"rel": "…/2.1", "href": f"{caller.server.origin}/nodeinfo/2.1"}]}


def runs(name: object) -> dict[str, Any]:
    return {"wellknown": wellknown, "nodeinfo": {"version": "2.1", "software": {"name": name}}}


def find(transport: Transport, server: Hostile, *others: Hostile) -> Server:
    private = [each.origin for each in (server, *others)]
    return find_misskey(Server.parse_origin(server.origin), transport, private)


def test_a_misskey_server_is_found_at_its_own_address(transport: Transport) -> None:
    with serve(misskey) as server:
        assert find(transport, server) == Server(server.origin)

    assert [request.path for request in server.requests] == ["/api/meta"]
    assert json.loads(server.requests[0].body) == {"detail": True}


def test_a_server_that_tells_of_all_its_emoji_is_found(transport: Transport) -> None:
    """As those before Misskey 13 do: other answers may not be so large."""
    with serve(paths(meta=meta(emojis="x" * 2 * MAX_ANSWER_BYTES))) as server:
        assert find(transport, server) == Server(server.origin)


def test_a_server_is_asked_again_when_a_kept_connection_was_dropped(transport: Transport) -> None:
    def hangs_up_when_asked_again(caller: Caller) -> None:
        caller.request()
        caller.send(http(200, json.dumps(meta(features={"miauth": True})(caller)).encode()))
        caller.request()

    with serve(hangs_up_when_asked_again) as server:
        assert find(transport, server) == find(transport, server)
    assert server.connections == 2


#: What servers from before MiAuth may say, and forks with numbers of their own.
MAYBE_OLD: list[dict[str, Any]] = [
    {"version": "12.26.0"},
    {"version": "v11.37.1", "features": None},
    {"version": "10.102.700-m544", "features": {"registration": True}},
    {"version": "4.17.0", "features": {"miauth": "no"}},
    {"version": "1.0.5", "features": {"miauth": None}, "basedMisskeyVersion": 1},
    {"version": "8.0.0", "features": []},
    {"version": "0.1", "features": "yes"},
]


@pytest.mark.parametrize("silent", MAYBE_OLD)
def test_a_server_that_does_not_tell_and_may_be_too_old_is_asked(transport: Transport, silent: dict[str, Any]) -> None:
    with serve(paths(meta=meta(**silent))) as server:
        assert find(transport, server).origin == server.origin

    assert checks(server) == 1


@pytest.mark.parametrize("silent", MAYBE_OLD)
def test_a_server_without_the_endpoint_has_no_miauth(transport: Transport, silent: dict[str, Any]) -> None:
    """As some forks of Misskey 10 and 11 that are still kept up."""
    with serve(paths(meta=meta(**silent), check=http(404))) as server, pytest.raises(MiAuthMissing) as caught:
        find(transport, server)

    assert str(caught.value) == f"127.0.0.1:{server.port}: has no MiAuth, which came with Misskey 12.27.0"
    assert caught.value.server == Server(server.origin)


@pytest.mark.parametrize("version", ["12.27.0", "12.27.1", "12.119.2", "13.0.0", "2025.4.1-mhq.13", "new"])
@pytest.mark.parametrize("features", [{}, None, [], "yes", {"miauth": "no"}])
def test_a_server_that_does_not_tell_and_is_new_enough_is_not_asked(
    transport: Transport, version: str, features: object
) -> None:
    with serve(paths(meta=meta(version=version, features=features), check=http(404))) as server:
        assert find(transport, server).origin == server.origin

    assert checks(server) == 0


def checks(server: Hostile) -> int:
    return sum(bool(CHECK.fullmatch(request.path)) for request in server.requests)


def test_a_server_that_tells_is_not_asked(transport: Transport) -> None:
    with serve(paths(meta=meta(features={"miauth": True}, version="4.17.0"), check=http(404))) as server:
        assert find(transport, server).origin == server.origin


def test_a_server_with_miauth_off_is_told(transport: Transport) -> None:
    with serve(paths(meta=meta(features={"miauth": False}))) as server, pytest.raises(MiAuthDisabled) as caught:
        find(transport, server)

    assert str(caught.value) == f"127.0.0.1:{server.port}: has MiAuth switched off"
    assert caught.value.server == Server(server.origin)


# Other software.


@pytest.mark.parametrize("name", ["mastodon", "gotosocial", "pleroma", "Iceshrimp.NET"])
@pytest.mark.parametrize("other", [{}, {"meta": {}}], ids=["without meta", "with another meta"])
def test_other_software_is_called_by_its_name(transport: Transport, name: str, other: dict[str, Any]) -> None:
    with (
        serve(paths(**runs(name), **other)) as server,
        pytest.raises(NotMisskey, match=f"runs {name.lower()}, not Misskey") as caught,
    ):
        find(transport, server)

    assert (caught.value.host, caught.value.software) == (f"127.0.0.1:{server.port}", name.lower())


def test_what_runs_misskey_and_does_not_answer_like_it_is_not_called_so(transport: Transport) -> None:
    with serve(paths(**runs("misskey"), meta={"version": "1"})) as server, pytest.raises(NotMisskey) as caught:
        find(transport, server)

    assert caught.value.software is None


@pytest.mark.parametrize(
    "name", [None, 1, [], "", "<b>", "Mastodon\n", "a b", "x" * 41, "x" * 100_000, "\u202emastodon"]
)
def test_an_odd_name_of_software_is_not_repeated(transport: Transport, name: object) -> None:
    with serve(paths(**runs(name))) as server, pytest.raises(NotMisskey) as caught:
        find(transport, server)

    assert caught.value.software is None
    assert str(caught.value) == f"127.0.0.1:{server.port}: does not answer as Misskey does"


@pytest.mark.parametrize(
    "first",
    [
        *(None, 1, "x", [], {}, {"links": None}, {"links": []}, {"links": {}}, {"links": [None]}, {"links": [{}]}),
        *({"links": [{"href": href}]} for href in (None, 1, [1], "", "x", "/nodeinfo/2.1", "//elsewhere.example/")),
        *({"links": [{"href": href}]} for href in ("javascript:alert(1)", "http://[", "x" * 100_000)),
        *(http(200, b"garbage"), http(204), http(500), http(302, b"", "Location: /"), http(302)),
    ],
)
def test_a_hostile_nodeinfo_tells_nothing(transport: Transport, first: object) -> None:
    with serve(paths(wellknown=first)) as server, pytest.raises(NotMisskey) as caught:
        find(transport, server)

    assert caught.value.software is None


@pytest.mark.parametrize(
    "second",
    [
        *(None, 1, "x", [], {}, http(204), http(404)),
        *({"software": None}, {"software": []}, {"software": {"name": 5}}),
    ],
)
def test_a_hostile_second_half_of_nodeinfo_tells_nothing(transport: Transport, second: object) -> None:
    with serve(paths(wellknown=wellknown, nodeinfo=second)) as server, pytest.raises(NotMisskey) as caught:
        find(transport, server)

    assert caught.value.software is None


def test_a_mistake_of_the_program_itself_is_not_taken_for_a_hostile_nodeinfo() -> None:
    limits = [nullcontext()]  # for `meta`; what comes after it finds none

    with serve(paths()) as server, pytest.raises(IndexError):
        find(Transport("test/1.0", limit=limits.pop), server)


@pytest.mark.parametrize("ending", ["/nodeinfo", "0/nodeinfo", ".elsewhere.example/", "@elsewhere.example/"])
def test_nodeinfo_leads_to_no_other_host(transport: Transport, ending: str) -> None:
    with serve(misskey) as other:

        def first(caller: Caller) -> object:
            origin = other.origin if ending == "/nodeinfo" else caller.server.origin
            return {"links": [{"href": origin + ending}]}

        with serve(paths(wellknown=first)) as server, pytest.raises(NotMisskey):
            find(transport, server)

    assert other.connections == 0
    assert [request.path for request in server.requests] == ["/api/meta", "/.well-known/nodeinfo"]


@pytest.mark.parametrize("path", ["x" * 201, "%" * 1000, "a b", "é", "\x00", "x" * 1_000_000, "%" * 3_900_000])
def test_an_odd_address_in_nodeinfo_is_not_asked(transport: Transport, path: str) -> None:
    """Bringing 3.9 million percent signs into form takes seconds of a processor's time."""

    def first(caller: Caller) -> object:
        return {"links": [{"href": caller.server.origin + "/" + path}]}

    with serve(paths(wellknown=first)) as server, pytest.raises(NotMisskey):
        find(transport, server)

    assert [request.path for request in server.requests] == ["/api/meta", "/.well-known/nodeinfo"]


def test_a_meta_and_a_nodeinfo_that_are_too_large_are_not_read(transport: Transport) -> None:
    padding = {"padding": "x" * NODEINFO_BYTES}
    whole = runs("mastodon")
    for large in ({"wellknown": lambda caller: padding | wellknown(caller)}, {"nodeinfo": padding | whole["nodeinfo"]}):
        with serve(paths(**whole | large)) as server, pytest.raises(NotMisskey) as caught:
            find(transport, server)
        assert caught.value.software is None
    with serve(paths(meta=meta(padding="x" * META_BYTES))) as server, pytest.raises(AnswerTooLarge):
        find(transport, server)


# A server that leads elsewhere.


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("path", ["/api/meta", "/", "", "/?from=www"])
def test_a_server_that_leads_to_another_one_names_it(transport: Transport, status: int, path: str) -> None:
    with serve(misskey) as other, serve(hostile.redirects(status, other.origin + path)) as typed:
        with pytest.raises(ServerElsewhere) as caught:
            find(transport, typed, other)

        assert (caught.value.host, caught.value.leads_to) == (f"127.0.0.1:{typed.port}", Server(other.origin))
        assert other.connections == 0


def test_a_nodeinfo_at_another_server_names_it(transport: Transport) -> None:
    with serve(misskey) as other:
        at_other = {"links": [{"href": f"{other.origin}/nodeinfo/2.1"}]}
        moved = (http(301, b"", f"Location: {other.origin}{path}") for path in ("/.well-known/nodeinfo", "/", ""))
        for first in (at_other, *moved):
            with serve(paths(wellknown=first)) as typed, pytest.raises(ServerElsewhere) as caught:
                find(transport, typed, other)
            assert caught.value.leads_to == Server(other.origin)

    assert other.connections == 0


@pytest.mark.parametrize(
    "location",
    [
        *("https://challenge.example/verify?back=x", "/cdn-cgi/challenge", "", "https://", "https://a@b.example/"),
        *("https://169.254.169.254/", "https://localhost/", "https://x.example:8443/", "javascript:alert(1)"),
        *("https://" + "x" * 3000 + "/", "https://misskey.example/challenge", "//misskey.example/api/meta"),
    ],
)
def test_a_redirect_to_somewhere_else_is_no_other_server(transport: Transport, location: str) -> None:
    with serve(hostile.redirects(302, location)) as server, pytest.raises(InvalidAnswer):
        find(transport, server)


def test_a_public_server_can_not_offer_a_private_one() -> None:
    public, private = Server("https://misskey.example"), ["http://127.0.0.1:3000"]

    assert _elsewhere(public, "http://127.0.0.1:3000/", private) is None
    assert _elsewhere(public, "https://other.example/nodeinfo/2.1", private) == Server("https://other.example")


# A server behind a firewall or a login.


@pytest.mark.parametrize("status", [200, 202, 301, 302, 307, 403])
@pytest.mark.parametrize("body", [b"<html><title>Just a moment...</title>", b""])
def test_a_challenge_is_a_firewalls(transport: Transport, status: int, body: bytes) -> None:
    if (status, body) == (403, b""):
        return
    with serve(answers(status, body, "Location: /challenge")) as server, pytest.raises(InvalidAnswer) as caught:
        find(transport, server)

    assert caught.value.status == status


@pytest.mark.parametrize("status", [400, 404, 405, 410])
def test_a_site_without_an_api_is_not_misskey(transport: Transport, status: int) -> None:
    with serve(answers(status, b"<html>Nothing here")) as server, pytest.raises(NotMisskey):
        find(transport, server)


@pytest.mark.parametrize(
    "refusal",
    [
        *(http(401), http(401, b"<h1>Log in</h1>", "WWW-Authenticate: Basic"), http(403, b'{"error": {}}'), http(403)),
        *(http(401, b'{"error": {"code": "CREDENTIAL_REQUIRED"}}'), http(403, b'{"error": {"code": "ACCESS_DENIED"}}')),
    ],
)
@pytest.mark.parametrize("software", [{}, runs("misskey"), runs("Sharkey")], ids=["silent", "misskey", "sharkey"])
def test_a_server_that_tells_nothing_without_a_login_says_so(
    transport: Transport, refusal: bytes, software: dict[str, object]
) -> None:
    with serve(paths(meta=refusal, **software)) as server, pytest.raises(LoginRequired) as caught:
        find(transport, server)

    assert caught.value.server == Server(server.origin)
    assert caught.value.status == int(refusal.split()[1])


@pytest.mark.parametrize(
    "value",
    [
        *(None, 1, [], "x", {}, {"version": "1"}, {"uri": "https://misskey.example"}),
        *({"version": version, "uri": "https://misskey.example"} for version in (None, 1, [1])),
        *({"version": "1", "uri": uri} for uri in (None, 1, [1], {"a": 1})),
    ],
)
def test_a_meta_of_the_wrong_kind_is_not_misskeys(transport: Transport, value: object) -> None:
    with serve(paths(meta=value)) as server, pytest.raises(NotMisskey):
        find(transport, server)


# Refusals.


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_server_in_trouble_is_not_taken_for_another_software(transport: Transport, status: int) -> None:
    with serve(paths(meta=http(status, b"<h1>Maintenance</h1>"))) as server, pytest.raises(InvalidAnswer) as caught:
        find(transport, server)

    assert caught.value.status == status
    assert len(server.requests) == 1


def test_a_server_that_asks_to_slow_down_is_not_asked_more(transport: Transport) -> None:
    with serve(answers(429, b"", "Retry-After: 9")) as server, pytest.raises(RateLimited) as caught:
        find(transport, server)

    assert caught.value.retry_after == 9
    assert len(server.requests) == 1


def test_a_mastodon_server_that_refuses_is_still_mastodon(transport: Transport) -> None:
    with serve(paths(meta=http(403, b"no"), **runs("mastodon"))) as server, pytest.raises(NotMisskey, match="mastodon"):
        find(transport, server)


def test_an_empty_refusal_without_a_name_is_not_misskeys(transport: Transport) -> None:
    with serve(answers(405)) as server, pytest.raises(NotMisskey):
        find(transport, server)


# Another address of the same server.


def test_the_sign_in_is_done_at_the_address_that_the_server_names(transport: Transport) -> None:
    with serve(misskey) as named, serve(paths(meta=meta(named.origin))) as typed:
        assert find(transport, typed, named) == Server(named.origin)

    assert [request.path for request in named.requests] == ["/api/meta"]


def test_a_named_server_goes_through_the_same_checks(transport: Transport) -> None:
    off = paths(meta=meta(features={"miauth": False}))
    with serve(off) as named, serve(paths(meta=meta(named.origin))) as typed, pytest.raises(MiAuthDisabled) as caught:
        find(transport, typed, named)

    assert caught.value.host == f"127.0.0.1:{named.port}"


@pytest.mark.parametrize("kind", [NotMisskey, ServerElsewhere])
def test_a_named_server_that_makes_no_sense_or_leads_on_is_the_one_that_is_told(
    transport: Transport, kind: type[NotMisskey | ServerElsewhere]
) -> None:
    with serve(misskey) as third:
        moved = hostile.redirects(301, f"{third.origin}/api/meta")
        behaviour = paths(meta=meta("garbage")) if kind is NotMisskey else moved
        with serve(behaviour) as named, serve(paths(meta=meta(named.origin))) as one, pytest.raises(kind) as caught:
            find(transport, one, named, third)

    assert caught.value.host == f"127.0.0.1:{named.port}"


def test_what_the_first_server_says_of_miauth_does_not_count(transport: Transport) -> None:
    with serve(misskey) as named, serve(paths(meta=meta(named.origin, features={"miauth": False}))) as typed:
        assert find(transport, typed, named).origin == named.origin


def test_two_servers_that_name_each_other_are_refused(transport: Transport) -> None:
    with serve(misskey) as one, serve(paths(meta=meta(one.origin))) as other:
        one.behaviour = paths(meta=meta(other.origin))
        with pytest.raises(NotMisskey) as caught:
            find(transport, one, other)

        assert caught.value.host == f"127.0.0.1:{one.port}"
        assert (len(one.requests), len(other.requests)) == (1, 1)


@pytest.mark.parametrize(
    "uri",
    [
        *("garbage", "", " ", "javascript:alert(1)", "http://misskey.example", "https://127.0.0.1", "https://[::1]"),
        *("https://169.254.169.254/latest", "https://localhost", "https://misskey.example:8443", "https://a@b.example"),
        *("https://" + "x" * 1_000_000, "\x00", "\u202e", "https://misskey.internal", "file:///etc/passwd"),
    ],
)
def test_a_named_address_that_nobody_may_type_is_refused(transport: Transport, uri: str) -> None:
    with serve(paths(meta=meta(uri or " "))) as server, pytest.raises(NotMisskey) as caught:
        find(transport, server)

    assert caught.value.host == f"127.0.0.1:{server.port}"


def test_a_named_server_at_an_inner_address_is_refused(transport: Transport) -> None:
    with serve(paths(meta=meta("https://inner.example"))) as server, pytest.raises(ServerForbidden) as caught:
        find(transport, server)

    assert caught.value.host == "inner.example"


def test_an_inner_server_that_is_not_listed_can_not_be_named(transport: Transport) -> None:
    with serve(misskey) as inner, serve(paths(meta=meta(inner.origin))) as server, pytest.raises(NotMisskey):
        find(transport, server)

    assert inner.connections == 0


def test_a_server_that_does_not_answer_is_no_verdict(transport: Transport) -> None:
    slow = Transport("test/1.0", total_seconds=0.1)
    with serve(hostile.silent) as server, pytest.raises(ServerTimeout):
        find(slow, server)
    with serve(hostile.hangs_up) as server, pytest.raises(ServerUnreachable):
        find(transport, server)
    slow.close()


def test_a_public_name_that_leads_inward_is_not_asked(transport: Transport) -> None:
    with pytest.raises(ServerForbidden):
        find_misskey(Server.parse("misskey.example"), transport)
