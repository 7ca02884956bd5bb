"""Static files under names that tell their content, such as ``app.0123456789.css``: browsers keep them for a year.

Templates go on asking for ``url_for('static', filename='app.css')``; a changed file gets another name by itself.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from pathlib import Path
from typing import Any

from flask import Flask, Response

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

    def send(filename: str) -> Response:
        how_long = str(PLAIN_NAME_SECONDS)
        parts = _TELLING.fullmatch(filename)
        if parts and (path := files.get(parts[1] + parts[3])):
            filename = parts[1] + parts[3]
            if parts[2] == _tell(path):  # another version is asked for while a new one is rolled out
                how_long = f"{YEAR_SECONDS}, immutable"
        response = app.send_static_file(filename)
        response.headers["Cache-Control"] = f"public, max-age={how_long}"
        return response

    app.url_defaults(make_name)
    app.view_functions["static"] = send


def _tell(path: Path) -> str:
    return _hash(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=100)
def _hash(path: Path, changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:10]
