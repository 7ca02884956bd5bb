"""Lists the pictures of `make screenshots` on one page; run as a program, takes the picture of the README."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from flask import Flask
from markupsafe import Markup
from playwright.sync_api import sync_playwright

from app import create_app
from sandbox import serve
from tests import find_browser
from tests.browsing import ARGUMENTS, arrive
from tests.cast import environment, served
from web.config import ROOT

OF_THE_README = ROOT / "docs" / "dashboard.png"

PAGE = Markup("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Every page and state</title>
<style>
  :root {{ color-scheme: light dark; font-family: sans-serif; }}
  div {{ display: flex; gap: 1rem; align-items: start; }}
  a {{ flex: 1; }}
  img {{ display: block; width: 100%; max-height: 20rem; object-fit: cover; object-position: top; border: 1px solid; }}
</style>
<h1>Every page and state</h1>
{}
""")
STATE = Markup("<h2>{}</h2>\n<div>\n{}</div>\n")
PICTURE = Markup('<a href="{0}"><img src="{0}" alt="" loading="lazy">{1}</a>\n')


def write_index(folder: Path) -> None:
    """List all pictures of a folder, state by state."""
    states = groupby(sorted(folder.glob("*/*.png")), key=lambda path: path.parent)
    (folder / "index.html").write_text(PAGE.format(Markup("").join(listed(state, paths) for state, paths in states)))


def listed(state: Path, pictures: Iterable[Path]) -> Markup:
    links = (PICTURE.format(f"{state.name}/{path.name}", path.stem.replace("-", " ")) for path in pictures)
    return STATE.format(state.name.replace("-", " "), Markup("").join(links))


def main() -> None:
    """Take the picture of the README: the dashboard of Alice."""
    logging.disable()
    with tempfile.TemporaryDirectory() as folder, serve(3000) as sandbox, sync_playwright() as playwright:

        def make(**settings: str) -> Flask:
            return create_app(environment(folder, **settings))

        with served(make, PRIVATE_SERVERS=sandbox.origin) as url:
            chromium = playwright.chromium.launch(executable_path=find_browser.find(), args=ARGUMENTS)
            page = chromium.new_page(base_url=url, locale="en-GB", viewport={"width": 1440, "height": 1000})
            arrive(page, sandbox)
            page.wait_for_load_state("networkidle")
            OF_THE_README.parent.mkdir(exist_ok=True)
            page.screenshot(path=OF_THE_README, animations="disabled")
            chromium.close()


if __name__ == "__main__":
    main()
