"""Signing in, as a visitor with a real browser lives it: the app and the server are two sites."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from sandbox import Misbehaviour, Running
from tests.browser_pool import Pool
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
from tests.cast import FIRST_PAGE
from web.config import APP_NAME


def checks(sandbox: Running) -> list[str]:
    return [path for _, path in sandbox.requests if path.endswith("/check")]


def session_id(page: Page) -> str:
    """The session id of the sign-in whose page at the server is open."""
    return page.url.partition("/miauth/")[2].partition("?")[0]


@pytest.mark.parametrize(
    ("script", "event", "complaint"),
    [
        ("console.error('oh')", "console", "console: oh"),
        ("document.body.innerHTML = '<p style=color:red>'", "console", "Content Security Policy"),
        ("setTimeout(() => { throw new Error('oh') })", "weberror", "script: oh"),
        ("location = 'http://127.0.0.1:9/elsewhere'", "requestfailed", "another site: http://127.0.0.1:9/elsewhere"),
    ],
)
def test_these_tests_notice_what_goes_wrong(
    chromium: Browser, site: str, sandbox: Running, script: str, event: Any, complaint: str
) -> None:
    browsers = Browsers(chromium, site, sandbox)
    page = browsers.open()
    page.goto("/")
    with page.context.expect_event(event):
        page.evaluate(script)
    browsers.close()

    assert complaint in "\n".join(browsers.complaints)


def test_a_browser_of_an_earlier_test_has_nothing_of_its_visitor(
    chromium: Browser, site: str, sandbox: Running
) -> None:
    pool = Pool(chromium)
    with watched(chromium, site, sandbox, "en", pool) as browsers:
        earlier = browsers.open()
        arrive(earlier, sandbox)
        assert earlier.context.cookies()
        earlier.evaluate("localStorage.setItem('visitor', 'alice')")
        assert not browsers.open().context.cookies()
    with watched(chromium, site, sandbox, "en", pool) as browsers:
        contexts = {page.context: page for page in (browsers.open(), browsers.open(), browsers.open())}

        assert len(contexts) == 3
        assert contexts[earlier.context].url == "about:blank"
        assert not earlier.context.cookies()
        assert browsers.open(forced_colors="active").context not in contexts
        again = contexts[earlier.context]
        again.goto("/")
        assert again.evaluate("localStorage.length") == 0
    for context in contexts:
        context.close()


def test_whoever_allows_it_arrives_at_the_dashboard(page: Page, sandbox: Running) -> None:
    page.goto("/")
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_role("button", name="Continue to my server").click()

    expect(page.get_by_role("heading", level=1)).to_have_text(f"Allow {APP_NAME}?")
    expect(page.get_by_text("read:account")).to_be_visible()
    decide(page, "Allow")

    expect_dashboard(page, "alice")
    expect(page).to_have_url(FIRST_PAGE)


def test_after_deny_the_home_page_offers_the_way_on_and_the_way_back(
    page: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {403}
    begin(page, sandbox.origin)
    decide(page, "Deny")
    expect_title(page, "Denied")

    page.goto("/")
    page.get_by_role("button", name="I have allowed it").click()
    expect_title(page, "not allowed yet")
    page.get_by_role("button", name="Start again").click()

    expect_title(page, "Sign in with your own Misskey server")
    expect(page.get_by_role("button", name="I have allowed it")).to_have_count(0)


def test_a_lost_callback_is_made_up_for(page: Page, sandbox: Running) -> None:
    begin(page, sandbox.origin)
    page.goto(page.url.replace("callback=", "lost="))
    decide(page)
    expect(page.get_by_text("Please go back to the application.")).to_be_visible()

    page.goto("/")
    page.get_by_role("button", name="I have allowed it").click()

    expect_dashboard(page)


def test_reloads_and_the_back_button_after_the_callback_end_in_one_account(page: Page, sandbox: Running) -> None:
    begin(page, sandbox.origin)
    callback = f"/callback?session={session_id(page)}"
    decide(page)
    expect_dashboard(page)

    page.reload()
    expect_dashboard(page)
    page.goto(callback)
    expect_dashboard(page)
    page.go_back()
    page.go_back()
    decide(page)
    expect_dashboard(page)

    assert len(checks(sandbox)) == 1
    expect(open_menu(page).get_by_text("Switch to")).to_have_count(0)


def test_a_callback_in_another_browser_signs_nobody_in(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {400}
    begin(page, sandbox.origin)
    elsewhere = browsers.open()
    elsewhere.goto(page.url)
    decide(elsewhere)

    expect_title(elsewhere, "This browser did not begin this sign-in")
    assert checks(sandbox) == []

    page.goto("/")
    page.get_by_role("button", name="I have allowed it").click()
    expect_dashboard(page)


def test_without_cookies_the_visitor_reads_what_to_do(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {400}
    page.goto("/")
    page.context.clear_cookies()
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_role("button", name="Continue to my server").click()

    expect_title(page, "Your browser did not send our cookie")
    page.context.clear_cookies()
    page.get_by_role("button", name="Start again").click()
    expect_title(page, "Sign in with your own Misskey server")


def test_a_mistyped_server_is_told_beside_the_field_with_the_text_kept(page: Page, browsers: Browsers) -> None:
    browsers.statuses = {422}
    page.goto("/")
    field = page.get_by_label("Your Misskey server")
    field.fill("misskey")
    page.get_by_role("button", name="Continue to my server").click()

    expect(field).to_have_value("misskey")
    expect(field).to_be_focused()
    expect_description(field, "The ending is missing")


@pytest.mark.parametrize(
    ("misbehaviour", "status", "words"),
    [
        (Misbehaviour.MASTODON, 422, "is not a Misskey server"),
        (Misbehaviour.FORBIDDEN, 502, "gave an answer that this app can’t read"),
        (Misbehaviour.BROKEN, 502, "has a problem"),
    ],
)
def test_a_server_that_fails_at_first_can_be_tried_again(
    page: Page, sandbox: Running, browsers: Browsers, misbehaviour: Misbehaviour, status: int, words: str
) -> None:
    browsers.statuses = {status}
    sandbox.world.misbehaviour = misbehaviour
    page.goto("/")
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_role("button", name="Continue to my server").click()
    expect_description(page.get_by_label("Your Misskey server"), words)

    sandbox.world.misbehaviour = Misbehaviour.NONE
    page.get_by_role("button", name="Continue to my server").click()
    decide(page)
    expect_dashboard(page)


def test_a_server_that_fails_at_the_callback_can_be_tried_again(
    page: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {502}
    begin(page, sandbox.origin)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    decide(page)
    expect_title(page, "has a problem")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    page.get_by_role("button", name="Try again").click()
    expect_dashboard(page)
