"""The floors below know nothing of the demonstration."""

from __future__ import annotations

import re

from tests.test_repository import ROOT, TEMPLATES


def test_the_sign_in_does_not_name_the_demonstration() -> None:
    """What is only in the demonstration is not known below it: its modules, its routes, its templates, its files."""
    below = [*(ROOT / "web").rglob("*.py"), *(ROOT / "static").glob("*.*s")]
    pages = [path for path in TEMPLATES if "demo" not in path.relative_to(ROOT).parts]
    for path in (*below, *pages):
        assert not re.search(r"\bdemo\b|/notes\b|/files\b|/console|/live\b|timeline", path.read_text()), path.name
