"""What `make` installs, and when."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYTHON = f'exec "{sys.executable}" "$@"'  # of which the path may have a space


def program(path: Path, script: str) -> None:
    """Write a shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A clone whose Python writes down what pip is to install, and fails as often as the file `fails` says."""
    for name in ("Makefile", "requirements.txt", "requirements-sandbox.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path)
    program(
        tmp_path / ".venv" / "bin" / "python",
        f"""[ "$2" = pip ] || {PYTHON}
echo "$@" >> asked
env > environment
[ "$(wc -l < asked)" -gt "$(cat fails)" ]""",
    )
    program(tmp_path / "python", PYTHON)
    return tmp_path


def make(folder: Path, target: str, *, fails: int = 0) -> tuple[int, str, list[str]]:
    """Return the exit code, what was said, and what pip was asked to install, each time."""
    (folder / "fails").write_text(f"{fails}\n")
    (folder / "asked").unlink(missing_ok=True)
    command = ["make", target, "PAUSE=0", f"PYTHON={folder}/python"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    asked = (folder / "asked").read_text().splitlines() if (folder / "asked").exists() else []
    return done.returncode, done.stderr, [line.partition("--require-hashes ")[2] for line in asked]


def test_running_the_app_needs_less_than_testing_it(folder: Path) -> None:
    app = "-r requirements.txt -r requirements-sandbox.txt"

    assert make(folder, ".venv/app") == (0, "", [app])
    assert make(folder, ".venv/app") == (0, "", [])
    assert make(folder, ".venv/installed") == (0, "", ["-r requirements-dev.txt"])
    assert make(folder, ".venv/installed") == (0, "", [])


def test_a_package_index_that_fails_once_is_asked_again(folder: Path) -> None:
    code, said, asked = make(folder, ".venv/app", fails=1)

    assert (code, len(asked)) == (0, 2)
    assert "once more" in said


def test_a_package_index_that_goes_on_failing_is_told_in_words(folder: Path) -> None:
    code, said, asked = make(folder, ".venv/app", fails=2)

    assert (code != 0, len(asked)) == (True, 2)
    assert "Is there a way to the package index? Then: make .venv/app" in said
    assert make(folder, ".venv/app")[0] == 0


def test_what_whoever_installs_has_set_for_other_programs_leads_nothing_elsewhere(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = ("PIP_CONSTRAINT", "PIP_PREFIX", "PIP_TARGET", "PYTHONPATH", "PYTHONSAFEPATH")
    for name in (*others, "PIP_USER", "PIP_INDEX_URL"):
        monkeypatch.setenv(name, "1")

    assert make(folder, ".venv/app")[0] == 0

    told = dict(line.partition("=")[::2] for line in (folder / "environment").read_text().splitlines())
    assert not told.keys() & others
    assert (told["PIP_USER"], told["PIP_INDEX_URL"]) == ("0", "1")


@pytest.mark.parametrize(
    ("of_system", "of_path", "chosen"),
    [
        (["python3.11"], ["python3.11"], "system/python3.11"),
        (["python3.11"], ["python3.12"], "python3.12"),
        (["python3"], ["python3.11"], "python3.11"),
        ([], ["python3.11", "python3"], "python3.11"),
        (["python3"], [], "system/python3"),
    ],
)
def test_the_newest_python_is_taken_and_of_one_version_the_systems(
    tmp_path: Path, of_system: list[str], of_path: list[str], chosen: str
) -> None:
    (tmp_path / "print.mk").write_text("print:\n\t@echo '$(PYTHON)'\n")
    for name in ("python3.14", "python3.13", "python3.12", "python3.11", "python3"):  # as pyenv has for all it knows
        program(tmp_path / "path" / name, "exit 0" if name in of_path else "exit 127")
    for name in of_system:
        program(tmp_path / "system" / name, "exit 0")
    command = [
        "make",
        "--no-print-directory",
        "-f",
        f"{ROOT}/Makefile",
        "-f",
        "print.mk",
        f"SYSTEM={tmp_path}/system",
        "print",
    ]
    environment = os.environ | {"PATH": f"{tmp_path}/path:{os.environ['PATH']}"}
    for name in ("PYTHON", "MAKEFLAGS"):  # of make test PYTHON=...
        environment.pop(name, None)
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)

    assert done.stdout.strip().removeprefix(f"{tmp_path}/") == chosen


def refusal(folder: Path, python: str) -> str:
    """Return why make does not install, in a new clone with this shell script for a Python."""
    for name in ("Makefile", "requirements.txt", "requirements-sandbox.txt"):
        shutil.copy(ROOT / name, folder)
    program(folder / "python", python)
    command = ["make", ".venv/app", f"PYTHON={folder}/python"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("missing", ["ensurepip", "_sqlite3"])
def test_a_python_that_lacks_a_part_is_told_with_what_mends_it(tmp_path: Path, missing: str) -> None:
    """Debian packs one apart; pyenv builds without the other where its headers are missing."""
    said = refusal(tmp_path, f"""exec "{sys.executable}" -c "import sys; sys.modules['{missing}'] = None; $2" """)

    assert "is not whole: " in said
    assert missing in said
    assert "apt install python3-venv" in said
    assert "pyenv" in said


def test_a_folder_without_symbolic_links_is_told(tmp_path: Path) -> None:
    """Such as a shared folder of a virtual machine, or a drive with exFAT."""
    said = refusal(tmp_path, f'[ "$2" != venv ] || exit 1; {PYTHON}')

    assert "no symbolic links: move it" in said
    assert "package index" not in said
