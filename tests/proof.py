"""``make proof``: how much the tests of the sign-in are worth.

They have to reach every branch of it; clients that nobody here wrote have to get along with the sandbox; no input that
the fuzzer finds in a minute may break anything; and the tests have to notice changes of the code. mutmut makes these in
the modules that ``[tool.mutmut]`` names, one place at a time, but not in functions with a decorator, such as views and
properties. A change that no test notices belongs into ``survivors.toml``, with the reason, or is a gap.
"""

from __future__ import annotations

import fnmatch
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests import fuzz

ROOT = Path(__file__).parent.parent
LEAST = 90  # of a hundred changes, so many are to be noticed
FUZZ_SECONDS = 60  # for each target
#: By the tests, or by mypy before them. On a busy machine, "timeout" need not mean that a change made a test hang.
NOTICED = ("killed", "caught by type check")
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
    lines = lines or ["without", *(line[1:].strip() for line in text.splitlines() if re.match("-(?!--)", line))]
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
    by_types = list(found.values()).count("caught by type check")
    told = f"The tests notice {noticed - by_types} of {len(found)} changes, mypy {by_types}: {share:.1f} %."
    return "\n".join([*lines, told]), share >= LEAST


def missing() -> str:
    """Return in words what the machine lacks, ``""`` for nothing: it would be known only after long otherwise."""
    return "\n".join(
        [
            *(["Node.js was not found: https://nodejs.org"] if not shutil.which("node") else []),
            *(["npm, which comes with Node.js, was not found."] if not shutil.which("npm") else []),
            *([fuzz.NOT_HERE] if not importlib.util.find_spec("atheris") else []),
        ]
    )


def before_mutations(modules: list[str]) -> bool:
    """Return whether all is well but for the changes, which take hours; stops at the first that is not."""
    tests = ["tests/misskey", "tests/web", "-m", "not browser", "--numprocesses=auto", "--dist=worksteal"]
    coverage = ["-p", "tests.coverage", "--coverage-least=100", f"--coverage-of={','.join(modules)}"]
    return not (
        run("pytest", "-q", *tests, *coverage)
        or run("pytest", "-q", "tests/sandbox/foreign_clients.py")
        or run("tests.fuzz", "--seconds", str(FUZZ_SECONDS))
    )


def main(wanted: list[str]) -> int:
    """Measure everything, or what the tests notice of these changes alone; 0 when it is enough."""
    settings: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]
    if not wanted and (lacking := missing()):
        sys.stderr.write(f"{lacking}\n")
        return 2
    if not wanted and not before_mutations(settings["only_mutate"]):
        return 1
    # Which test reaches which function: mutmut would know nothing of new functions that former tests reach.
    (ROOT / "mutants" / "mutmut-stats.json").unlink(missing_ok=True)
    at_once = str(2 * (os.cpu_count() or 1))  # many changes make a test wait until it is ended
    if subprocess.run([MUTMUT, "run", "--max-children", at_once, *wanted], cwd=ROOT, check=False).returncode:
        return 1
    found = statuses(told("results", "--all", "true"), wanted or ["*"])
    known = reasons((ROOT / "tests" / "survivors.toml").read_text())
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        others = [name for name, status in found.items() if status not in NOTICED]
        shown = list(pool.map(lambda name: change(name, told("show", name)), others))
    text, is_enough = report(found, {line: known.get(line, "") for line in shown})
    sys.stdout.write(f"{text}\n")
    return 0 if is_enough else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
