"""Pages that are the same for everybody, and what the sign-in form keeps."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from flask import Flask

from sandbox import Running
from tests.cast import Visitor, query
from tests.misskey.test_example import example
from web.public_pages import EXAMPLE_CODE, EXAMPLE_SESSION_ID
from web.storage.sqlite_backend import CLOCK_SECONDS

ROOT = Path(__file__).parents[2]
PUBLIC = ("/", "/signin/token", "/how-it-works", "/privacy")


def described(page: str) -> str:
    found = re.search(r'<meta name="description" content="([^"]+)">', page)
    assert found
    return found[1]


def titled(page: str) -> str:
    found = re.search(r"<title>([^<]+)</title>", page)
    assert found
    return found[1]


@pytest.mark.parametrize("path", ["/account", *PUBLIC])
def test_phones_take_no_address_for_mail_and_no_id_for_a_number(alice: Visitor, path: str) -> None:
    page = alice.get(path, follow_redirects=True).text
    [told] = re.findall(r'<meta name="format-detection" content="([^"]+)">', page)

    assert set(told.split(", ")) == {"telephone=no", "date=no", "address=no", "email=no"}


@pytest.mark.parametrize("accepted", ["en", "ja"])
def test_every_page_has_a_title_and_a_description_of_its_own(visitor: Visitor, accepted: str) -> None:
    pages = [visitor.get(path, headers={"Accept-Language": accepted}).text for path in PUBLIC]

    assert len({titled(page) for page in pages}) == len(pages)
    assert len({described(page) for page in pages}) == len(pages)


def test_the_first_page_is_everybodys_but_its_token(
    app: Flask, sandbox: Running, make_app: Callable[..., Flask]
) -> None:
    """It is rendered once in each language of each app, which nobody may notice."""
    one, another = Visitor(app, sandbox), Visitor(app, sandbox)
    tokens = [set(re.findall('name="csrf_token" value="([^"]+)"', person.get("/").text)) for person in (one, another)]
    assert [len(own) for own in tokens] == [1, 1]
    assert tokens[0] != tokens[1]
    assert [person.begin() for person in (one, another)]

    fresh = [Visitor(app, sandbox), Visitor(make_app(APP_NAME="Another App"), sandbox)]
    for language in ("ja", "en", "ja"):
        accepted = {"Accept-Language": language}
        pages = [person.get("/", headers=accepted).text for person in fresh]
        assert [f'<html lang="{language}">' in page for page in pages] == [True, True]
        assert ["Another App" in page for page in pages] == [False, True]
    one.post("/language", {"language": "ja"})
    assert '<html lang="ja">' in one.get("/signin").text


def test_the_first_page_of_somebody_known_is_their_own(visitor: Visitor, sandbox: Running, app: Flask) -> None:
    visitor.get("/")
    visitor.begin()
    assert "Press “I have allowed it”" in visitor.get("/").text
    assert 'value="misskey.io"' in visitor.get("/?host=misskey.io").text
    assert "inside another app" in Visitor(app, sandbox).get("/", headers={"User-Agent": "Instagram 1"}).text
    assert "Press “I have allowed it”" not in Visitor(app, sandbox).get("/").text


@pytest.mark.parametrize("path", ["/how-it-works", "/privacy"])
def test_a_page_that_only_tells_needs_nobody_signed_in(visitor: Visitor, alice: Visitor, path: str) -> None:
    assert visitor.get(path).status_code == alice.get(path).status_code == 200
    assert f'href="{path}"' in visitor.get("/").text
    assert f'href="{path}"' in alice.get("/dashboard").text


def test_the_sign_in_is_shown_with_its_real_addresses(visitor: Visitor, app: Flask) -> None:
    page = unescape(visitor.get("/how-it-works").text)
    [address] = re.findall(r"Location: (\S+)</code>", page)

    assert urlsplit(address).path == f"/miauth/{EXAMPLE_SESSION_ID}"
    assert query(address)["callback"] == "http://localhost/callback"
    assert query(address)["permission"].split(",") == list(app.extensions["permissions"])
    assert f"http://localhost/callback?session={EXAMPLE_SESSION_ID}" in page
    assert f"https://misskey.io/api/miauth/{EXAMPLE_SESSION_ID}/check" in page


def test_the_picture_has_as_many_steps_as_the_list(visitor: Visitor) -> None:
    page = visitor.get("/how-it-works").text
    story = page.partition('<ol class="story">')[2].partition("</ol>")[0]

    assert len(re.findall(r'class="number"', page)) == story.count("<li>") == 8


def test_the_code_for_developers_is_the_packages_example(visitor: Visitor) -> None:
    assert EXAMPLE_CODE.strip() == example().strip()
    assert EXAMPLE_CODE in unescape(visitor.get("/how-it-works").text)


def test_privacy_tells_what_the_settings_say(make_app: Callable[..., Flask], sandbox: Running) -> None:
    page = Visitor(make_app(SESSION_DAYS="7"), sandbox).get("/privacy").text

    assert "up to 7 days" in page
    assert "“miauth_session_80”" in page


@pytest.mark.parametrize(
    ("language", "words"), [("en", "It may rest for another hour"), ("ja", "最長 1 時間は残ります")]
)
def test_privacy_tells_that_what_has_expired_may_rest_for_a_while(visitor: Visitor, language: str, words: str) -> None:
    assert CLOCK_SECONDS == 3600
    assert words in visitor.get("/privacy", headers={"Accept-Language": language}).text


def test_privacy_tells_of_everything_in_the_cookie(alice: Visitor) -> None:
    alice.begin()
    alice.post("/language", {"language": "en"})
    told = {"accounts", "last_server", "language", "csrf_token", "signed_out", "added", "_permanent"}

    assert alice.cookie().keys() <= told


@pytest.mark.parametrize("path", ["/favicon.ico", "/apple-touch-icon.png"])
def test_the_apps_picture_is_where_others_look_for_it(visitor: Visitor, path: str) -> None:
    with visitor.get(path, follow_redirects=True) as answer:
        assert answer.mimetype == "image/png"


def test_robots_may_read_the_pages_for_everybody_only(visitor: Visitor) -> None:
    answer = visitor.get("/robots.txt")

    assert answer.mimetype == "text/plain"
    allowed = re.findall(r"^Allow: (\S+)$", answer.text, re.MULTILINE)
    assert allowed == ["/$", "/dashboard$", "/how-it-works", "/privacy", "/static/"]
    assert answer.text.endswith("\nDisallow: /\n")


@pytest.mark.parametrize(("path", "name"), [("/signin", "host"), ("/signin/token", "host")])
def test_who_is_asked_to_wait_keeps_what_was_typed(
    make_app: Callable[..., Flask], sandbox: Running, path: str, name: str
) -> None:
    busy = Visitor(make_app(SIGNIN_LIMIT="1 per minute"), sandbox)
    busy.post(path, {name: "x"})

    answer = busy.post(path, {name: "typed with care", "preset": "read"})

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert 'value="typed with care"' in answer.text
    assert "Too many tries" in answer.text
    assert "Wait 60 seconds" in answer.text


def test_a_form_from_long_ago_keeps_what_was_typed_also_when_it_is_too_often(
    make_app: Callable[..., Flask], sandbox: Running
) -> None:
    busy = Visitor(make_app(SIGNIN_LIMIT="1 per minute"), sandbox)
    busy.get("/")
    form = {"host": "typed with care", "csrf_token": "old"}

    answers = [busy.client.post("/signin", data=form) for _ in range(2)]

    assert [answer.status_code for answer in answers] == [422, 429]
    assert all('value="typed with care"' in answer.text for answer in answers)


@pytest.mark.parametrize("path", ["/nowhere", "/signin/resume", "/callback?session=x", "/dashboard/profile?account=x"])
def test_every_problem_leads_home(alice: Visitor, path: str) -> None:
    answer = alice.get(path)

    assert answer.status_code >= 400
    assert re.search(r'role="button" href="/[^"]*"', answer.text)


def test_being_asked_to_wait_elsewhere_leads_home(make_app: Callable[..., Flask], sandbox: Running) -> None:
    busy = Visitor(make_app(SIGNIN_LIMIT="1 per minute"), sandbox)
    busy.post("/signin/resume")

    answer = busy.post("/signin/resume")

    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "60")
    assert 'role="button" href="/"' in answer.text


@pytest.mark.parametrize("log", ["text", "json"])
def test_the_privacy_page_says_what_the_log_holds(json_log: object, make_app: Callable[..., Flask], log: str) -> None:
    page = make_app(LOG=log).test_client().get("/privacy").text

    assert ("It also notes which servers it asks" in page) == (log == "json")


@pytest.mark.parametrize(("path", "name"), [("/", "host"), ("/signin/token", "host"), ("/signin/token", "token")])
def test_no_keyboard_mends_what_is_for_a_machine(visitor: Visitor, path: str, name: str) -> None:
    field = re.search(rf'<input[^>]* id="{name}"[^>]*>', visitor.get(path).text)

    assert field
    assert {'autocapitalize="none"', 'autocorrect="off"', 'spellcheck="false"'} <= set(field[0].split())
