"""Static files under names that tell their content, such as ``app.0123456789.css``: browsers keep them for a year.

Templates go on asking for ``url_for('static', filename='app.css')``; a changed file gets another name by itself.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response, g, request

YEAR_SECONDS = 31_536_000
PLAIN_NAME_SECONDS = 300
_TELLING = re.compile(r"(.+)\.([0-9a-f]{10})(\.[a-z0-9]+)")


def init_app(app: Flask) -> None:
    """Give the static files of ``app`` telling names, and let browsers keep them."""
    folder = Path(str(app.static_folder))
    files = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}

    def make_name(endpoint: str, values: dict[str, Any]) -> None:
        if endpoint == "static" and (path := files.get(values["filename"])):
            values["filename"] = f"{values['filename'].removesuffix(path.suffix)}.{_tell(path)}{path.suffix}"

    def read_name(endpoint: str | None, values: dict[str, Any] | None) -> None:
        if endpoint != "static" or not values or not (parts := _TELLING.fullmatch(values["filename"])):
            return
        if path := files.get(parts[1] + parts[3]):
            values["filename"] = parts[1] + parts[3]
            g.kept_for_a_year = parts[2] == _tell(path)  # another version is asked for while a new one is rolled out

    app.url_defaults(make_name)
    app.url_value_preprocessor(read_name)
    app.after_request(_let_browsers_keep)


def _tell(path: Path) -> str:
    return _hash(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=100)
def _hash(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]


def _let_browsers_keep(response: Response) -> Response:
    if request.endpoint == "static" and response.status_code in (200, 206, 304):
        how_long = f"{YEAR_SECONDS}, immutable" if g.get("kept_for_a_year") else PLAIN_NAME_SECONDS
        response.headers["Cache-Control"] = f"public, max-age={how_long}"
    return response
