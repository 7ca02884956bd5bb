"""Rendering of the sign-in forms, with their errors. The views are in ``app.py``."""

from __future__ import annotations

from flask import render_template
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _

from misskey import InvalidAnswer, MisskeyError, ServerElsewhere, ServerForbidden, ServerNotFound

from . import error_pages, failures, pending_signins, services
from .failures import Failure
from .forms import ServerForm, TokenForm


def refused(form: ServerForm, error: MisskeyError) -> ResponseReturnValue:
    """Show the form again, with what was typed and why it did not work at that server."""
    failure = failures.of_server(error)
    form.host.errors = [_("%(title)s. %(words)s", title=failure.title, words=failure.words)]
    if isinstance(error, InvalidAnswer):
        form.host.errors.append(_("Or is it no Misskey server? Check the spelling, too."))
    mistyped = isinstance(error, (ServerNotFound, ServerForbidden))
    if isinstance(form, TokenForm):
        page = token_page(form)
    else:
        offered = error.named if isinstance(error, ServerElsewhere) else None
        page = sign_in_page(form, offered=offered, by_hand=failure.action == "by_hand")
    return page, 422 if mistyped else failure.status


def sign_in_page(form: ServerForm, failure: Failure | None = None, **values: object) -> str:
    """Return the sign-in form, with the sign-ins that are under way."""
    return _form_page(
        "signin.html",
        form,
        failure=failure,
        **values,
        under_way=[entry for entry in pending_signins.under_way() if not (entry.expired or entry.finished)],
        in_app_browser=error_pages.in_app_browser(),
    )


def token_page(form: ServerForm, failure: Failure | None = None) -> str:
    """Return the form for a token made by hand."""
    return _form_page("token.html", form, failure=failure)


def _form_page(template: str, form: ServerForm, **values: object) -> str:
    if not (form.is_submitted() or form.errors):
        form.prefill()
    return render_template(template, form=form, settings=services.settings(), **values)
