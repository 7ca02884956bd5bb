"""Clients that nobody here wrote, at the sandbox: a sign-in, calls and a stream. They need Node.js: `make proof`.

What they trip over, a client of this project could trip over at a real server unnoticed.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from sandbox import Running

FOLDER = Path(__file__).with_name("foreign_clients")


@pytest.fixture(scope="session")
def node() -> str:
    """Node.js with the clients, in the versions of the lock; without it the tests fail."""
    npm, node = shutil.which("npm"), shutil.which("node")
    assert npm, "npm, which comes with Node.js, was not found"
    assert node, "Node.js was not found"
    done = subprocess.run([npm, "ci", "--loglevel=error"], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return node


@pytest.mark.parametrize(("client", "refused"), [("misskey-js", "PERMISSION_DENIED"), ("megalodon", "NO_SUCH_NOTE")])
def test_a_client_that_nobody_here_wrote_signs_in_calls_and_listens(
    sandbox: Running, node: str, client: str, refused: str
) -> None:
    command = [node, f"{client}.mjs", sandbox.origin]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "signedIn": "alice",
        "called": "alice",
        "refused": refused,
        "posted": f"from {client}",
        "heard": ["bob", "mention"],
    }
