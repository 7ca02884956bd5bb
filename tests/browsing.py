"""Real browsers, watched: whatever goes wrong in one and was not expected fails the test."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Locator,
    Page,
    Request,
    Response,
    WebError,
    expect,
)

from sandbox import Running
from tests.browser_pool import Pool
from tests.cast import FIRST_PAGE
from tests.words import LOCALES
from web.config import APP_NAME

#: Only a test that fails takes so long: a busy machine makes nothing wrong.
PATIENCE_MILLISECONDS = 60_000
expect.set_options(timeout=PATIENCE_MILLISECONDS)
#: How Chromium and htmx report an answer with an error status; the answers themselves are watched.
OF_A_STATUS = re.compile("server responded with a status of|Response Status Error Code")
#: How they report a connection that is lost.
OF_A_LOSS = re.compile("ERR_FAILED|ERR_FILE_NOT_FOUND|ERR_INTERNET_DISCONNECTED|ERR_NETWORK|sendError|afterRequest")
#: Where somebody is who has just signed in.
SIGNED_IN = re.compile(f"(/dashboard|{FIRST_PAGE})([?#].*)?$")
#: What another Chromium than the fixture's is started with; its own sandbox does not start for root.
ARGUMENTS = ["--no-sandbox"] if os.geteuid() == 0 else []


class Browsers:
    """Opens browsers, each with cookies of its own, and notes what goes wrong in them.

    ``statuses`` are the error statuses that must occur, ``origins`` the servers that may be asked. With a ``pool``,
    browsers of which nothing special is wanted are from there.
    """

    def __init__(
        self, chromium: Browser, site: str, sandbox: Running, language: str = "en", pool: Pool | None = None
    ) -> None:
        self.chromium = chromium
        self._pool = pool
        self.site = site
        self.locale = LOCALES[language]
        self.origins = {site, sandbox.origin}
        self.statuses: set[int] = set()
        self.met: set[int] = set()
        self.complaints: list[str] = []
        self._readers: dict[Any, Any] = {
            "console": self._read_console,
            "weberror": self._read_error,
            "request": self._read_request,
            "response": self._read_response,
        }
        self._open: list[tuple[BrowserContext, Callable[[], None]]] = []

    def open(self, **options: Any) -> Page:
        """Return an empty page in a browser with no cookies."""
        usual = {"base_url": self.site, "reduced_motion": "reduce", "locale": self.locale}
        if options or not self._pool:
            return self.watch(self.chromium.new_context(**usual | options)).new_page()
        context = self._pool.take(**usual)
        return self.watch(context, partial(self._pool.give_back, context, **usual)).new_page()

    def watch(self, context: BrowserContext, close: Callable[[], None] | None = None) -> BrowserContext:
        """Note from now on what goes wrong in a browser, and close it in the end."""
        context.set_default_timeout(PATIENCE_MILLISECONDS)
        for event, read in self._readers.items():
            context.on(event, read)
        self._open.append((context, close or context.close))
        return context

    def expect_lost(self) -> None:
        """A connection was lost, as was meant to happen; nothing else was complained of."""
        lost = [told for told in self.complaints if OF_A_LOSS.search(told)]
        assert self.complaints == lost != []
        self.complaints.clear()

    def close(self) -> None:
        for context, close in self._open:
            close()
            for event, read in self._readers.items():
                context.remove_listener(event, read)

    def _read_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not OF_A_STATUS.search(message.text):
            self.complaints.append(f"console: {message.text}")

    def _read_error(self, error: WebError) -> None:
        self.complaints.append(f"script: {error.error}")

    def _read_request(self, request: Request) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and f"{parts.scheme}://{parts.netloc}" not in self.origins:
            self.complaints.append(f"another site: {request.url}")

    def _read_response(self, response: Response) -> None:
        if response.status >= 400:
            self.met.add(response.status)


@contextmanager
def watched(
    chromium: Browser, site: str, sandbox: Running, language: str, pool: Pool | None = None
) -> Iterator[Browsers]:
    """Browsers for one test, which fails in the end when one of them met anything that was not expected."""
    browsers = Browsers(chromium, site, sandbox, language, pool)
    try:
        yield browsers
    finally:
        browsers.close()
    assert not browsers.complaints, browsers.complaints
    assert browsers.met == browsers.statuses, browsers.met ^ browsers.statuses


def begin(page: Page, host: str, path: str = "/") -> None:
    """Type a server, and go to its own page."""
    page.goto(path)
    page.locator("#host").fill(host)
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Allow")).to_be_visible()


def decide(page: Page, decision: str = "Allow", person: str = "alice") -> None:
    """Choose who to be on the server's own page, and press Allow or Deny."""
    page.get_by_label("Sign in as").select_option(person)
    page.get_by_role("button", name=decision).click()


