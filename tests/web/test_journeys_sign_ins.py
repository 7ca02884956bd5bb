"""Sign-ins in several browsers: listing them, ending them everywhere, and how one of them went."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page, expect

from sandbox import Running
from tests.browsing import Browsers, arrive, expect_title, open_menu


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice."""
    arrive(page, sandbox)
    return page


def open_account(page: Page) -> None:
    open_menu(page).get_by_role("link", name="Account and sign-ins").click()
    expect_title(page, "Account and sign-ins")


def test_signing_out_everywhere_in_one_browser_is_told_in_the_other(
    alice: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {401}
    other = browsers.open()
    arrive(other, sandbox)
    open_account(alice)
    expect(alice.locator(".sign-ins li")).to_have_count(2)
    expect(alice.locator(".sign-ins li").first).to_contain_text("this one")

    alice.get_by_role("button", name="Sign out everywhere").click()

    expect(alice.locator(".notice")).to_contain_text("in any browser")
    other.locator("#profile").get_by_role("link", name="Reload").click()
    expect(other.get_by_role("heading", name="You are signed out")).to_be_visible()
    other.goto("/dashboard")
    expect_title(other, "Sign in with your own Misskey server")


def test_signing_out_here_leaves_the_other_browser(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    other = browsers.open()
    arrive(other, sandbox)
    open_account(alice)
    alice.get_by_role("button", name="Sign out here").click()
    expect(alice.get_by_role("heading", name="You are signed out")).to_be_visible()

    open_account(other)

    expect(other.locator(".sign-ins li")).to_have_count(1)


def test_all_accounts_are_signed_out_at_once(alice: Page, sandbox: Running) -> None:
    arrive(alice, sandbox, "bob")

    open_menu(alice).get_by_role("button", name="Sign out all accounts").click()

    notice = alice.locator(".notice")
    expect(notice.get_by_role("heading", name="You are signed out")).to_be_visible()
    expect(notice.get_by_role("link", name="Remove the token at")).to_have_count(2)
    expect(notice).to_contain_text("alice@")
    expect(notice).to_contain_text("bob@")
    alice.goto("/dashboard")
    expect_title(alice, "Sign in with your own Misskey server")
