"""What docs/hosting.md names: settings, commands, pages and files that are really there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from app import create_app
from tests.cast import environment

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "hosting.md").read_text()
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
COMPOSE = (ROOT / "compose.yaml").read_text()


def blocks(language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def found(pattern: str) -> list[str]:
    """Return what the page has of a kind, each once."""
    every = sorted(set(re.findall(pattern, PAGE)))
    assert every, pattern
    return every


@pytest.mark.parametrize("name", found(r"\bMIAUTH_[A-Z_]+\b"))
def test_every_setting_is_one(name: str) -> None:
    assert re.search(f"^#? ?{name}=", ENV_EXAMPLE, re.MULTILINE)


@pytest.mark.parametrize("name", found(r"\b(?:PORT|WEB_CONCURRENCY|TMPDIR|HTTPS_PROXY)\b"))
def test_every_other_variable_is_explained(name: str) -> None:
    assert re.search(rf"\b{name}\b", ENV_EXAMPLE)


@pytest.mark.parametrize("name", ["DOMAIN", "COMPOSE_PROFILES"])
def test_what_compose_is_told_is_used_there(name: str) -> None:
    assert f"{name}=" in PAGE
    assert f"${{{name}" in COMPOSE


@pytest.mark.parametrize("words", found(r"flask --app app ([a-z-]+ [a-z]+)"))
def test_every_command_is_one(tmp_path: Path, words: str) -> None:
    group, name = words.split()
    commands = create_app(environment(tmp_path)).cli.commands

    assert group in commands
    part = commands[group]
    assert isinstance(part, click.Group)
    assert name in part.commands


@pytest.mark.parametrize("path", found(r"`(/[a-z]+)`"))
def test_every_page_is_one(tmp_path: Path, path: str) -> None:
    if path == "/data":
        assert "--mode=700 /data" in (ROOT / "Dockerfile").read_text()
        return
    app = create_app(environment(tmp_path, **({"METRICS": "a-token-for-prometheus"} if path == "/metrics" else {})))

    assert path in {rule.rule for rule in app.url_map.iter_rules()}


@pytest.mark.parametrize("target", found(r"\]\(([^)]+)\)"))
def test_every_link_leads_somewhere(target: str) -> None:
    assert (ROOT / "docs" / target).is_file()


def test_every_service_is_one() -> None:
    services = yaml.safe_load(COMPOSE)["services"].keys()
    commands = re.findall(r"docker compose (?:exec|logs|run)((?: -\S+)*)((?: (?:app-2|app|caddy|redis)\b)+)", PAGE)

    assert len(commands) == len(re.findall("docker compose (?:exec|logs|run) ", PAGE))
    assert {name for _, names in commands for name in names.split()} <= services
    assert f"`{next(iter(yaml.safe_load(COMPOSE)['volumes']))}`" in PAGE


def test_the_unit_starts_the_app_with_its_settings(tmp_path: Path) -> None:
    [unit], [settings] = blocks("ini"), blocks("dotenv")
    [start] = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    variables = dict(line.split("=", 1) for line in settings.replace("/var/lib/miauth", str(tmp_path)).splitlines())
    program, *arguments = shlex.split(start)
    assert program.endswith("/.venv/bin/python")
    assert "\nStateDirectory=miauth\n" in unit

    done = subprocess.run(
        [sys.executable, *arguments, "--check-config"],
        cwd=ROOT,
        env=os.environ | {"PYTHON_DOTENV_DISABLED": "1"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "secret-key").exists()


def test_a_container_behind_another_proxy_has_all_that_it_needs(tmp_path: Path) -> None:
    [run] = [
        command for block in blocks("sh") for command in re.findall(r"^docker run (?:.*\\\n)*.*", block, re.MULTILINE)
    ]
    words = shlex.split(run.replace("\\\n", " "))
    variables = dict(words[at + 1].split("=", 1) for at, word in enumerate(words) if word == "-e")
    variables = {name: value.replace("/data", str(tmp_path)) for name, value in variables.items()}

    app = create_app(variables | {"MIAUTH_TOKEN_STORE": f"sqlite:///{tmp_path}/tokens.sqlite3"})

    assert app.extensions["settings"].production
    assert {"--read-only", "--cap-drop", "--security-opt"} <= {*words}
