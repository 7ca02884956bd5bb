"""``make proof``: whether the tests see every line of the sign-in, and how many changes of its code they notice.

mutmut changes the modules that ``[tool.mutmut]`` names, one place at a time, and runs the tests of each. It leaves out
functions with a decorator, such as views and properties. What the tests do not notice belongs into ``survivors.toml``,
with the reason, or is a gap.
"""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
LEAST = 90  # of a hundred changes, so many are to be noticed
NOTICED = ("killed",)  # on a busy machine, "timeout" need not mean that a change made a test hang
MUTMUT = str(Path(sys.executable).with_name("mutmut"))


def run(*command: str) -> int:
    """Run a program of this environment, its words for all to see, and return its exit code."""
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, check=False).returncode


def told(*command: str) -> str:
    """Return what mutmut says."""
    return subprocess.run([MUTMUT, *command], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def statuses(text: str, wanted: list[str]) -> dict[str, str]:
    """Return what became of each change, by its name, from what ``mutmut results`` says."""
    found = re.findall(r"^\s+(\S+): (.+)$", text, re.MULTILINE)
    return {name: status for name, status in found if any(fnmatch.fnmatch(name, pattern) for pattern in wanted)}


def change(name: str, text: str) -> str:
    """Return a change in one line, from what ``mutmut show`` says: the function, and what its lines become."""
    lines = [line[1:].strip() for line in text.splitlines() if re.match(r"\+(?!\+\+)", line)]
    function = re.sub(r"x_|xǁ", "", re.sub(r"__mutmut_\d+$", "", name), count=1).replace("ǁ", ".")
    return f"{function}: {' '.join(lines)}"


def reasons(text: str) -> dict[str, str]:
    """Return why each change that nobody has to notice is none, by the change."""
    return {known: entry["why"] for entry in tomllib.loads(text)["survivors"] for known in entry["changes"]}


def report(found: dict[str, str], unnoticed: dict[str, str]) -> tuple[str, bool]:
    """Return what to tell of all changes, those that nothing noticed with their reasons, and whether it is enough."""
    missing = [name for name, status in found.items() if status == "not checked"]
    if missing or not found:
        return f"Not done: {len(missing)} of {len(found)} changes were not tried.", False
    noticed = sum(status in NOTICED for status in found.values())
    share = 100 * noticed / len(found)
    lines = [f"{shown}\n    {why or 'No reason is known: this is a gap.'}" for shown, why in unnoticed.items()]
    return "\n".join([*lines, f"The tests notice {noticed} of {len(found)} changes: {share:.1f} %."]), share >= LEAST


def main(wanted: list[str]) -> int:
    """Measure, for all modules or for these changes alone; 0 when it is enough."""
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    tests = ["tests/misskey", "tests/web", "-m", "not browser", "--numprocesses=auto", "--dist=worksteal"]
    if run("pytest", "-q", *tests, "--cov", "--cov-report=", "--cov-fail-under=0"):
        return 1
    if run("coverage", "report", "--fail-under=100", f"--include={','.join(settings['only_mutate'])}"):
        return 1
    if subprocess.run([MUTMUT, "run", *wanted], cwd=ROOT, check=False).returncode:
        return 1
    found = statuses(told("results", "--all", "true"), wanted or ["*"])
    known = reasons((ROOT / "tests" / "survivors.toml").read_text())
    shown = [change(name, told("show", name)) for name, status in found.items() if status not in NOTICED]
    text, is_enough = report(found, {line: known.get(line, "") for line in shown})
    sys.stdout.write(f"{text}\n")
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
