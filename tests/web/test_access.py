"""Every page, in every state and language, is fit for everybody: by ear, by keyboard, small, large, dark."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from playwright.sync_api import Browser, Page, expect

from misskey import PERMISSIONS, Transport
from sandbox import Misbehaviour, Running
from tests import hostile
from tests.access import Check
from tests.browsing import (
    Browsers,
    arrive,
    begin,
    decide,
    empty,
    expect_dashboard,
    expect_description,
    expect_title,
    have_signed_in,
    open_menu,
    press,
    watched,
)
from tests.cast import FIRST_PAGE, PATIENCE_SECONDS, served, through
from tests.words import Say
from web.languages import LANGUAGES

pytestmark = [pytest.mark.long, pytest.mark.parametrize("language", LANGUAGES)]


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice."""
    arrive(page, sandbox)
    return page


# For visitors.


def test_the_first_page(page: Page, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {422}
    page.goto("/")
    check(page, "empty")

    page.get_by_label(say("My own choice")).check()
    expect(page.get_by_label("read:account")).to_be_visible()
    check(page, "with every permission")

    page.get_by_label(say("Your Misskey server")).fill("misskey")
    press(page, say("Continue to my server"))
    expect_description(page.get_by_label(say("Your Misskey server")), say("The ending is missing"))
    check(page, "with a mistake")


def test_a_sign_in_under_way(page: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {403, 410}
    begin(page, sandbox.origin)
    page.goto("/")
    expect(page.get_by_role("button", name=say("I have allowed it"))).to_be_visible()
    check(page, "at home")

    press(page, say("I have allowed it"))
    expect_title(page, say("not allowed yet"))
    check(page, "not allowed yet")

    other_tab = page.context.new_page()
    other_tab.goto("/")
    press(other_tab, say("Cancel this sign-in"))
    expect(other_tab.get_by_role("button", name=say("Cancel this sign-in"))).to_have_count(0)
    press(page, say("I have allowed it: check again"))
    expect_title(page, say("This sign-in is over"))
    check(page, "over")


def test_a_sign_in_from_before_the_account_in_use(
    page: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check
) -> None:
    empty(sandbox)
    begin(page, sandbox.origin)
    arrive(page.context.new_page(), sandbox)
    decide(page, person="bob")
    expect(page.locator("#added")).to_be_visible()
    check(page, "added")

    press(page.locator(".notice"), re.compile("bob@"))
    expect_dashboard(page, "bob")


def test_a_site_that_leads_in_a_circle(
    browsers: Browsers, make_app: Callable[..., Flask], say: Say, check: Check
) -> None:
    browsers.statuses = {503}
    with served(through(make_app, host="app:8000")) as site:
        browsers.origins.add(site)
        page = browsers.open(base_url=site)
        page.goto("/")
        expect_title(page, say("This site is not set up right yet"))
        check(page, "told")


def test_a_sign_in_that_the_server_spoils(
    page: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check
) -> None:
    browsers.statuses = {502}
    begin(page, sandbox.origin)
    sandbox.world.misbehaviour = Misbehaviour.NOT_JSON
    decide(page)
    expect_title(page, say("gave an answer that this app can’t read"))
    check(page, "at the callback")


def test_servers_that_need_another_way(
    page: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check
) -> None:
    browsers.statuses = {422}
    sandbox.world.misbehaviour = Misbehaviour.OLD
    page.goto("/")
    page.get_by_label(say("Your Misskey server")).fill(sandbox.origin)
    press(page, say("Continue to my server"))
    expect_description(page.get_by_label(say("Your Misskey server")), say("runs a Misskey that is too old for this"))
    check(page, "too old")

    page.locator(".notice").get_by_role("link", name=say("Sign in with a token made by hand")).click()
    page.get_by_label(say("Your Misskey server")).fill(sandbox.origin)
    token = sandbox.world.approve(sandbox.world.people["alice"], list(PERMISSIONS), None, "by hand").value
    page.get_by_label(say("Access token")).fill(token)
    press(page, say("Sign in"))
    expect_dashboard(page)


def test_a_server_that_leads_to_another_one(
    chromium: Browser, make_app: Callable[..., Flask], sandbox: Running, language: str, say: Say, check: Check
) -> None:
    with (
        hostile.serve(hostile.redirects(301, f"{sandbox.origin}/api/meta")) as moved,
        served(make_app, PRIVATE_SERVERS=f"{moved.origin} {sandbox.origin}") as site,
        watched(chromium, site, sandbox, language) as browsers,
    ):
        browsers.statuses = {422}
        page = browsers.open()
        page.goto("/")
        page.get_by_label(say("Your Misskey server")).fill(moved.origin)
        press(page, say("Continue to my server"))
        expect_description(page.get_by_label(say("Your Misskey server")), say("leads to another server"))
        check(page, "offered")

        press(page.locator(".notice"), say("Continue to %(host)s"))
        decide(page)
        expect_dashboard(page)


def test_the_token_form(page: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {422}
    page.goto("/signin/token")
    check(page, "empty")

    page.get_by_label(say("Your Misskey server")).fill(sandbox.origin)
    page.get_by_label(say("Access token")).fill("mistyped")
    press(page, say("Sign in"))
    expect_description(page.get_by_label(say("Access token")), say("does not know this token"))
    check(page, "mistyped")


@pytest.mark.parametrize("path", ["/how-it-works", "/privacy"])
def test_a_page_that_tells(page: Page, path: str, check: Check) -> None:
    page.goto(path)
    check(page, path)


@pytest.mark.parametrize(
    ("path", "status", "words"),
    [
        ("/callback?session=x", 400, "This browser did not begin this sign-in"),
        ("/nowhere", 404, "There is no such page"),
        ("/signout", 405, "can’t be opened like that"),
    ],
)
def test_an_address_that_leads_nowhere(
    page: Page, browsers: Browsers, path: str, status: int, words: str, say: Say, check: Check
) -> None:
    browsers.statuses = {status}
    page.goto(path)
    expect_title(page, say(words))
    check(page, str(status))


def test_a_form_without_its_cookie(page: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {400}
    page.goto("/")
    page.context.clear_cookies()
    page.get_by_label(say("Your Misskey server")).fill(sandbox.origin)
    press(page, say("Continue to my server"))
    expect_title(page, say("Your browser did not send our cookie"))
    check(page, "sent")


def test_too_often(
    browsers: Browsers, sandbox: Running, make_app: Callable[..., Flask], say: Say, check: Check
) -> None:
    browsers.statuses = {429}
    with served(make_app, PRIVATE_SERVERS=sandbox.origin, SIGNIN_LIMIT="1 per minute") as url:
        browsers.origins.add(url)
        page = browsers.open(base_url=url)
        begin(page, sandbox.origin)
        page.goto("/")
        press(page, say("Continue to my server"))

        expect(page.get_by_role("alert")).to_contain_text(say("Too many tries"))
        check(page, "at home")


def test_inside_another_app(browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {400}
    page = browsers.open(user_agent="Mozilla/5.0 (iPhone) AppleWebKit/605 Safari Line/14.1.0")
    page.goto("/")
    expect(page.get_by_text(say("inside another app. If"))).to_be_visible()
    check(page, "at home")

    page.goto("/callback?session=x")
    expect(page.get_by_text(say("inside another app, whose"))).to_be_visible()
    check(page, "at the callback")


# The dashboard.


def test_the_dashboard_until_signing_out(alice: Page, sandbox: Running, say: Say, check: Check) -> None:
    check(alice, "whole")

    for fold in alice.locator("main summary").all():
        fold.click()
    check(alice, "with all folds open")

    empty(sandbox)
    arrive(alice, sandbox, "bob")
    menu = open_menu(alice)
    expect(menu.get_by_role("button", name=say("Switch to"))).to_be_visible()
    check(alice, "with two accounts and the menu open")

    press(menu, say("Sign out"))
    expect(alice.get_by_role("heading", name=say("%(address)s is signed out"))).to_be_visible()
    check(alice, "with one account signed out")

    press(open_menu(alice), say("Sign out"))
    expect(alice.get_by_role("heading", name=say("You are signed out"))).to_be_visible()
    check(alice, "signed out")


def test_signing_out_all_accounts(alice: Page, sandbox: Running, say: Say, check: Check) -> None:
    arrive(alice, sandbox, "bob")
    press(open_menu(alice), say("Sign out all accounts"))
    expect(alice.locator(".notice")).to_contain_text("bob@")
    check(alice, "done")


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a test looks at a page that waits for a server, the app waits on."""
    for name in ("step_seconds", "total_seconds"):
        monkeypatch.setitem(Transport.__init__.__kwdefaults__ or {}, name, PATIENCE_SECONDS)


@pytest.mark.usefixtures("patience")
def test_panels_that_wait_and_fail(alice: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {502}
    panels = alice.locator("section[hx-get]").count()
    assert panels >= 2
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    alice.goto("/dashboard")
    expect(alice.get_by_text(say("Asking"))).to_have_count(panels)
    check(alice, "waiting")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    expect(alice.locator(".missed")).to_have_count(panels)
    expect(alice.locator(".failure")).to_have_count(1)
    check(alice, "failed")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    sandbox.world.revoke_app_tokens()
    alice.goto("/dashboard")
    expect(alice.get_by_role("button", name=say("Sign in at %(host)s again"))).to_be_visible()
    expect(alice.locator(".missed")).to_have_count(panels - 1)  # what a server tells of itself needs no token
    check(alice, "with a revoked token")


def test_panels_that_were_not_asked_for(page: Page, sandbox: Running, say: Say, check: Check) -> None:
    page.goto("/")
    page.get_by_label(say("Only learn who I am")).check()
    page.get_by_label(say("Your Misskey server")).fill(sandbox.origin)
    press(page, say("Continue to my server"))
    decide(page)
    expect(page).to_have_url(FIRST_PAGE)
    page.goto("/dashboard")
    again = page.locator("#profile").get_by_role("button", name=say("Sign in again with this permission"))
    expect(again).to_be_visible()
    expect(page.locator(".waiting")).to_have_count(0)
    check(page, "offering to ask")


def test_a_panel_as_a_page_of_its_own(page: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {502}
    have_signed_in(page, sandbox)
    page.goto("/dashboard/profile")
    expect_title(page, say("Your profile"))
    check(page, "whole")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    page.reload()
    expect(page.locator(".failure")).to_contain_text(say("has a problem"))
    check(page, "failed")


def test_the_account_page(alice: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    arrive(browsers.open(user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"), sandbox)
    open_menu(alice).get_by_role("link", name=say("Account and sign-ins")).click()
    expect_title(alice, say("Account and sign-ins"))
    check(alice, "with two sign-ins")

    press(alice, say("Sign out everywhere"))
    expect(alice.locator(".notice")).to_contain_text("alice@")
    check(alice, "signed out everywhere")
