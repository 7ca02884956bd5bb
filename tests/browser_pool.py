"""Browsers that one test after the other uses: a new one, which has no file yet, shows a page a quarter later."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, BrowserContext

#: What a site may keep in a browser, besides cookies.
KEPT = "local_storage,indexeddb,service_workers,cache_storage"


class Pool:
    """Browsers in which nothing of an earlier visitor is left: no page, no cookie, nothing that the app kept there.

    What else a test changes in one stays, such as a clock, permissions and no network: it is to be ``own_browser``.
    """

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._unused: dict[str, list[BrowserContext]] = {}

    def take(self, **options: Any) -> BrowserContext:
        """Return one with these options, where nothing but an empty page is open."""
        unused = self._unused.setdefault(repr(options), [])
        if not unused:
            context = self._chromium.new_context(**options)
            context.new_page()  # with its last page, the process that has compiled the scripts would end
            unused.append(context)
        return unused.pop()

    def give_back(self, context: BrowserContext, **options: Any) -> None:
        """Leave nothing of a visitor in it."""
        empty, *pages = context.pages
        for page in pages:
            page.close()
        context.clear_cookies()
        settings = context.new_cdp_session(empty)
        settings.send("Storage.clearDataForOrigin", {"origin": options["base_url"], "storageTypes": KEPT})
        settings.detach()
        self._unused[repr(options)].append(context)
