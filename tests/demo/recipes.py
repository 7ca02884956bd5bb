"""What docs/make-it-yours.md promises. test_make_it_yours.py puts this into a copy in which all recipes were followed.

There it is tests/web/test_recipes.py.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from importlib import import_module
from pathlib import Path

import pytest
from dotenv import dotenv_values
from flask import Flask

from sandbox import Misbehaviour, Running
from tests.cast import Visitor
from tests.redis_server import RedisServer
from web import accounts, config
from web.environment import ROOT


@pytest.fixture
def stranger(app: Flask, sandbox: Running) -> Visitor:
    """Alice, of whom the app knows no more than who she is."""
    visitor = Visitor(app, sandbox)
    session_id = visitor.begin(permission="")
    visitor.allow(session_id)
    assert visitor.get(f"/callback?session={session_id}").location == "/members"
    return visitor


def users(folder: Path) -> dict[str, tuple[str, str]]:
    """The rows of the users' table: name and first sign-in, by owner."""
    with closing(sqlite3.connect(folder / "users.sqlite3")) as database:
        return {
            owner: (name, since) for owner, name, since in database.execute("SELECT owner, name, here_since FROM users")
        }


def hello(sandbox: Running) -> list[str]:
    return [note["user"]["username"] for note in sandbox.world.notes.values() if note["text"] == "Hello!"]


def test_the_app_has_its_name_colour_icon_and_foot(visitor: Visitor) -> None:
    page = visitor.get("/").text
    with visitor.get("/static/app.css") as answer, visitor.get("/static/icon.svg") as picture:
        style, icon = (found.get_data(as_text=True) for found in (answer, picture))

    assert " · Kaede Notes</title>" in page
    assert '<a href="mailto:kaede@example.com">kaede@example.com</a>' in page.partition("<footer")[2]
    assert re.findall("--brand: (#[0-9a-f]{6});", style) == ["#9a3412", "#fdba74"]
    assert re.findall("--on-brand: (#[0-9a-f]+);", style) == ["#fff", "#431407"]
    assert 'fill="#9a3412"' in icon


def test_a_sign_in_asks_for_the_permissions(visitor: Visitor) -> None:
    assert {"read:account", "write:notes", "read:favorites"} <= {*visitor.asked[visitor.begin()]}


def test_with_one_server_the_form_is_a_button(make_app: Callable[..., Flask], sandbox: Running) -> None:
    only = str(dotenv_values(ROOT / ".env")["MIAUTH_ONLY_SERVERS"])
    assert "Continue to misskey.example<" in Visitor(make_app(ONLY_SERVERS=only), sandbox).get("/").text

    here = only.replace("misskey.example", sandbox.origin)
    visitor = Visitor(make_app(ONLY_SERVERS=here, PRIVATE_SERVERS=sandbox.origin), sandbox)

    assert visitor.sign_in().location == "/members"
    assert visitor.post("/signin", {"host": "misskey.io"}).status_code == 422


def test_the_first_sign_in_makes_the_row(app: Flask, alice: Visitor, sandbox: Running, tmp_path: Path) -> None:
    Visitor(app, sandbox).sign_in("bob")
    before = users(tmp_path)
    sandbox.world.people["alice"].shown["name"] = "Alice Liddell"
    Visitor(app, sandbox).sign_in("alice")
    now = users(tmp_path)

    assert sorted(name for name, _ in before.values()) == ["Alice", "bob"]
    assert sorted(name for name, _ in now.values()) == ["Alice Liddell", "bob"]
    assert {since for _, since in before.values()} == {since for _, since in now.values()}
    assert re.search(r"<p>Here since \w+ \d+, \d{4}</p>", alice.get("/members").text)
    assert all(owner.startswith(sandbox.origin) for owner in now)
    with app.app_context():
        account = accounts.load(alice.cookie()["accounts"][0])
        assert import_module("web.users").find(account).name == "Alice Liddell"


def test_who_signed_in_before_the_table_came_has_no_row(alice: Visitor, tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "users.sqlite3")) as database, database:
        assert database.execute("DELETE FROM users").rowcount == 1

    page = alice.get("/members")

    assert page.status_code == 200
    assert "Here since" not in page.text


def test_where_tokens_are_in_a_redis_the_table_has_a_folder_too(
    make_app: Callable[..., Flask],
    sandbox: Running,
    redis_server: RedisServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(config, "INSTANCE", tmp_path / "instance")
    Visitor(make_app(TOKEN_STORE=redis_server.url, PRIVATE_SERVERS=sandbox.origin), sandbox).sign_in()

    assert len(users(tmp_path / "instance")) == 1


def test_people_read_what_is_kept(visitor: Visitor) -> None:
    assert "In a database, until you ask us to delete it: " in visitor.get("/privacy").text
    japanese = visitor.get("/privacy", headers={"Accept-Language": "ja"}).text
    assert "登録日をデータベースに保存します。" in japanese


def test_two_machines_share_a_database(
    make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/shared/users.sqlite3")
    for person in ("alice", "bob"):
        Visitor(make_app(PRIVATE_SERVERS=sandbox.origin), sandbox).sign_in(person)

    assert len(users(tmp_path / "shared")) == 2
    assert not (tmp_path / "users.sqlite3").exists()


def test_a_page_is_for_people_who_are_signed_in(visitor: Visitor, stranger: Visitor, alice: Visitor) -> None:
    assert visitor.get("/members").location == visitor.get("/members/writers").location == "/"
    for person in (stranger, alice):
        assert "<h1>Hello, Alice</h1>" in person.get("/members").text
    assert alice.get("/members/writers").status_code == 200


def test_the_menu_leads_to_the_page_of_the_account_that_was_looked_at(app: Flask, alice: Visitor) -> None:
    with app.app_context():
        account = accounts.load(alice.cookie()["accounts"][0])
    menu = alice.get("/dashboard", headers={"Accept-Language": "ja"}).text.partition('class="account"')[2]

    assert account
    assert f'<a href="/members?account={account.public_id}">メンバー</a>' in menu


def test_whoever_has_signed_in_lands_on_the_page(visitor: Visitor) -> None:
    assert visitor.sign_in().location == visitor.get("/").location == "/members"


def test_who_has_not_granted_the_permission_is_led_to_a_sign_in_that_asks_for_it(stranger: Visitor) -> None:
    answer = stranger.get("/members/writers")

    assert answer.status_code == 403
    assert "This sign-in does not include: “Post and delete notes”." in answer.text
    session_id = stranger.begin(permission=re.findall('name="permission" value="([^"]*)"', answer.text))
    stranger.allow(session_id)
    stranger.get(f"/callback?session={session_id}")
    assert stranger.get("/members/writers").status_code == 200


def test_the_button_posts_a_note(alice: Visitor, sandbox: Running) -> None:
    assert '<button type="submit">Say hello</button>' in alice.get("/hello").text

    answer = alice.post("/hello")

    assert "Your note is posted." in alice.get(answer.location).text
    assert "ノートを投稿しました。" in alice.get(answer.location, headers={"Accept-Language": "ja"}).text
    assert hello(sandbox) == ["alice"]


def test_what_goes_wrong_is_said(alice: Visitor, sandbox: Running) -> None:
    sandbox.world.misbehaviour = Misbehaviour.RATE_LIMITED

    answer = alice.post("/hello")

    assert answer.status_code == 502
    assert "has had too many requests" in answer.text
    assert "Say hello</button>" in answer.text
    assert alice.client.post("/hello").status_code == 400  # from another site
    assert hello(sandbox) == []


def test_the_panel_shows_who_follows(alice: Visitor, sandbox: Running) -> None:
    assert 'id="followers"' in alice.get("/dashboard").text

    page = alice.get("/dashboard/followers").text

    assert '<ul class="rows" aria-label="Followers">' in page
    assert f'<a href="{sandbox.origin}/@bob" rel="noreferrer"><bdi>bob</bdi></a>' in page
