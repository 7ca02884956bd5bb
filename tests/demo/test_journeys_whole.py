"""The whole journey, from the first page to being signed out everywhere: by keyboard alone, and without JavaScript."""

from __future__ import annotations

from playwright.sync_api import Locator, Page, expect

from demo.panels import PANELS
from sandbox import Running
from tests.browsing import (
    Browsers,
    begin,
    decide,
    expect_dashboard,
    expect_title,
    go_on_to_dashboard,
    open_menu,
    tab_to,
)


def enter(page: Page, goal: Locator) -> None:
    """Tab to something and press Enter."""
    tab_to(page, goal)
    page.keyboard.press("Enter")


def enter_menu(page: Page) -> Locator:
    """Open the account menu with the keyboard and return it."""
    menu = page.get_by_role("navigation", name="Account")
    enter(page, menu.locator("summary"))
    return menu


def test_the_keyboard_alone_is_enough(page: Page, sandbox: Running) -> None:
    page.goto("/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    tab_to(page, page.get_by_label("Your Misskey server"))
    page.keyboard.type(sandbox.origin)
    page.keyboard.press("Enter")
    enter(page, page.get_by_role("button", name="Allow"))
    expect_dashboard(page, "alice")
    go_on_to_dashboard(page)

    tab_to(page, page.get_by_label("Your note"))
    page.keyboard.type("Without a mouse")
    enter(page, page.get_by_role("button", name="Post"))
    expect(page.get_by_role("heading", name="Posted")).to_be_focused()

    page.reload()
    enter(page, enter_menu(page).get_by_role("link", name="Console"))
    tab_to(page, page.get_by_role("button", name="Send"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Answer of i: 200")).to_be_focused()

    page.reload()
    enter(page, enter_menu(page).get_by_role("link", name="Account and sign-ins"))
    expect_title(page, "Account and sign-ins")
    enter(page, page.get_by_role("button", name="Sign out here"))
    expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()
    assert any(note["text"] == "Without a mouse" for note in sandbox.world.notes.values())


def test_no_script_is_needed(browsers: Browsers, sandbox: Running) -> None:
    page = browsers.open(java_script_enabled=False)
    begin(page, sandbox.origin)
    decide(page)
    go_on_to_dashboard(page)
    expect_title(page, "Hello, Alice")
    for panel in PANELS:
        page.locator(f"#{panel.name}").get_by_role("link", name="Open this part").click()
        expect_title(page, str(panel.title))
        page.get_by_role("link", name="Back to the dashboard").click()

    page.goto("/dashboard/timeline")
    newest = page.locator("article.note").first.inner_text()
    page.get_by_role("button", name="Older").click()
    expect(page.locator("article.note").first).not_to_have_text(newest)

    page.goto("/dashboard")
    page.get_by_label("Your note").fill("Without scripts")
    page.get_by_label("Files (optional)").set_input_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"a"})
    page.get_by_role("button", name="Post").click()
    expect(page.get_by_role("article")).to_contain_text("a.txt")
    page.get_by_text("Delete", exact=True).click()
    page.get_by_role("button", name="Delete this note").click()
    expect(page.get_by_role("heading", name="Deleted")).to_be_visible()

    page.goto("/files")
    page.get_by_label("File", exact=True).set_input_files({"name": "b", "mimeType": "text/plain", "buffer": b"b"})
    page.get_by_role("button", name="Upload", exact=True).click()
    expect(page.get_by_role("heading", name="Uploaded")).to_be_visible()

    open_menu(page).get_by_role("link", name="Console").click()
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Answer of i: 200")).to_be_visible()

    open_menu(page).get_by_role("link", name="Account and sign-ins").click()
    page.get_by_role("button", name="日本語").click()
    expect_title(page, "アカウントとサインイン")
    page.get_by_role("button", name="すべてのブラウザーでサインアウト").click()
    expect(page.get_by_role("heading", name="サインアウトしました")).to_be_visible()
