"""The files in static/vendor/ are what its README says they are."""

import hashlib
import re
from pathlib import Path

VENDOR = Path(__file__).parent.parent / "static" / "vendor"
CELL = r"[^|]+"
ROW = re.compile(
    rf"^\| (?P<file>\S+) \| {CELL} \| (?P<version>\S+) \| {CELL} \| {CELL} \| (?P<sha256>\S{{64}}) \|$", re.MULTILINE
)
ROWS = list(ROW.finditer((VENDOR / "README.md").read_text(encoding="utf-8")))
FILES = {path.name: path for path in VENDOR.iterdir() if path.name != "README.md"}


def test_every_file_is_listed_and_every_listed_file_is_there() -> None:
    """A file that nobody vouches for, or a line about a file that is gone, is a mistake."""
    assert sorted(row["file"] for row in ROWS) == sorted(FILES)


def test_every_file_is_the_one_that_was_published() -> None:
    """Changed by one byte, it would no longer be the package's."""
    published = {row["file"]: row["sha256"] for row in ROWS}
    assert {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in FILES.items()} == published


def test_every_file_has_its_version_in_its_name_and_a_licence_beside_it() -> None:
    """Browsers keep these files for ever, so a new version needs a new name."""
    for row in ROWS:
        name, version, _ = row["file"].partition(f"-{row['version']}.")
        assert f"{name}{version}LICENSE.txt" in FILES
