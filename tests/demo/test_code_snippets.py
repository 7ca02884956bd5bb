"""Calls as code: each runs as copied, in a real shell, a real Python and a real browser, and sends the same."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from demo import code_snippets
from sandbox import Running
from tests.hostile import Hostile, says, serve

Run = Callable[[str, str], str]
NASTY: dict[str, Any] = {
    "quotes": "it's \"quoted\" `twice` '\"'\"'",
    "shell": "$(touch pwned) ${HOME} !! \\ \\n %s",
    "lines": "one\ntwo\r\nthree\ttab",
    "page": "</script><!--<script>",
    "unseen": "\u2028\u2029\u202e\x85\x00\x7f\ufeff",
    "letters": "愛 👩‍👩‍👧 é",
    "long": "word " * 60,
    "__proto__": {"a": [True, False, None, -1.5, 10**12, [], {}]},
    "a\"b'c$(d)": "@file",
    "": "",
}


@pytest.fixture
def run(tmp_path: Path, chromium: Browser) -> Run:
    """Run code as somebody who copied it would, and return what it prints."""
    (tmp_path / code_snippets.FILE).write_bytes(b"Hello")

    def run_code(language: str, code: str) -> str:
        if language == "JavaScript":
            return in_browser(chromium, code)
        shell = ["bash", "-c", f"curl() {{ command curl -s -w '%{{http_code}}' \"$@\"; }}\n{code}"]
        command = shell if language == "curl" else [sys.executable, "-c", code]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True).stdout

    return run_code


def in_browser(chromium: Browser, code: str) -> str:
    """Run code in the browser's own console, at a page of the server that it calls."""
    page = chromium.new_page(bypass_csp=True)
    try:
        page.goto(re.findall("http://[0-9.:]+", code)[0])
        with page.expect_console_message(lambda message: message.type == "log") as told:
            page.evaluate(f"async () => {{ {code} }}")
        return told.value.text
    finally:
        page.close()


LANGUAGES = ("curl", "Python", "JavaScript")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_copied_call_needs_a_token_and_works_with_one(language: str, run: Run, sandbox: Running) -> None:
    code = code_snippets.of_call(f"{sandbox.origin}/api/i", {})[language]

    refused = run(language, code)
    assert "401" in refused
    assert "AUTHENTICATION_FAILED" in refused
    answered = run(language, code.replace("YOUR_ACCESS_TOKEN", "aliceNativeToken"))
    assert "200" in answered
    assert '"username": "alice"' in answered


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_copied_call_sends_what_was_meant(language: str, run: Run) -> None:
    with serve(says({})) as server:
        run(language, code_snippets.of_call(f"{server.origin}/api/notes/create", NASTY)[language])

        assert sent(server) == {"i": "YOUR_ACCESS_TOKEN", **NASTY}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_copied_upload_needs_a_token_and_works_with_one(language: str, run: Run, sandbox: Running) -> None:
    params = {"comment": "@it's <b> $(x)", "isSensitive": True, "folderId": None}
    code = code_snippets.of_upload(f"{sandbox.origin}/api/drive/files/create", params)[language]

    assert "401" in run(language, code)
    assert "200" in run(language, code.replace("YOUR_ACCESS_TOKEN", "aliceNativeToken"))
    file = list(sandbox.world.people["alice"].files.values())[-1]
    assert (file["comment"], file["isSensitive"], file["size"]) == ("@it's <b> $(x)", True, 5)


def test_nothing_in_a_copied_call_is_invisible() -> None:
    for code in code_snippets.of_call("https://misskey.example/api/i", NASTY).values():
        assert not set(code) & set("\u2028\u2029\u202e\x85\x00\x7f\ufeff")


def test_a_long_name_does_not_blow_a_call_up() -> None:
    params = {"x" * 9900: [0] * 5000}

    for code in code_snippets.of_call("https://misskey.example/api/i", params).values():
        assert len(code) < 200_000


def test_half_a_surrogate_pair_can_be_shown() -> None:
    for code in code_snippets.of_call("https://misskey.example/api/i", {"text": "\ud83d"}).values():
        assert "\\ud83d" in code.encode().decode()


def test_javascript_can_stand_in_a_page() -> None:
    code = code_snippets.of_call("https://misskey.example/api/i", NASTY)["JavaScript"]

    assert "</script" not in code
    assert "<!--" not in code


def sent(server: Hostile) -> Any:
    """What the last request that came to a server said."""
    return json.loads(next(request.body for request in reversed(server.requests) if request.method == "POST"))
