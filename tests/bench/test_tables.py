"""The comparison, the growth and the streams measure what they say, in a small run."""

from __future__ import annotations

import re
import sys

import pytest

from bench import comparison, growth

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(sys.platform != "linux", reason="needs many addresses on one machine, and /proc"),
]


def test_both_apps_are_measured_by_the_page(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """This app keeps its connections to the server; the shortest one opens one for each call."""
    for name, value in {"ROUNDS": 1, "WARM_UP": 1, "VISITORS": 3, "LOAD_SECONDS": 0.1}.items():
        monkeypatch.setattr(comparison, name, value)
    comparison.table()
    rows = {line[:18].strip(): line[18:].split() for line in capsys.readouterr().out.splitlines()[4:]}

    assert list(rows) == ["home", "begin a sign-in", "callback", "a panel", "/healthz"]
    for page in ("callback", "a panel"):
        *_, ours, naive = rows[page][:8]
        assert float(ours) < float(naive) == 1
    assert all(float(row[0]) > 0 for row in rows.values())
    assert float(rows["a panel"][8]) > 0


def test_large_stores_and_streams_are_measured(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"SIZES": (10, 2000), "ROUNDS": 5, "STREAMS": 4}.items():
        monkeypatch.setattr(growth, name, value)
    growth.table()
    out = capsys.readouterr().out

    assert (
        len(re.findall(r"^(SQLite|Redis) +(start|look-up|sign-in|sign-out) +\d+ +\d+ +[\d.]+$", out, re.MULTILINE)) == 8
    )
    assert re.search(r"4 streams on one worker: -?\d+ KiB each", out)
