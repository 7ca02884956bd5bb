"""The console in a real browser: complete, send, copy, call again; by keyboard, by ear, and without JavaScript."""

from __future__ import annotations

import json
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from sandbox import Misbehaviour, Running
from tests.browsing import (
    Browsers,
    arrive,
    begin,
    decide,
    expect_description,
    expect_title,
    have_signed_in,
    open_menu,
    tab_to,
)


@pytest.fixture
def console(page: Page, sandbox: Running) -> Page:
    """The console of Alice, with all that the server tells."""
    have_signed_in(page, sandbox)
    page.goto("/console")
    expect_parameters(page, "takes no parameters")
    expect(page.locator("#endpoint-names option")).not_to_have_count(0)
    return page


def endpoint(page: Page) -> Locator:
    return page.get_by_label("Endpoint", exact=True)


def params(page: Page) -> Locator:
    return page.get_by_label("Parameters, as JSON")


def options(page: Page) -> Locator:
    return page.get_by_role("listbox", name="Parameters").get_by_role("option")


def expect_parameters(page: Page, words: str) -> None:
    expect(page.locator("#parameters")).to_contain_text(words)


def choose(page: Page, name: str, typed: str = "") -> None:
    """Type an endpoint, go on to its parameters, and type some of them."""
    endpoint(page).fill(name)
    params(page).fill("")
    expect(page.locator("#parameters button").first).to_be_visible()
    params(page).press_sequentially(typed)


def written(page: Page) -> Any:
    return json.loads(params(page).input_value())


def selected(page: Page) -> str:
    """What would be replaced by typing on."""
    text: str = params(page).evaluate("field => field.value.slice(field.selectionStart, field.selectionEnd)")
    return text


def press_send(page: Page) -> None:
    page.get_by_role("button", name="Send").click()


def called(sandbox: Running, name: str) -> int:
    return sandbox.requests.count(("POST", f"/api/{name}"))


def test_the_account_menu_leads_to_it(page: Page, sandbox: Running) -> None:
    arrive(page, sandbox)
    open_menu(page).get_by_role("link", name="Console").click()

    expect_title(page, "Console")


def test_the_page_is_there_while_the_server_still_thinks(page: Page, sandbox: Running) -> None:
    have_signed_in(page, sandbox)
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    page.goto("/console")
    expect(endpoint(page)).to_have_value("i")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    expect_parameters(page, "takes no parameters")


def test_a_call_shows_its_answer_with_the_focus_on_it(console: Page) -> None:
    press_send(console)

    expect(console.get_by_role("heading", name="Answer of i: 200")).to_be_focused()
    expect(console.get_by_role("region", name="Answer", exact=True)).to_contain_text('"username": "alice"')
    expect(endpoint(console)).to_have_value("i")


def test_endpoints_are_offered_by_the_browser_itself(console: Page) -> None:
    names = endpoint(console).evaluate("field => [...field.list.options].map(option => option.value)")

    assert "notes/create" in names


def test_a_name_is_completed_with_the_keyboard(console: Page) -> None:
    choose(console, "notes/create", '{"vis')
    expect(options(console)).to_have_text(["visibility", "visibleUserIds"])
    expect(console.get_by_text("arrow keys choose, Enter inserts, Escape closes")).to_be_visible()

    console.keyboard.press("ArrowDown")
    expect(options(console).first).to_have_attribute("aria-selected", "true")
    console.keyboard.press("Enter")
    expect(options(console)).to_have_count(0)
    console.keyboard.type("home")
    console.keyboard.press("End")
    console.keyboard.type(", loc")
    console.keyboard.press("ArrowUp")
    console.keyboard.press("Enter")
    console.keyboard.type("true}")

    assert params(console).input_value() == '{"visibility": "home", "localOnly": true}'


def test_the_option_that_enter_takes_is_told_to_those_who_hear_the_page(console: Page) -> None:
    choose(console, "notes/create", '{"')
    expect(params(console)).to_have_attribute("aria-autocomplete", "list")
    for key, option in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", 7), ("ArrowDown", 0)):
        console.keyboard.press(key)
        expect(params(console)).to_have_attribute("aria-activedescendant", f"completion-{option}")
        expect(console.locator("[aria-selected=true]")).to_have_id(f"completion-{option}")


