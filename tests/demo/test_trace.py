"""How a sign-in went, step by step, told to the person who did it."""

from __future__ import annotations

import html
import re
from urllib.parse import quote, unquote

from flask import Flask

from demo import trace
from misskey import MASK, Exchange
from sandbox import Misbehaviour, Running
from tests.cast import Visitor, query
from web import accounts, services


def steps(page: str) -> list[str]:
    """The steps that the page lists, as text."""
    found = re.search(r'<ol class="story trace">(.*?)</ol>', page, re.DOTALL)
    assert found, page
    return [" ".join(html.unescape(re.sub("<[^>]*>", " ", entry)).split()) for entry in found[1].split("<li>")[1:]]


def session_id_of(sandbox: Running) -> str:
    return next(path for _, path in sandbox.requests if path.endswith("/check")).split("/")[3]


def test_the_three_steps_are_told_with_their_real_addresses(alice: Visitor, app: Flask, sandbox: Running) -> None:
    session_id = session_id_of(sandbox)

    sent, came_back, fetched = steps(alice.get("/dashboard").text)

    page = sent.partition("GET ")[2].split()[0]
    assert page.startswith(f"{sandbox.origin}/miauth/{session_id}?")
    assert query(page)["callback"] == "http://localhost/callback"
    assert query(page)["permission"] == ",".join(app.extensions["permissions"])
    assert f"GET http://localhost/callback?session={session_id} " in came_back
    assert f"POST {sandbox.origin}/api/miauth/{session_id}/check {{}} Answer: status 200 after" in fetched
    assert f'"token": "{MASK}"' in fetched
    assert '"username": "alice"' in fetched


def test_the_first_two_steps_tell_when(alice: Visitor) -> None:
    sent, came_back, _ = re.findall(
        "<li>.*?</li>", alice.get("/dashboard").text.partition('class="story trace"')[2], re.DOTALL
    )

    for step in (sent, came_back):
        assert re.search(r'<time datetime="\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00">[^<]*UTC</time>', step)


def test_the_token_is_in_no_step(alice: Visitor, sandbox: Running) -> None:
    token = next(value for value, entry in sandbox.world.tokens.items() if not entry.native)

    assert token not in alice.get("/dashboard").text


def test_the_session_id_is_told_there_only(alice: Visitor, sandbox: Running) -> None:
    session_id = session_id_of(sandbox)

    for path in ("/signin", "/account", "/dashboard/profile"):
        assert session_id not in alice.get(path).text


def test_a_sign_in_that_was_resumed_says_so(visitor: Visitor, sandbox: Running) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    visitor.post("/signin/resume", {"session": session_id})

    _, came_back, _ = steps(visitor.get("/dashboard").text)

    assert "You came back with “I have allowed it”" in came_back
    assert "POST http://localhost/signin/resume " in came_back
    assert "so you resumed the sign-in" in came_back


def test_a_check_that_failed_before_is_not_told(visitor: Visitor, sandbox: Running) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    visitor.get(f"/callback?session={session_id}")
    sandbox.world.misbehaviour = Misbehaviour.NONE
    visitor.get(f"/callback?session={session_id}")

    assert "status 200" in steps(visitor.get("/dashboard").text)[2]


def test_a_token_made_by_hand_took_one_step(visitor: Visitor, sandbox: Running) -> None:
    visitor.post("/signin/token", {"host": sandbox.origin, "token": "aliceNativeToken"})

    page = visitor.get("/dashboard").text

    (asked,) = steps(page)
    assert f"POST {sandbox.origin}/api/i " in asked
    assert f'"i": "{MASK}"' in asked
    assert "aliceNativeToken" not in page


def test_each_account_has_its_own_steps(alice: Visitor) -> None:
    of_alice = re.findall('name="account" value="([0-9a-f]{16})"', alice.get("/dashboard").text)[0]
    alice.sign_in("bob")

    assert '"username": "bob"' in steps(alice.get("/dashboard").text)[2]
    alice.post(f"/accounts/{of_alice}/switch")
    assert '"username": "alice"' in steps(alice.get("/dashboard").text)[2]


def test_the_steps_are_forgotten_with_the_account(alice: Visitor, app: Flask) -> None:
    with app.app_context():
        account = accounts.load(alice.cookie()["accounts"][0])
        assert account
        assert trace.of_sign_in(account)

        alice.post("/signout")

        assert trace.of_sign_in(account) is None
        assert services.token_store().owned_by(account.data_owner) == []


def test_a_sign_in_by_version_0_1_0_has_no_steps(alice: Visitor, app: Flask) -> None:
    with app.app_context():
        services.token_store().delete(f"trace {alice.cookie()['accounts'][0]}")

    assert "There is no record" in alice.get("/dashboard").text


def test_what_a_server_answers_is_text(visitor: Visitor, sandbox: Running) -> None:
    sandbox.world.people["alice"].shown["name"] = "<script>alert(1)</script>"
    visitor.sign_in()

    page = visitor.get("/dashboard").text

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_no_server_can_fill_the_store(visitor: Visitor, sandbox: Running, app: Flask) -> None:
    sandbox.world.people["alice"].shown["name"] = "n" * 50_000
    visitor.sign_in()

    with app.app_context():
        kept = services.token_store().get(f"trace {visitor.cookie()['accounts'][0]}")

    assert kept
    assert len(kept) < 8_000
    assert "n …" in visitor.get("/dashboard").text


def test_what_is_cut_off_is_cut_between_letters() -> None:
    exchange = Exchange("POST", "https://misskey.example/api/i", answer="あ😀é")

    kept = [trace.truncated(exchange, most_bytes)["answer"] for most_bytes in range(10)]
    assert kept == [*[" …"] * 3, *["あ …"] * 4, *["あ😀 …"] * 2, "あ😀é"]


def test_names_in_an_address_are_shown_as_they_were_sent(alice: Visitor) -> None:
    sent = steps(alice.get("/dashboard").text)[0]

    assert quote("read:account,write:notes", safe="") in sent
    assert unquote(sent) != sent


def test_a_page_keeps_so_many_calls_and_no_more(alice: Visitor, app: Flask) -> None:
    with app.test_request_context():
        account = accounts.load(alice.cookie()["accounts"][0])
        assert account
        for _ in range(trace.MAX_EXCHANGES + 5):
            accounts.client(account).call("meta")

        assert len(trace.exchanges()) == trace.MAX_EXCHANGES
