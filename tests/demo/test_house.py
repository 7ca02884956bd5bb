"""The floors below know nothing of the demonstration."""

from __future__ import annotations

import re

from tests.test_repository import ROOT, TEMPLATES

BELOW = [
    *(ROOT / "web").rglob("*.py"),
    *(ROOT / "static").glob("*.*s"),
    *(path for path in TEMPLATES if "demo" not in path.relative_to(ROOT).parts),
]


def test_the_sign_in_does_not_name_the_demonstration() -> None:
    """What is only in the demonstration is not known below it: its modules, its routes, its templates, its files."""
    for path in BELOW:
        assert not re.search(r"\bdemo\b|/notes\b|/files\b|/console|/live\b|timeline", path.read_text()), path.name


def test_the_sign_in_has_styles_for_its_own_pages_only() -> None:
    text = "".join(path.read_text() for path in BELOW if path.suffix != ".css")
    for path in (ROOT / "static").glob("*.css"):
        without_words = re.sub(r'/\*.*?\*/|"[^"]*"', "", path.read_text(), flags=re.DOTALL)
        styled = set(re.findall(r"\.([a-z][\w-]*)(?=[^{}]*{)", without_words)) - {"htmx-request"}  # set by htmx
        assert len(styled) > 20
        assert [name for name in styled if not re.search(rf"(?<![\w-]){name}(?![\w-])", text)] == []
