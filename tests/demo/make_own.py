"""``make own NAME="Kaede Notes"``: turn a fresh clone into an app of your own, without the demonstration."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from html import escape
from pathlib import Path
from typing import Any

from babel.messages.frontend import CommandLineInterface

from misskey import check_app
from web.environment import ROOT

VERSION = "0.1.0"
OF_THE_DEMONSTRATION = ("demo", "templates/demo", "static/demo", "tests/demo", "bench", "tests/bench")
#: What is cut out of files, from one mark to the other, marks included; and the lines and words that name the folder.
MARKED = r"(?s: *(?:<!--|#) demonstration( -->)?\n.*?(?:<!--|#) end of the demonstration( -->)?\n)"
LINES = r"import demo|    demo\.init_app.*|COPY demo/ demo/|!demo/|\[python: demo/.*|\| `demo/`.*"
CUT = re.compile(rf'{MARKED}|^(?:{LINES})\n|"demo", |"bench", ', re.MULTILINE)
CHANGELOG = """\
# Changelog

## Unreleased

## {own}

Begun as a copy of Sign in with Misskey {version}.
"""


class NotPossible(Exception):
    """The copy can't be made; the message says why."""


def make_own(name: str, root: Path = ROOT) -> None:
    """Take the demonstration out of the project at ``root`` and call the app ``name``; :class:`NotPossible` if not."""
    check(name, root)
    for folder in OF_THE_DEMONSTRATION:
        shutil.rmtree(root / folder)
    (root / "docs/dashboard.png").unlink()
    drop_requirements(root)
    for file in git(root, "grep", "--files-with-matches", "-I", "demo").stdout.splitlines():
        (root / file).write_text(CUT.sub("", (root / file).read_text()))
    version = version_of(root)
    for file, former, own in renamings(name, version):
        (root / file).write_text((root / file).read_text().replace(former, own))
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
    status = git(root, "status", "--porcelain")
    if status.returncode or status.stdout:
        raise NotPossible("this wants a clone in which nothing was changed, so that nothing of yours is lost")
    for file, former, _ in renamings(name, version_of(root)):
        if former not in (root / file).read_text():
            raise NotPossible(f"this wants a clone in which nothing was changed, and {file} has no “{former}” any more")


def git(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Return what git says of the project at ``root``."""
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=False)


def version_of(root: Path) -> str:
    """Return the version that ``app.py`` says."""
    [version] = re.findall('^VERSION = "(.+)"', (root / "app.py").read_text(), re.MULTILINE)
    return str(version)


def renamings(name: str, version: str) -> tuple[tuple[str, str, str], ...]:
    """Return in which file which words of this project make room for which of the app's own."""
    slug, quoted = slug_of(name), name.replace("\\", "\\\\").replace('"', '\\"')
    return (
        ("app.py", f'VERSION = "{version}"', f'VERSION = "{VERSION}"'),
        ("app.py", "misskey-sign-in/", f"{slug}/"),
        ("pyproject.toml", "sign-in-with-misskey", slug),
        ("web/storage/redis_connection.py", "sign-in-with-misskey", slug),
        ("web/config.py", "Sign in with Misskey", quoted),
        ("static/icon.svg", "Sign in with Misskey", escape(name)),
        (".env.example", "Sign in with Misskey", name),
        (".env.example", "sign-in-with-misskey", slug),
        ("translations/ja/LC_MESSAGES/messages.po", "Sign in with Misskey", quoted),
        ("README.md", "Sign in with Misskey", name),
        ("README.ja.md", "Sign in with Misskey", name),
    )


def slug_of(name: str) -> str:
    """Return what programs call the app; Misskey's media proxy refuses every program with ``misskey/`` in its name."""
    return re.sub("(?:[^a-z0-9]|misskey)+", "-", name.lower()).strip("-") or "app"


def drop_requirements(root: Path) -> None:
    """Take out of the pinned packages those that nothing but the demonstration asked for."""
    wanted = "".join((root / file).read_text() for file in ("requirements.in", "requirements-dev.in"))
    for package in re.findall("(?m)^[A-Za-z].*", "".join(marked[0] for marked in re.finditer(MARKED, wanted))):
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
