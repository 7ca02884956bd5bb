"""Pages of the sign-in: its forms, with their errors, and its own failures in words. The views are in ``app.py``."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

from babel.support import NullTranslations
from flask import current_app, render_template, request, session
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import generate_csrf

from misskey import InvalidAnswer, MisskeyError, ServerElsewhere, ServerForbidden, ServerNotFound

from . import error_pages, failures, pending_signins, services
from .failures import Failure
from .forms import ServerForm, SignInForm, TokenForm
from .languages import texts
from .pending_signins import Pending
from .template_filters import MAX_PARTS

_OF_EVERYBODY = {"csrf_token", "language", "_permanent"}  # what the cookie of somebody unknown may say


def refused(form: ServerForm, error: MisskeyError) -> ResponseReturnValue:
    """Show the form again, with what was typed and why it did not work at that server."""
    failure = failures.of_server(error)
    typed = not services.settings().only_servers  # else it was chosen, or is the only one
    words = failure.words if typed or not isinstance(error, ServerNotFound) else failures.OFFLINE
    form.host.errors = [_("%(title)s. %(words)s", title=failure.title, words=words)]
    if isinstance(error, InvalidAnswer) and typed:
        form.host.errors.append(_("Or is it no Misskey server? Check the spelling, too."))
    mistyped = isinstance(error, (ServerNotFound, ServerForbidden))
    if isinstance(form, TokenForm):
        page = token_page(form)
    else:
        offered = error.leads_to if isinstance(error, ServerElsewhere) else None
        page = sign_in_page(form, offered=offered, by_hand=failure.action == "by_hand")
    return page, 422 if mistyped else failure.status


def first_page() -> str:
    """Return the sign-in form as it is shown before anything is sent.

    To a visitor of whom nothing is known yet it says the same in each language, but for the token of its forms.
    """
    is_known = set(session) - _OF_EVERYBODY or pending_signins.under_way() or error_pages.in_app_browser()
    if is_known or request.args or current_app.debug:
        return sign_in_page(SignInForm())
    return str(generate_csrf()).join(_first_page(texts()))


@lru_cache(MAX_PARTS)
def _first_page(_texts: NullTranslations) -> list[str]:
    """Return the first page in the parts between its tokens."""
    return sign_in_page(SignInForm()).split(str(generate_csrf()))


def sign_in_page(form: ServerForm, failure: Failure | None = None, **values: object) -> str:
    """Return the sign-in form, with the sign-ins that are under way."""
    return _form_page(
        "signin.html",
        form,
        failure=failure,
        **values,
        under_way=pending_signins.unfinished(),
        in_app_browser=error_pages.in_app_browser(),
    )


def token_page(form: ServerForm, failure: Failure | None = None) -> str:
    """Return the form for a token made by hand."""
    return _form_page("token.html", form, failure=failure)


def _form_page(template: str, form: ServerForm, **values: object) -> str:
    if not (form.is_submitted() or form.errors):
        form.prefill()
    return render_template(template, form=form, settings=services.settings(), **values)


OTHER_BROWSER = Failure(
    400,
    _l("This browser did not begin this sign-in"),
    _l(
        "Only the browser that began a sign-in can finish it, so you are not signed in here. If cookies are off, "
        "turn them on. If you began in another browser or app, go back there, or start again here."
    ),
    "browser",
)
SIGN_IN_OVER = Failure(
    410,
    _l("This sign-in is over"),
    _l("Each sign-in works once, and this one was used or cancelled. Start a new one; it takes a few seconds."),
)
#: Of one whose cookie this browser has not, or not any more: it may have been a stranger's, who was faster.
OVER_ELSEWHERE = replace(SIGN_IN_OVER, action="browser")
SIGN_IN_EXPIRED = Failure(
    410,
    _l("This sign-in took too long"),
    _l("You have ten minutes to allow a sign-in. This app got no access. Start again; it takes a few seconds."),
)


def not_allowed_yet(begun: Pending) -> Failure:
    """Return what to do when the server says that the person has not allowed a sign-in."""
    return Failure(
        403,
        _("%(host)s says: not allowed yet", host=begun.server.host),
        _("If you have just allowed it, check again. If you closed the page or denied it, you can start again."),
        "resume",
        context={"begun": begun},
    )


def nameless(begun: Pending) -> Failure:
    """Return what to do when the server sent the browser back without the session id of a sign-in."""
    return Failure(
        400,
        _l("Your server did not say which sign-in this is"),
        _("You began to sign in at %(host)s. If you have allowed it there, check it here.", host=begun.server.name),
        "resume",
        context={"begun": begun},
    )
