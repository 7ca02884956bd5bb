"""What the whole repository keeps to: arrows one way, nothing inline, nothing from another site, everything told."""

from __future__ import annotations

import ast
import json
import re
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
#: From the lowest to the highest; each may import itself and those before it.
FLOORS = ["misskey", "web", "demo", "app"]
OWN_CODE = [ROOT / "app.py", *(path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py")))]


def imports(path: Path, *, at_start: bool = False) -> Iterator[str]:
    """Every module that a file imports, by its full name; only while it is imported itself if ``at_start``."""
    package = path.parent.relative_to(ROOT).as_posix().replace("/", ".")
    tree = ast.parse(path.read_text())
    for node in tree.body if at_start else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level:
            yield f"{package}.{node.module or ''}"
            if not node.module:
                yield from (f"{package}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rooms(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports(path)}


def test_misskey_knows_no_web_framework() -> None:
    for path in (ROOT / "misskey").rglob("*.py"):
        assert not rooms(path) & {"flask", "flask_babel", "werkzeug", "jinja2"}, path.name


@pytest.mark.parametrize("path", OWN_CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_arrows_between_floors_run_downward(path: Path) -> None:
    floor = FLOORS.index(path.relative_to(ROOT).parts[0].removesuffix(".py"))

    assert not rooms(path) & {"sandbox", "tests", "bench", *FLOORS[floor + 1 :]}


def test_tests_are_skipped_on_other_systems_only() -> None:
    """What is merely not installed makes them fail: a Redis, nginx, a browser."""
    told = "".join(path.read_text() for path in sorted((ROOT / "tests").rglob("*.py")))

    skipped = re.findall(r"\b(?:skip|skipif|importorskip|xfail)\((.*?),", told)
    assert set(skipped) <= {'sys.platform != "linux"', "os.geteuid() != 0"}


def test_the_sandbox_imports_nothing_of_the_app() -> None:
    for path in {*(ROOT / "sandbox").glob("*.py")} - {ROOT / "sandbox" / "run.py"}:  # which starts both
        assert not rooms(path) & {"app", "web", "misskey"}, path.name


@pytest.mark.parametrize("floor", FLOORS[:-1])
def test_no_modules_of_a_floor_import_each_other_in_a_ring(floor: str) -> None:
    paths = {path.relative_to(ROOT).with_suffix("").as_posix().replace("/", "."): path for path in OWN_CODE}
    arrows = {name: set(imports(path, at_start=True)) for name, path in paths.items() if name.startswith(f"{floor}.")}
    left = {name: found & arrows.keys() for name, found in arrows.items()}
    while free := [name for name, others in left.items() if not others & left.keys()]:
        for name in free:
            del left[name]

    assert not left, "these import each other"


@pytest.mark.parametrize("path", OWN_CODE, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_too_long_to_be_read_at_once(path: Path) -> None:
    text = path.read_text()
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]

    assert len(text.splitlines()) <= 250
    assert [node.name for node in functions if (node.end_lineno or 0) - node.lineno >= 30] == []


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
            if any(ast.unparse(decorator) == "overload" for decorator in node.decorator_list):
                continue
            if not ast.get_docstring(node):
                silent.append(f"{path.name}:{node.name}")
    assert not silent


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_a_template_has_nothing_inline_and_nothing_from_elsewhere(path: Path) -> None:
    text = path.read_text()

    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|hx-on|javascript:|hx-vals=.js", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    assert not re.search(r"""(?:src|srcset|action|formaction)\s*=\s*["']\s*(?:https?:)?//""", text)
    assert not re.search(r"""<link[^>]*href\s*=\s*["']\s*(?:https?:)?//""", text)
    assert "|safe" not in text.replace(" ", "")
    assert "autoescape false" not in text


def test_htmx_runs_no_text_asks_nobody_else_and_keeps_no_page() -> None:
    text = (ROOT / "templates" / "signed_in.html").read_text()
    [content] = re.findall(r"""<meta name="htmx-config" content='([^']*)'>""", text)

    strict = {"allowEval": False, "selfRequestsOnly": True, "historyCacheSize": 0, "includeIndicatorStyles": False}
    assert strict.items() <= json.loads(content).items()


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_a_link_to_another_site_does_not_tell_where_it_is(path: Path) -> None:
    own = re.compile(r"[#?]|mailto:|\{\{ (url_for\(|panel\.url\(|here\b|next\b|drive\b|another\b)")
    for tag, address in re.findall(r"""(<a\b[^>]*?\shref="([^"]*)"[^>]*>)""", path.read_text()):
        assert own.match(address) or 'rel="noreferrer"' in tag, f'{tag} needs rel="noreferrer"'


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_a_form_has_the_token_of_its_page_and_says_which_account_it_is_for(path: Path) -> None:
    for form in re.findall(r"<form\b.*?</form>", path.read_text(), re.DOTALL):
        assert 'method="post"' in form
        assert "{{ csrf() }}" in form
        if not re.search(r"url_for\('(journey\.|languages\.|account\.switch)", form):
            assert re.search(r'name="account" value="\{\{ account\.public_id \}\}"|name="all"', form)


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
def test_every_static_file_that_a_template_names_is_there(path: Path) -> None:
    for name in re.findall(r"url_for\('static', filename='([^']+)'\)", path.read_text()):
        assert (ROOT / "static" / name).is_file(), name


def test_scripts_make_no_markup_of_text() -> None:
    """But for the app's own, which is what it would put into a page."""
    for path in {*(ROOT / "static").rglob("*.js")} - {*(ROOT / "static" / "vendor").glob("*")}:
        text = path.read_text().replace("content.innerHTML = html;", "")
        made = r"(inner|outer|Adjacent|set)HTML|document\.write|DOMParser|\beval\b|Function\("
        assert not re.search(made, text), path.name


def test_style_sheets_load_nothing_from_elsewhere() -> None:
    for path in {*(ROOT / "static").rglob("*.css")} - {*(ROOT / "static" / "vendor").glob("*")}:
        text = path.read_text()
        assert "@import" not in text, path.name
        assert not re.search(r"url\(", text), path.name


@pytest.mark.parametrize("path", TEMPLATES, ids=str)
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
    for command in ("make run", "make dev", "make test", "make check", "make screenshots"):
        assert any(command in line for line in lines)


def test_make_tells_every_command_of_the_readme() -> None:
    told = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout

    for command in re.findall(r"^(?:- `)?(make [\w-]+)", (ROOT / "README.md").read_text(), re.MULTILINE):
        assert f"{command} " in told


def test_ci_runs_the_commands_of_the_readme() -> None:
    commands = (ROOT / ".ci" / "run").read_text()

    assert re.search(r"^make check$", commands, re.MULTILINE)
    assert re.search(r"^make test$", commands, re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_a_lock_pins_every_extra_that_a_package_asks_for(name: str) -> None:
    """An older pip looks for ``package[extra]`` anew if only ``package`` is pinned, and finds one without a hash."""
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


@pytest.mark.parametrize(("machine", "system", "has_wheel"), [("x86_64", "darwin", "<49"), ("arm64", "darwin", ">=49")])
def test_a_mac_with_intel_needs_no_rust(machine: str, system: str, has_wheel: str) -> None:
    """Since version 49 cryptography has no wheels for it."""
    text = (ROOT / "requirements.txt").read_text()
    pins = [Requirement(pin) for pin in re.findall(r"^(cryptography==.+) \\$", text, re.MULTILINE)]
    here = {"platform_machine": machine, "sys_platform": system}
    [meant] = [pin for pin in pins if not pin.marker or pin.marker.evaluate(here)]

    assert str(meant.specifier).removeprefix("==") in SpecifierSet(has_wheel)
