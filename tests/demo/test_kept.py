"""How much one visitor can have the app keep."""

from __future__ import annotations

import json
import re
import sqlite3
import uuid
from contextlib import closing
from pathlib import Path

from demo.console import MAX_CALLS
from demo.forms import PARAMS_CHARACTERS
from demo.results import RATES
from tests.cast import Visitor, environment
from tests.hostile import answers, moved_to
from web.config import load
from web.environment import ROOT


def test_one_visitor_can_not_fill_the_store(alice: Visitor, tmp_path: Path) -> None:
    """The largest calls, as often as they may be made, leave half of the Redis in compose.yaml to others."""
    around = '{"text": ""}'
    params = around.replace('""', f'"{"🍮" * (PARAMS_CHARACTERS - len(around))}"')
    with moved_to(answers(200, json.dumps("🍮" * 20_000).encode()), alice):
        for _ in range(MAX_CALLS):
            form = {"draft": str(uuid.uuid4()), "endpoint": "notes/create", "params": params}
            assert alice.post("/console", form).status_code == 303

    with closing(sqlite3.connect(tmp_path / "tokens.sqlite3")) as database:
        sizes = [size for (size,) in database.execute("SELECT length(value) FROM entries ORDER BY 1 DESC")]
    of_a_result, of_a_sign_in = sizes[0], sum(sizes[MAX_CALLS:])
    [results] = map(int, re.findall("([0-9]+) per hour", RATES))
    [sign_ins] = map(int, re.findall("([0-9]+) per day", load(environment(tmp_path, SIGNIN_LIMIT="")).begin_limit))
    [mebibytes] = map(int, re.findall("--maxmemory, ([0-9]+)mb", (ROOT / "compose.yaml").read_text()))
    assert sizes[MAX_CALLS - 1] > 4 * PARAMS_CHARACTERS, "not all results are there"
    assert results * of_a_result + sign_ins * of_a_sign_in < mebibytes * 2**20 / 2
