"""Static files under names that tell their content."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests.cast import Visitor
from web import static_files

STATIC = Path(__file__).parents[2] / "static"
FOR_A_YEAR = "public, max-age=31536000, immutable"
FOR_A_WHILE = "public, max-age=300"


def named_in(page: str) -> list[str]:
    return re.findall(r'(?:href|src)="(/static/[^"]+)"', page)


def kept(visitor: Visitor, path: str) -> str:
    with visitor.get(path) as answer:
        assert answer.status_code == 200
        [told] = answer.headers.getlist("Cache-Control")
        return told


@pytest.mark.parametrize("path", ["/signin", "/dashboard"])
def test_pages_name_files_by_their_content(alice: Visitor, path: str) -> None:
    page = alice.get(path).text

    assert any(re.fullmatch(r"/static/app\.[0-9a-f]{10}\.css", name) for name in named_in(page))
    assert any(re.fullmatch(r"/static/vendor/pico-2\.1\.1\.min\.[0-9a-f]{10}\.css", name) for name in named_in(page))
    for name in named_in(page):
        assert kept(alice, name) == FOR_A_YEAR


def test_a_file_has_its_content_under_either_name(visitor: Visitor) -> None:
    [named] = [name for name in named_in(visitor.get("/").text) if name.startswith("/static/app.")]
    for path in (named, "/static/app.css"):
        with visitor.get(path) as answer:
            assert answer.data == (STATIC / "app.css").read_bytes()
            assert answer.mimetype == "text/css"


def test_a_plain_name_is_kept_for_a_short_while(visitor: Visitor) -> None:
    assert kept(visitor, "/static/app.css") == FOR_A_WHILE
    assert kept(visitor, "/static/icon.png") == FOR_A_WHILE


def test_another_versions_name_gives_todays_file_for_a_short_while(visitor: Visitor) -> None:
    assert kept(visitor, "/static/app.0123456789.css") == FOR_A_WHILE


@pytest.mark.parametrize(
    "path",
    [
        "/static/nowhere.0123456789.css",
        "/static/../app.0123456789.py",
        "/static/%2e%2e/app.0123456789.py",
        "/static/..%2fapp.0123456789.py",
        "/static/app.css%00.0123456789.css",
        "/static/nowhere.css",
    ],
)
def test_only_static_files_are_found(visitor: Visitor, path: str) -> None:
    answer = visitor.get(path)

    assert answer.status_code == 404
    assert answer.headers["Cache-Control"] == "no-store, no-transform"


def test_a_file_that_has_not_changed_is_not_sent_again(visitor: Visitor) -> None:
    with visitor.get("/static/app.css", headers={"Accept-Encoding": "gzip"}) as first:
        tag = first.headers["ETag"]
    with visitor.get("/static/app.css", headers={"Accept-Encoding": "gzip", "If-None-Match": tag}) as again:
        assert (again.status_code, again.data) == (304, b"")
        assert again.headers["Cache-Control"] == FOR_A_WHILE


def test_a_changed_file_gets_another_name(tmp_path: Path) -> None:
    (tmp_path / "app.css").write_text("a { color: red }")
    app = Flask("small", static_folder=tmp_path)
    static_files.init_app(app)

    def name() -> str:
        with app.test_request_context():
            return str(app.url_for("static", filename="app.css"))

    before = name()
    assert name() == before
    (tmp_path / "app.css").write_text("a { color: rebeccapurple }")

    assert name() != before


def test_a_file_that_came_later_has_its_plain_name(tmp_path: Path) -> None:
    app = Flask("small", static_folder=tmp_path, static_url_path="/static")
    static_files.init_app(app)
    (tmp_path / "late.css").write_text("")

    with app.test_request_context():
        assert app.url_for("static", filename="late.css") == "/static/late.css"


def test_other_sites_may_show_the_apps_picture_and_nothing_else(visitor: Visitor) -> None:
    with visitor.get("/static/icon.png") as picture, visitor.get("/static/app.css") as style:
        assert picture.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
        assert style.headers["Cross-Origin-Resource-Policy"] == "same-origin"


def test_the_picture_is_a_png_of_256_pixels() -> None:
    picture = (STATIC / "icon.png").read_bytes()

    assert picture[:8] == b"\x89PNG\r\n\x1a\n"
    assert (picture[16:20], picture[20:24]) == ((256).to_bytes(4), (256).to_bytes(4))
    assert len(picture) < 10_000


def test_in_production_servers_show_the_apps_own_picture(make_app: Callable[..., Flask]) -> None:
    settings = make_app(PUBLIC_URL="https://signin.example").extensions["settings"]

    assert settings.app_icon == "https://signin.example/static/icon.png"


def test_a_list_without_marks_is_still_a_list_in_safari() -> None:
    """For Safari, what has no marks by ``none``, or entries of another display, is no list to people who hear it."""
    styles = [path.read_text() for path in STATIC.rglob("*.css") if "vendor" not in path.parts]
    templates = [path.read_text() for path in STATIC.with_name("templates").rglob("*.html")]

    assert not re.findall(r"list-style[^;]*none", "".join(styles))
    assert 'list-style-type: "";' in "".join(styles)
    assert not re.findall("<li class=.*", "".join(templates))
