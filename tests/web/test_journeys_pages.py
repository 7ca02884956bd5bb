"""The pages for everybody, and the choice of what to allow, in a real browser."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from misskey import PERMISSIONS
from sandbox import Misbehaviour, Running
from tests.browsing import Browsers, arrive, decide, expect_dashboard, expect_description, expect_title, tab_to
from tests.cast import served
from web.languages import LANGUAGES


@pytest.fixture
def site(make_app: Callable[..., Flask], sandbox: Running, listening: socket.socket) -> Iterator[str]:
    """An app that asks for more than reading."""
    permissions = "read:account write:notes read:drive"
    with served(make_app, at=listening, PRIVATE_SERVERS=sandbox.origin, PERMISSIONS=permissions) as url:
        yield url


def asked(page: Page) -> list[str]:
    """What the server's page, which is open, is asked for."""
    return parse_qs(urlsplit(page.url).query).get("permission", [""])[0].split(",")


def go_on(page: Page, sandbox: Running) -> None:
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_role("button", name="Continue to my server").click()
    expect(page.get_by_role("button", name="Allow")).to_be_visible()


def test_what_a_choice_allows_is_told_with_it(page: Page) -> None:
    page.goto("/")
    posting = page.get_by_text("Post and delete notes", exact=True)
    expect(posting).to_be_visible()

    page.get_by_label("Only look").check()
    expect_description(page.get_by_label("Only look"), "It may read, and change nothing. See your account")
    expect(posting).to_be_hidden()


def test_whoever_only_looks_is_asked_for_reading(page: Page, sandbox: Running) -> None:
    page.goto("/")
    page.get_by_label("Only look").check()
    go_on(page, sandbox)

    assert asked(page) == ["read:account", "read:drive"]
    decide(page)
    expect_dashboard(page)


def test_who_one_is_can_be_all_that_is_told(page: Page, sandbox: Running) -> None:
    page.goto("/")
    page.get_by_label("Only learn who I am").check()
    go_on(page, sandbox)

    expect(page.get_by_text("It asks for no permission")).to_be_visible()


def test_the_list_of_everything_is_there_for_those_who_choose_it(page: Page, sandbox: Running) -> None:
    page.goto("/")
    expect(page.get_by_role("checkbox")).to_have_count(0)

    page.get_by_label("My own choice").check()
    expect(page.get_by_role("checkbox")).to_have_count(len(PERMISSIONS))
    for name in ("write:notes", "read:drive", "write:drive"):
        page.get_by_label(name).uncheck()
    page.get_by_label("read:reactions").check()
    go_on(page, sandbox)

    assert asked(page) == ["read:account", "read:reactions"]


def test_the_keyboard_alone_chooses_what_to_allow(page: Page, sandbox: Running) -> None:
    page.goto("/")
    tab_to(page, page.get_by_label("Your Misskey server"))
    page.keyboard.type(sandbox.origin)
    tab_to(page, page.get_by_label("Everything on the dashboard"))
    page.keyboard.press("ArrowDown")
    expect(page.get_by_label("Only look")).to_be_checked()
    tab_to(page, page.get_by_role("button", name="Continue to my server"))
    page.keyboard.press("Enter")

    expect(page.get_by_role("button", name="Allow")).to_be_visible()
    assert "write:notes" not in asked(page)


def test_a_suggested_server_fills_the_field(page: Page) -> None:
    page.goto("/")
    page.get_by_role("link", name="misskey.io", exact=True).click()

    field = page.get_by_label("Your Misskey server")
    expect(field).to_have_value("misskey.io")
    expect(field).to_be_focused()


def test_a_language_can_be_chosen_on_any_page(page: Page, sandbox: Running) -> None:
    page.goto("/how-it-works")
    page.get_by_role("button", name="日本語").click()
    expect_title(page, "サインインのしくみ")
    expect(page).to_have_url("/how-it-works")

    page.goto("/privacy")
    expect_title(page, "プライバシー")
    page.get_by_role("button", name="English").click()
    expect_title(page, "Privacy")


