"""The page about the package: each program on it is run, by whoever has nothing but the copied folder."""

from __future__ import annotations

import ast
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from misskey import TOTAL_SECONDS
from misskey.responses import MAX_ANSWER_BYTES
from misskey.streaming import SILENCE_SECONDS
from misskey.transport import CONNECT_SECONDS
from sandbox import Running
from tests.misskey import isolation

README = (isolation.PACKAGE / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + b"\0\0\0\1\0\0\0\1"
SECONDS = 60


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    isolation.copy(tmp_path)
    return tmp_path


def at(sandbox: Running, code: str) -> str:
    """Return ``code`` with the sandbox in the place of the server that it names."""
    here = f'Server.parse("{urlsplit(sandbox.origin).netloc}", ["{sandbox.origin}"])'
    changed, count = re.subn(r'Server\.parse\("(@alice@)?misskey\.io"\)', here, code)
    assert count == 1
    return changed


def wait(until: Callable[[], object]) -> None:
    deadline = time.monotonic() + SECONDS
    while not until():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_signing_in_calling_failing_and_uploading_work_as_they_are_shown(folder: Path, sandbox: Running) -> None:
    (folder / "picture.png").write_bytes(PNG)
    sign_in, *others, _bot = BLOCKS
    with isolation.run(folder, at(sandbox, sign_in) + "".join(others)) as program:
        assert program.stdin
        assert program.stdout
        page = urlsplit(program.stdout.readline())
        session_id = page.path.rpartition("/")[2].strip()
        program.stdin.write("\n")  # too early: nobody has allowed it
        program.stdin.flush()
        wait(lambda: ("POST", f"/api/miauth/{session_id}/check") in sandbox.requests)
        permissions = parse_qs(page.query)["permission"][0].strip().split(",")
        sandbox.world.approve(sandbox.world.people["alice"], permissions, session_id, "MyApp")
        said, complaints = program.communicate("\n", timeout=SECONDS)

    assert (program.returncode, complaints) == (0, "")
    assert f"Signed in as alice@{urlsplit(sandbox.origin).netloc}\n" in said
    assert "\nalice Hello\n" in said
    assert "\nThe server says no: NO_SUCH_NOTE\n" in said
    posted = {note["text"]: note for note in sandbox.world.notes.values()}
    assert posted["Hello"]["visibility"] == "followers"
    assert [file["comment"] for file in posted["Look"]["files"]] == ["A red square"]


def test_the_bot_answers_a_ping(folder: Path, sandbox: Running) -> None:
    def is_answered() -> bool:
        sandbox.world.post(sandbox.world.people["bob"], text="ping")  # again and again: the bot may not listen yet
        time.sleep(0.1)
        return "pong" in [note["text"] for note in [*sandbox.world.notes.values()]]

    with isolation.run(folder, at(sandbox, BLOCKS[-1]), TOKEN="aliceNativeToken") as bot:
        try:
            wait(is_answered)
        finally:
            bot.kill()


def test_the_bot_ends_when_its_token_is_refused(folder: Path, sandbox: Running) -> None:
    with isolation.run(folder, at(sandbox, BLOCKS[-1]), TOKEN="wrong") as bot:
        _, complaints = bot.communicate(timeout=SECONDS)

    assert bot.returncode == 1
    assert complaints.splitlines()[-1].startswith("misskey.errors.AuthenticationFailed: ")


def test_a_copy_can_import_nothing_but_what_it_says_it_needs(folder: Path) -> None:
    """Were this repository or its packages within reach, the other tests here would prove nothing."""
    script = """
from importlib.util import find_spec
import misskey
print(misskey.__file__)
print([name for name in ("flask", "web", "demo", "app", "sandbox", "tests", "cachetools") if find_spec(name)])
"""
    with isolation.run(folder, script) as program:
        said, complaints = program.communicate(timeout=SECONDS)

    assert (said.splitlines(), complaints) == ([str(folder / "misskey" / "__init__.py"), "[]"], "")


def test_what_the_package_imports_is_what_it_says_it_needs() -> None:
    imported = set()
    for path in isolation.PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                imported.add((node.module or "").partition(".")[0])

    assert imported - sys.stdlib_module_names == set(isolation.requirements())


def test_the_page_is_one_page_and_its_sign_in_short() -> None:
    assert 60 <= len(README.splitlines()) <= 115
    assert len(BLOCKS[0].splitlines()) <= 25


def test_the_bounds_that_the_page_tells_are_those_of_the_code() -> None:
    assert f"at most {TOTAL_SECONDS:.0f} seconds, {CONNECT_SECONDS:.0f} of them to connect" in README
    assert f"at most {MAX_ANSWER_BYTES // 1024**2} MiB" in README
    assert f"{SILENCE_SECONDS:.0f} seconds of silence end a stream" in README


def test_every_file_that_the_page_names_is_there() -> None:
    for name in re.findall(r"\]\(([a-z_.]+)\)", README):
        assert (isolation.PACKAGE / name).is_file(), name
