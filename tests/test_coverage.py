"""What no test reaches is told, and counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.coverage import FOLDERS

ROOT = Path(__file__).parent.parent
APP = """\
def half(number: int) -> int:
    if number % 2:
        raise ValueError
    return number // 2
"""
TESTS = """\
from app import half

def test_half():
    assert half(2) == 1

def test_half_again():
    assert half(4) == 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project in which tests reach three of four lines, one of two branches, and nothing of a module."""
    for folder in FOLDERS:
        (tmp_path / folder).mkdir()
    (tmp_path / "app.py").write_text(APP)
    (tmp_path / "web/module.py").write_text("name = 1\n")
    (tmp_path / "test_app.py").write_text(TESTS)
    return tmp_path


@pytest.mark.parametrize(
    ("options", "reached", "is_enough"),
    [
        (("--coverage-least=57.2", "--numprocesses=2"), "57.14", False),
        (("--coverage-least=66.6", "--coverage-of=app.py"), "66.67", True),
    ],
)
def test_what_is_not_reached_is_told_and_counts(
    project: Path, options: tuple[str, ...], reached: str, is_enough: bool
) -> None:
    command = [sys.executable, "-m", "pytest", "-p", "tests.coverage", f"--rootdir={project}", *options]
    env = {"PYTHONPATH": f"{ROOT}:{project}"}
    done = subprocess.run(command, cwd=project, env=env, capture_output=True, text=True, check=False)

    assert "2 passed" in done.stdout.splitlines()[-1]
    assert f"{reached} %" in done.stdout
    assert ("web/module.py" in done.stdout) is ("--coverage-of=app.py" not in options)
    assert done.returncode == (0 if is_enough else 1)
