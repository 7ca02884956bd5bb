"""What pages, a large store and live streams cost, how soon a slow server's dashboard is whole, what bystanders notice.

All in one run, so that ratios can be compared. ``python -m bench bystander flood cookies`` measures two attacks only.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shlex
import tempfile
from datetime import UTC, datetime
from pathlib import Path

from bench import bystander, comparison, growth, panels
from bench.attacks import ATTACKS
from tests.cast import environment


def heading() -> None:
    """Print where and when this was measured."""
    cpu = (
        re.search("model name\\s*: (.+)", Path("/proc/cpuinfo").read_text()) if Path("/proc/cpuinfo").exists() else None
    )
    where = f"{os.cpu_count()} × {cpu[1] if cpu else platform.processor()}, {platform.system()} {platform.release()}"
    when = f"{datetime.now(UTC):%Y-%m-%d}, Python {platform.python_version()}"
    print(f"# What was measured\n\n`make bench`, {when}, {where}\n")


def whole() -> None:
    """Print how soon a dashboard is whole."""
    with tempfile.TemporaryDirectory() as folder:
        milliseconds = panels.measure(environment(folder, SIGNIN_LIMIT="1000 per minute"))
    print(f"\nSix panels whose calls take 200 ms each, from the shell to the last of them: {milliseconds:.0f} ms")
    kept = "kept" if milliseconds <= panels.LIMIT_MILLISECONDS else "EXCEEDED"
    print(f"The limit is {panels.LIMIT_MILLISECONDS:.0f} ms: {kept}.\n")


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("table", nargs="?", choices=["bystander"], help="this table only")
    parser.add_argument("attacks", nargs="*", help=f"only these: {', '.join(ATTACKS)}")
    parser.add_argument("--seconds", type=float, default=bystander.SECONDS, help="how long each attack takes")
    parser.add_argument("--gunicorn", default="", help="further arguments, as in --gunicorn='--threads 100'")
    options = parser.parse_args()
    if unknown := set(options.attacks) - set(ATTACKS):
        parser.error(f"no such attack: {', '.join(unknown)}")
    if not options.table:
        heading()
        print("```text")
        comparison.table()
        whole()
        growth.table()
        print()
    bystander.table(options.attacks, shlex.split(options.gunicorn), options.seconds)
    if not options.table:
        print("```")


if __name__ == "__main__":
    main()
