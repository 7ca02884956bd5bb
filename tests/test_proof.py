"""What ``make proof`` tells: which changes the tests did not notice, why, and whether that is enough."""

from __future__ import annotations

import ast
import sys
import tomllib
from pathlib import Path

import pytest

from tests import fuzz
from tests.proof import LEAST, ROOT, change, main, reasons, report, statuses

RESULTS = """\
    web.accounts.x_save__mutmut_1: killed
    web.accounts.x_save__mutmut_2: survived
    web.accounts.xǁAccountǁname__mutmut_1: no tests
"""
SHOWN = """\
# web.accounts.x_save__mutmut_2: survived
--- web/accounts.py
+++ web/accounts.py
@@ -1,4 +1,4 @@
 def save(grant):
-    put(grant)
+    put(None)
"""
SURVIVORS = (ROOT / "tests" / "survivors.toml").read_text()


def test_what_became_of_each_change_is_read() -> None:
    assert statuses(RESULTS, ["*"]) == {
        "web.accounts.x_save__mutmut_1": "killed",
        "web.accounts.x_save__mutmut_2": "survived",
        "web.accounts.xǁAccountǁname__mutmut_1": "no tests",
    }
    assert list(statuses(RESULTS, ["web.accounts.x_save*", "app.*"])) == list(statuses(RESULTS, ["*"]))[:2]


@pytest.mark.parametrize(
    ("name", "function"),
    [("web.accounts.x_save__mutmut_2", "web.accounts.save"), ("web.a.xǁAccountǁ_x_y__mutmut_12", "web.a.Account._x_y")],
)
def test_a_change_is_shown_in_a_line(name: str, function: str) -> None:
    assert change(name, SHOWN) == f"{function}: put(None)"
    assert change(name, SHOWN.replace("+    put(None)\n", "")) == f"{function}: without put(grant)"


@pytest.mark.parametrize(
    ("found", "words", "is_enough"),
    [
        (["killed"] * 9 + ["survived"], "The tests notice 9 of 10 changes, mypy 0: 90.0 %.", True),
        (
            ["killed"] * 7 + ["caught by type check"] * 2 + ["survived"],
            "The tests notice 7 of 10 changes, mypy 2: 90.0 %.",
            True,
        ),
        (["killed"] * 8 + ["timeout", "no tests"], "The tests notice 8 of 10 changes, mypy 0: 80.0 %.", False),
        (["killed"] * 9 + ["not checked"], "Not done: 1 of 10 changes were not tried.", False),
        ([], "Not done: 0 of 0 changes were not tried.", False),
    ],
)
def test_nine_of_ten_changes_have_to_be_noticed(found: list[str], words: str, is_enough: bool) -> None:
    assert LEAST == 90
    assert report({str(number): status for number, status in enumerate(found)}, {}) == (words, is_enough)


def test_a_change_that_nothing_noticed_has_its_reason_or_is_a_gap() -> None:
    text, _ = report({"x": "killed"}, {"web.a.b: c": "It is the default.", "web.a.d: e": ""})

    assert "web.a.b: c\n    It is the default.\nweb.a.d: e\n    No reason is known: this is a gap.\n" in text


def test_what_the_machine_lacks_is_told_before_anything_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "atheris", None)

    assert main([]) == 2
    told = capfd.readouterr().err.splitlines()
    assert [line.partition(" ")[0] for line in told] == ["Node.js", "npm,", "Fuzzing"]
    assert told[-1] == fuzz.NOT_HERE


def test_every_reason_is_given_for_a_function_that_exists() -> None:
    known = reasons(SURVIVORS)

    assert known
    assert all(len(why) > 20 for why in known.values())
    for shown in known:
        module, _, function = shown.partition(": ")[0].partition(".") if shown.startswith("app.") else _split(shown)
        tree = ast.parse((ROOT / f"{module}.py").read_text())
        names = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
        assert function.rpartition(".")[2] in names, shown


def _split(shown: str) -> tuple[str, str, str]:
    folder, module, function = shown.partition(": ")[0].split(".", 2)
    return f"{folder}/{module}", ".", function


def test_every_module_that_is_changed_exists() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["mutmut"]

    for pattern in settings["only_mutate"] + settings["pytest_add_cli_args_test_selection"]:
        assert list(ROOT.glob(pattern)), pattern
