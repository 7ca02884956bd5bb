"""The package as somebody else has it: a copy of the folder, the packages that it says it needs, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "misskey"
_RUN = "import runpy, sys; sys.path[:0] = sys.argv[2:]; runpy.run_path(sys.argv[1], run_name='__main__')"


def requirements() -> list[str]:
    """Return the names of the packages that the folder says it needs."""
    return re.findall("^[A-Za-z0-9_-]+", (PACKAGE / "requirements.txt").read_text(), re.MULTILINE)


def _with_their_own(names: list[str]) -> set[str]:
    """Return these packages and what they need themselves."""
    found: set[str] = set()
    while names:
        name = names.pop()
        if name not in found:
            found.add(name)
            wanted = [line for line in metadata.requires(name) or [] if ";" not in line]
            names += [match[0].lower() for line in wanted if (match := re.match("[A-Za-z0-9_-]+", line))]
    return found


def copy(folder: Path) -> None:
    """Put a copy of the package into ``folder``, and the packages that it needs into ``folder/site``."""
    shutil.copytree(PACKAGE, folder / "misskey", ignore=shutil.ignore_patterns("__pycache__"))
    site = folder / "site"
    site.mkdir()
    for name in _with_their_own(requirements()):
        distribution = metadata.distribution(name)
        for part in {file.parts[0] for file in distribution.files or []} - {".."}:
            (site / part).symlink_to(Path(str(distribution.locate_file(part))))


def run(folder: Path, script: str, **environment: str) -> subprocess.Popen[str]:
    """Run ``script`` in ``folder``, where :func:`copy` has been, with nothing else to import than what is there."""
    (folder / "script.py").write_text(script)
    return subprocess.Popen(
        [sys.executable, "-I", "-S", "-u", "-c", _RUN, "script.py", str(folder), str(folder / "site")],
        cwd=folder,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
