"""What git says of the project, also where it has no repository, as when it was downloaded in a ZIP file."""

from __future__ import annotations

import atexit
import subprocess
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parent.parent


def files() -> list[str]:
    """Return the names of all files as they are now, but for what is not meant to be committed."""
    listed = git("ls-files", "--cached", "--others", "--exclude-standard")
    return [name for name in listed if (ROOT / name).is_file()]


def git(*command: str) -> list[str]:
    """Return the lines that git answers; raise :class:`subprocess.CalledProcessError` where it fails."""
    return _run(*_repository(), *command).splitlines()


@cache
def _repository() -> tuple[str, ...]:
    """Return git's options for the project: where there is no repository, an empty one elsewhere."""
    try:
        _run("rev-parse", "--git-dir")
    except subprocess.CalledProcessError:
        folder = TemporaryDirectory()
        atexit.register(folder.cleanup)
        _run("init", "--quiet", "--bare", folder.name)
        return (f"--git-dir={folder.name}", f"--work-tree={ROOT}")
    return ()


def _run(*command: str) -> str:
    return subprocess.run(["git", *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout
