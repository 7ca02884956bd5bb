"""What the sign-in form asks for: a preset, or permissions one by one."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from babel.support import Translations
from flask import Flask
from jinja2 import ChoiceLoader, DictLoader

from misskey import PERMISSIONS
from sandbox import Running
from tests.cast import Visitor
from web import languages, permission_presets, template_filters

WHOLE = ["read:account", "write:notes", "read:drive", "write:drive"]
READING = ["read:account", "read:drive"]


@pytest.fixture
def app(make_app: Callable[..., Flask], sandbox: Running) -> Flask:
    """An app that asks for more than reading."""
    return make_app(PRIVATE_SERVERS=sandbox.origin, PERMISSIONS=" ".join(WHOLE))


def offered(page: str) -> list[str]:
    return re.findall(r'name="preset" value="(\w+)"', page)


def chosen(page: str) -> list[str]:
    return re.findall(r'name="preset" value="(\w+)"[^>]* checked', page)


def ticked(page: str) -> list[str]:
    return re.findall(r'name="permission" value="([^"]+)" checked', page)


@pytest.mark.parametrize(
    ("preset", "asked"), [("dashboard", WHOLE), ("read", READING), ("identity", []), ("own", ["write:votes"])]
)
def test_the_preset_decides_what_is_asked_for(visitor: Visitor, preset: str, asked: list[str]) -> None:
    session_id = visitor.begin(preset=preset, permission=["", "write:votes"])

    assert visitor.asked[session_id] == asked


@pytest.mark.parametrize("preset", [{}, {"preset": ""}])
def test_without_a_preset_the_permissions_decide(visitor: Visitor, preset: dict[str, str]) -> None:
    assert visitor.asked[visitor.begin(**preset)] == WHOLE
    assert visitor.asked[visitor.begin(**preset, permission="")] == []
    assert visitor.asked[visitor.begin(**preset, permission=["write:drive", "read:drive"])] == [
        "read:drive",
        "write:drive",
    ]


def test_an_own_choice_of_nothing_asks_for_nothing(visitor: Visitor) -> None:
    assert visitor.asked[visitor.begin(preset="own", permission="")] == []


def test_an_unknown_preset_is_told_at_the_form(visitor: Visitor, sandbox: Running) -> None:
    answer = visitor.post("/signin", {"host": sandbox.origin, "preset": "everything"})

    assert answer.status_code == 422
    assert "Choose one of these." in answer.text
    assert chosen(answer.text) == []


def test_the_form_shows_what_each_preset_asks_for(visitor: Visitor) -> None:
    page = visitor.get("/").text

    assert offered(page) == ["dashboard", "read", "identity", "own"]
    assert chosen(page) == ["dashboard"]
    for name in WHOLE:
        assert f"<li>{PERMISSIONS[name].english}</li>" in page


def test_a_choice_stays_when_the_form_is_shown_again(visitor: Visitor) -> None:
    page = visitor.post("/signin", {"host": "x", "preset": "read", "permission": ["", "write:votes"]}).text

    assert chosen(page) == ["read"]
    assert ticked(page) == ["write:votes"]


def test_permissions_without_a_preset_are_shown_as_what_they_are(visitor: Visitor) -> None:
    assert chosen(visitor.post("/signin", {"host": "x", "permission": ["", *READING]}).text) == ["read"]
    assert chosen(visitor.post("/signin", {"host": "x", "permission": ["", "write:votes"]}).text) == ["own"]


@pytest.mark.parametrize(
    ("settings", "presets", "usual"),
    [
        ("", ["identity", "own"], "identity"),
        ("read:account", ["read", "identity", "own"], "read"),
        ("write:notes", ["dashboard", "identity", "own"], "dashboard"),
    ],
)
def test_presets_that_would_ask_for_the_same_are_offered_once(
    make_app: Callable[..., Flask], sandbox: Running, settings: str, presets: list[str], usual: str
) -> None:
    page = Visitor(make_app(PERMISSIONS=settings), sandbox).get("/").text

    assert sorted(offered(page)) == sorted(presets)
    assert chosen(page) == [usual]


def test_every_permission_is_in_one_group_beside_its_counterpart(visitor: Visitor) -> None:
    things = [thing for _, things in permission_presets.GROUPS for thing in things]

    assert sorted(things) == sorted({name.partition(":")[2] for name in PERMISSIONS})
    assert sorted(re.findall(r'type="checkbox" name="permission" value="([^"]+)"', visitor.get("/").text)) == sorted(
        PERMISSIONS
    )


def test_a_link_fills_in_the_form_for_all_to_see(visitor: Visitor) -> None:
    page = visitor.get("/signin?host=misskey.io&permission=write:votes&permission=read:minds&permission=").text

    assert 'value="misskey.io"' in page
    assert chosen(page) == ["own"]
    assert ticked(page) == ["write:votes"]


def test_a_link_that_asks_for_what_a_preset_does_chooses_the_preset(visitor: Visitor) -> None:
    assert chosen(visitor.get("/signin?permission=").text) == ["identity"]


def test_a_link_alone_changes_nothing_of_what_a_form_asks_for(visitor: Visitor, sandbox: Running) -> None:
    visitor.get("/signin?host=misskey.io&permission=write:votes")
    answer = visitor.post("/signin?permission=write:votes&host=misskey.io", {"host": sandbox.origin})

    assert answer.location.startswith(sandbox.origin)
    assert "write%3Avotes" not in answer.location


def test_a_link_can_not_put_markup_into_the_form(visitor: Visitor) -> None:
    page = visitor.get('/signin?host="><script>alert(1)</script>').text

    assert "<script>alert" not in page


def test_the_suggested_servers_are_links_that_fill_the_field(visitor: Visitor) -> None:
    assert 'href="/signin?host=misskey.io#host"' in visitor.get("/").text
    assert 'value="misskey.io"' in visitor.get("/signin?host=misskey.io").text
    assert "<datalist" not in visitor.get("/").text, "it would only get in the way of a phone's keyboard"


def test_a_hundred_servers_do_not_bury_the_form(make_app: Callable[..., Flask], sandbox: Running) -> None:
    names = [f"server{number}.example.com" for number in range(100)]
    page = Visitor(make_app(SUGGESTED_SERVERS=" ".join(names)), sandbox).get("/").text

    assert page.count("<option") == 100
    assert page.count('href="/signin?host=') == 6


def test_the_form_is_in_each_visitors_language_and_of_each_apps_settings(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    apps = [make_app(PERMISSIONS="read:account write:votes"), make_app(PERMISSIONS="write:drive"), make_app()]
    needed = list(apps[2].extensions["permissions"])
    for _ in range(2):
        for app, names in zip(apps, (["read:account", "write:votes"], ["write:drive"], needed), strict=True):
            for language, title in (("en", "My own choice"), ("ja", "自分で選ぶ")):
                page = Visitor(app, sandbox).get("/", headers={"Accept-Language": language}).text
                assert ticked(page) == names
                assert title in page
                for name in names:
                    label = PERMISSIONS[name].japanese if language == "ja" else PERMISSIONS[name].english
                    assert page.count(f"<li>{label}</li>") >= 1


def test_another_translation_shows(visitor: Visitor, app: Flask) -> None:
    assert "My own choice" in visitor.get("/").text

    texts = Translations()
    texts._catalog = {"My own choice": "Just what I want", "Sign in": "Come in"}
    app.extensions["babel"].instance.domain_instance.cache["en", "messages"] = texts

    page = visitor.get("/").text
    assert "Just what I want" in page
    assert "<title>Come in" in page


def test_whatever_visitors_tick_takes_little_memory(visitor: Visitor) -> None:
    for name in list(PERMISSIONS)[:9]:
        for other in list(PERMISSIONS)[9:18]:
            assert ticked(visitor.get(f"/signin?permission={name}&permission={other}").text) == [name, other]

    for cache in (template_filters._render, languages._said):
        assert cache.cache_info().currsize <= (cache.cache_info().maxsize or 0)


def test_a_template_that_a_developer_changes_shows(visitor: Visitor, app: Flask) -> None:
    app.debug = True
    assert "My own choice" in visitor.get("/").text

    changed = {"_presets.html": "<b>Choose!</b>"}
    assert app.jinja_env.loader
    app.jinja_env.loader, app.jinja_env.cache = ChoiceLoader([DictLoader(changed), app.jinja_env.loader]), {}

    assert "<b>Choose!</b>" in visitor.get("/").text
