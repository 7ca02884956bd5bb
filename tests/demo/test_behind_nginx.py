"""What the demonstration asks of a proxy: live notes at once, and large files; docs/hosting.md says how."""

from __future__ import annotations

import ssl
import uuid
from pathlib import Path

import pytest

from sandbox import Running
from tests.demo.test_large_uploads import upload
from tests.demo.test_live import connected, events
from tests.hostile import MEBIBYTE, serve
from tests.web import test_gunicorn
from tests.web.test_behind_nginx import browser_at, hosted, sign_in
from tests.web.test_gunicorn import csrf_token, takes_files

SIZE = 40 * MEBIBYTE


@pytest.mark.long
def test_live_notes_are_not_held_back(tmp_path: Path, sandbox: Running) -> None:
    with hosted(tmp_path, sandbox) as (url, authority):
        browser = sign_in(url, authority, sandbox, "write:notes")
        with browser.get(f"{url}/live", stream=True, timeout=60) as answer:
            news = connected(events(answer), sandbox)
            form = {"csrf_token": csrf_token(browser, url), "text": "Hello from afar", "draft": str(uuid.uuid4())}
            posted = browser.post(f"{url}/notes", form, allow_redirects=False)

            assert posted.status_code == 303
            assert "Hello from afar" in next(data for name, data in news if name == "note")


def test_a_large_file_passes(tmp_path: Path) -> None:
    """Larger than what nginx takes unless it is told to."""
    with serve(takes_files) as server, hosted(tmp_path, server) as (url, authority):
        cookie, token = test_gunicorn.sign_in(url, server, browser_at(url, authority))

        assert upload(url, cookie, token, SIZE, ssl.create_default_context(cafile=authority)) == 303

        assert server.drained > SIZE
