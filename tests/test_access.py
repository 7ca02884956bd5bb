"""Every page, in every state and language, is fit for everybody: by ear, by keyboard, small, large, dark."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from flask import Flask
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from demo import PANELS, live
from sandbox import Misbehaviour, Running
from sandbox.world import SHAPES
from tests import hostile
from tests.access import Check
from tests.browsing import (
    Browsers,
    arrive,
    begin,
    decide,
    expect_dashboard,
    expect_description,
    expect_title,
    open_menu,
    watched,
)
from tests.cast import served, through
from tests.words import Say
from web.languages import LANGUAGES

pytestmark = pytest.mark.parametrize("language", LANGUAGES)


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice."""
    arrive(page, sandbox)
    return page


def press(page: Page | Locator, button: str | re.Pattern[str]) -> None:
    page.get_by_role("button", name=button, exact=True).click()


def test_a_colour_that_is_hard_to_read_is_noticed(page: Page, check: Check) -> None:
    page.goto("/privacy")
    for scheme, colour in (("light", "#eee"), ("dark", "#111")):
        page.evaluate("colour => { document.querySelector('h1').style.color = colour }", colour)
        with pytest.raises(AssertionError, match=f"(?s)^{scheme}.*color-contrast"):
            check(page, scheme)


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
    begin(page, sandbox.origin)
    arrive(page.context.new_page(), sandbox)
    decide(page, person="bob")
    expect(page.locator("#added")).to_be_visible()
    check(page, "added")

    press(page.locator(".notice"), re.compile("bob@"))
    expect_title(page, re.compile("bob"))


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
    token = sandbox.world.approve(sandbox.world.people["alice"], ["read:account"], None, "by hand").value
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


