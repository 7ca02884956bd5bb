"""The example that the package shows, as it is written."""

from __future__ import annotations

import re
import textwrap
from typing import Any
from urllib.parse import urlsplit

import pytest

import misskey
from sandbox import Running


def example() -> str:
    """The lines that the package shows."""
    assert misskey.__doc__
    return textwrap.dedent(re.findall(r"::\n\n((?:    .*\n|\n)+)", misskey.__doc__)[0])


def test_the_example_of_the_package_posts_a_note(
    sandbox: Running, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = example()
    here = f'Server.parse("{urlsplit(sandbox.origin).netloc}", ["{sandbox.origin}"])'
    assert 'Server.parse("@alice@misskey.io")' in code

    def allow(_: Any) -> str:
        session_id = urlsplit(capsys.readouterr().out).path.rpartition("/")[2]
        sandbox.world.approve(sandbox.world.people["alice"], ["write:notes"], session_id, "MyApp")
        return ""

    monkeypatch.setattr("builtins.input", allow)
    exec(code.replace('Server.parse("@alice@misskey.io")', here), {})  # noqa: S102 - it is our own

    assert "Hello" in [note["text"] for note in sandbox.world.notes.values()]
