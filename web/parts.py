"""Parts of pages: a script asks for one and puts it into the page that it is on; without scripts it is a whole page."""

from __future__ import annotations

from flask import request


def wants_part() -> bool:
    """Tell whether a script asks for a part of a page. https://htmx.org/reference/#request_headers"""
    return "HX-Request" in request.headers
