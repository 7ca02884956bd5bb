"""``docs/security.md`` names, for every threat, code and tests that are there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs" / "security.md").read_text()
#: Title and text of each threat.
THREATS = re.findall(r"^### ([^\n]+)\n(.*?)(?=^##|\Z)", TEXT, re.MULTILINE | re.DOTALL)


def names_of_tests(path: Path) -> set[str]:
    """Every test of a file, with its class where it has one: ``TestStore::test_it``."""
    names = set()
    for node in ast.parse(path.read_text()).body if path.is_file() else ():
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        names |= {f"{prefix}{found.name}" for found in inner if isinstance(found, ast.FunctionDef)}
    return {name for name in names if name.rpartition("::")[2].startswith("test_")}


def listed(kind: str, text: str) -> list[str]:
    """What the lists of this kind in a text name: ``Code`` or ``Tests``."""
    found = re.findall(rf"^- {kind}:(.*(?:\n  .*)*)", text, re.MULTILINE)
    return [name for names in found for name in re.findall("`([^`]+)`", names)]


def test_all_that_the_app_promises_is_told() -> None:
    assert len(THREATS) >= 15


@pytest.mark.parametrize(("title", "text"), THREATS, ids=[title for title, _ in THREATS])
def test_a_threat_names_code_and_tests_that_exist(title: str, text: str) -> None:
    code, tests = listed("Code", text), listed("Tests", text)

    assert code, title
    assert tests, title
    assert [path for path in code if not (ROOT / path).is_file()] == []
    assert [
        test for test in tests if test.partition("::")[2] not in names_of_tests(ROOT / test.partition("::")[0])
    ] == []


def test_every_test_and_every_file_in_the_text_is_in_a_list() -> None:
    tests = set(re.findall(r"tests/[\w/]+\.py::[\w:]+", TEXT))
    lists = {test for _, text in THREATS for test in listed("Tests", text)}

    assert tests == lists


def test_every_file_that_is_linked_to_exists() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", TEXT):
        assert (ROOT / "docs" / link).is_file(), link
