"""What a bystander notices while somebody else attacks the app as it is hosted: a row per attack.

The bar: 99 of 100 requests are answered at most 250 ms later than without an attack, no worker is replaced, none needs
300 MiB, and sign-ins at other servers go on. Needs Linux, where all of 127.0.0.0/8 are addresses to come from.
"""

from __future__ import annotations

import math
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server, socket
from typing import IO, cast

from bench.attacker import NICE, misskey
from bench.attacks import ATTACKS
from bench.hosting import MAX_SECONDS, Hosted, Visitor, hosted, sandbox
from bench.watches import EVERY_SECONDS, Series, SignIns, Workers, percentile
from tests.cast import environment
from tests.hostile import serve

SECONDS = 15.0
LATER_MILLISECONDS = 250.0
MEMORY_MEBIBYTES = 300
SERVERS, CROWD = 20, 600  # of the attacker
PEOPLE = 5  # who take turns with a panel: one alone would ask more often than is allowed
NO_ATTACK = "nothing"

HEAD = f"""What a bystander notices

{"":20}{"a page: ms":>24}{"a panel: ms":>24}{"memory":>9}{"worker":>10}{"sign-ins":>10}
{"":20}{("p50".rjust(8) + "p99".rjust(8) + "worst".rjust(8)) * 2}{"MiB":>9}{"replaced":>10}{"done":>10}{"worst s":>8}"""
FOOT = f"""
One visitor asks for a page, and others who are signed in for a panel, every {EVERY_SECONDS * 1000:.0f} ms, whatever
became of the last request; no answer counts as {MAX_SECONDS} s. The bar: 99 of 100 at most
{LATER_MILLISECONDS:.0f} ms later than with no attack, each worker below {MEMORY_MEBIBYTES} MiB (PSS), none replaced,
every sign-in at another server done. In brackets, which answers the attacker got. The attacker and the attacker's
servers run with low priority (nice {NICE}), so that they take less of a small machine from the app.
bench/attacks.py tells what each attack does."""


@dataclass(frozen=True)
class Row:
    """What was measured during one attack; ``told`` are the answers that the attacker got."""

    name: str
    page: Series
    panel: Series
    workers: Workers
    sign_ins: SignIns
    told: str

    def missed(self, idle: Row) -> list[str]:
        """Return what of the bar was missed."""
        later = [
            percentile(mine.waited, 99) - percentile(usual.waited, 99)
            for mine, usual in ((self.page, idle.page), (self.panel, idle.panel))
        ]
        bar = {
            "p99": max(later) <= LATER_MILLISECONDS,
            "memory": self.workers.mebibytes < MEMORY_MEBIBYTES,
            "worker": not self.workers.replaced.is_set(),
            "sign-ins": self.sign_ins.seconds and not self.sign_ins.failed,
        }
        return [name for name, kept in bar.items() if not kept]

    def __str__(self) -> str:
        times = [percentile(series.waited, part) for series in (self.page, self.panel) for part in (50, 99, 100)]
        done, worst = len(self.sign_ins.seconds), max(self.sign_ins.seconds, default=math.inf)
        cells = [f"{self.name:20}", *(f"{time:8.0f}" for time in times), f"{self.workers.mebibytes:9.0f}"]
        cells += [
            f"{'yes' if self.workers.replaced.is_set() else 'no':>10}",
            f"{f'{done}/{done + self.sign_ins.failed}':>10}",
        ]
        return "".join([*cells, f"{worst:8.1f}"])


def comes(visitor: Visitor, path: str) -> bool:
    """Tell whether a page is answered with one."""
    return visitor.send([visitor.head(f"GET {path}")]) == "200"


@contextmanager
def attacked(settings: Mapping[str, str] = {}, arguments: Sequence[str] = ()) -> Iterator[tuple[Hosted, list[socket]]]:
    """Yield an app and the sockets at which an attacker's servers may be."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sockets = [stack.enter_context(create_server(("127.0.0.1", 0), backlog=512)) for _ in range(SERVERS)]
        origins = " ".join(f"http://127.0.0.1:{sock.getsockname()[1]}" for sock in sockets)
        usual = environment(folder, SIGNIN_LIMIT="") | {
            "PYTHONPATH": str(Path(__file__).with_name("slow_names")),
            **settings,
            "MIAUTH_PRIVATE_SERVERS": f"{settings.get('MIAUTH_PRIVATE_SERVERS', '')} {origins}",
        }
        with hosted(usual, arguments, stderr=subprocess.DEVNULL) as app:  # a line for each server that fails
            yield app, sockets


@contextmanager
def attack(name: str, seconds: float, url: str, sockets: list[socket], crowd: int = CROWD) -> Iterator[IO[str]]:
    """Yield when the attack ``name``, in a process of its own, begins; what it prints at its end can be read."""
    inherited = [sock.fileno() for sock in sockets]
    command = [sys.executable, "-m", "bench.attacks", name, str(seconds), str(crowd), url, *map(str, inherited)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=inherited) as process:
        try:
            told = cast(IO[str], process.stdout)
            if told.readline() != "ready\n":
                raise RuntimeError(f"The attack {name} did not begin.")
            yield told
        finally:
            process.kill()


def measure(name: str, arguments: Sequence[str] = (), seconds: float = SECONDS) -> Row:
    """Return what a bystander notices of the attack ``name``, on an app of its own."""
    with (
        sandbox() as healthy,
        serve(misskey()) as other,
        attacked({"MIAUTH_PRIVATE_SERVERS": f"{healthy} {other.origin}"}, arguments) as (app, sockets),
    ):
        stranger, *people = (Visitor(app.url, f"127.0.3.{1 + number}") for number in range(1 + PEOPLE))
        for person in people:
            person.sign_in(healthy)
        with (
            attack(name, seconds, app.url, sockets) as told,
            Workers(app) as workers,
            SignIns(app.url, other.origin) as sign_ins,
            Series(lambda _: comes(stranger, "/privacy")) as page,
            Series(lambda number: comes(people[number % PEOPLE], "/dashboard/profile")) as panel,
        ):
            answers = told.readline().strip()
    return Row(name, page, panel, workers, sign_ins, answers)


def table(names: Sequence[str], arguments: Sequence[str], seconds: float) -> None:
    """Print what a bystander notices of these attacks, or of all."""
    if sys.platform != "linux":
        print("What a bystander notices can be measured on Linux only.")
        return
    print(HEAD, flush=True)
    idle = measure(NO_ATTACK, arguments, seconds)
    print(idle, flush=True)
    for name in names or [name for name in ATTACKS if name != NO_ATTACK]:
        row = measure(name, arguments, seconds)
        missed = row.missed(idle)
        print(row, f" EXCEEDED: {', '.join(missed)}" if missed else " kept", f"[{row.told}]", flush=True)
    print(FOOT)
