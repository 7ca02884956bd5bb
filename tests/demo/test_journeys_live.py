"""The live timeline in a real browser: bob writes, and alice sees it, for as long as she wants to."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from demo import live
from misskey import ServerUnreachable
from sandbox import Running
from tests.browsing import Browsers, arrive, have_signed_in, open_menu

LIVE = "Live: new notes appear here by themselves."


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing waits for longer than a moment."""
    monkeypatch.setattr(live, "TICK_SECONDS", 0.02)
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 0.02)


@pytest.fixture
def alice(page: Page, sandbox: Running) -> Page:
    """The dashboard of Alice, live."""
    arrive(page, sandbox)
    expect_live(page, sandbox)
    return page


def state(page: Page) -> Locator:
    return page.locator("[data-live-state]")


def notes(page: Page) -> Locator:
    return page.locator("[data-live-notes] > li")


def wait_until(page: Page, condition: Callable[[], object]) -> None:
    while not condition():
        page.wait_for_timeout(10)


def expect_live(page: Page, sandbox: Running) -> None:
    """See that the timeline is live, and that the sandbox has connected its channel."""
    expect(state(page)).to_have_text(LIVE)
    wait_until(page, lambda: any(stream.channels for stream in sandbox.world.streams))


def post(sandbox: Running, text: str) -> dict[str, Any]:
    return sandbox.world.post(sandbox.world.people["bob"], text=text, visibility="home")


def cut(sandbox: Running) -> None:
    """Cut every connection to the sandbox."""
    for connection in list(sandbox.open):
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)


def hide(page: Page, hidden: bool) -> None:
    """Hide the tab as far as its scripts can tell, or show it again; a headless browser shows all its tabs."""
    page.evaluate(
        """value => {
             Object.defineProperty(document, "visibilityState", { value, configurable: true });
             document.dispatchEvent(new Event("visibilitychange"));
           }""",
        "hidden" if hidden else "visible",
    )


def test_what_bob_writes_appears_at_the_top_at_once(alice: Page, sandbox: Running) -> None:
    before = notes(alice).count()
    post(sandbox, "seen at once")

    expect(notes(alice).first).to_contain_text("seen at once")
    expect(notes(alice)).to_have_count(before + 1)


def test_a_note_that_is_there_already_does_not_come_twice(alice: Page, sandbox: Running) -> None:
    post(sandbox, "once")
    expect(notes(alice).first).to_contain_text("once")
    former = list(sandbox.world.streams)
    alice.get_by_role("link", name="Reload: Timeline").click()
    wait_until(alice, lambda: not [stream for stream in former if stream in sandbox.world.streams])
    expect_live(alice, sandbox)
    sandbox.world.tell("note", sandbox.world.people["bob"], list(sandbox.world.notes.values())[-1])
    post(sandbox, "the next one")

    expect(notes(alice).first).to_contain_text("the next one")
    expect(notes(alice).filter(has_text="once")).to_have_count(1)


def test_a_hundred_notes_are_kept(alice: Page, sandbox: Running) -> None:
    for number in range(105):
        post(sandbox, f"number {number}")

    expect(notes(alice).first).to_contain_text("number 104")
    expect(notes(alice)).to_have_count(100)


def test_it_can_be_paused_and_resumed(alice: Page, sandbox: Running) -> None:
    alice.get_by_role("button", name="Pause").click()
    expect(state(alice)).to_have_text("Paused: new notes do not appear.")
    wait_until(alice, lambda: not sandbox.world.streams)
    post(sandbox, "while she rests")
    alice.get_by_role("button", name="Resume").click()
    expect_live(alice, sandbox)
    post(sandbox, "when she is back")

    expect(notes(alice).first).to_contain_text("when she is back")
    expect(alice.get_by_text("Some notes from the time between may be missing.")).to_be_visible()
    expect(notes(alice).filter(has_text="while she rests")).to_have_count(0)


