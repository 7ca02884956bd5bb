"""What was typed stays where it is, whatever becomes of a form."""

from __future__ import annotations

import re
import uuid
from pathlib import Path

import pytest

from sandbox import Running
from tests.cast import Visitor
from tests.web.test_error_pages import break_store


def test_what_was_typed_stays_where_it_is_when_a_part_is_refused(alice: Visitor) -> None:
    alice.post("/signout")

    form = {"text": "hello", "draft": str(uuid.uuid4())}
    answer = alice.post("/notes", form, headers={"HX-Request": "true"})

    assert answer.status_code == 401
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reswap"]) == ("previous .told", "innerHTML show:top")


@pytest.mark.parametrize("path", ["/notes", "/files", "/console"])
@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_a_form_of_an_account_that_is_gone_says_so(
    alice: Visitor, sandbox: Running, path: str, headers: dict[str, str]
) -> None:
    """Another tab added Bob, which renews the token of the forms, and signed Alice out."""
    (found,) = set(re.findall('name="account" value="([^"]+)"', alice.get("/dashboard").text))
    alice.sign_in("bob")
    alice.post("/signout", {"account": found})

    form = {"csrf_token": "from before", "account": found, "draft": str(uuid.uuid4())}
    answer = alice.client.post(path, data=form, headers=headers)

    assert answer.status_code == 401
    assert "You are signed out" in answer.text


def test_what_came_of_a_form_can_fail_and_the_form_stays(alice: Visitor, tmp_path: Path) -> None:
    location = alice.post("/notes", {"text": "hello", "draft": str(uuid.uuid4())}).location
    break_store(tmp_path)

    answer = alice.get(location, headers={"HX-Request": "true"})

    assert answer.status_code == 503
    assert (answer.headers["HX-Retarget"], answer.headers["HX-Reswap"]) == ("previous .told", "innerHTML show:top")
