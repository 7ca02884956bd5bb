"""What the whole repository keeps to: arrows one way, nothing inline, nothing from another site, everything told."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
OWN_CODE = [ROOT / "app.py", *sorted((ROOT / "web").glob("*.py")), *sorted((ROOT / "misskey").glob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, by its full name."""
    package = path.parent.relative_to(ROOT).as_posix().replace("/", ".")
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield f"{package}.{node.module or ''}"
            if not node.module:
                yield from (f"{package}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def rooms(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def test_misskey_knows_nothing_of_flask_or_of_this_app() -> None:
    for path in (ROOT / "misskey").glob("*.py"):
        assert not rooms(path) & {"app", "web", "sandbox", "flask", "flask_babel", "werkzeug", "jinja2"}, path.name


def test_web_imports_neither_the_app_nor_the_sandbox() -> None:
    for path in (ROOT / "web").glob("*.py"):
        assert not rooms(path) & {"app", "sandbox"}, path.name


def test_the_sandbox_imports_nothing_of_the_app() -> None:
    for path in {*(ROOT / "sandbox").glob("*.py")} - {ROOT / "sandbox" / "demo.py"}:  # which starts both
        assert not rooms(path) & {"app", "web", "misskey"}, path.name


@pytest.mark.parametrize(
    ("room", "below"),
    [
        ("token_store", {"accounts", "dashboard", "pending", "forms"}),
        ("accounts", {"dashboard", "pending", "forms", "error_pages", "problems"}),
        ("config", {"accounts", "security"}),
    ],
)
def test_arrows_within_web_run_one_way(room: str, below: set[str]) -> None:
    found = {name.removeprefix("web.") for name in imports(ROOT / "web" / f"{room}.py")}

    assert not found & below


def test_app_is_the_only_python_file_at_the_top() -> None:
    assert [path.name for path in ROOT.glob("*.py")] == ["app.py"]


def test_every_module_and_every_public_function_says_what_it_gives() -> None:
    silent = []
    for path in OWN_CODE:
        tree = ast.parse(path.read_text())
        if tree.body and not ast.get_docstring(tree):
            silent.append(path.name)
        for node in tree.body:
            if not isinstance(node, (ast.FunctionDef, ast.ClassDef)) or node.name.startswith("_"):
                continue
            if not ast.get_docstring(node):
                silent.append(f"{path.name}:{node.name}")
    assert not silent


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_a_template_has_nothing_inline_and_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on|javascript:|hx-vals=.js", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"""(?:src|srcset|action|formaction)\s*=\s*["']\s*(?:https?:)?//""", text)
    assert not re.search(r"""<link[^>]*href\s*=\s*["']\s*(?:https?:)?//""", text)
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape false" not in text


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_static_file_that_a_template_names_is_there(path: Path) -> None:
    for name in re.findall(r"url_for\('static', filename='([^']+)'\)", path.read_text()):
        assert (ROOT / "static" / name).is_file(), name


def test_style_sheets_load_nothing_from_elsewhere() -> None:
    text = (ROOT / "static" / "app.css").read_text()

    assert "@import" not in text
    assert not re.search(r"url\(", text)


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.name)
def test_every_visible_text_can_be_translated(path: Path) -> None:
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}", "", path.read_text(), flags=re.DOTALL)
    text = re.sub(r"<(script|meta|code)\b.*?(</\1>|>)", "", text, flags=re.DOTALL)
    visible = re.sub(r"<[^>]*>", "", text, flags=re.DOTALL)

    assert not re.search(r"[^\W\d_]{2,}", visible), visible.split()


def test_links_of_htmx_work_without_scripts() -> None:
    for path in TEMPLATES:
        for tag in re.findall(r"<(?:a|form|button)\b[^>]*hx-(?:get|post)[^>]*>", path.read_text(), re.DOTALL):
            assert re.search(r"\s(?:href|action)=", tag), f"{path.name}: {tag}"


def test_the_readme_is_short_and_names_the_commands() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()

    assert 60 <= len(lines) <= 90
    for command in ("make run", "make test", "make check", "make bench", "make screenshots"):
        assert any(command in line for line in lines)


def test_the_picture_of_the_readme_is_there_and_small() -> None:
    found = re.search(r"^!\[.{20,}\]\((.+)\)$", (ROOT / "README.md").read_text(), re.MULTILINE)

    assert found
    assert 10_000 < (ROOT / found[1]).stat().st_size < 150_000


def test_make_tells_every_command_of_the_readme() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for command in re.findall(r"^make [\w-]+", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert f"{command} " in told


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = (ROOT / ".ci" / "run").read_text()

    assert re.search(r"^make check$", commands, re.MULTILINE)
    assert re.search(r"^make test$", commands, re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_pins_every_extra_that_a_package_asks_for(name: str) -> None:
    """An older pip looks for ``coverage[toml]`` anew if only ``coverage`` is pinned, and finds one without a hash."""
    lines = re.findall(r"^[a-z][^ ]*==[^ ]+(?: ; [^\\\n]+)?", (ROOT / name).read_text(), re.MULTILINE)
    pinned = {canonicalize_name(locked.name): locked.extras for locked in map(Requirement, lines)}

    assert len(pinned) > 20
    for package in pinned.keys() & {canonicalize_name(found.name) for found in metadata.distributions()}:
        for wanted in map(Requirement, metadata.requires(package) or []):
            if wanted.extras and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
                assert wanted.extras <= pinned[canonicalize_name(wanted.name)], package


def test_the_version_is_in_the_changelog() -> None:
    version = re.search(r'VERSION = "([^"]+)"', (ROOT / "app.py").read_text())

    assert version
    assert f"## {version[1]}" in (ROOT / "CHANGELOG.md").read_text()
