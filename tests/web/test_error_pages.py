"""Every failure as one page, or one fragment, with words."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from flask import Flask, abort

from misskey import PermissionDenied
from sandbox import Running
from tests.cast import Visitor
from web import accounts
from web.failures import wait_words


def break_store(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "tokens.sqlite3")) as database, database:
        database.execute("DROP TABLE entries")


def test_a_store_that_does_not_answer_is_told(alice: Visitor, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    break_store(tmp_path)

    answer = alice.get("/dashboard")

    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "30"
    assert "Our memory is not available" in answer.text
    assert "token store: no such table" in caplog.text
    assert "no such table" not in answer.text  # which is nobody else's business


def test_without_the_store_the_app_lives_but_is_not_ready(visitor: Visitor, tmp_path: Path) -> None:
    break_store(tmp_path)

    assert visitor.get("/healthz").status_code == 200
    assert visitor.get("/readyz").status_code == 503


def test_a_store_that_forgets_at_once_is_not_ready(visitor: Visitor, app: Flask, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "tokens.sqlite3")) as database, database:
        database.execute("CREATE TRIGGER forget AFTER INSERT ON entries BEGIN DELETE FROM entries; END")

    assert visitor.get("/readyz").status_code == 503


def test_trying_again_asks_for_the_same_whatever_it_was(alice: Visitor, sandbox: Running, tmp_path: Path) -> None:
    break_store(tmp_path)

    for query, shown in (("a=b&c=%22", "a=b&amp;c=%22"), ("", ""), ("\xff", "\ufffd"), ("%ff", "%ff")):
        page = alice.get("/dashboard", environ_overrides={"QUERY_STRING": query}).text
        assert f'<a role="button" href="?{shown}">Try again</a>' in page


def test_a_mistake_of_our_own_is_a_page_and_a_line_in_the_log(
    visitor: Visitor, app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    def mistake() -> str:
        raise ZeroDivisionError

    app.view_functions["journey.token"] = mistake

    answer = visitor.get("/signin/token")

    assert answer.status_code == 500
    assert "Something broke on our side" in answer.text
    assert "ZeroDivisionError" not in answer.text
    assert "journey.token failed" in caplog.text


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/nowhere", 404, "There is no such page"),
        ("GET", "/signin/resume", 405, "can’t be opened like that"),
        ("DELETE", "/", 405, "can’t be opened like that"),
        ("GET", "/static/nowhere.css", 404, "There is no such page"),
    ],
)
def test_a_request_that_leads_nowhere_is_told(
    visitor: Visitor, method: str, path: str, status: int, words: str
) -> None:
    visitor.get("/")

    answer = visitor.client.open(path, method=method)

    assert answer.status_code == status
    assert words in answer.text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "Wait a minute"),
        (1, "Wait 1 second,"),
        (89, "Wait 89 seconds,"),
        (90, "Wait 2 minutes,"),
        (3600, "Wait 60 minutes,"),
        (86400, "Try again tomorrow"),
    ],
)
def test_waiting_is_told_as_people_say_it(app: Flask, seconds: int | None, words: str) -> None:
    with app.test_request_context():
        assert words in str(wait_words(seconds))


def test_a_part_of_a_page_gets_a_part(visitor: Visitor) -> None:
    answer = visitor.get("/nowhere", headers={"HX-Request": "true"})

    assert answer.status_code == 404
    assert "<html" not in answer.text
    assert "There is no such page" in answer.text


def test_a_form_left_open_while_the_store_went_down_says_so(
    alice: Visitor, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    break_store(tmp_path)

    answer = alice.client.post("/signout", data={"csrf_token": "from before"})

    assert answer.status_code == 503
    assert "Our memory is not available" in answer.text
    assert caplog.text.count("token store: no such table") == 1
    assert "Traceback" not in caplog.text


def test_a_mistake_in_the_page_of_a_failure_is_noted(
    app: Flask, visitor: Visitor, caplog: pytest.LogCaptureFixture
) -> None:
    app.register_error_handler(404, lambda _: str(1 // 0))

    assert "Something broke on our side" in visitor.get("/nowhere").text
    assert "ZeroDivisionError" in caplog.text


def test_a_store_that_fails_on_the_first_page_after_signing_out_is_told(
    alice: Visitor, sandbox: Running, tmp_path: Path
) -> None:
    alice.sign_in("bob")
    alice.post("/signout")
    break_store(tmp_path)

    answer = alice.get("/")

    assert answer.status_code == 503
    assert "Our memory is not available" in answer.text
    assert "bob@" in answer.text


def test_a_method_that_is_not_allowed_is_told_with_those_that_are(visitor: Visitor) -> None:
    assert "POST" in visitor.get("/signout").headers["Allow"]


def test_a_failure_that_flask_names_itself_is_on_our_side(visitor: Visitor, app: Flask) -> None:
    app.view_functions["journey.token"] = lambda: abort(500)

    assert "Something broke on our side" in visitor.get("/signin/token").text


def test_whoever_is_signed_in_keeps_the_menu_on_a_page_that_failed(alice: Visitor, app: Flask) -> None:
    assert "alice@127.0.0.1" in alice.get("/nowhere").text
    stranger = Visitor(app, alice.sandbox).get("/nowhere").text
    assert "alice@" not in stranger
    assert 'class="menu"' not in stranger


def test_what_a_server_refuses_an_own_view_can_be_asked_for_again(
    visitor: Visitor, app: Flask, sandbox: Running
) -> None:
    def post() -> str:
        account = accounts.of_request()
        assert account
        return str(accounts.client(account).call("notes/create", {"text": "Hello!"}))

    app.add_url_rule("/hello", view_func=post)
    session_id = visitor.begin(permission=["read:account", "write:notes"])
    visitor.allow(session_id, permissions=["read:account"])
    visitor.get(f"/callback?session={session_id}")

    page = visitor.get("/hello").text

    assert "Sign in at" in page
    assert 'name="permission" value="write:notes"' in page
    assert visitor.get("/nowhere").text.count("Sign in at") == 0


def test_a_server_that_refuses_another_sign_in_leaves_the_account_in_use_as_it_is(alice: Visitor, app: Flask) -> None:
    def refuse() -> str:
        raise PermissionDenied("far.example", 403, "PERMISSION_DENIED")

    app.view_functions["pages.privacy"] = refuse

    page = alice.get("/privacy").text

    assert 'class="failure"' in page
    assert "Sign in at" not in page