def test_a_language_can_be_chosen_at_the_dashboard(page: Page, sandbox: Running) -> None:
    arrive(page, sandbox)
    page.get_by_role("button", name="日本語").click()

    expect_title(page, "こんにちは")
    expect(page).to_have_url("/dashboard")


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_picture_can_be_read_on_a_small_screen(browsers: Browsers, language: str) -> None:
    page = browsers.open(viewport={"width": 360, "height": 740})
    page.goto("/how-it-works")

    for text in page.locator(".flow text").all():
        box = text.evaluate("text => { const {x, width} = text.getBBox(); return {left: x, right: x + width} }")
        assert 0 <= box["left"] < box["right"] <= 340
        assert text.evaluate("text => text.getBoundingClientRect().height") >= 11


def test_a_page_and_all_it_needs_take_six_requests(browsers: Browsers) -> None:
    page = browsers.open()
    requests: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.goto("/", wait_until="networkidle")

    assert len(requests) <= 6, requests


def test_what_a_browser_has_it_does_not_ask_for_again(browsers: Browsers) -> None:
    page = browsers.open()
    page.goto("/", wait_until="networkidle")
    page.goto("/privacy", wait_until="networkidle")
    sizes = page.evaluate("() => performance.getEntriesByType('resource').map(entry => entry.transferSize)")

    assert sizes
    assert set(sizes) == {0}


#: Notes what the form says, and sends it again a moment later; Playwright looks at no page that is about to be left.
SUBMIT_TWICE = """addEventListener("submit", ({ target }) => setTimeout(() => {
  sessionStorage.told ??= [target.querySelector("[role=status]"), target.querySelector("progress")]
    .map((part) => part.checkVisibility() && (part.textContent || part.ariaLabel));
  target.requestSubmit();
}, 50), { once: true })"""


def test_a_form_says_that_a_server_is_being_asked_and_asks_once(page: Page, sandbox: Running) -> None:
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url) if request.method == "POST" else None)
    page.goto("/")
    page.evaluate(SUBMIT_TWICE)
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 0.5
    go_on(page, sandbox)

    assert len(sent) == 1
    page.go_back()
    assert page.evaluate("sessionStorage.told") == f"Asking {sandbox.origin} …,Waiting for your server"


def test_nothing_is_asked_any_more_when_somebody_goes_back_to_the_form(page: Page, sandbox: Running) -> None:
    page.goto("/")
    go_on(page, sandbox)
    page.go_back()

    expect(page.get_by_label("Your Misskey server")).to_be_visible()
    expect(page.get_by_role("progressbar")).to_have_count(0)
    go_on(page, sandbox)


#: How far things moved by themselves, as browsers measure it. https://web.dev/articles/cls
SHIFTED = """() => new Promise((done) => {
  let sum = 0;
  const add = (entry) => { if (!entry.hadRecentInput) sum += entry.value; };
  new PerformanceObserver((list) => list.getEntries().forEach(add)).observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => setTimeout(() => done(sum), 50));
})"""


@pytest.mark.parametrize("width", [360, 1440])
def test_nothing_jumps_while_a_page_comes(page: Page, sandbox: Running, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    for path in ("/", "/how-it-works", "/privacy", "/signin/token"):
        page.goto(path, wait_until="networkidle")
        assert page.evaluate(SHIFTED) == 0, path

    arrive(page, sandbox)
    page.goto("/dashboard")
    expect_dashboard(page)
    assert page.evaluate(SHIFTED) < 0.05  # nobody knows how high a part will be; 0.1 is where people begin to notice


def test_what_is_under_way_is_seen_in_forced_colours_too(browsers: Browsers) -> None:
    page = browsers.open(forced_colors="active")
    page.goto("/signin")
    progress = page.locator(".asking progress")
    progress.evaluate("progress => { progress.hidden = false; }")
    seen = progress.screenshot(caret="initial")
    progress.evaluate("progress => { progress.style.opacity = 0; }")

    assert progress.screenshot(caret="initial") != seen
