"""What a signed-in visitor lives with a real browser: panels that fail and come back, notes, and no JavaScript."""

from __future__ import annotations

from typing import Literal

import pytest
from playwright.sync_api import Locator, Page, expect

from demo.panels import PANELS
from sandbox import Misbehaviour, Running
from tests.browsing import (
    Browsers,
    arrive,
    begin,
    decide,
    expect_dashboard,
    expect_description,
    expect_title,
    go_on_to_dashboard,
    have_signed_in,
    open_menu,
)


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice."""
    arrive(page, sandbox)
    return page


def panel(page: Page, heading: str) -> Locator:
    """The part of the dashboard with this heading."""
    return page.locator("section.panel").filter(has=page.get_by_role("heading", name=heading, exact=True))


def post(page: Page, text: str) -> None:
    page.get_by_label("Your note").fill(text)
    page.get_by_role("button", name="Post").click()


def posted(sandbox: Running, text: str) -> int:
    """How many notes at the server say this."""
    return sum(note["text"] == text for note in sandbox.world.notes.values())


def created(sandbox: Running) -> int:
    return sandbox.requests.count(("POST", "/api/notes/create"))


def test_the_panels_come_by_themselves(alice: Page) -> None:
    expect(panel(alice, "Your profile").locator("p", has_text="Lives in the sandbox")).to_be_visible()
    expect(panel(alice, "Your server").locator("dd", has_text="2025.4.1")).to_be_visible()


def test_the_dashboard_is_there_while_the_server_still_thinks(page: Page, sandbox: Running) -> None:
    have_signed_in(page, sandbox)
    sandbox.world.misbehaviour = Misbehaviour.HANGING
    page.goto("/dashboard")
    expect_title(page, "Hello, Alice")
    expect(page.get_by_text("Asking 127.0.0.1")).to_have_count(len(PANELS))

    sandbox.world.misbehaviour = Misbehaviour.NONE
    expect_dashboard(page)


@pytest.mark.parametrize("misbehaviour", [Misbehaviour.NOT_JSON, Misbehaviour.RATE_LIMITED, Misbehaviour.BROKEN])
def test_a_server_that_is_down_is_told_once_and_tried_again_at_once(
    alice: Page, sandbox: Running, browsers: Browsers, misbehaviour: Misbehaviour
) -> None:
    browsers.statuses = {502}
    alice.get_by_label("Your note").fill("do not lose me")
    sandbox.world.misbehaviour = misbehaviour
    for panel in (
        panel.name for panel in PANELS
    ):  # one after the other: a link that has just come is only a link for a moment
        alice.locator(f"#{panel}").get_by_role("link", name="Reload: ").click()
        expect(alice.locator(f"#{panel} .missed")).to_be_visible()
    expect(alice.locator(".missed")).to_have_count(len(PANELS))
    expect(alice.locator(".failure")).to_have_count(1)
    expect(alice.get_by_role("alert")).to_have_count(1)
    retry = alice.get_by_role("button", name="Try again")
    retry.focus()
    alice.keyboard.press("Enter")
    expect(retry).not_to_have_attribute("aria-busy", "true")
    expect(retry).to_be_focused()
    expect(alice.locator(".missed")).to_have_count(len(PANELS))

    sandbox.world.misbehaviour = Misbehaviour.NONE
    retry.click()
    expect(alice.locator(".missed")).to_have_count(0)
    expect(alice.locator("#profile").locator("p", has_text="Lives in the sandbox")).to_be_visible()
    expect(alice.locator(".failure")).to_have_count(0)
    expect(alice.locator("#content")).to_be_focused()
    expect(alice.get_by_label("Your note")).to_have_value("do not lose me")


def test_a_panel_that_failed_comes_back_alone(page: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    have_signed_in(page, sandbox)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    page.goto("/dashboard")
    profile = page.locator("#profile")
    expect(page.locator(".missed")).to_have_count(len(PANELS))

    sandbox.world.misbehaviour = Misbehaviour.NONE
    profile.get_by_role("link", name="Reload").click()

    expect(profile.locator("p", has_text="Lives in the sandbox")).to_be_visible()
    expect(profile.get_by_role("heading", name="Your profile")).to_be_focused()
    expect(page.locator(".failure")).to_have_count(1)
    page.locator("#server").get_by_role("link", name="the reason is above").click()
    expect(page).to_have_url(f"{browsers.site}/dashboard#trouble")


def test_a_timeline_that_was_chosen_is_tried_again(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    timeline = alice.locator("#timeline")
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    timeline.get_by_role("link", name="Local").click()
    expect(timeline.locator(".missed")).to_be_visible()

    sandbox.world.misbehaviour = Misbehaviour.NONE
    alice.get_by_role("button", name="Try again").click()
    expect(timeline.locator("[aria-current=true]")).to_have_text("Local")
    expect(timeline.locator("article.note").first).to_be_visible()


def test_a_permission_that_the_server_misses_is_asked_for_and_given(
    page: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {403}
    by_hand = sandbox.world.approve(sandbox.world.people["alice"], ["read:account"], None, "by hand")
    page.goto("/signin/token")
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_label("Access token").fill(by_hand.value)
    page.get_by_role("button", name="Sign in").click()
    go_on_to_dashboard(page)
    drive = page.locator("#drive")
    expect(drive.locator(".failure")).to_contain_text("The permission for this is missing")

    drive.get_by_role("button", name="Sign in at").click()
    expect(page.get_by_text("read:drive")).to_be_visible()
    decide(page)
    go_on_to_dashboard(page)
    expect(drive).to_contain_text("evening.png")


def test_a_permission_that_was_not_asked_for_is_asked_for_later(page: Page, sandbox: Running) -> None:
    page.goto("/")
    page.get_by_label("Your Misskey server").fill(sandbox.origin)
    page.get_by_label("My own choice").check()
    page.get_by_label("read:notifications").uncheck()
    page.get_by_role("button", name="Continue to my server").click()
    decide(page)
    go_on_to_dashboard(page)
    notifications = page.locator("#notifications")
    expect(notifications).to_contain_text("“See your notifications”")

    notifications.get_by_role("button", name="Sign in again with this permission").click()
    for permission in ("read:account", "write:notes", "read:notifications", "read:drive", "write:drive"):
        expect(page.get_by_text(permission)).to_be_visible()
    decide(page)
    go_on_to_dashboard(page)
    expect(notifications).to_contain_text("bob mentioned you")


def test_older_notes_come_below_with_the_focus_on_them(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    timeline = alice.locator("#timeline")
    notes = timeline.locator("article.note")
    expect(notes).to_have_count(10)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    timeline.get_by_role("button", name="Older").click()
    expect(timeline.get_by_role("alert")).to_be_focused()
    expect(notes).to_have_count(10)

    sandbox.world.misbehaviour = Misbehaviour.NONE
    timeline.get_by_role("button", name="Try again").click()
    expect(notes).to_have_count(14)
    expect(timeline.get_by_role("list", name="Timeline").last).to_be_focused()
    timeline.get_by_role("button", name="Older").click()
    expect(timeline.get_by_text("That was all.")).to_be_focused()
    expect(timeline.get_by_role("button", name="Older")).to_have_count(0)
    expect(notes).to_have_count(14)


def test_another_timeline_takes_the_place_of_this_one(alice: Page) -> None:
    timeline = alice.locator("#timeline")
    expect(timeline).to_contain_text("Only for those who follow me")
    timeline.get_by_role("link", name="Local").click()
    expect(timeline.get_by_role("link", name="Local")).to_have_attribute("aria-current", "true")
    expect(timeline).not_to_contain_text("Only for those who follow me")
    expect(timeline.get_by_role("heading", name="Timeline")).to_be_focused()


@pytest.mark.parametrize("key", ["Control", "Shift"])
def test_a_link_of_a_panel_can_be_opened_in_another_tab(alice: Page, key: Literal["Control", "Shift"]) -> None:
    timeline = panel(alice, "Timeline")
    with alice.context.expect_page() as opened:
        timeline.get_by_role("link", name="Local").click(modifiers=[key])

    expect(opened.value.locator("[aria-current]", has_text="Local")).to_be_visible()
    expect(timeline.locator("[aria-current]", has_text="Home")).to_be_visible()


def test_pictures_have_descriptions_and_come_from_the_app(alice: Page) -> None:
    picture = alice.locator("#timeline").get_by_role("img", name="A picture without a description").first
    picture.scroll_into_view_if_needed()

    expect(picture).to_have_js_property("complete", True)
    assert picture.evaluate("image => image.naturalWidth") > 0


def test_a_posted_note_is_shown_with_the_focus_on_it(alice: Page, sandbox: Running) -> None:
    post(alice, "Hello from a browser\n二行目 <b>not bold</b>")

    heading = alice.get_by_role("heading", name="Posted")
    expect(heading).to_be_focused()
    expect(alice.locator("#note article")).to_contain_text("<b>not bold</b>")
    assert posted(sandbox, "Hello from a browser\n二行目 <b>not bold</b>") == 1


def test_a_double_click_posts_once(alice: Page, sandbox: Running) -> None:
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 0.3
    alice.get_by_label("Your note").fill("Once")
    alice.get_by_role("button", name="Post").dblclick()
    expect(alice.get_by_role("heading", name="Posted")).to_be_visible()

    assert created(sandbox) == 1


def test_the_next_note_is_another_one(alice: Page, sandbox: Running) -> None:
    post(alice, "One")
    alice.get_by_role("link", name="Post another").click()
    post(alice, "Two")
    expect(alice.locator("#note article")).to_contain_text("Two")

    assert posted(sandbox, "One") == posted(sandbox, "Two") == 1


def test_after_an_error_the_text_is_still_there_to_edit(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    post(alice, "First try")
    note = alice.locator("#note")
    expect(note.get_by_role("region", name="has a problem")).to_be_focused()
    expect(alice.get_by_label("Your note")).to_have_value("First try")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    post(alice, "Second try")
    expect(note.get_by_role("heading", name="Posted")).to_be_focused()
    assert (posted(sandbox, "First try"), posted(sandbox, "Second try")) == (0, 1)


def test_a_note_with_a_revoked_token_leads_to_a_new_sign_in(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    sandbox.world.revoke_app_tokens()
    post(alice, "Too late")
    expect(alice.get_by_label("Your note")).to_have_value("Too late")

    alice.locator("#note").get_by_role("button", name="Sign in at").click()
    decide(alice)
    expect_dashboard(alice)


def test_a_form_that_was_left_open_too_long_keeps_the_text(alice: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {422}
    alice.locator("#note [name=csrf_token]").evaluate("input => { input.value = 'old' }")
    post(alice, "Written slowly")
    expect(alice.locator("#note").get_by_role("alert")).to_contain_text("What you typed is still here")

    alice.get_by_role("button", name="Post").click()
    expect(alice.locator("#note article")).to_contain_text("Written slowly")
    assert posted(sandbox, "Written slowly") == 1


def test_an_empty_note_is_told_beside_the_field(alice: Page, browsers: Browsers) -> None:
    browsers.statuses = {422}
    alice.get_by_label("Content warning").fill("Careful")
    alice.get_by_role("button", name="Post").click()

    expect_description(alice.get_by_label("Your note"), "Write something or add a file first.")
    expect(alice.get_by_label("Your note")).to_be_focused()
    expect(alice.get_by_label("Content warning")).to_have_value("Careful")


@pytest.fixture
def scriptless(browsers: Browsers) -> Page:
    """A page in a browser with JavaScript off."""
    return browsers.open(java_script_enabled=False)


def test_without_javascript_a_visitor_signs_in_and_opens_each_panel(scriptless: Page, sandbox: Running) -> None:
    begin(scriptless, sandbox.origin)
    decide(scriptless)
    go_on_to_dashboard(scriptless)
    expect_title(scriptless, "Hello, Alice")

    for heading in ("Your profile", "Your server"):
        panel(scriptless, heading).get_by_role("link", name="Open this part").click()
        expect_title(scriptless, heading)
        scriptless.get_by_role("link", name="Back to the dashboard").click()
    expect_title(scriptless, "Hello, Alice")


def test_without_javascript_a_failed_panel_is_a_page_to_try_again(
    scriptless: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {502}
    begin(scriptless, sandbox.origin)
    decide(scriptless)
    go_on_to_dashboard(scriptless)
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    scriptless.goto("/dashboard/profile")
    expect(scriptless.locator(".failure")).to_contain_text("has a problem")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    scriptless.get_by_role("button", name="Try again").click()
    expect_title(scriptless, "Your profile")


def test_without_javascript_a_double_click_posts_one_note(scriptless: Page, sandbox: Running) -> None:
    begin(scriptless, sandbox.origin)
    decide(scriptless)
    go_on_to_dashboard(scriptless)
    scriptless.get_by_label("Your note").fill("No script")
    scriptless.get_by_role("button", name="Post").dblclick()

    expect_title(scriptless, "Posted")
    expect(scriptless.get_by_role("article")).to_contain_text("No script")
    assert created(sandbox) == posted(sandbox, "No script") == 1


def test_without_javascript_an_error_keeps_the_text_and_signing_out_works(
    scriptless: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {422}
    begin(scriptless, sandbox.origin)
    decide(scriptless)
    go_on_to_dashboard(scriptless)
    scriptless.get_by_label("Content warning").fill("Careful")
    scriptless.get_by_role("button", name="Post").click()
    expect(scriptless.get_by_label("Your note")).to_be_focused()
    expect(scriptless.get_by_label("Content warning")).to_have_value("Careful")

    open_menu(scriptless).get_by_role("button", name="Sign out").click()
    expect(scriptless.get_by_role("heading", name="You are signed out")).to_be_visible()


@pytest.mark.own_browser
@pytest.mark.parametrize(
    ("path", "button"),
    [
        ("/dashboard/timeline", "Reload: Timeline"),
        ("/dashboard/timeline", "Local"),
        ("/dashboard/timeline", "Older"),
        ("/dashboard", "Post"),
        ("/dashboard", "Delete this note"),
        ("/console", "Send"),
    ],
)
def test_a_connection_that_is_lost_is_told_where_it_was_used(
    page: Page, sandbox: Running, browsers: Browsers, path: str, button: str
) -> None:
    have_signed_in(page, sandbox)
    page.goto(path)
    expect(page.locator(".waiting")).to_have_count(0)
    if path == "/dashboard":
        expect(page.locator("[data-live-is=live]")).to_be_visible()
        page.get_by_role("button", name="Pause").click()
        page.get_by_label("Your note").fill("do not lose me")
        page.locator("summary", has_text="Delete").first.click()
    presses = page.get_by_role("button", name=button, exact=True).or_(page.get_by_role("link", name=button))
    page.context.set_offline(True)
    presses.first.click()
    expect(page.get_by_role("alert")).to_contain_text("the connection to this app was lost")
    presses.first.click()
    expect(page.get_by_role("alert")).to_have_count(1)
    if path == "/dashboard":
        expect(page.get_by_label("Your note")).to_have_value("do not lose me")

    page.context.set_offline(False)
    presses.first.click()
    expect(page.get_by_role("alert")).to_have_count(0)
    browsers.expect_lost()


def test_the_focus_stays_where_nothing_older_comes(page: Page, sandbox: Running) -> None:
    for number in range(20 - len(sandbox.world.notes)):
        sandbox.world.post(sandbox.world.people["bob"], text=f"filling {number}")
    have_signed_in(page, sandbox)
    page.goto("/dashboard/timeline")
    page.goto("/dashboard")
    for _ in range(2):
        older = panel(page, "Timeline").get_by_role("button", name="Older")
        older.focus()
        page.keyboard.press("Enter")
        expect(older.or_(page.get_by_text("That was all."))).to_be_visible()
        expect(page.locator("[autofocus]:focus")).to_have_count(1)

    expect(page.get_by_text("That was all.")).to_be_focused()


def test_the_steps_of_a_sign_in_are_an_ordered_list(page: Page, sandbox: Running) -> None:
    begin(page, sandbox.origin)
    decide(page)
    go_on_to_dashboard(page)
    expect_dashboard(page)

    steps = page.get_by_role("region", name="How you signed in").get_by_role("list").get_by_role("listitem")

    expect(steps).to_have_count(3)
    expect(steps.nth(0)).to_contain_text(f"{sandbox.origin}/miauth/")
    expect(steps.nth(1)).to_contain_text("/callback?session=")
    steps.nth(2).get_by_text("What was sent").click()
    expect(steps.nth(2)).to_contain_text('"token": "•••"')
