"""Posting with files, uploading and deleting with a real browser, and all of it again without JavaScript."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Dialog, FilePayload, Locator, Page, expect

from sandbox import Misbehaviour, Running
from sandbox.world import SHAPES
from tests.browsing import Browsers, arrive, expect_description, expect_title, have_signed_in
from tests.cast import served

MEGABYTE = 1024 * 1024


@pytest.fixture
def site(make_app: Callable[..., Flask], sandbox: Running) -> Iterator[str]:
    """The address of the app, which asks for all that is done here."""
    permissions = "read:account write:notes read:drive write:drive"
    with served(make_app, PRIVATE_SERVERS=sandbox.origin, PERMISSIONS=permissions) as url:
        yield url


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice."""
    arrive(page, sandbox)
    return page


@pytest.fixture
def scriptless(browsers: Browsers, sandbox: Running) -> Page:
    """The dashboard of Alice in a browser with JavaScript off."""
    page = browsers.open(java_script_enabled=False)
    have_signed_in(page, sandbox)
    page.goto("/dashboard")
    expect_title(page, "Hello, Alice")
    return page


@pytest.fixture
def files(page: Page, sandbox: Running) -> Page:
    """The page of Alice on which files are uploaded."""
    have_signed_in(page, sandbox)
    page.goto("/files")
    return page


def file(name: str, size: int = 0) -> FilePayload:
    return {"name": name, "mimeType": "text/plain", "buffer": bytes(size) or f"what is in {name}".encode()}


def note_form(page: Page) -> Locator:
    return page.locator("form", has=page.get_by_label("Your note"))


def write(page: Page, text: str, *names: str) -> None:
    """Post a note with files."""
    page.get_by_label("Your note").fill(text)
    page.get_by_label("Files (optional)").set_input_files([file(name) for name in names])
    note_form(page).get_by_role("button", name="Post").click()


def posted(page: Page) -> Locator:
    """The part of the page that tells of the note just posted."""
    return page.locator("section.panel").filter(has=page.get_by_role("heading", name="Posted"))


def newest(sandbox: Running) -> list[str]:
    """The names of the files of the newest note."""
    return [attached["name"] for attached in list(sandbox.world.notes.values())[-1]["files"]]


def upload(page: Page, chosen: FilePayload) -> None:
    page.get_by_label("File", exact=True).set_input_files(chosen)
    page.get_by_role("button", name="Upload", exact=True).click()


def uploads(sandbox: Running) -> int:
    return sandbox.requests.count(("POST", "/api/drive/files/create"))


# With and without JavaScript.


@pytest.fixture(params=["with JavaScript", "without JavaScript"])
def anyone(request: pytest.FixtureRequest, browsers: Browsers) -> Page:
    page = request.getfixturevalue("alice" if request.param == "with JavaScript" else "scriptless")
    assert isinstance(page, Page)
    return page


def test_a_note_is_posted_with_two_files(anyone: Page, sandbox: Running) -> None:
    write(anyone, "Two files", "one.txt", "二.txt")

    expect(anyone.get_by_role("heading", name="Posted")).to_be_focused()
    expect(posted(anyone).get_by_role("list", name="Files").get_by_role("listitem")).to_have_text(["one.txt", "二.txt"])
    assert newest(sandbox) == ["one.txt", "二.txt"]


