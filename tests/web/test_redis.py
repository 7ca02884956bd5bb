"""Tokens in a Redis: what only a Redis can do, and what only a Redis can do wrong."""

from __future__ import annotations

import re
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis
import trustme
from flask import Flask

from sandbox import Running
from tests.cast import FIRST_PAGE, Visitor
from tests.ports import free_port
from tests.redis_server import PASSWORD, RedisServer, answering, running
from web.storage.redis_backend import RedisBackend
from web.storage.redis_connection import CONNECTIONS, PREFIX, WAIT_SECONDS, connect
from web.storage.store_backend import StoreUnavailable
from web.token_store import open_store

ROOT = Path(__file__).parents[2]
SECRET = "the secret key of today"


def test_two_machines_share_their_sign_ins(
    make_app: Callable[..., Flask], redis_server: RedisServer, sandbox: Running
) -> None:
    here, there = (
        Visitor(make_app(TOKEN_STORE=redis_server.url, PRIVATE_SERVERS=sandbox.origin), sandbox) for _ in range(2)
    )
    session_id = here.begin()
    here.allow(session_id)
    there = here.twin(there.app)

    assert there.get(f"/callback?session={session_id}").location == FIRST_PAGE
    here = there.twin(here.app)

    assert "Hello, Alice" in here.get("/dashboard").text
    here.post("/signout/everywhere")
    assert there.get("/dashboard").location == "/"


def test_a_redis_sees_neither_keys_nor_values_nor_owners(redis_server: RedisServer) -> None:
    store = open_store(redis_server.url, [SECRET])
    store.put("the-key-of-a-cookie", "the-token-itself", 60, owner="https://misskey.example alice")

    with redis_server.client() as client:
        names = list(client.scan_iter())
        content = b"".join([*names, *(client.dump(name) or b"" for name in names)])
    for secret in (b"the-key-of-a-cookie", b"the-token-itself", b"misskey.example"):
        assert secret not in content


def test_every_key_is_under_the_apps_own_name_and_expires(redis_server: RedisServer) -> None:
    backend = RedisBackend(redis_server.url)
    backend.put("one", b"value", 60, owner="alice")
    backend.put("two", b"value", 600, owner="alice")
    backend.put("three", b"value", 60)
    backend.replace("three", b"value", owner="alice")

    with redis_server.client() as client:
        assert all(name.startswith(PREFIX.encode()) for name in client.scan_iter())
        assert 0 < client.ttl(f"{PREFIX}:entry:three") <= 60
        assert 600 <= client.ttl(f"{PREFIX}:owner:alice") <= 602


def test_the_list_of_an_owner_does_not_grow_with_what_has_expired(redis_server: RedisServer) -> None:
    backend = RedisBackend(redis_server.url)
    backend.put("long ago", b"value", 60, owner="alice")
    with redis_server.client() as client:
        client.zadd(f"{PREFIX}:owner:alice", {f"{PREFIX}:entry:long ago": 1})
        backend.put("now", b"value", 60, owner="alice")

        assert client.zrange(f"{PREFIX}:owner:alice", 0, -1) == [f"{PREFIX}:entry:now".encode()]


def test_an_entry_that_goes_while_all_are_looked_through_is_left_out(redis_server: RedisServer) -> None:
    backend = RedisBackend(redis_server.url)
    backend.put("id", b"value", 60)
    with redis_server.client() as client:
        client.hset(f"{PREFIX}:entry:gone", "owner", "")

    assert [entry for entry, _, _ in backend.entries()] == ["id"]


def test_what_others_keep_below_the_same_name_is_left_out(redis_server: RedisServer) -> None:
    backend = RedisBackend(redis_server.url)
    backend.put("id", b"value", 60)
    with redis_server.client() as client:
        client.set(f"{PREFIX}:entry:text", "of another program")
        client.sadd(f"{PREFIX}:entry:set", "of another program")

    assert [entry for entry, _, _ in backend.entries()] == ["id"]


