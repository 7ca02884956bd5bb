"""The pages of the documentation in Japanese: whatever the English ones say has its place there too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Each English page and its Japanese one.
PAGES = {
    **{page: page.with_name("README.ja.md") for page in (ROOT / "README.md", *ROOT.glob("misskey/README.md"))},
    **{page: page.parent / "ja" / page.name for page in sorted((ROOT / "docs").glob("*.md"))},
}
every_page = pytest.mark.parametrize(
    ("english", "japanese"), PAGES.items(), ids=[page.relative_to(ROOT).as_posix() for page in PAGES]
)
LANGUAGE = re.compile(r"^\[(?:English|日本語)\]\((.+)\)\n\n", re.MULTILINE)
BLOCK = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
COMMENT = re.compile(r"(?<=\S) +# .*")
MARK = re.compile(r"^<!-- .* -->\n", re.MULTILINE)
#: How a part of a page begins; any other line goes on with the one before it.
BEGINNINGS = (r"#+ ", r"<!-- .* -->", r"\|", r"- ", r"\d+\. ", r"!\[", "```")
LINE_BREAK = re.compile(rf"(?<=[^\n])\n(?!\n|\Z|{'|'.join(BEGINNINGS)})")


def body(page: Path) -> str:
    """Return the page without the link to the other language."""
    return LANGUAGE.sub("\n", page.read_text())


def prose(page: Path) -> str:
    """Return the page with the place of each block of code."""
    return BLOCK.sub("```", body(page))


def skeleton(page: Path) -> list[str]:
    """Return what stands one below the other: how each part begins, and all of the code but its comments."""
    code = [COMMENT.sub("", block) for block in BLOCK.findall(body(page))]
    parts = LINE_BREAK.sub(" ", MARK.sub(r"\g<0>\n", prose(page))).splitlines()
    begun = [re.match("|".join(BEGINNINGS), part) for part in parts if part]
    return [code.pop(0) if found and found[0] == "```" else found[0] if found else "text" for found in begun]


def targets(page: Path) -> list[str]:
    """Return where the links of a page lead: addresses, paths, and numbers of headings; in both languages alike."""
    originals = {japanese: english for english, japanese in PAGES.items()}
    headings = re.findall("^#+ (.*)", prose(page), re.MULTILINE)
    anchors = [re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings]
    found = []
    for link in ("".join(found) for found in re.findall(r"\]\(([^)]+)\)|<(https?:[^>]+)>", prose(page))):
        if link.startswith("#"):
            found.append(f"#{anchors.index(link[1:])}")
        elif link.startswith("http"):
            found.append(link)
        else:
            path = (page.parent / link).resolve()
            found.append(str(originals.get(path, path)))
    return sorted(found)


def names(page: Path) -> set[str]:
    """Return what a page writes as code within its texts."""
    return {name.replace("docs/ja/", "docs/") for name in re.findall("`([^`]+)`", prose(page).replace("```", ""))}


def figures(page: Path) -> set[str]:
    return set(re.findall(r"(?<![\w.])\d[\d.,]*(?<=\d)", prose(page)))


@every_page
def test_the_japanese_page_has_the_same_parts_in_the_same_order(english: Path, japanese: Path) -> None:
    assert skeleton(japanese) == skeleton(english)


@every_page
def test_its_links_lead_to_the_same_places(english: Path, japanese: Path) -> None:
    assert targets(japanese) == targets(english)


@every_page
def test_it_names_the_same_settings_commands_and_figures(english: Path, japanese: Path) -> None:
    assert names(japanese) == names(english)
    assert figures(japanese) >= figures(english)


@every_page
def test_it_has_no_spaces_between_sentences(english: Path, japanese: Path) -> None:
    """A line break within a paragraph would be shown as one."""
    assert not LINE_BREAK.search(MARK.sub(r"\g<0>\n", prose(japanese)))
    assert not re.search("[。、！？：] (?=[^\x00-\x7f])", prose(japanese))


@every_page
def test_it_leads_back_to_the_english_page(english: Path, japanese: Path) -> None:
    [link] = LANGUAGE.findall(japanese.read_text())

    assert (japanese.parent / link).resolve() == english


@pytest.mark.parametrize("english", [page for page in PAGES if page.parent != ROOT], ids=lambda page: page.name)
def test_the_english_page_leads_to_it(english: Path) -> None:
    [link] = LANGUAGE.findall(english.read_text())

    assert (english.parent / link).resolve() == PAGES[english]


@pytest.mark.parametrize("page", [*ROOT.glob("*.md"), *sorted((ROOT / "docs").rglob("*.md"))], ids=str)
def test_its_commands_can_be_pasted_into_zsh_too_which_takes_a_comment_for_words(page: Path) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert not [line for block in blocks for line in block.splitlines() if re.search(r"(^|\s)#", line)]