def test_panels_that_wait_and_fail(alice: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {502}
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    alice.goto("/dashboard")
    expect(alice.get_by_text(say("Asking"))).to_have_count(len(PANELS))
    check(alice, "waiting")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    expect(alice.locator(".missed")).to_have_count(len(PANELS))
    expect(alice.locator(".failure")).to_have_count(1)
    check(alice, "failed")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    sandbox.world.revoke_app_tokens()
    alice.goto("/dashboard")
    expect(alice.get_by_role("button", name=say("Sign in at %(host)s again"))).to_be_visible()
    expect(alice.locator(".missed")).to_have_count(4)
    check(alice, "with a revoked token")


def test_panels_that_were_not_asked_for(page: Page, sandbox: Running, say: Say, check: Check) -> None:
    page.goto("/")
    page.get_by_label(say("Only learn who I am")).check()
    page.get_by_label(say("Your Misskey server")).fill(sandbox.origin)
    press(page, say("Continue to my server"))
    decide(page)
    expect(page.locator("#drive").get_by_role("button", name=say("Sign in again with this permission"))).to_be_visible()
    expect(page.locator(".waiting")).to_have_count(0)
    check(page, "offering to ask")


def test_a_panel_as_a_page_of_its_own(
    alice: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check
) -> None:
    browsers.statuses = {502}
    alice.goto("/dashboard/profile")
    expect_title(alice, say("Your profile"))
    check(alice, "whole")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    alice.reload()
    expect(alice.locator(".problem")).to_contain_text(say("has a problem"))
    check(alice, "failed")


def test_the_live_timeline(
    alice: Page, sandbox: Running, monkeypatch: pytest.MonkeyPatch, say: Say, check: Check
) -> None:
    monkeypatch.setattr(live, "TICK_SECONDS", 0.02)
    state = alice.locator("[data-live-state]")
    expect(state).to_have_text(say("Live: new notes appear here by themselves."))
    press(alice, say("Pause"))
    expect(state).to_have_text(say("Paused: new notes do not appear."))
    check(alice, "paused")

    press(alice, say("Resume"))
    expect(alice.get_by_text(say("Some notes from the time between may be missing."))).to_be_visible()
    sandbox.world.post(sandbox.world.people["bob"], text="for everybody", visibility="home")
    expect(alice.locator("[data-live-notes] > li").first).to_contain_text("for everybody")
    check(alice, "resumed with a new note")


# Notes and files.


def file(name: str, size: int = 10) -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": name.encode().ljust(size)}


def test_a_note(alice: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {422, 502}
    press(alice, say("Post"))
    expect_description(alice.get_by_label(say("Your note")), say("Write something or add a file first."))
    check(alice, "empty")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    alice.get_by_label(say("Your note")).fill("https://example.com/" + "long" * 100 + "\n空は青い " * 20)
    press(alice, say("Post"))
    expect(alice.get_by_text(say("Your text is still here."))).to_be_visible()
    check(alice, "refused")

    sandbox.world.misbehaviour = Misbehaviour.GATEWAY
    press(alice, say("Post"))
    expect(alice.get_by_text(say("If the note has arrived, pressing Post posts it a second time."))).to_be_visible()
    check(alice, "perhaps posted")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    press(alice, say("Post"))
    expect(alice.get_by_role("heading", name=say("Posted"))).to_be_visible()
    alice.locator("#note").get_by_text(say("Delete"), exact=True).click()
    check(alice, "posted with the question before deleting")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    press(alice, say("Delete this note"))
    expect(alice.locator("#note").get_by_role("alert")).to_contain_text(say("has a problem"))
    check(alice, "not deleted")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    press(alice, say("Delete this note"))
    expect(alice.get_by_role("heading", name=say("Deleted"))).to_be_visible()
    check(alice, "deleted")


def test_a_note_with_files(
    alice: Page, browsers: Browsers, monkeypatch: pytest.MonkeyPatch, say: Say, check: Check
) -> None:
    browsers.statuses = {422}
    monkeypatch.setitem(SHAPES["policies"], "maxFileSizeMb", 20 / 1024**2)
    alice.get_by_label(say("Your note")).fill("Three files")
    alice.get_by_label(say("Files (optional)")).set_input_files([file("一.txt"), file("large.txt", 30), file("3.txt")])
    press(alice, say("Post"))
    expect_description(alice.get_by_label(say("Files (optional)")), say("is larger than your server takes"))
    check(alice, "one too large")

    alice.get_by_label(say("Files (optional)")).set_input_files(file("2.txt"))
    press(alice, say("Post"))
    expect(alice.locator("#note").get_by_role("list", name=say("Files"))).to_contain_text("2.txt")
    check(alice, "posted")


def test_an_upload(alice: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {422, 502}
    alice.goto("/files")
    field = alice.get_by_label(say("File"), exact=True)
    check(alice, "empty")

    press(alice, say("Upload"))
    expect_description(field, say("Choose a file first."))
    check(alice, "without a file")

    field.set_input_files(file("film.mp4", 10 * 1024**2 + 1))
    expect(alice.get_by_role("alert")).to_contain_text(say("this one is larger"))
    check(alice, "too large")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    field.set_input_files(file("空.txt"))
    press(alice, say("Upload"))
    expect(alice.get_by_text(say("choose again:"))).to_contain_text("空.txt")
    check(alice, "refused")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    field.set_input_files(file("空.txt"))
    press(alice, say("Upload"))
    expect(alice.get_by_role("heading", name=say("Uploaded"))).to_be_visible()
    check(alice, "done")


def test_an_upload_whose_connection_breaks(alice: Page, browsers: Browsers, say: Say, check: Check) -> None:
    alice.goto("/files")
    alice.route("**/files", lambda route: route.abort())
    alice.get_by_label(say("File"), exact=True).set_input_files(file("a.txt"))
    press(alice, say("Upload"))
    expect(alice.locator(".lost")).to_contain_text(say("Nothing came back"))
    check(alice, "told")
    browsers.expect_lost()


# The console and the account.


@pytest.fixture
def console(alice: Page, say: Say) -> Page:
    """The console of Alice, with all that the server tells."""
    alice.goto("/console")
    expect(alice.locator("#parameters")).to_contain_text(say("This endpoint takes no parameters."))
    expect(alice.locator("#endpoint-names option")).not_to_have_count(0)
    return alice


def choose(page: Page, endpoint: str, typed: str, say: Say) -> None:
    """Type an endpoint, go on to its parameters, and type some of them."""
    page.get_by_label(say("Endpoint"), exact=True).fill(endpoint)
    page.get_by_label(say("Parameters, as JSON")).fill("")
    expect(page.locator("#parameters button").first).to_be_visible()
    page.get_by_label(say("Parameters, as JSON")).press_sequentially(typed)


def test_the_console(console: Page, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {422}
    check(console, "at first")

    choose(console, "notes/create", '{"', say)
    console.keyboard.press("ArrowDown")
    expect(console.get_by_role("option").first).to_have_attribute("aria-selected", "true")
    check(console, "completing a name")

    console.keyboard.press("Escape")
    press(console, say("Send"))
    expect_description(console.get_by_label(say("Parameters, as JSON")), say("Line %(line)s, column"))
    check(console, "with a mistake")


def test_an_answer_in_the_console(console: Page, say: Say, check: Check) -> None:
    choose(console, "notes/local-timeline", '{"limit": 3}', say)
    press(console, say("Send"))
    expect(console.get_by_role("heading", name="200")).to_be_visible()
    check(console, "200")
    console.locator("main summary").first.click()
    console.get_by_text("curl", exact=True).click()
    check(console, "with folds open")
    for language in ("Python", "JavaScript"):
        console.get_by_text(language, exact=True).click()
        check(console, f"as {language}")

    choose(console, "notes/reactions/create", "{}", say)
    press(console, say("Send"))
    expect(console.get_by_text(say("The permission for this is missing"))).to_be_visible()
    check(console, "without the permission")


def test_what_the_console_can_call(console: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    browsers.statuses = {422, 502}
    console.goto("/console/endpoints")
    check(console, "endpoints")

    console.goto("/console?endpoint=drive/files/create")
    expect(console.locator("#parameters")).to_contain_text(say("This endpoint takes a file, as"))
    press(console, say("Send"))
    expect_description(console.get_by_label(say("Endpoint"), exact=True), say("This endpoint takes a file, so"))
    check(console, "an endpoint that takes a file")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    console.goto("/console?endpoint=meta")
    expect(console.get_by_role("alert")).not_to_have_count(0)
    check(console, "a server that fails")


def test_the_account_page(alice: Page, sandbox: Running, browsers: Browsers, say: Say, check: Check) -> None:
    arrive(browsers.open(user_agent="Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"), sandbox)
    open_menu(alice).get_by_role("link", name=say("Account and sign-ins")).click()
    expect_title(alice, say("Account and sign-ins"))
    check(alice, "with two sign-ins")

    press(alice, say("Sign out everywhere"))
    expect(alice.locator(".notice")).to_contain_text("alice@")
    check(alice, "signed out everywhere")
