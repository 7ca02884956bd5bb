"""An app of one's own: the demonstration taken out of a copy, which is whole all the same."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import project
from tests.demo.make_own import slug_of

pytestmark = pytest.mark.long
ROOT = Path(__file__).parents[2]
NAME = "Kaede Notes"
LEFT_BEHIND = re.compile(
    r"\bdemo\b|demonstration|デモ|sign.in.with.misskey|timeline\b|/notes\b|/files\b|/console\b|/live\b", re.IGNORECASE
)
#: What may name these: the protocol, the pretend server, and the licence.
ALLOWED = ("misskey/", "sandbox/", "tests/", "LICENSE", "static/vendor/", "requirements", ".gitignore", "CHANGELOG.md")


def run(folder: Path, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def clone(folder: Path) -> Path:
    """A copy of all files of this project as they are now, in a repository of its own."""
    for name in project.files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    if (known := ROOT / ".mypy_cache").exists():  # of make check: the types of packages take mypy longest
        shutil.copytree(known, folder / known.name)
    run(folder, "git", "init", "--quiet")
    commit(folder)
    return folder


def commit(folder: Path) -> None:
    """Commit what is there."""
    run(folder, "git", "add", "--all")
    author = ("-c", "user.name=A", "-c", "user.email=a@example.com")
    assert run(folder, "git", *author, "commit", "--quiet", "--message", "A copy").returncode == 0


def make_own(folder: Path, name: str) -> subprocess.CompletedProcess[str]:
    return run(folder, sys.executable, "-m", "tests.demo.make_own", NAME=name)


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = clone(tmp_path_factory.mktemp("own"))
    done = make_own(folder, NAME)
    assert done.returncode == 0, done.stderr
    return folder


def files(folder: Path) -> list[Path]:
    names = run(folder, "git", "ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines()
    return [folder / name for name in names if (folder / name).is_file()]


def test_nothing_of_the_demonstration_is_left(own: Path) -> None:
    for path in files(own):
        name = path.relative_to(own).as_posix()
        if name.startswith(ALLOWED) or path.suffix in (".png", ".mo"):
            continue
        found = LEFT_BEHIND.search(path.read_text())
        assert not found, f"{name}: {found}"
    assert not (own / "demo").exists()


def test_it_has_its_own_name(own: Path) -> None:
    for readme in ("README.md", "README.ja.md"):
        assert (own / readme).read_text().startswith(f"# {NAME}\n")
    assert f'APP_NAME = "{NAME}"' in (own / "web/config.py").read_text()
    assert 'USER_AGENT = f"kaede-notes/{VERSION}"' in (own / "app.py").read_text()


def test_it_passes_its_own_checks(own: Path) -> None:
    [checks] = re.findall(r"^check: .*\n((?:\t.*\n)+)", (own / "Makefile").read_text(), re.MULTILINE)
    for command in re.findall(r"-m (ruff check|ruff format|mypy)(.*)", checks):
        arguments = "".join(command).partition("||")[0].split()
        done = run(own, sys.executable, "-m", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr


def test_it_passes_its_own_tests(own: Path) -> None:
    """Through to a sign-in; what the others test is the same here, but for what these say."""
    names = (
        *("test_promises", "test_proof", "test_repository", "test_project_files", "test_documents"),
        *("web/test_signin", "web/test_dashboard", "web/test_error_pages", "web/test_translations", "web/test_image"),
        "web/test_redis",
    )
    tests = [f"tests/{name}.py" for name in names]
    tests.append("tests/sandbox/test_make_run.py::test_while_developing_a_change_of_the_env_file_counts_at_once")
    done = run(own, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)

    assert done.returncode == 0, done.stdout[-5000:]


@pytest.mark.parametrize(
    ("name", "slug"), [(NAME, "kaede-notes"), ("My Misskey!", "my"), ("かえで", "app"), ("misskey", "app")]
)
def test_programs_know_it_by_a_name_that_servers_take(name: str, slug: str) -> None:
    assert slug_of(name) == slug


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return clone(tmp_path_factory.mktemp("untouched"))


@pytest.mark.parametrize("name", ["", "x" * 200, "a\nb"])
def test_a_name_that_no_app_can_have_is_refused_before_anything_is_lost(untouched: Path, name: str) -> None:
    done = make_own(untouched, name)

    assert done.returncode == 1
    assert done.stderr.startswith("Not done: ")
    assert not run(untouched, "git", "status", "--porcelain").stdout


def test_work_of_somebody_is_not_lost(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    (folder / "demo" / "mine.py").write_text("")

    done = make_own(folder, NAME)

    assert done.returncode == 1
    assert "nothing of yours is lost" in done.stderr
    assert (folder / "demo" / "mine.py").exists()


def test_a_project_that_was_renamed_by_hand_is_not_half_taken_apart(tmp_path: Path) -> None:
    folder = clone(tmp_path)
    config = folder / "web" / "config.py"
    config.write_text(config.read_text().replace("Sign in with Misskey", "Maple"))
    commit(folder)

    done = make_own(folder, NAME)

    assert done.returncode == 1
    assert "web/config.py has no “Sign in with Misskey” any more" in done.stderr
    assert not run(folder, "git", "status", "--porcelain").stdout