def test_more_visitors_than_connections_wait_their_turn(tmp_path: Path) -> None:
    many = 4 * CONNECTIONS
    together = threading.Barrier(many)

    def put(number: int) -> bool:
        together.wait()
        return backend.put(f"id {number}", b"value", 60, owner="alice")

    with running(tmp_path) as server, ThreadPoolExecutor(many) as pool, server.client() as client:
        backend = RedisBackend(server.url)
        assert all(pool.map(put, range(many)))
        assert len(backend.owned_by("alice")) == many
        assert len(client.client_list()) <= CONNECTIONS + 1


def test_a_redis_that_lost_its_scripts_gets_them_again(redis_server: RedisServer) -> None:
    backend = RedisBackend(redis_server.url)
    backend.put("id", b"value", 60)
    with redis_server.client() as client:
        client.script_flush()

    assert backend.put("id", b"another", 60)


def test_a_claim_whose_answer_got_lost_is_still_ones_own(redis_server: RedisServer) -> None:
    """The library asks again when a connection breaks, and then meets what it wrote itself."""
    backend = RedisBackend(redis_server.url)

    assert backend.put("id", b"sealed by chance", 60, only_if_new=True)
    assert backend.put("id", b"sealed by chance", 60, only_if_new=True)
    assert not backend.put("id", b"sealed by another", 60, only_if_new=True)


