"""Takes the picture of the README."""

from __future__ import annotations

import logging
import tempfile

from flask import Flask
from playwright.sync_api import sync_playwright

from app import create_app
from sandbox import serve
from tests import find_browser
from tests.browsing import ARGUMENTS, arrive
from tests.cast import environment, served
from web.environment import ROOT

OF_THE_README = ROOT / "docs" / "dashboard.png"


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
