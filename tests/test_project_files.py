"""What stands beside the code for people who work on it: what GitHub runs and asks, and what editors keep to."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.project import files, git

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
#: What is byte for byte what others made.
TAKEN_OVER = ("static/vendor/",)


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def steps(path: Path) -> list[dict[str, Any]]:
    return [step for job in load(path)["jobs"].values() for step in job["steps"]]


def texts() -> list[Path]:
    """Every file of the project that is a text, but for those of others."""
    paths = [ROOT / name for name in files() if not name.startswith(TAKEN_OVER)]
    return [path for path in paths if b"\0" not in path.read_bytes()]


@pytest.mark.parametrize("path", sorted(GITHUB.rglob("*.yml")), ids=lambda path: path.name)
def test_every_file_for_github_can_be_read(path: Path) -> None:
    assert isinstance(load(path), dict)


def test_ci_runs_the_two_commands_of_the_readme_with_every_python() -> None:
    [job] = load(GITHUB / "workflows" / "ci.yml")["jobs"].values()
    commands = [step["run"] for step in job["steps"] if "run" in step]
    readme = (ROOT / "README.md").read_text()

    assert [command for command in commands if command.startswith("make")] == ["make check", "make test"]
    assert all(f"- `{command}`: " in readme for command in ("make check", "make test"))
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert job["env"]["PYTHON"] == "python3"  # or make would take the newest Python of the machine


def test_ci_installs_what_a_bare_machine_installs() -> None:
    [install] = [step["run"] for step in steps(GITHUB / "workflows" / "ci.yml") if "apt-get" in step.get("run", "")]
    bare = (ROOT / ".ci" / "run").read_text()

    for package in ("fonts-noto-cjk", "nginx", "redis-server"):
        assert package in install
        assert package in bare


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_has_few_rights_and_an_end(path: Path) -> None:
    workflow = load(path)

    assert workflow["permissions"]
    assert workflow["concurrency"]["group"]
    assert all(job["timeout-minutes"] <= 60 for job in workflow["jobs"].values())
    for uses in (step["uses"] for step in steps(path) if "uses" in step):
        assert re.fullmatch(r"actions/[a-z-]+@v\d+", uses)


def test_only_the_workflow_that_runs_nothing_of_new_packages_may_write() -> None:
    rights = {path.stem: load(path)["permissions"] for path in WORKFLOWS}
    scripts = "\n".join(step.get("run", "") for step in steps(GITHUB / "workflows" / "updates.yml"))

    assert {name for name, granted in rights.items() if granted != {"contents": "read"}} == {"updates"}
    assert re.findall("make .*", scripts) == ["make lock UPGRADE=1"]


def test_the_base_of_the_image_is_renewed_where_it_is_pinned(tmp_path: Path) -> None:
    """What docker would tell is made up; the rest is what the workflow runs, on a copy."""
    [script] = [step["run"] for step in steps(GITHUB / "workflows" / "updates.yml") if "digest" in step.get("run", "")]
    (tmp_path / "Dockerfile").write_text(before := (ROOT / "Dockerfile").read_text())
    (docker := tmp_path / "docker").write_text(f"#!/bin/sh\necho '\"sha256:{'0' * 64}\"'\n")
    docker.chmod(0o755)

    path = f"{tmp_path}:{os.environ['PATH']}"
    subprocess.run(["bash", "-euo", "pipefail", "-c", script], cwd=tmp_path, env={"PATH": path}, check=True)

    pinned = r"(?<=^ARG BASE=python:3\.13-slim-trixie@sha256:)[0-9a-f]{64}$"
    assert (tmp_path / "Dockerfile").read_text() == re.sub(pinned, "0" * 64, before, flags=re.MULTILINE) != before


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_what_a_workflow_runs_is_a_script(path: Path) -> None:
    for script in (step["run"] for step in steps(path) if "run" in step):
        assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("name", ["CONTRIBUTING.md", "SECURITY.md"])
def test_a_page_for_people_names_only_what_is_there(name: str) -> None:
    page = (ROOT / name).read_text()
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for target in re.findall(r"\]\((?!https:)([^)]+)\)|`([\w./-]+/|[\w./-]+\.(?:md|py|po|yml))`", page):
        assert (ROOT / "".join(target)).exists(), target
    for command in re.findall(r"`(make [\w-]+)", page):
        assert f"{command} " in told


def test_editors_keep_to_what_ruff_wants() -> None:
    rules = ConfigParser()
    rules.read_string("[top]\n" + (ROOT / ".editorconfig").read_text())
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]

    assert int(rules["*.py"]["max_line_length"]) == ruff["line-length"]
    assert int(rules["*.py"]["indent_size"]) == ruff.get("indent-width", 4)
    assert rules["{Makefile,Caddyfile}"]["indent_style"] == "tab"
    assert (rules["*"]["indent_style"], rules["*"]["indent_size"]) == ("space", "2")


def test_every_text_is_as_editors_are_told_to_keep_it() -> None:
    for path in texts():
        text = path.read_bytes().decode()
        assert "\r" not in text, path
        assert text.endswith("\n") or not text, path
        assert not re.search(r"[ \t]$", text, re.MULTILINE), path


def test_what_was_downloaded_in_a_zip_file_has_the_same_files(tmp_path: Path) -> None:
    (tmp_path / "tests").mkdir()
    shutil.copy(ROOT / "tests" / "project.py", tmp_path / "tests")
    (tmp_path / ".gitignore").write_text("__pycache__\n*.log\n")
    for name in ("app.py", "app.log"):
        (tmp_path / name).touch()
    program = "from tests import project; print(*project.files())"
    said = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)

    assert said.stdout.split() == [".gitignore", "app.py", "tests/project.py"]
    assert not said.stderr


def test_git_changes_no_line_ends_on_windows() -> None:
    names = [path.relative_to(ROOT).as_posix() for path in texts()]

    assert git("-c", "core.autocrlf=true", "check-attr", "eol", "--", *names) == [f"{name}: eol: lf" for name in names]


def test_templates_are_indented_by_two_and_nothing_but_make_and_caddy_by_tabs() -> None:
    tabs = {path.name for path in texts() if path.suffix != ".md" and re.search("^\t", path.read_text(), re.MULTILINE)}
    html = "".join(path.read_text() for path in texts() if path.suffix == ".html")

    assert tabs == {"Makefile", "Caddyfile"}
    assert re.search("^  <", html, re.MULTILINE)
    assert not re.search("^(?:  )* <", html, re.MULTILINE)
