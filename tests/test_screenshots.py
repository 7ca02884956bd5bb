"""The page that lists the pictures of `make screenshots`."""

from __future__ import annotations

from pathlib import Path

from tests.access import slug
from tests.screenshots import write_index


def test_pictures_are_listed_state_by_state(tmp_path: Path) -> None:
    for state in (slug("the_first_page empty"), slug("a_note not deleted")):
        (tmp_path / state).mkdir()
        for name in ("en-light-360.png", "ja-dark-1440.png"):
            (tmp_path / state / name).touch()
    write_index(tmp_path)
    page = (tmp_path / "index.html").read_text()

    assert page.index("<h2>a note not deleted</h2>") < page.index("<h2>the first page empty</h2>")
    assert page.count("<img ") == 4
    assert 'href="a-note-not-deleted/ja-dark-1440.png"' in page