def test_a_redis_with_tls_is_checked(tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    stranger.cert_pem.write_to_path(tmp_path / "stranger.pem")
    files = ("--tls-cert-file", "server.pem", "--tls-key-file", "server.pem", "--tls-ca-cert-file", "ca.pem")
    tls_port = free_port()
    with running(tmp_path, *files, "--tls-auth-clients", "no", "--tls-port", str(tls_port)):
        url = f"rediss://:the%2Fpassword%40of%3Aredis@127.0.0.1:{tls_port}/0?ssl_ca_certs={tmp_path}"
        backend = RedisBackend(f"{url}/ca.pem")
        assert backend.put("id", b"value", 60)
        with pytest.raises(StoreUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
            RedisBackend(f"{url}/stranger.pem").get("id")
        with pytest.raises(StoreUnavailable):
            RedisBackend(f"{url}/nowhere.pem").get("id")


def test_a_redis_that_is_down_is_told_and_comes_back(
    make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with running(tmp_path) as server:
        visitor = Visitor(make_app(TOKEN_STORE=server.url, PRIVATE_SERVERS=sandbox.origin), sandbox)
        visitor.sign_in()
        assert visitor.get("/readyz").text == "ready\n"

    assert visitor.get("/readyz").status_code == 503
    answer = visitor.get("/dashboard")
    assert answer.status_code == 503
    assert "Our memory is not available" in answer.text
    assert visitor.get("/healthz").status_code == 200
    assert "Connection refused" in caplog.text
    assert PASSWORD not in caplog.text

    with running(tmp_path, port=server.port):
        assert visitor.get("/readyz").text == "ready\n"


def test_the_app_starts_before_its_redis(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    with running(tmp_path) as server:
        pass
    client = make_app(TOKEN_STORE=server.url).test_client()
    assert client.get("/readyz").status_code == 503

    with running(tmp_path, port=server.port):
        assert client.get("/readyz").status_code == 200


def test_a_redis_that_is_full_is_told(redis_server: RedisServer) -> None:
    backend = RedisBackend(redis_server.url)
    with redis_server.client() as client:
        client.config_set("maxmemory", "1")
        try:
            with pytest.raises(StoreUnavailable, match="memory"):
                backend.put("id", b"value", 60)
        finally:
            client.config_set("maxmemory", "0")


def test_an_account_of_the_apps_own_needs_no_more_than_is_told(
    make_app: Callable[..., Flask], redis_server: RedisServer, sandbox: Running
) -> None:
    told = re.search(r"~\S+:\*( \+\S+)( -\S+)", (ROOT / ".env.example").read_text())
    assert told
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">secret", *told[0].removesuffix(".").split())
        visitor = Visitor(
            make_app(TOKEN_STORE=f"redis://app:secret@127.0.0.1:{redis_server.port}", PRIVATE_SERVERS=sandbox.origin),
            sandbox,
        )
        try:
            assert visitor.sign_in().location == FIRST_PAGE
            assert "Hello, Alice" in visitor.get("/dashboard").text
            shown = visitor.app.test_cli_runner().invoke(args=["accounts", "show", "alice@" + sandbox.origin[7:]])
            assert "1 sign-in." in shown.output
            assert visitor.post("/signout/everywhere").status_code == 303
        finally:
            client.execute_command("ACL", "DELUSER", "app")


def test_a_wrong_password_is_told_without_it(redis_server: RedisServer) -> None:
    backend = RedisBackend(f"redis://:not-the-password@127.0.0.1:{redis_server.port}")

    with pytest.raises(StoreUnavailable) as caught:
        backend.get("id")

    assert "password" in str(caught.value)
    assert "not-the-password" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("answer", [b"-ERR unknown command 'AUTH', with args beginning with: 's3cret'\r\n", b"?\r\n"])
@pytest.mark.parametrize(
    "url", ["redis://:s3cret@127.0.0.1:{}", "redis+sentinel://127.0.0.1:{}/sign-ins?sentinel_password=s3cret"]
)
def test_what_is_no_redis_can_not_make_the_password_known(answer: bytes, url: str) -> None:
    password = "s3cret"
    with answering(answer) as port:
        backend = RedisBackend(url.format(port))
        with pytest.raises(StoreUnavailable) as caught:
            backend.get("id")

    assert password not in "".join(traceback.format_exception(caught.value))


def test_a_redis_that_never_answers_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    assert WAIT_SECONDS <= 5
    monkeypatch.setattr("web.storage.redis_connection.WAIT_SECONDS", 0.05)
    with answering(b"") as port, pytest.raises(StoreUnavailable, match="Timeout"):
        RedisBackend(f"redis://127.0.0.1:{port}").get("id")


@pytest.mark.parametrize("act", ["put", "replace", "delete", "owned_by", "delete_owned_by"])
def test_every_verb_tells_that_a_redis_is_down(act: str, tmp_path: Path) -> None:
    backend = RedisBackend(f"unix://{tmp_path}/nowhere.sock")
    acts: dict[str, Callable[[], object]] = {
        "put": lambda: backend.put("id", b"value", 60),
        "replace": lambda: backend.replace("id", b"value"),
        "delete": lambda: backend.delete("id"),
        "owned_by": lambda: backend.owned_by("alice"),
        "delete_owned_by": lambda: backend.delete_owned_by("alice"),
    }

    with pytest.raises(StoreUnavailable):
        acts[act]()


def test_a_backend_shows_no_password(redis_server: RedisServer) -> None:
    assert PASSWORD not in repr(vars(RedisBackend(redis_server.url)))


@pytest.mark.parametrize(
    ("words", "kind"), [("-READONLY You can't", redis.ReadOnlyError), ("it is READONLY", redis.ResponseError)]
)
def test_a_script_that_a_replica_refused_is_known_for_that_in_the_words_of_redis_6_too(
    redis_server: RedisServer, words: str, kind: type[redis.ResponseError]
) -> None:
    """So that it is tried once more, over a new connection."""
    told = f"ERR Error running script (call to f_1): @user_script:13: @user_script: 13: {words}"
    with pytest.raises(redis.ResponseError) as caught:
        connect(redis_server.url).eval("return redis.error_reply(ARGV[1])", 0, told)

    assert type(caught.value) is kind


def test_where_another_redis_takes_over_the_name_connections_follow(redis_server: RedisServer, tmp_path: Path) -> None:
    name = tmp_path / "name"
    name.symlink_to(redis_server.socket)
    backend = RedisBackend(redis_server.unix_url.replace(str(redis_server.socket), str(name)))
    backend.put("before", b"value", 60)

    with running(tmp_path) as other, redis_server.client() as former:
        name.unlink()
        name.symlink_to(other.socket)
        former.replicaof("127.0.0.1", str(other.port))  # it goes on answering, but writes nothing
        try:
            assert backend.put("after", b"value", 60, owner="alice")
            backend.delete("before")
        finally:
            former.replicaof("NO", "ONE")

        assert backend.owned_by("alice") == [b"value"]
