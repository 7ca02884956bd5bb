"""Fragments of pages: htmx asks for one and puts it into the page; without scripts it is a whole page."""

from __future__ import annotations

from typing import Any

from flask import current_app, render_template, request

from .account import Account
from .languages import Text
from .rate_limits import View


def wants_fragment() -> bool:
    """Return whether htmx asks for a fragment. https://htmx.org/reference/#request_headers"""
    return "HX-Request" in request.headers


def page_or_fragment(template: str, title: Text, account: Account, **values: Any) -> str:
    """Return one file, alone for a script that asked for a part of the page, else within the page."""
    values |= {"title": title, "account": account}
    if wants_fragment():
        return render_template(template, **values)
    return render_template("fragment_page.html", fragment=template, **values)


def answers_form(view: View) -> View:
    """Mark ``view`` as the page that a form redirects to: when it fails, what was typed stays where it is."""
    view.answers_form = True  # type: ignore[attr-defined]
    return view


def is_answer_to_form() -> bool:
    """Return whether this request sends a form, or comes from one by a redirect."""
    view = current_app.view_functions.get(request.endpoint or "")
    return request.method == "POST" or getattr(view, "answers_form", False)
