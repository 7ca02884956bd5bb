"""Lists the pictures of `make screenshots` on one page."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from markupsafe import Markup

PAGE = Markup("""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>Every page and state</title>
<style>
  :root {{ color-scheme: light dark; font-family: sans-serif; }}
  div {{ display: flex; gap: 1rem; align-items: start; }}
  a {{ flex: 1; }}
  img {{ display: block; width: 100%; max-height: 20rem; object-fit: cover; object-position: top; border: 1px solid; }}
</style>
<h1>Every page and state</h1>
{}
""")
STATE = Markup("<h2>{}</h2>\n<div>\n{}</div>\n")
PICTURE = Markup('<a href="{0}"><img src="{0}" alt="" loading="lazy">{1}</a>\n')


def write_index(folder: Path) -> None:
    """List all pictures of a folder, state by state."""
    states = groupby(sorted(folder.glob("*/*.png")), key=lambda path: path.parent)
    (folder / "index.html").write_text(PAGE.format(Markup("").join(listed(state, paths) for state, paths in states)))


def listed(state: Path, pictures: Iterable[Path]) -> Markup:
    links = (PICTURE.format(f"{state.name}/{path.name}", path.stem.replace("-", " ")) for path in pictures)
    return STATE.format(state.name.replace("-", " "), Markup("").join(links))
