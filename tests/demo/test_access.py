"""The demonstration's pages, in every state and language, are fit for everybody."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, Page, expect

from demo import live
from sandbox import Misbehaviour, Running
from sandbox.world import SHAPES
from tests.access import Check
from tests.browsing import Browsers, arrive, empty, expect_description, have_signed_in, press
from tests.words import Say
from web.languages import LANGUAGES

pytestmark = [pytest.mark.long, pytest.mark.parametrize("language", LANGUAGES)]


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice, where nothing is yet."""
    empty(sandbox)
    arrive(page, sandbox)
    return page


@pytest.fixture
def files(page: Page, sandbox: Running) -> Page:
    """The page of Alice on which files are uploaded."""
    have_signed_in(page, sandbox)
    page.goto("/files")
    return page


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


def test_an_upload(files: Page, sandbox: Running, browsers: Browsers, tmp_path: Path, say: Say, check: Check) -> None:
    browsers.statuses = {422, 502}
    field = files.get_by_label(say("File"), exact=True)
    check(files, "empty")

    press(files, say("Upload"))
    expect_description(field, say("Choose a file first."))
    check(files, "without a file")

    film = tmp_path / "film.mp4"
    film.touch()
    os.truncate(film, 10 * 1024**2 + 1)  # not handed to the browser, which reads it
    field.set_input_files(film)
    expect(files.get_by_role("alert")).to_contain_text(say("this one is larger"))
    check(files, "too large")

    sandbox.world.misbehaviour = Misbehaviour.BROKEN
    field.set_input_files(file("空.txt"))
    press(files, say("Upload"))
    expect(files.get_by_text(say("choose again:"))).to_contain_text("空.txt")
    check(files, "refused")

    sandbox.world.misbehaviour = Misbehaviour.NONE
    field.set_input_files(file("空.txt"))
    press(files, say("Upload"))
    expect(files.get_by_role("heading", name=say("Uploaded"))).to_be_visible()
    check(files, "done")


def test_an_upload_whose_connection_breaks(files: Page, browsers: Browsers, say: Say, check: Check) -> None:
    files.route("**/files", lambda route: route.abort())
    files.get_by_label(say("File"), exact=True).set_input_files(file("a.txt"))
    press(files, say("Upload"))
    expect(files.locator(".lost")).to_contain_text(say("Nothing came back"))
    check(files, "told")
    browsers.expect_lost()


# The console.


@pytest.fixture
def console(page: Page, sandbox: Running, say: Say) -> Page:
    """The console of Alice, with all that the server tells."""
    have_signed_in(page, sandbox)
    page.goto("/console")
    expect(page.locator("#parameters")).to_contain_text(say("This endpoint takes no parameters."))
    expect(page.locator("#endpoint-names option")).not_to_have_count(0)
    return page


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
    choose(console, "notes/local-timeline", '{"limit": 1}', say)
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
