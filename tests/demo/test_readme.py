"""What the README shows of the demonstration."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_picture_of_the_readme_is_there_and_small() -> None:
    found = re.search(r"^!\[.{20,}\]\((.+)\)$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert found
    assert 10_000 < (ROOT / found[1]).stat().st_size < 150_000
