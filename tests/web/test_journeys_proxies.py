"""The app as hosts set it up: behind TLS, and behind proxies with a mind of their own."""

from __future__ import annotations

from collections.abc import Callable

from flask import Flask
from playwright.sync_api import Browser, expect

from sandbox import Running
from tests.access import check_widths
from tests.browsing import (
    begin,
    decide,
    expect_dashboard,
    expect_title,
    have_signed_in,
    open_menu,
    sign_in,
    watched,
)
from tests.cast import served, through
from tests.hostile import certified


def test_every_form_works_behind_a_proxy_that_forbids_referrers(
    chromium: Browser, make_app: Callable[..., Flask], sandbox: Running
) -> None:
    """There, Chromium sends ``Origin: null``."""
    make = through(make_app, answer={"Referrer-Policy": "no-referrer"})
    with (
        served(make, PRIVATE_SERVERS=sandbox.origin) as site,
        watched(chromium, site, sandbox, "en") as browsers,
    ):
        page = browsers.open()
        sign_in(page, sandbox)
        with page.expect_request("**/language") as asked:
            page.get_by_role("button", name="日本語").click()
        assert asked.value.headers["origin"] == "null"
        expect(page.locator("html")).to_have_attribute("lang", "ja")
        page.get_by_role("button", name="English").click()
        open_menu(page).get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="You are signed out")).to_be_visible()


def test_in_production_a_form_leads_to_a_private_server_on_http(
    chromium: Browser, make_app: Callable[..., Flask], sandbox: Running
) -> None:
    """Browsers apply a page's ``form-action`` to the redirect that answers its form, too."""
    with (
        served(make_app, certified("localhost"), PRIVATE_SERVERS=sandbox.origin) as site,
        watched(chromium, site, sandbox, "en") as browsers,
    ):
        page = browsers.open(ignore_https_errors=True)
        begin(page, sandbox.origin)
        decide(page)
        expect_dashboard(page)


def test_a_circle_ends_in_words(chromium: Browser, make_app: Callable[..., Flask], sandbox: Running) -> None:
    with (
        served(through(make_app, host="app:8000")) as site,
        watched(chromium, site, sandbox, "en") as browsers,
    ):
        browsers.statuses = {503}
        page = browsers.open()
        page.goto("/")
        expect_title(page, "This site is not set up right yet")
        expect(page.get_by_text("proxy_set_header Host $host;")).to_be_visible()


def test_a_long_name_of_the_app_leaves_room_for_the_account(
    chromium: Browser, make_app: Callable[..., Flask], sandbox: Running
) -> None:
    with (
        served(make_app, PRIVATE_SERVERS=sandbox.origin, APP_NAME="ミスキー" * 32) as site,
        watched(chromium, site, sandbox, "en") as browsers,
    ):
        page = browsers.open()
        have_signed_in(page, sandbox)
        page.goto("/account")
        expect_title(page, "Account and sign-ins")
        check_widths(page)
