"""Error handlers: they render every failure, in the words of :mod:`web.failures`, as a page or a fragment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Flask, current_app, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from misskey import PERMISSIONS, AuthenticationFailed, MisskeyError, PermissionDenied, parse_permissions

from . import accounts, failures
from .accounts import Account, PermissionMissing
from .failures import Failure
from .hosting import request_log
from .htmx import is_answer_to_form, wants_fragment
from .rate_limits import RateLimitExceeded
from .storage.store_backend import NotKept, StoreUnavailable
from .template_filters import permission_label, sentences


def init_app(app: Flask) -> None:
    """Answer every failure in ``app`` with words."""
    handlers: dict[type[Exception], Callable[[Any], ResponseReturnValue]] = {
        MisskeyError: _server_failed,
        PermissionMissing: _permission_missing,
        CSRFError: _not_our_page,
        RateLimitExceeded: lambda error: answer(failures.too_many(error)),
        StoreUnavailable: _store_unavailable,
        HTTPException: _http_failure,
    }
    app.log_exception = partial(_log_exception, app.log_exception)  # type: ignore[method-assign]
    if not app.debug:  # while developing, the debugger shows it
        handlers[Exception] = _broken
    for kind, handler in handlers.items():
        app.register_error_handler(kind, partial(_noted, handler))


def answer(failure: Failure) -> ResponseReturnValue:
    """Return the page of ``failure``, or its fragment where a panel asked."""
    values = {"failure": failure, "in_app_browser": in_app_browser(), **failure.context}
    if wants_fragment():
        page = render_template("_failure.html", **values)
    else:  # with the account's menu, unless it may be that which is broken
        account = None if failure.status in (500, 503) else accounts.current()
        page = render_template("failure.html", **{"account": account, **values})
    response = make_response(page, failure.status)
    # What was typed stays where it is; also when the form was fine, and the page of what came of it fails.
    if wants_fragment() and is_answer_to_form():
        response.headers["HX-Retarget"] = "previous .told"
        response.headers["HX-Reswap"] = "innerHTML show:top"
    if failure.retry_after is not None:
        response.headers["Retry-After"] = str(failure.retry_after)
    return response


def in_app_browser() -> bool:
    """Return whether the page is open inside another app, whose browser forgets or splits cookies."""
    return _IN_APP.search(request.headers.get("User-Agent", "")[: accounts.AGENT_CHARACTERS]) is not None


#: On iPhones and iPads, only browsers name Safari.
_IN_APP = re.compile(
    r"FBAN/|FBAV/|Instagram| Line/|Twitter|; wv\)|MicroMessenger|BytedanceWebview|\((iPhone|iPad|iPod)(?!.*Safari/)"
)


def failure_of(error: MisskeyError, account: Account, *permissions: str) -> Failure:
    """Return what a failure means for the visitor, with the new sign-in that would help, also for ``permissions``."""
    before = accounts.permissions_of(account)
    ask_for: tuple[str, ...] = ()
    if isinstance(error, PermissionDenied):
        ask_for = parse_permissions({*before, *filter(None, permissions)})
    elif isinstance(error, AuthenticationFailed):
        ask_for = before
    return replace(failures.of_server(error), context={"account": account, "ask_for": ask_for})


def _server_failed(error: MisskeyError) -> ResponseReturnValue:
    account = accounts.of_request()
    if account and error.host == account.server.host:  # not that of another sign-in
        return answer(failure_of(error, account))
    return answer(failures.of_server(error))


def _permission_missing(error: PermissionMissing) -> ResponseReturnValue:
    account, missing = error.account, error.account.lacks(*error.permissions)
    words = [
        _("This sign-in does not include: “%(permission)s”.", permission=permission_label(PERMISSIONS[name]))
        for name in missing
    ]
    context = {"account": account, "ask_for": parse_permissions([*(account.permissions or ()), *missing])}
    told = sentences(*words, _("To go on, sign in again and allow it."))
    return answer(Failure(403, _l("The permission for this is missing"), told, context=context))


def _noted(handler: Callable[[Any], ResponseReturnValue], error: Exception) -> ResponseReturnValue:
    request_log.note(error)
    return handler(error)


def _not_our_page(_error: CSRFError) -> ResponseReturnValue:
    if request.cookies.get(current_app.config["SESSION_COOKIE_NAME"]) is None:
        words = _l("Signing in needs a cookie, to know that it is you. Allow cookies here, then start again.")
        return answer(Failure(400, _l("Your browser did not send our cookie"), words))
    words = _l("Nothing was changed. Go back, reload the page and send it again.")
    return answer(Failure(400, _l("This page was too old"), words, "back"))


def _http_failure(error: HTTPException) -> ResponseReturnValue:
    cause = getattr(error, "original_exception", None)  # the page of another failure needed the store, or the form
    if isinstance(cause, StoreUnavailable):
        return _store_unavailable(cause)
    if isinstance(cause, HTTPException):
        return _noted(_http_failure, cause)
    response = make_response(answer(_of_http(error)))
    for name, value in error.get_headers():  # Allow for 405, Content-Range for 416
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _of_http(error: HTTPException) -> Failure:
    status = error.code or 500
    if status >= 500:
        return _BROKEN
    return _signed_out() if status == 401 else Failure(status, *_OF_STATUS.get(status, _OTHERWISE), "back")


def _signed_out() -> Failure:
    words = _l("Sign in again to see this.")
    if request.method == "POST":
        words = _l("Nothing was done. Copy what you typed before you sign in again: it does not come along.")
    elif accounts.current():  # of another sign-in than the page's: a bookmark, or a tab from before
        over = _l("This page is from a sign-in that is over")
        return Failure(401, over, _l("Open it anew from the first page."), "back")
    return Failure(401, _l("You are signed out"), words)


#: Title and words for what a visitor can do something about.
_OF_STATUS = {
    404: (_l("There is no such page"), _l("The address may be mistyped, or the page has moved.")),
    405: (_l("This page can’t be opened like that"), _l("It is part of a form. Start from the first page.")),
    413: (_l("That was too much at once"), _l("Go back and send less.")),
    429: (_l("Too many tries"), failures.wait_words(None)),  # all places for calls to servers are taken
}
_OTHERWISE = (_l("Something in the request was not right"), _l("Go back and try again."))


def _log_exception(log: Callable[[Any], None], exc_info: Any) -> None:
    """Have Flask log what is wrong in the code, not what the page of another failure could not read."""
    if not isinstance(exc_info[1], (HTTPException, StoreUnavailable)):
        log(exc_info)


def _store_unavailable(error: StoreUnavailable) -> ResponseReturnValue:
    current_app.logger.error("token store: %s", error)
    if isinstance(error, NotKept):
        words = _l("It was done at your server, and only the page about it is lost. Look there before you do it again.")
        return answer(Failure(503, _l("Our memory is not available"), words, "back"))
    words = _l("This is on our side: the place where sign-ins are kept does not answer. Try again in a minute.")
    return answer(Failure(503, _l("Our memory is not available"), words, "retry", 30))


def _broken(error: Exception) -> ResponseReturnValue:
    current_app.logger.error("%s failed", request.endpoint, exc_info=error)
    return answer(_BROKEN)


_BROKEN = Failure(
    500,
    _l("Something broke on our side"),
    _l("It was noted. Try again; if it happens again, tell whoever runs this site."),
    "retry",
)