def test_a_cut_stream_says_so_and_comes_back(alice: Page, sandbox: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "FIRST_PAUSE_SECONDS", 1)
    cut(sandbox)
    expect(state(alice)).to_contain_text("can’t be reached. Next try in 1 second.")

    expect_live(alice, sandbox)
    expect(alice.get_by_text("Some notes from the time between may be missing.")).to_be_visible()


def test_a_tab_that_was_opened_behind_another_may_have_missed_something(page: Page, sandbox: Running) -> None:
    page.add_init_script('Object.defineProperty(document, "visibilityState", { value: "hidden", configurable: true })')
    arrive(page, sandbox)
    expect(page.locator("[data-live-notes]")).to_be_visible()
    post(sandbox, "before she looks")
    hide(page, False)
    expect_live(page, sandbox)

    expect(page.get_by_text("Some notes from the time between may be missing.")).to_be_visible()


def test_a_stream_that_took_several_tries_may_have_missed_something(
    page: Page, sandbox: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = iter([ServerUnreachable(sandbox.host, "cut")])

    def stream(*args: object) -> Iterator[str]:
        for error in tries:
            raise error
        return opened(*args)

    opened: Callable[..., Iterator[str]] = live._stream
    monkeypatch.setattr(live, "_stream", stream)
    arrive(page, sandbox)
    expect_live(page, sandbox)

    expect(page.get_by_text("Some notes from the time between may be missing.")).to_be_visible()


def test_what_is_live_at_once_has_missed_nothing(alice: Page) -> None:
    expect(alice.get_by_text("Some notes from the time between may be missing.")).to_be_hidden()


def test_a_token_that_was_revoked_stops_it_and_one_can_try_again(alice: Page, sandbox: Running) -> None:
    sandbox.world.revoke_app_tokens()
    cut(sandbox)
    expect(state(alice)).to_contain_text("no longer accepts the token")
    asked = len(sandbox.requests)

    alice.get_by_role("button", name="Resume").click()
    wait_until(alice, lambda: len(sandbox.requests) > asked)
    expect(state(alice)).to_contain_text("no longer accepts the token")


def test_a_tab_that_nobody_looks_at_holds_no_stream(alice: Page, sandbox: Running) -> None:
    hide(alice, True)
    wait_until(alice, lambda: not sandbox.world.streams)

    hide(alice, False)
    expect_live(alice, sandbox)


@pytest.mark.own_browser
@pytest.mark.parametrize(
    ("passes", "since"), [("00:05:00", "5 minutes ago"), ("00:55:00", "1 hour ago"), ("50:00:00", "2 days ago")]
)
def test_how_long_ago_a_note_was_stays_true(page: Page, sandbox: Running, passes: str, since: str) -> None:
    page.clock.install(time="2001-01-01")  # a computer whose clock is wrong
    arrive(page, sandbox)
    expect_live(page, sandbox)
    post(sandbox, "a while ago")
    posted = notes(page).first.locator("time")
    expect(notes(page).first).to_contain_text("a while ago")
    expect(posted).to_have_text("just now")
    page.clock.run_for(60_000)
    page.clock.fast_forward(passes)

    expect(posted).to_have_text(since)


def test_scripts_say_how_long_ago_it_was_as_the_page_does(alice: Page, sandbox: Running) -> None:
    said = alice.locator("time[data-age]").all_text_contents()
    alice.evaluate("document.querySelectorAll('time[data-age]').forEach((time) => { time.textContent = ''; })")
    alice.evaluate("grow()")

    assert [text for text in alice.locator("time[data-age]").all_text_contents() if text] == [
        text for text in said if text != "just now"
    ]


def test_a_page_that_is_left_holds_no_stream(alice: Page, sandbox: Running) -> None:
    alice.goto("/signin")

    wait_until(alice, lambda: not sandbox.world.streams)


def test_another_timeline_in_its_place_ends_it(alice: Page, sandbox: Running) -> None:
    alice.get_by_role("link", name="Local").click()
    expect(state(alice)).to_have_count(0)
    wait_until(alice, lambda: not sandbox.world.streams)

    alice.get_by_role("link", name="Home", exact=True).click()
    expect_live(alice, sandbox)


def test_signing_out_in_another_tab_stops_it(alice: Page, sandbox: Running) -> None:
    other = alice.context.new_page()
    other.goto("/dashboard")
    open_menu(other).get_by_role("button", name="Sign out", exact=True).click()

    expect(state(alice)).to_contain_text("signed out or no longer the one in use")
    wait_until(alice, lambda: not sandbox.world.streams)


def test_without_a_sign_in_it_is_refused_in_words(alice: Page, browsers: Browsers) -> None:
    browsers.statuses = {401}
    alice.locator("[data-live]").evaluate("element => { element.dataset.live += '0'; }")
    alice.get_by_role("button", name="Pause").click()
    alice.get_by_role("button", name="Resume").click()

    expect(state(alice)).to_have_text("Live notes are not available now. Reload the page.")


@pytest.mark.own_browser
def test_a_proxy_that_answers_while_the_app_restarts_is_not_the_end(
    page: Page, sandbox: Running, browsers: Browsers
) -> None:
    """To an answer with such a status browsers make no new try by themselves."""
    browsers.statuses = {502}
    page.clock.install()
    arrive(page, sandbox)
    expect_live(page, sandbox)
    page.route("**/live?*", lambda route: route.fulfill(status=502, body="Bad Gateway"))
    hide(page, True)
    hide(page, False)
    expect(state(page)).to_have_text("Live notes are not available now. Reload the page.")
    page.unroute("**/live?*")
    page.clock.run_for(20_000)

    expect_live(page, sandbox)
    expect(page.locator("[data-live-gap]")).to_be_visible()


def test_a_timeline_of_a_page_of_its_own_is_live_too(page: Page, sandbox: Running) -> None:
    have_signed_in(page, sandbox)
    page.goto("/dashboard/timeline")
    expect_live(page, sandbox)
    post(sandbox, "here as well")

    expect(notes(page).first).to_contain_text("here as well")


def test_what_the_reader_reads_stays_where_it_is(alice: Page, sandbox: Running) -> None:
    link = notes(alice).nth(1).get_by_role("link").first
    link.focus()
    before = link.bounding_box()
    for number in range(8):
        post(sandbox, f"above {number}")
        expect(notes(alice).first).to_contain_text(f"above {number}")

    same_link = notes(alice).nth(9).get_by_role("link").first
    after = same_link.bounding_box()
    assert before
    assert after
    assert abs(after["y"] - before["y"]) <= 1  # pages scroll by whole pixels
    expect(same_link).to_be_focused()


@pytest.mark.parametrize("anchor", ["auto", "none"])
def test_a_reader_further_down_is_not_moved(alice: Page, sandbox: Running, anchor: str) -> None:
    """Safari has no scroll anchoring."""
    alice.evaluate("anchor => { document.documentElement.style.overflowAnchor = anchor; }", anchor)
    for number in range(20):
        post(sandbox, f"to scroll {number}\n" * 3)
    expect(notes(alice).first).to_contain_text("to scroll 19")
    read = notes(alice).nth(10)
    read.evaluate("element => element.scrollIntoView({ block: 'start', behavior: 'instant' })")
    before = read.bounding_box()
    post(sandbox, "far above")
    expect(notes(alice).first).to_contain_text("far above")
    alice.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    after = notes(alice).nth(11).bounding_box()
    assert before
    assert after
    assert abs(after["y"] - before["y"]) <= 1


def test_without_scripts_it_says_what_to_do(browsers: Browsers, sandbox: Running) -> None:
    plain = browsers.open(java_script_enabled=False)
    have_signed_in(plain, sandbox)
    plain.goto("/dashboard/timeline")

    expect(state(plain)).to_contain_text("reload the page to see new ones")
    expect(plain.locator("[data-live-toggle]")).to_be_hidden()
