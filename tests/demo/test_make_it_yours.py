"""docs/make-it-yours.md, followed by the letter in copies of this project, with the demonstration and without."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from sandbox import Running
from tests.demo.make_own import update_translations
from tests.demo.test_make_own import NAME, ROOT, clone, make_own, run

pytestmark = pytest.mark.long
GUIDE = ROOT / "docs" / "make-it-yours.md"
FENCED = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`([\w/-]*\.[\w.]+)`")
CATALOGUE = "translations/ja/LC_MESSAGES/messages.po"
MOST_LINES = 10


@dataclass(frozen=True)
class Block:
    """A block of the guide, and its file: what the text before it names last, but for translations, which have one."""

    recipe: str
    kind: str
    file: str
    content: str

    def lines(self, *signs: str) -> list[str]:
        """The lines of a ``diff`` that begin with one of these."""
        return [line[1:] for line in self.content.splitlines() if line[:1] in signs]

    @property
    def changed(self) -> int:
        """How many lines change in a file that is there."""
        if self.kind == "diff":
            return max(len(self.lines("+")), len(self.lines("-")))
        return len(self.content.split("\n")) if self.kind in ("dotenv", "po") else 0

    def apply(self, folder: Path) -> None:
        """Do in ``folder`` what the block says, unless it was done before."""
        path = folder / self.file
        if self.kind == "diff":
            self.replace_in(path)
        elif self.kind in ("dotenv", "po"):
            former = path.read_text() if path.exists() else ""
            path.write_text(former if self.content in former else f"{former}\n{self.content}")
        else:
            assert not path.exists() or path.read_text() == self.content, f"{self.file} is no new file"
            path.write_text(self.content)

    def replace_in(self, path: Path) -> None:
        text = path.read_text()
        lines = text.splitlines()
        if all(line in lines for line in self.lines("+")) and not any(line in lines for line in self.lines("-")):
            return
        before, after = ("".join(f"{line}\n" for line in self.lines(" ", sign)) for sign in "-+")
        once = f"\n{text}".count(f"\n{before}") == 1
        assert once, f"{self.file} does not have this once; if you changed it on purpose, delete this test:\n{before}"
        path.write_text(f"\n{text}".replace(f"\n{before}", f"\n{after}")[1:])


def blocks(guide: Path) -> Iterator[Block]:
    for section in re.split("^## ", guide.read_text(), flags=re.MULTILINE)[1:]:
        file, end = "", 0
        for fenced in FENCED.finditer(section):
            file = (FILE.findall(section[end : fenced.start()]) or [file])[-1]
            end = fenced.end()
            if fenced[1] != "sh":
                block_file = CATALOGUE if fenced[1] == "po" else file
                yield Block(section.partition("\n")[0], fenced[1], block_file, fenced[2])


BLOCKS = list(blocks(GUIDE))
RECIPES = list(dict.fromkeys(block.recipe for block in BLOCKS))


@pytest.fixture(scope="module", params=["with the demonstration", "without the demonstration"])
def followed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy in which everything was done that its own guide says."""
    folder = clone(tmp_path_factory.mktemp("followed"))
    if request.param == "without the demonstration":
        assert make_own(folder, NAME).returncode == 0
    for block in blocks(folder / "docs" / "make-it-yours.md"):
        if block.file != "bot.py":
            block.apply(folder)
    update_translations(folder)
    shutil.copy(ROOT / "tests" / "demo" / "recipes.py", folder / "tests" / "web" / "test_recipes.py")
    return folder


def test_a_copy_does_what_the_recipes_promise(followed: Path) -> None:
    names = ("web/test_recipes", "web/test_hello", "web/test_nickname", "web/test_translations", "test_repository")
    tests = [f"tests/{name}.py" for name in names]
    done = run(followed, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *tests)

    assert done.returncode == 0, done.stdout[-5000:]


def test_the_code_passes_the_checks(followed: Path) -> None:
    code = ["app.py", *sorted({block.file for block in BLOCKS if block.file.startswith(("web/", "tests/"))})]
    types = [] if (followed / "demo").exists() else [["mypy"]]  # the slowest by far, and the same in both
    for command in (["ruff", "check"], ["ruff", "format", "--check"], *types):
        done = run(followed, sys.executable, "-m", *command, *code)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_short(recipe: str) -> None:
    assert sum(block.changed for block in BLOCKS if block.recipe == recipe) <= MOST_LINES


def test_what_the_guide_names_is_there() -> None:
    text = GUIDE.read_text()
    titles = re.findall("^## (.*)$", text, re.MULTILINE)
    headings = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
    links = re.findall(r"\]\((?!https:)([^)#]*)#?([^)]*)\)", text)

    assert len(links) > 4
    for file, heading in links:
        assert (GUIDE.parent / file).exists()
        assert not heading or heading in headings
    makefile = (ROOT / "Makefile").read_text()
    for command in re.findall("make ([a-z]+)", re.sub(r"[^`]*(`[^`]*`)?", r"\1", text)):
        assert re.search(f"^{command}:", makefile, re.MULTILINE), command


@pytest.mark.parametrize("token", ["aliceNativeToken", "wrong"])
def test_a_script_needs_nothing_but_the_folder_misskey(tmp_path: Path, sandbox: Running, token: str) -> None:
    [bot] = [block for block in BLOCKS if block.file == "bot.py"]
    assert 'Server.parse("misskey.example")' in bot.content
    here = f'Server.parse("{sandbox.origin}", ["{sandbox.origin}"])'
    (tmp_path / "bot.py").write_text(bot.content.replace('Server.parse("misskey.example")', here))
    shutil.copytree(ROOT / "misskey", tmp_path / "misskey")
    start = "import runpy, sys; sys.path.insert(0, ''); sys.modules['flask'] = None; runpy.run_path('bot.py')"

    done = run(tmp_path, sys.executable, "-I", "-c", start, MISSKEY_TOKEN=token)

    posted = [note for note in sandbox.world.notes.values() if note["text"] == "alice is here."]
    assert (done.returncode, len(posted)) == ((1, 0) if token == "wrong" else (0, 1)), done.stderr
    assert done.stderr.startswith("Nothing was posted: ") == (token == "wrong")