def sign_in(page: Page, sandbox: Running, person: str = "alice", path: str = "/") -> None:
    """Go the whole way, to a dashboard where everything has come."""
    begin(page, sandbox.origin, path)
    decide(page, person=person)
    expect_dashboard(page, person)


def have_signed_in(page: Page, sandbox: Running, person: str = "alice") -> None:
    """Be signed in, on whichever page this is; quicker than signing in by hand."""
    web = page.request
    csrf_token = re.findall('csrf_token" value="(.+?)"', web.get("/signin").text())[0]
    began = web.post("/signin", form={"csrf_token": csrf_token, "host": sandbox.origin}, max_redirects=0)
    begun = urlsplit(began.headers["location"])
    permissions = parse_qs(begun.query)["permission"][0].split(",")
    session_id = begun.path.rpartition("/")[2]
    sandbox.world.approve(sandbox.world.people[person], permissions, session_id, APP_NAME)
    web.get(f"/callback?session={session_id}", max_redirects=0)


def empty(sandbox: Running) -> None:
    """Leave nothing to show on a dashboard, for a test that looks at something else: each note takes time."""
    sandbox.world.notes.clear()
    for person in sandbox.world.people.values():
        person.notifications.clear()
        person.files.clear()


def arrive(page: Page, sandbox: Running, person: str = "alice") -> None:
    """Be on the dashboard as somebody who signed in earlier."""
    have_signed_in(page, sandbox, person)
    page.goto("/dashboard")
    expect_dashboard(page, person)


def expect_dashboard(page: Page, person: str = "alice") -> None:
    """See the dashboard of a person, with all its panels; or the first page of their own that an app has instead."""
    expect(page).to_have_url(SIGNED_IN)
    expect(page.locator("nav.account summary")).to_contain_text(f"{person}@")
    if "/dashboard" in page.url:
        expect_title(page, re.compile(rf"^(Hello, |こんにちは、){person}", re.IGNORECASE))
    expect(page.locator(".waiting")).to_have_count(0)


def go_on_to_dashboard(page: Page) -> None:
    """Come back signed in, and go on to the dashboard where an app leads people elsewhere."""
    expect(page).to_have_url(SIGNED_IN)
    if "/dashboard" not in page.url:
        page.goto("/dashboard")


def expect_title(page: Page, words: str | re.Pattern[str]) -> None:
    """See a page whose first heading says this."""
    expect(page.get_by_role("heading", level=1)).to_contain_text(words)


def open_menu(page: Page) -> Locator:
    """Open the account menu and return it."""
    menu = page.locator("nav.account")
    menu.locator("summary").click()
    return menu


def expect_description(field: Locator, words: str | re.Pattern[str]) -> None:
    """See that what is said about a field, also to people who hear the page, has these words."""
    pattern = re.compile(re.escape(words)) if isinstance(words, str) else words
    expect(field).to_have_accessible_description(pattern)


def press(page: Page | Locator, button: str | re.Pattern[str]) -> None:
    """Press the button with this label."""
    page.get_by_role("button", name=button, exact=True).click()


def tab_to(page: Page, goal: Locator) -> None:
    """Press Tab until the focus is there."""
    for _ in range(60):
        if goal.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not lead to {goal}")