def test_after_an_error_text_and_uploaded_files_are_still_there(
    anyone: Page, sandbox: Running, browsers: Browsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    browsers.statuses = {422}
    monkeypatch.setitem(SHAPES["policies"], "maxFileSizeMb", 20 / MEGABYTE)
    write(anyone, "Three files", "one.txt", "this one is too large.txt", "3.txt")

    expect_description(anyone.get_by_label("Files (optional)"), "is larger than your server takes")
    expect(anyone.get_by_label("Your note")).to_have_value("Three files")
    expect(anyone.get_by_label("one.txt")).to_be_checked()
    expect(anyone.get_by_text("choose again:")).to_contain_text("this one is too large.txt, 3.txt")

    write(anyone, "Two files", "3.txt")
    expect(anyone.get_by_role("heading", name="Posted")).to_be_visible()
    assert newest(sandbox) == ["one.txt", "3.txt"]
    assert uploads(sandbox) == 3


def test_an_uploaded_file_can_be_left_out(
    anyone: Page, sandbox: Running, browsers: Browsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    browsers.statuses = {422}
    monkeypatch.setitem(SHAPES["policies"], "maxFileSizeMb", 20 / MEGABYTE)
    write(anyone, "Two files", "one.txt", "this one is too large.txt")
    anyone.get_by_label("one.txt").uncheck()
    write(anyone, "No file")

    expect(anyone.get_by_role("heading", name="Posted")).to_be_visible()
    assert newest(sandbox) == []


def test_a_note_is_deleted_after_a_question(anyone: Page, sandbox: Running) -> None:
    before = len(sandbox.world.notes)
    write(anyone, "To be deleted")
    posted(anyone).get_by_text("Delete", exact=True).click()
    expect(posted(anyone).get_by_text("You can’t undo this.")).to_be_visible()

    posted(anyone).get_by_role("button", name="Delete this note").click()
    expect(anyone.get_by_role("heading", name="Deleted")).to_be_focused()
    assert len(sandbox.world.notes) == before


def test_a_note_that_can_not_be_deleted_is_told(anyone: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    write(anyone, "To stay for now")
    posted(anyone).get_by_text("Delete", exact=True).click()
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    posted(anyone).get_by_role("button", name="Delete this note").click()

    expect(anyone.get_by_role("alert")).to_contain_text("has a problem")


def test_a_file_is_uploaded(anyone: Page, sandbox: Running) -> None:
    anyone.goto("/files")
    anyone.get_by_label("Description for people").fill("An evening sky")
    upload(anyone, file("空.txt"))

    expect(anyone.get_by_role("heading", name="Uploaded")).to_be_focused()
    expect(anyone.locator(".note").get_by_text("空.txt")).to_be_visible()
    expect(anyone.get_by_role("link", name="Back to your drive")).to_be_visible()
    assert next(reversed(sandbox.world.people["alice"].files.values()))["comment"] == "An evening sky"

    anyone.get_by_role("link", name="Upload another").click()
    expect(anyone.get_by_label("File", exact=True)).to_be_visible()


def test_without_a_file_the_form_says_so(anyone: Page, browsers: Browsers) -> None:
    browsers.statuses = {422}
    anyone.goto("/files")
    anyone.get_by_role("button", name="Upload", exact=True).click()

    expect_description(anyone.get_by_label("File", exact=True), "Choose a file first.")
    expect(anyone.get_by_label("File", exact=True)).to_be_focused()


def test_an_upload_that_failed_can_be_sent_again(anyone: Page, sandbox: Running, browsers: Browsers) -> None:
    browsers.statuses = {502}
    anyone.goto("/files")
    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    upload(anyone, file("a.txt"))
    expect(anyone.get_by_role("region", name="has a problem")).to_be_focused()
    expect(anyone.get_by_text("choose again:")).to_contain_text("a.txt")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    upload(anyone, file("a.txt"))
    expect(anyone.get_by_role("heading", name="Uploaded")).to_be_visible()


def test_a_file_that_is_too_large_is_told_before_the_server_is_asked(
    scriptless: Page, sandbox: Running, browsers: Browsers, monkeypatch: pytest.MonkeyPatch
) -> None:
    browsers.statuses = {422}
    monkeypatch.setitem(SHAPES["policies"], "maxFileSizeMb", 0.5)
    scriptless.goto("/files")
    upload(scriptless, file("film.mp4", MEGABYTE // 2 + 1))

    expect_description(scriptless.get_by_label("File", exact=True), "Your server takes files up to 0.5 MB")
    assert not uploads(sandbox)


# With JavaScript only.


def test_a_file_that_is_too_large_is_told_at_once_and_not_sent(files: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES["policies"], "maxFileSizeMb", 0.5)
    files.reload()
    field = files.get_by_label("File", exact=True)
    field.set_input_files(file("film.mp4", MEGABYTE // 2 + 1))
    expect(files.get_by_role("alert")).to_contain_text("Your server takes files up to 0.5 MB; this one is larger.")
    expect_description(field, "this one is larger")

    requests: list[str] = []
    files.on("request", lambda request: requests.append(request.url))
    files.get_by_role("button", name="Upload", exact=True).click()
    expect(field).to_be_focused()
    assert requests == []

    field.set_input_files(file("short.mp4", MEGABYTE // 2))
    expect(files.get_by_role("alert")).to_have_text("")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    files.get_by_role("button", name="Upload", exact=True).click()
    expect(files.get_by_role("heading", name="Uploaded")).to_be_visible()


def slow_down(page: Page, bytes_per_second: int) -> None:
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": bytes_per_second}
    page.context.new_cdp_session(page).send("Network.emulateNetworkConditions", conditions)


def test_how_much_is_sent_is_shown_and_said(files: Page, sandbox: Running) -> None:
    slow_down(files, MEGABYTE // 2)
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 1
    upload(files, file("film.mp4", MEGABYTE))

    said = files.locator(".sending").get_by_role("status")
    expect(said).to_have_text(re.compile("^[1-9]0% sent$"))
    expect(files.get_by_role("progressbar", name="Sending")).to_have_attribute("value", re.compile("^[1-9]"))
    check_progress(files)
    expect(said).to_have_text("All is sent. Your server is storing it …")
    expect(files.get_by_role("heading", name="Uploaded")).to_be_focused()


def check_progress(page: Page) -> None:
    """A progress with a name, and the button of the form out of reach meanwhile."""
    expect(page.get_by_role("progressbar")).to_have_accessible_name("Sending")
    expect(page.get_by_role("button", name="Upload", exact=True)).to_be_disabled()


def test_whoever_leaves_a_note_that_is_not_posted_is_asked_first(alice: Page) -> None:
    asked = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    alice.on("dialog", stay)
    alice.get_by_label("Your note").press_sequentially("Not yet posted")
    with alice.expect_event("dialog"):
        alice.get_by_role("button", name="日本語").click()
    expect(alice.get_by_label("Your note")).to_have_value("Not yet posted")

    note_form(alice).get_by_role("button", name="Post").click()
    expect(alice.get_by_role("heading", name="Posted")).to_be_visible()
    alice.get_by_role("button", name="日本語").click()
    expect(alice.get_by_role("heading", name="こんにちは")).to_be_visible()
    assert asked == ["beforeunload"]


def test_enter_in_the_content_warning_posts_nothing(anyone: Page, sandbox: Running) -> None:
    form = note_form(anyone)
    form.get_by_label("Your note").fill("Half writ")
    form.get_by_label("Content warning (optional)").fill("words")
    form.get_by_label("Content warning (optional)").press("Enter")
    form.get_by_label("Your note").fill("Half written, and now whole")
    form.get_by_role("button", name="Post").click()

    expect(anyone.get_by_role("heading", name="Posted")).to_be_visible()
    ours = [note["text"] for note in sandbox.world.notes.values() if str(note["text"]).startswith("Half")]
    assert ours == ["Half written, and now whole"]


def test_the_end_of_what_is_pasted_is_not_cut_off_without_a_word(
    anyone: Page, sandbox: Running, browsers: Browsers
) -> None:
    browsers.statuses = {422}
    warning = anyone.get_by_label("Content warning (optional)")
    warning.focus()
    anyone.keyboard.insert_text("w" * 99 + " end")  # as pasting does
    write(anyone, "Good evening")

    expect_description(warning, "This is longer than 100 characters.")
    expect(warning).to_have_value("w" * 99 + " end")
    assert ("POST", "/api/notes/create") not in sandbox.requests


def test_a_note_without_files_shows_no_progress(alice: Page, sandbox: Running) -> None:
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 0.5
    write(alice, "Only words")
    expect(note_form(alice).get_by_role("button", name="Post")).to_be_disabled()
    expect(note_form(alice).locator(".sending")).to_be_hidden()

    expect(alice.get_by_role("heading", name="Posted")).to_be_visible()


def test_a_connection_that_breaks_is_told(files: Page, browsers: Browsers) -> None:
    files.route("**/files", lambda route: route.abort())
    upload(files, file("a.txt"))

    expect(files.locator(".lost")).to_contain_text("the connection to this app was lost")
    expect(files.get_by_role("progressbar")).to_be_hidden()
    expect(files.get_by_role("button", name="Upload", exact=True)).to_be_enabled()
    browsers.expect_lost()


def test_a_proxy_that_answers_in_the_place_of_the_app_replaces_nothing(alice: Page, browsers: Browsers) -> None:
    browsers.statuses = {502}
    page = {"status": 502, "content_type": "text/html", "body": "<h1>Bad Gateway</h1>"}
    for path in ("**/notes", "**/dashboard/profile*"):
        alice.route(path, lambda route: route.fulfill(**page))
    write(alice, "do not lose me", "a.txt")
    expect(note_form(alice).locator(".sending").get_by_role("status")).to_contain_text("choose the file once more")
    expect(note_form(alice).get_by_role("button", name="Post")).to_be_focused()
    profile = alice.locator("#profile")
    profile.get_by_role("link", name="Reload").click()

    expect(profile.get_by_role("alert")).to_contain_text("something on the way answered in its place")
    expect(profile).to_contain_text("@alice@")
    expect(alice.get_by_role("alert")).to_have_count(2)
    expect(alice.get_by_text("Bad Gateway")).to_have_count(0)
    expect(alice.get_by_label("Your note")).to_have_value("do not lose me")

    alice.unroute_all()
    note_form(alice).get_by_role("button", name="Post").click()
    expect(alice.get_by_role("heading", name="Posted")).to_be_visible()
    expect(alice.get_by_role("alert")).to_have_count(1)


def test_a_file_that_can_no_longer_be_read_is_to_be_chosen_again(
    files: Page, tmp_path: Path, browsers: Browsers
) -> None:
    """To the browser it is a connection that is lost; so it is with files that lie in a cloud."""
    chosen = tmp_path / "a.txt"
    chosen.write_text("here")
    files.get_by_label("File", exact=True).set_input_files(chosen)
    chosen.unlink()
    files.get_by_role("button", name="Upload", exact=True).click()

    expect(files.locator(".sending").get_by_role("status")).to_contain_text("choose the file once more")
    browsers.expect_lost()

    upload(files, file("a.txt"))
    expect(files.get_by_role("heading", name="Uploaded")).to_be_focused()


def test_a_double_click_uploads_once(files: Page, sandbox: Running) -> None:
    sandbox.world.misbehaviour, sandbox.world.slow_seconds = Misbehaviour.SLOW, 0.3
    files.get_by_label("File", exact=True).set_input_files(file("a.txt"))
    files.get_by_role("button", name="Upload", exact=True).dblclick()
    expect(files.get_by_role("heading", name="Uploaded")).to_be_visible()

    assert uploads(sandbox) == 1
