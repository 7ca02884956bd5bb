"""Every page, in every state it can be in, is fit for everybody: by ear, by keyboard, small, large, dark."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from flask import Flask
from playwright.sync_api import Page, expect

from sandbox import Misbehaviour, Running
from tests.browsing import Browsers, arrive, begin, decide, expect_description, expect_title, open_menu
from tests.cast import served
from web.dashboard import PANELS

WIDTHS = (320, 360, 768, 1440)


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice."""
    arrive(page, sandbox)
    return page


def test_the_first_page(page: Page, browsers: Browsers) -> None:
    browsers.statuses = {422}
    page.goto("/")
    check(page)

    page.get_by_label("My own choice").check()
    expect(page.get_by_label("read:account")).to_be_visible()
    check(page)

    page.get_by_label("Your Misskey server").fill("misskey")
    page.get_by_role("button", name="Continue to my server").click()
    expect_description(page.get_by_label("Your Misskey server"), "The ending is missing")
    check(page)


def test_a_sign_in_under_way(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {403, 410}
    begin(page, sandbox.origin)
    page.goto("/")
    expect(page.get_by_role("button", name="I have allowed it")).to_be_visible()
    check(page)

    page.get_by_role("button", name="I have allowed it").click()
    expect_title(page, "not allowed yet")
    check(page)

    other_tab = page.context.new_page()
    other_tab.goto("/")
    other_tab.get_by_role("button", name="Cancel this sign-in").click()
    expect(other_tab.get_by_role("button", name="Cancel this sign-in")).to_have_count(0)
    page.get_by_role("button", name="I have allowed it").click()
    expect_title(page, "This sign-in is over")
    check(page)


def test_a_sign_in_that_the_server_spoils(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    begin(page, sandbox.origin)
    sandbox.world.misbehaviour = Misbehaviour.NOT_JSON
    decide(page)
    expect_title(page, "gave an answer that makes no sense")
    check(page)


def test_the_token_form(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {422}
    page.goto("/signin/token")
    check(page)

    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_label("Access token").fill("mistyped")
    page.get_by_role("button", name="Sign in").click()
    expect_description(page.get_by_label("Access token"), "does not know this token")
    check(page)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/callback?session=x", 400, "This sign-in began in another browser"),
        ("/nowhere", 404, "There is no such page"),
        ("/signout", 405, "can’t be opened like that"),
    ],
)
def test_an_address_that_leads_nowhere(page: Page, browsers: Browsers, path: str, status: int, words: str) -> None:
    browsers.statuses = {status}
    page.goto(path)
    expect_title(page, words)
    check(page)


def test_a_form_without_its_cookie(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {400}
    page.goto("/")
    page.context.clear_cookies()
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_role("button", name="Continue to my server").click()
    expect_title(page, "Your browser did not send our cookie")
    check(page)


def test_the_dashboard_until_signing_out(alice: Page, sandbox: Running) -> None:
    check(alice)

    for fold in alice.locator("main summary").all():
        fold.click()
    check(alice)

    arrive(alice, sandbox, "bob")
    menu = open_menu(alice)
    expect(menu.get_by_role("button", name="Switch to")).to_be_visible()
    check(alice)

    menu.get_by_role("button", name="Sign out", exact=True).click()
    expect(alice.get_by_role("heading", name="is signed out")).to_be_visible()
    check(alice)

    open_menu(alice).get_by_role("button", name="Sign out").click()
    expect(alice.get_by_role("heading", name="You are signed out")).to_be_visible()
    check(alice)


def test_panels_that_wait_and_fail(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    alice.goto("/dashboard")
    expect(alice.get_by_text("Asking 127.0.0.1")).to_have_count(len(PANELS))
    check(alice)

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    expect(alice.get_by_role("alert")).to_have_count(len(PANELS))
    check(alice)

    sandbox.world.misbehaviour = Misbehaviour.NONE
    sandbox.world.revoke_app_tokens()
    alice.goto("/dashboard")
    expect(alice.locator("#profile").get_by_role("button", name="Sign in at")).to_be_visible()
    check(alice)


def test_a_panel_as_a_page_of_its_own(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    alice.goto("/dashboard/profile")
    expect_title(alice, "Your profile")
    check(alice)

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    alice.reload()
    expect(alice.get_by_role("alert")).to_contain_text("said no")
    check(alice)


def test_a_note(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {422, 502}
    alice.get_by_role("button", name="Post").click()
    expect_description(alice.get_by_label("Your note"), "Write something or add a file first.")
    check(alice)

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    alice.get_by_label("Your note").fill("https://example.com/" + "long" * 100 + "\n空は青い " * 20)
    alice.get_by_role("button", name="Post").click()
    expect(alice.get_by_text("Your text is still here.")).to_be_visible()
    check(alice)

    sandbox.world.misbehaviour = Misbehaviour.NONE
    alice.get_by_role("button", name="Post").click()
    expect(alice.get_by_role("heading", name="Posted")).to_be_visible()
    check(alice)


def test_too_often(browsers: Browsers, sandbox: Running, make_app: Callable[..., Flask]) -> None:
    browsers.statuses = {429}
    with served(make_app, PRIVATE_SERVERS=sandbox.origin, SIGNIN_LIMIT="1 per minute") as url:
        browsers.origins.add(url)
        page = browsers.open(base_url=url)
        begin(page, sandbox.origin)
        page.goto("/")
        page.get_by_role("button", name="Continue to my server").click()

        expect(page.get_by_role("alert")).to_contain_text("Too many tries")
        check(page)


def test_inside_another_app(browsers: Browsers) -> None:
    browsers.statuses = {400}
    page = browsers.open(user_agent="Mozilla/5.0 (iPhone) AppleWebKit/605 Safari Line/14.1.0")
    for path in ("/", "/callback?session=x"):
        page.goto(path)
        expect(page.get_by_text("inside another app")).to_be_visible()
        check(page)


def check(page: Page, language: str = "en") -> None:
    """Look at the page that is open, and is in this language, from every side."""
    check_outline(page, language)
    check_with_axe(page)
    check_widths(page)


def check_outline(page: Page, language: str) -> None:
    """One first heading, a language, and a title that says what this is and whose."""
    expect(page.locator("h1")).to_have_count(1)
    assert page.locator("html").get_attribute("lang") == language
    title, _, app = page.title().rpartition(" · ")
    assert title
    assert app == "Sign in with Misskey"


def check_with_axe(page: Page) -> None:
    """Axe finds nothing to complain about, in light and dark, small and large."""
    page.evaluate(AXE_SCRIPT)
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (360, 1440):
            page.set_viewport_size({"width": width, "height": 800})
            found = AxeResults(page.evaluate("() => axe.run({resultTypes: ['violations']})"))
            assert not found.violations_count, f"{scheme}, {width}: {found.generate_report()}"


def check_widths(page: Page) -> None:
    """Nothing makes the page wider than the window, also with letters twice as large."""
    settings = page.context.new_cdp_session(page)
    for size in (16, 32):
        settings.send("Page.setFontSizes", {"fontSizes": {"standard": size}})
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            wide = page.evaluate("() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth")
            assert wide <= 0, f"{wide} pixels too wide at {width} with letters of {size}"
    settings.send("Page.setFontSizes", {"fontSizes": {"standard": 16}})
    settings.detach()
