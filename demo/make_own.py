"""``make own NAME="Kaede Notes"``: turn a fresh clone into an app of your own, without the demonstration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any

from babel.messages.frontend import CommandLineInterface

from misskey.miauth import check_app
from web.config import ROOT

VERSION = "0.1.0"
OF_THE_DEMONSTRATION = (
    *("demo", "templates/demo", "static/demo", "tests/demo", "bench", "tests/bench", "docs/dashboard.png"),
)
MARKED_FILES = (
    *("Makefile", "pyproject.toml", "requirements.in", "requirements-dev.in"),
    *("README.md", "docs/hosting.md", "docs/security.md", ".env.example"),
)
#: What is cut out of a text: from one mark to the other, marks included.
MARKED = re.compile(r"(?:<!--|#) demonstration( -->)?\n.*?(?:<!--|#) end of the demonstration( -->)?\n", re.DOTALL)
CHANGELOG = """\
# Changelog

## {own}

Begun as a copy of Sign in with Misskey {version}.
"""
Replacement = str | Callable[[re.Match[str]], str]


class NotPossible(Exception):
    """The copy can't be made; the message says why."""


def make_own(name: str, root: Path = ROOT) -> None:
    """Take the demonstration out of the project at ``root`` and call the app ``name``; :class:`NotPossible` if not."""
    check(name, root)
    for path in (root / path for path in OF_THE_DEMONSTRATION):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    slug = re.sub("[^a-z0-9]+", "-", name.lower()).strip("-") or "app"
    [version] = re.findall('^VERSION = "(.+)"', (root / "app.py").read_text(), re.MULTILINE)
    change_code(name, slug, root)
    drop_requirements(root)
    for file in MARKED_FILES:
        change(root / file, {MARKED.pattern: ""}, re.DOTALL)
    change(root / "README.md", {r"\A# .*": f"# {name}", r"(?m)^\| `demo/`.*\n": ""})
    for file in (".env.example", "translations/ja/LC_MESSAGES/messages.po"):
        change(root / file, {"Sign in with Misskey": lambda _: name})
    (root / "CHANGELOG.md").write_text(CHANGELOG.format(own=VERSION, version=version))
    update_translations(root)


def check(name: str, root: Path) -> None:
    """Raise :class:`NotPossible` for a name that no app can have, and where somebody's work would be lost."""
    if not name:
        raise NotPossible('an app needs a name: make own NAME="Kaede Notes"')
    try:
        check_app(name, "", "http://localhost/callback")
    except ValueError as error:
        raise NotPossible(str(error)) from error
    status = subprocess.run(
        ["git", "status", "--porcelain"],  # noqa: S607 - whichever git the person uses
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if status.returncode or status.stdout:
        raise NotPossible("this wants a clone in which nothing was changed, so that nothing of yours is lost")


def change_code(name: str, slug: str, root: Path) -> None:
    """Take the demonstration out of the files that name it, and put the app's own name into them."""
    change(
        root / "app.py",
        {
            "import demo\n": "",
            r"    demo\.init_app.*\n": "",
            '(?m)^VERSION = ".+"': f'VERSION = "{VERSION}"',
            '(?m)^USER_AGENT = f"[^{]+(.+?)".*': rf'USER_AGENT = f"{slug}/\1"',
        },
    )
    change(root / "web/config.py", {'(?m)^APP_NAME = ".*"': lambda _: f"APP_NAME = {quoted(name)}"})
    change(root / "static/icon.svg", {'aria-label="[^"]*"': lambda _: f'aria-label="{escape(name)}"'})
    change(root / "Dockerfile", {"COPY demo/ demo/\n": ""})
    change(root / ".dockerignore", {"!demo/\n": ""})
    change(root / "translations/babel.cfg", {r"\[python: demo/.*\]\n": ""})
    change(root / "tests/test_repository.py", {'"demo", ': ""})
    change(root / "pyproject.toml", {'"demo", |, "demo/make_own.py"': "", '(?m)^name = ".*"': f'name = "{slug}"'})
    change(root / "Makefile", {"(mypy.*) demo (.*) bench": r"\1 \2"})


def change(path: Path, replacements: dict[str, Replacement], flags: int = 0) -> None:
    """Replace every place of each pattern in a file; one that has none is a mistake here."""
    text = path.read_text()
    for pattern, replacement in replacements.items():
        text, count = re.subn(pattern, replacement, text, flags=flags)
        if not count and pattern != MARKED.pattern:
            raise AssertionError(f"{path} has no {pattern}")
    path.write_text(text)


def quoted(text: str) -> str:
    """Return ``text`` as Python code, with the quotation marks that the formatter wants."""
    return '"{}"'.format(text.replace("\\", "\\\\").replace('"', '\\"'))


def drop_requirements(root: Path) -> None:
    """Take out of the pinned packages those that nothing but the demonstration asked for."""
    wanted = "".join((root / file).read_text() for file in ("requirements.in", "requirements-dev.in"))
    for package in re.findall("(?m)^[A-Za-z].*", "".join(marked[0] for marked in MARKED.finditer(wanted))):
        block = rf"(?mi)^{package}==.*\\\n(?:    --hash.*\n)+(?P<via>(?:    #.*\n)+)"
        for path in (root / "requirements.txt", root / "requirements-dev.txt"):
            path.write_text(re.sub(block, keep_if_others_want_it, path.read_text()))


def keep_if_others_want_it(block: re.Match[str]) -> str:
    """Return what stays of a pinned package: all of it where another package asks for it."""
    via = re.sub("# via", "#  ", block["via"])
    others = [line for line in re.findall(r"#\s+(\S.*)", via) if not line.startswith(("-r ", "-c "))]
    return block[0] if others else ""


def update_translations(root: Path) -> None:
    """Leave out the texts that nothing uses any more."""
    pot, folder = str(root / "translations/messages.pot"), str(root / "translations")
    pybabel: Any = CommandLineInterface()
    extract = ["extract", "-F", str(root / "translations/babel.cfg"), "-k", "_l", "-k", "_ln:1,2"]
    pybabel.run(["pybabel", "-q", *extract, "--no-location", "--sort-output", "-o", pot, str(root)])
    options = ["--no-fuzzy-matching", "--ignore-obsolete", "--ignore-pot-creation-date", "--width", "120"]
    pybabel.run(["pybabel", "-q", "update", "-i", pot, "-d", folder, *options])
    pybabel.run(["pybabel", "-q", "compile", "-d", folder])
    Path(pot).unlink()


if __name__ == "__main__":
    try:
        make_own(os.environ.get("NAME", ""))
    except NotPossible as error:
        sys.exit(f"Not done: {error}.")
    sys.stdout.write("Done. Look at it with: make run\n")