def test_escape_closes_and_the_arrows_are_the_texts_own_again(console: Page) -> None:
    choose(console, "notes/create", '{\n"vis')
    console.keyboard.press("Escape")

    expect(options(console)).to_have_count(0)
    console.keyboard.press("ArrowUp")
    console.keyboard.press("Enter")
    assert params(console).input_value() == '{\n\n"vis'


def test_nothing_is_offered_where_no_name_belongs(console: Page) -> None:
    for typed in ("vis", '["vis', '{"text": "vis', '{"poll": {"vis', '{"visibility": "", "visibility', '{"x'):
        choose(console, "notes/create", typed)
        expect(options(console)).to_have_count(0)


def test_a_name_is_completed_with_the_mouse_and_keeps_its_value(console: Page) -> None:
    choose(console, "notes/create", '{"te": "typed before"}')
    for _ in range(len('": "typed before"}')):
        console.keyboard.press("ArrowLeft")
    console.keyboard.press("Backspace")
    options(console).get_by_text("text").click()

    assert written(console) == {"text": "typed before"}
    expect(params(console)).to_be_focused()


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "cw": ""\n}'),
        ("{}", '{\n  "cw": ""\n}'),
        ('{"text": "}"}', '{"text": "}",\n  "cw": ""\n}'),
        ('{\n  "poll": {"choices": []}\n}\n', '{\n  "poll": {"choices": []},\n  "cw": ""\n}\n'),
        ('{"text": "x",', '{"text": "x",\n  "cw": ""'),
        ('{"cw": "typed", "text": ""}', '{"cw": "typed", "text": ""}'),
    ],
)
def test_a_pressed_name_is_inserted_where_it_belongs(console: Page, before: str, after: str) -> None:
    choose(console, "notes/create")
    params(console).fill(before)
    console.get_by_role("button", name="cw String").click()

    assert params(console).input_value() == after
    assert selected(console) == ('"typed"' if "typed" in before else "")
    expect(params(console)).to_be_focused()


def test_what_was_inserted_can_be_undone(console: Page) -> None:
    choose(console, "notes/create", '{"text": "mine"}')
    console.get_by_role("button", name="localOnly Boolean").click()
    assert selected(console) == "false"

    console.keyboard.press("Control+z")
    assert written(console) == {"text": "mine"}


def test_the_keyboard_alone_is_enough(console: Page, sandbox: Running) -> None:
    tab_to(console, endpoint(console))
    console.keyboard.press("Control+a")
    console.keyboard.type("notes/create")
    console.keyboard.press("Tab")
    expect_parameters(console, "visibility")
    console.keyboard.press("Control+a")
    console.keyboard.type('{"text": "by hand"}')
    console.keyboard.press("Control+Enter")

    expect(console.get_by_role("heading", name="Answer of notes/create: 200")).to_be_focused()
    assert any(note["text"] == "by hand" for note in sandbox.world.notes.values())


def test_what_is_wrong_is_told_beside_the_field(console: Page, browsers: Browsers) -> None:
    browsers.statuses = {422}
    choose(console, "notes/create", '{\n"text" 1}')
    press_send(console)

    expect_description(params(console), "Line 2, column 8: a colon belongs here")
    expect(params(console)).to_be_focused()
    expect(params(console)).to_have_value('{\n"text" 1}')
    expect(params(console)).to_have_attribute("aria-autocomplete", "list")


def test_a_double_click_and_a_reload_make_one_call(console: Page, sandbox: Running) -> None:
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 0.3
    endpoint(console).fill("ping")
    console.get_by_role("button", name="Send").dblclick()
    expect(console.get_by_role("heading", name="Answer of ping: 200")).to_be_visible()
    console.reload()
    expect_title(console, "Console")

    assert called(sandbox, "ping") == 1


def test_the_next_call_is_another_one(console: Page, sandbox: Running) -> None:
    endpoint(console).fill("ping")
    for times in (1, 2):
        press_send(console)
        expect(console.locator(".history li")).to_have_count(times)

    assert called(sandbox, "ping") == 2


