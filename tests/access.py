"""Looks at a page from every side: by ear, small, large, dark, with large letters; and can take its pictures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Page, expect

from web.config import APP_NAME

SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZES = (360, 1440)
WIDTHS = (320, 360, 768, 1440, 1920)

#: Axe reads the same few colours again for each element, which takes it a third of its time.
REMEMBER_COLOURS = """() => {
  const colour = axe.commons.color.Color.prototype, { parseString } = colour, known = new Map();
  colour.parseString = function (text) {
    if (!known.has(text)) {
      const { r, g, b, alpha } = parseString.call(this, text);
      known.set(text, { r, g, b, alpha });
    }
    return Object.assign(this, known.get(text));
  };
}"""
#: What is in order is much to hand over, and nobody looks at it.
RUN_AXE = "(rules) => axe.run({ reporter: 'no-passes', ...rules })"
#: How many pixels the page is wider than the window.
TOO_WIDE = "() => document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
#: What can be pressed or filled in and lies over something else of the kind; what pops up over the page may.
OVERLAPPING = """() => {
  const seen = [...document.querySelectorAll("a, button, input, select, textarea, summary, pre, [role=button]")]
    .filter((one) => one.checkVisibility() && !one.matches(".skip, [type=hidden]"))
    .map((one) => ({ one, over: one.closest(".menu-list, #completions"), within: one.closest(".choices"),
                     boxes: [...one.getClientRects()] }));
  const cross = (a, b) => a.left < b.right - 1 && b.left < a.right - 1 && a.top < b.bottom - 1 && b.top < a.bottom - 1;
  return seen.flatMap((a, at) => seen.slice(at + 1)
    .filter((b) => a.over === b.over && a.within === b.within && !a.one.contains(b.one) && !b.one.contains(a.one))
    .filter((b) => a.boxes.some((box) => b.boxes.some((other) => cross(box, other))))
    .map((b) => `${a.one.outerHTML.slice(0, 80)} and ${b.one.outerHTML.slice(0, 80)}`));
}"""
#: Text that is cut off at its end without a sign that there is more.
CUT = """() => [...document.querySelectorAll("body *")]
  .filter((one) => one.checkVisibility() && ["hidden", "clip"].includes(getComputedStyle(one).overflowX))
  .filter((one) => one.scrollWidth > one.clientWidth + 1 && getComputedStyle(one).textOverflow !== "ellipsis")
  .filter((one) => !one.matches("input, meter, progress, svg *, .brand span"))
  .map((one) => one.outerHTML.slice(0, 80))"""


class Check:
    """Checks the states of one test's page, in one language, and takes their pictures if there is a folder for them."""

    def __init__(self, test: str, language: str, pictures: Path | None) -> None:
        self.test = test
        self.language = language
        self.pictures = pictures

    def __call__(self, page: Page, state: str) -> None:
        """Check the page that is open, in this state."""
        check_outline(page, self.language)
        small, large = SIZES
        if self.language == "en":  # colours are the same in every language
            check_with_axe(page, large, SIZES)
        else:
            check_with_axe(page, small, (small,))
        check_widths(page)
        if self.pictures:
            take_pictures(page, self.pictures / slug(f"{self.test} {state}"), self.language)


def check_outline(page: Page, language: str) -> None:
    """One first heading, a language, and a title that says what this is and whose."""
    expect(page.locator("h1")).to_have_count(1)
    expect(page.locator("html")).to_have_attribute("lang", language)
    title, _, app = page.title().rpartition(" · ")
    assert title
    assert app == APP_NAME


def check_with_axe(page: Page, contrast_at: int, sizes: tuple[int, ...]) -> None:
    """Axe finds nothing to complain about; contrast is looked at in light and dark, at one of the sizes."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(AXE_SCRIPT)
        page.evaluate(REMEMBER_COLOURS)
    for width in sizes:
        page.set_viewport_size({"width": width, "height": 800})
        if width == contrast_at:
            page.emulate_media(color_scheme="dark")
            run_axe(page, f"dark, {width}", {"runOnly": ["color-contrast"]})
            page.emulate_media(color_scheme="light")
        run_axe(page, f"light, {width}", {"rules": {"color-contrast": {"enabled": width == contrast_at}}})


def run_axe(page: Page, how: str, rules: dict[str, Any]) -> None:
    """Fail with what axe complains about."""
    found = AxeResults(page.evaluate(RUN_AXE, rules))
    assert not found.violations_count, f"{how}: {found.generate_report()}"


def check_widths(page: Page) -> None:
    """Nothing makes the page wider than the window, is cut off or overlaps, also with letters twice as large."""
    settings = page.context.new_cdp_session(page)
    for size in (32, 16):
        settings.send("Page.setFontSizes", {"fontSizes": {"standard": size}})
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 800})
            wide, overlaps, cut = page.evaluate(f"() => [{TOO_WIDE}, {OVERLAPPING}, {CUT}].map((look) => look())")
            assert wide <= 0, f"{wide} pixels too wide at {width} with letters of {size}"
            for what, found in (("overlaps", overlaps), ("is cut off", cut)):
                assert not found, f"{what} at {width} with letters of {size}: {found[:5]}"
    settings.detach()


def take_pictures(page: Page, folder: Path, language: str) -> None:
    """Take pictures of the whole page, in light and dark, small and large."""
    for width in SIZES:
        page.set_viewport_size({"width": width, "height": 800})
        height = page.evaluate("() => document.scrollingElement.scrollHeight")
        page.set_viewport_size({"width": width, "height": max(800, height)})  # so that all pictures of the page load
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            page.wait_for_timeout(300)
            path = folder / f"{language}-{scheme}-{width}.png"
            # To hide the caret, Playwright adds a style, which the page's own policy forbids.
            page.screenshot(path=path, full_page=True, animations="disabled", caret="initial")
    page.set_viewport_size({"width": 1440, "height": 800})
    page.emulate_media(color_scheme="light")


def slug(words: str) -> str:
    """Words as the name of a folder."""
    return re.sub(r"[\W_]+", "-", words).strip("-")
