"""Accounts in a real browser: a token made by hand, a second account, signing out, the menu."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page, expect

from sandbox import Running, serve
from tests import find_browser
from tests.browsing import (
    ARGUMENTS,
    Browsers,
    arrive,
    begin,
    decide,
    expect_dashboard,
    expect_description,
    expect_title,
    open_menu,
)
from tests.cast import served


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice."""
    arrive(page, sandbox)
    return page


def test_a_token_made_by_hand_signs_in(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {422}
    page.goto("/")
    page.get_by_role("link", name="I have an access token").click()
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_label("Access token").fill("mistyped")
    page.get_by_role("button", name="Sign in").click()
    expect_description(page.get_by_label("Access token"), "does not know this token")
    expect(page.get_by_label("Access token")).to_be_focused()

    page.get_by_label("Access token").fill("aliceNativeToken")
    page.get_by_role("button", name="Sign in").click()
    expect_dashboard(page)


def test_two_tabs_sign_in_at_two_servers(browsers: Browsers, sandbox: Running, make_app: Callable[..., Flask]) -> None:
    with serve() as other, served(make_app, PRIVATE_SERVERS=f"{sandbox.origin} {other.origin}") as url:
        browsers.origins |= {url, other.origin}
        first = browsers.open(base_url=url)
        second = first.context.new_page()
        begin(first, sandbox.origin)
        begin(second, other.origin)
        decide(second, person="bob")
        expect_dashboard(second, "bob")
        decide(first, person="alice")
        expect_dashboard(first, "bob")
        notice = first.get_by_role("region", name=f"alice@{sandbox.origin[7:]} was added")
        expect(notice.get_by_role("heading")).to_be_focused()
        notice.get_by_role("button", name="Switch to alice@").click()
        expect_dashboard(first, "alice")

        menu = open_menu(first)
        expect(menu.get_by_role("button")).to_have_text(
            [f"Switch to bob@{other.origin[7:]}", "Sign out", "Sign out all accounts"]
        )


def test_two_accounts_in_one_browser(alice: Page, sandbox: Running) -> None:
    open_menu(alice).get_by_role("link", name="Add another account").click()
    begin(alice, sandbox.origin, "/signin")
    decide(alice, person="bob")
    expect_dashboard(alice, "bob")

    open_menu(alice).get_by_role("button", name="Switch to alice@").click()
    expect_dashboard(alice, "alice")
    open_menu(alice).get_by_role("button", name="Sign out", exact=True).click()
    expect_dashboard(alice, "bob")
    expect(alice.get_by_role("heading", name="is signed out")).to_contain_text("alice@127.0.0.1")


def test_a_revoked_token_leads_to_a_new_sign_in_at_the_same_server(
    alice: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {502}
    panels = alice.locator("section[hx-get]").count()
    sandbox.world.revoke_app_tokens()
    alice.goto("/dashboard")
    expect(alice.locator(".missed")).to_have_count(panels - 1)  # what a server tells of itself needs no token
    expect(alice.locator(".failure")).to_have_count(1)
    expect(alice.locator(".failure")).to_contain_text("no longer accepts the token")
    expect(alice.locator("#server")).to_contain_text("Misskey sandbox")

    alice.get_by_role("button", name="Sign in at").click()
    decide(alice)

    expect_dashboard(alice)
    expect(open_menu(alice).get_by_text("Switch to")).to_have_count(0)


@pytest.fixture
def remembering(browsers: Browsers) -> Iterator[Page]:
    """A page in a browser that keeps pages for the back button, as people's do; usually tests turn that off."""
    browser = browsers.chromium.browser_type.launch(
        executable_path=find_browser.find(), args=ARGUMENTS, ignore_default_args=["--disable-back-forward-cache"]
    )
    yield browsers.watch(browser.new_context(base_url=browsers.site)).new_page()
    browser.close()


def test_after_signing_out_the_back_button_shows_nothing_signed_in(remembering: Page, sandbox: Running) -> None:
    arrive(remembering, sandbox)
    open_menu(remembering).get_by_role("button", name="Sign out").click()
    expect(remembering.get_by_role("heading", name="You are signed out")).to_be_visible()

    remembering.go_back()

    expect_title(remembering, "Sign in with your own Misskey server")
    expect(remembering.get_by_text("Alice")).to_have_count(0)


def test_signing_out_in_one_tab_is_told_in_the_other(alice: Page, browsers: Browsers) -> None:
    browsers.statuses = {401}
    other = alice.context.new_page()
    other.goto("/dashboard")
    expect_dashboard(other)
    open_menu(alice).get_by_role("button", name="Sign out").click()
    expect(alice.get_by_role("heading", name="You are signed out")).to_be_visible()

    other.locator("#profile").get_by_role("link", name="Reload").click()

    expect(other.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_the_menu_closes_on_escape_and_on_a_click_beside_it(alice: Page) -> None:
    menu = open_menu(alice)
    expect(menu.get_by_role("button", name="Sign out")).to_be_visible()
    alice.keyboard.press("Escape")
    expect(menu.get_by_role("button", name="Sign out")).to_be_hidden()
    expect(menu.locator("summary")).to_be_focused()

    menu.locator("summary").click()
    expect(menu.get_by_role("button", name="Sign out")).to_be_visible()
    alice.get_by_role("heading", level=1).click()
    expect(menu.get_by_role("button", name="Sign out")).to_be_hidden()