def test_a_call_of_before_is_filled_in_again(console: Page) -> None:
    choose(console, "notes/local-timeline", '{"limit": 1}')
    press_send(console)
    history = console.get_by_role("region", name="Your latest calls")
    expect(history).to_contain_text("200")
    console.goto("/console")
    history.get_by_role("link", name="notes/local-timeline").click()

    expect(endpoint(console)).to_have_value("notes/local-timeline")
    expect(params(console)).to_have_value('{"limit": 1}')
    history.get_by_role("button", name="Clear the list").click()
    expect(history).to_have_count(0)


@pytest.mark.own_browser
@pytest.mark.parametrize("code", ["curl", "Python", "JavaScript"])
def test_a_call_is_copied_and_that_is_said(console: Page, code: str) -> None:
    console.context.grant_permissions(["clipboard-read", "clipboard-write"])
    press_send(console)
    codes = console.get_by_role("region", name="Copy as")
    codes.get_by_text(code, exact=True).click()
    codes.get_by_role("button", name="Copy").click()

    expect(codes.get_by_text("Copied.")).to_be_visible()
    shown = codes.get_by_role("region", name=code).inner_text()
    assert console.evaluate("navigator.clipboard.readText()").strip() == shown.strip()
    assert "YOUR_ACCESS_TOKEN" in shown


def test_a_clipboard_that_is_not_allowed_leaves_the_code_selected(console: Page) -> None:
    console.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    press_send(console)
    codes = console.get_by_role("region", name="Copy as")
    codes.get_by_text("curl", exact=True).click()
    codes.get_by_role("button", name="Copy").click()

    expect(codes.get_by_text("Selected. Copy it with Ctrl+C.")).to_be_visible()
    assert str(console.evaluate("getSelection().toString()")).startswith("curl http")


def test_a_server_that_fails_is_told_in_each_part(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    have_signed_in(page, sandbox)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    page.goto("/console")
    for part in ("#names", "#parameters"):
        expect(page.locator(part).get_by_role("alert")).to_contain_text("has a problem")
    press_send(page)

    expect(page.get_by_role("heading", name="Answer of i: 500")).to_be_focused()


def test_without_javascript_everything_works(browsers: Browsers, sandbox: Running) -> None:
    page = browsers.open(java_script_enabled=False)
    arrive_without_scripts(page, sandbox)
    page.get_by_role("link", name="Show endpoints").click()
    page.get_by_role("link", name="notes/create").click()
    expect(endpoint(page)).to_have_value("notes/create")
    page.get_by_role("button", name="cw String").click()
    assert written(page) == {"cw": "", "text": "Hello from the console", "visibility": "specified"} or written(
        page
    ) == {"cw": ""}

    params(page).fill('{"text": "no script"}')
    page.get_by_role("button", name="Send").dblclick()
    expect(page.get_by_role("heading", name="Answer of notes/create: 200")).to_be_focused()
    page.reload()
    assert called(sandbox, "notes/create") == 1
    page.get_by_text("curl", exact=True).click()
    expect(page.get_by_role("region", name="curl")).to_contain_text("no script")
    expect(page.get_by_role("button", name="Copy")).to_have_count(0)


def test_without_javascript_the_parameters_come_beside_what_was_typed(browsers: Browsers, sandbox: Running) -> None:
    page = browsers.open(java_script_enabled=False)
    arrive_without_scripts(page, sandbox)
    expect(page.get_by_text("Completing names while you type needs JavaScript.")).to_be_visible()
    endpoint(page).fill("notes/local-timeline")
    params(page).fill('{"limit": ')
    page.get_by_role("button", name="Show parameters").click()

    expect_parameters(page, "sinceId")
    expect(params(page)).to_have_value('{"limit": ')
    assert called(sandbox, "notes/local-timeline") == 0


def arrive_without_scripts(page: Page, sandbox: Running) -> None:
    """Be at the console as Alice."""
    begin(page, sandbox.origin)
    decide(page)
    open_menu(page).get_by_role("link", name="Console").click()
    expect_title(page, "Console")
