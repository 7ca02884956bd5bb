"""Fuzzing: what servers send and people type, changed at random, led by which code it reaches.

``.venv/bin/python -m tests.fuzz --seconds 3600 answer meta`` tries two targets for an hour each; without names, all. A
target is a function of bytes that ``seeds`` in ``tests/*/fuzz_targets.py`` names; whatever the bytes are, it raises
nothing. Those that make it fail are kept in ``tests/fuzz_inputs``, and ``tests/test_fuzz.py`` tries them again in every
run of the tests. What reached new code is kept in ``.fuzz`` for the next time.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parent.parent
INPUTS = ROOT / "tests" / "fuzz_inputs"
CORPUS = ROOT / ".fuzz"
INPUT_SECONDS = 30  # an input that takes longer is one that fails: everything here is bounded
MAX_BYTES = 16 * 1024
#: What is watched for new code: everything that looks at the bytes.
WATCHED = ["app", "demo", "http", "idna", "json", "misskey", "urllib3", "web", "websockets"]
NOT_HERE = "Fuzzing needs atheris, which there is for Linux on x86-64 only; `make .venv/proof` installs it there."

Target = Callable[[bytes], None]


def targets() -> dict[str, tuple[Target, list[bytes]]]:
    """Return all targets, with what to begin with, by name."""
    found: dict[str, tuple[Target, list[bytes]]] = {}
    for path in sorted(ROOT.glob("tests/*/fuzz_targets.py")):
        seeds = importlib.import_module(f"tests.{path.parent.name}.fuzz_targets").seeds()
        found |= {target.__name__: (target, begin) for target, begin in seeds.items()}
    return found


def fuzz(name: str, seconds: int) -> None:
    """Try one target, and end this process: with 0 when nothing failed."""
    import atheris  # there is none for some systems

    with atheris.instrument_imports(include=WATCHED):
        target, seeds = targets()[name]
    corpus, failed = CORPUS / name, INPUTS / name
    for folder in (corpus, failed):
        folder.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    bounds = [f"-max_total_time={seconds}", f"-timeout={INPUT_SECONDS}", f"-max_len={MAX_BYTES}"]
    options = [*bounds, f"-artifact_prefix={failed}/", "-print_final_stats=1"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], target)
    atheris.Fuzz()


def run(name: str, seconds: int) -> bool:
    """Try one target in a process of its own, tell what came of it, and return whether nothing failed."""
    command = [sys.executable, "-m", "tests.fuzz", "--here", "--seconds", str(seconds), name]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    tried = re.search(r"number_of_executed_units:\s*(\d+)", done.stderr)
    if done.returncode == 0 and tried:
        sys.stdout.write(f"{name}: {tried[1]} inputs, none of which failed.\n")
        return True
    told = done.stdout + "\n".join(re.findall("Test unit written to .*", done.stderr)) or done.stderr
    sys.stdout.write(f"{name}: failed.\n{told[-4000:]}\n")
    return False


def main(arguments: list[str]) -> int:
    """Try targets, each for so many seconds; 0 when nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Try what nobody thought of.")
    parser.add_argument("--seconds", type=int, default=60, help="for each target")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("targets", nargs="*", metavar="target", help="by default all")
    chosen = parser.parse_args(arguments)
    if chosen.here:
        fuzz(chosen.targets[0], chosen.seconds)
    known = targets()
    if unknown := set(chosen.targets) - known.keys():
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    if not importlib.util.find_spec("atheris"):
        parser.exit(2, f"{NOT_HERE}\n")
    return 1 if [name for name in chosen.targets or known if not run(name, chosen.seconds)] else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
