"""What goes over the wire is small."""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator

import pytest
from flask import Flask, Response

from tests.cast import Visitor

ZIPPED = {"Accept-Encoding": "gzip"}


def encoding(visitor: Visitor, path: str, **headers: str) -> str | None:
    with visitor.get(path, headers={"Accept-Encoding": "gzip, deflate, br, zstd"} | headers) as answer:
        return answer.headers.get("Content-Encoding")


@pytest.mark.parametrize("path", ["/", "/static/app.css", "/static/vendor/pico-2.1.1.min.css", "/nowhere"])
def test_text_is_compressed_as_the_browser_can_read_it(visitor: Visitor, path: str) -> None:
    with visitor.get(path) as plain, visitor.get(path, headers=ZIPPED) as zipped:
        assert plain.headers.get("Content-Encoding") is None
        assert "Accept-Encoding" in plain.headers["Vary"]
        if zipped.status_code == 200:
            assert zipped.headers["Content-Encoding"] == "gzip"
            assert int(zipped.headers["Content-Length"]) == len(zipped.data) < len(plain.data) / 2
            assert len(gzip.decompress(zipped.data)) == len(plain.data)


def test_brotli_comes_first(visitor: Visitor) -> None:
    assert encoding(visitor, "/static/app.css") == "br"


def test_pictures_and_short_answers_stay_as_they_are(visitor: Visitor) -> None:
    assert encoding(visitor, "/static/icon.png") is None
    assert encoding(visitor, "/healthz") is None


def test_a_part_of_a_file_stays_as_it_is(visitor: Visitor) -> None:
    with visitor.get("/static/app.css", headers=ZIPPED | {"Range": "bytes=0-99"}) as answer:
        assert (answer.status_code, len(answer.data)) == (206, 100)
        assert "Content-Encoding" not in answer.headers


@pytest.mark.parametrize("kind", ["text/event-stream", "text/html"])
def test_a_stream_is_sent_as_it_comes(app: Flask, visitor: Visitor, kind: str) -> None:
    def stream() -> Response:
        def events() -> Iterator[str]:
            yield "data: " + "x" * 5000 + "\n\n"

        return Response(events(), content_type=kind)

    app.view_functions["health.readyz"] = stream

    with visitor.get("/readyz", headers=ZIPPED) as answer:
        assert "Content-Encoding" not in answer.headers
        assert answer.data.startswith(b"data: xxx")


def test_a_page_with_secrets_tells_other_sites_nothing_by_its_length(visitor: Visitor) -> None:
    assert encoding(visitor, "/signin?host=guess", **{"Sec-Fetch-Site": "cross-site"}) == "br"
    visitor.begin()

    assert encoding(visitor, "/signin?host=guess", **{"Sec-Fetch-Site": "cross-site"}) is None
    assert encoding(visitor, "/signin?host=guess", **{"Sec-Fetch-Site": "same-site"}) is None
    assert encoding(visitor, "/signin", **{"Sec-Fetch-Site": "same-origin"}) == "br"
    assert encoding(visitor, "/signin", **{"Sec-Fetch-Site": "none"}) == "br"
    assert encoding(visitor, "/signin?host=guess") is None  # a browser that does not tell
    assert encoding(visitor, "/signin") == "br"
    assert encoding(visitor, "/static/app.css", **{"Sec-Fetch-Site": "cross-site"}) == "br"


def load(visitor: Visitor, path: str) -> dict[str, int]:
    """The bytes of every answer that a page and all it needs take, headers included, by the address."""
    sizes, names = {}, [path]
    for name in names:
        with visitor.get(name, headers=ZIPPED) as answer:
            assert answer.status_code == 200
            sizes[name] = len(answer.data) + len(str(answer.headers))
            page = gzip.decompress(answer.data).decode() if name == path else ""
        found = re.findall(r'<(?:link|script|img)[^>]*?(?:href|src)="([^"]+)"', page)
        names.extend(dict.fromkeys(found))
    return sizes


def test_the_first_page_is_small_with_everything_it_needs(visitor: Visitor) -> None:
    sizes = load(visitor, "/")

    assert len(sizes) <= 6
    own_icon = [name for name in sizes if name.startswith("/static/icon.")]  # which may be larger than ours
    assert sum(size for name, size in sizes.items() if name not in own_icon) <= 27_000, sizes


def test_the_dashboards_shell_is_small_with_everything_it_needs(alice: Visitor) -> None:
    assert sum(load(alice, "/dashboard").values()) <= 60_000
