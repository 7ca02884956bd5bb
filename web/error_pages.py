"""Every failure as one page, or one fragment, that says what happened, whose side it is on, and what to do now."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import Flask, current_app, make_response, render_template, request
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_ngettext as _ln
from flask_limiter import RateLimitExceeded
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException

from misskey import (
    AnswerTooLarge,
    APIError,
    AuthenticationFailed,
    InsecureConnection,
    InvalidAnswer,
    MiAuthDisabled,
    MisskeyError,
    NotMisskey,
    PermissionDenied,
    RateLimited,
    ServerForbidden,
    ServerNotFound,
    ServerTimeout,
    TransportError,
)

from . import accounts
from .parts import wants_part
from .shown import line, sentences
from .token_store import NotKept, StoreUnavailable

_AFTER_A_FORM = ("posting.posted", "uploads.uploaded", "console.answer")


@dataclass(frozen=True, slots=True)
class Problem:
    """A failure in words for the visitor.

    ``action`` is what the page offers to do next: ``start``, ``retry``, ``back``, ``resume``, ``browser`` or ``none``;
    ``context`` is what it needs to know for that.
    """

    status: int
    title: Any
    words: Any
    action: str = "start"
    retry_after: int | None = None
    context: dict[str, Any] = field(default_factory=dict)


def init_app(app: Flask) -> None:
    """Answer every failure in ``app`` with words."""
    app.register_error_handler(MisskeyError, lambda error: answer(of_server(error)))
    app.register_error_handler(CSRFError, _not_our_page)
    app.register_error_handler(RateLimitExceeded, lambda error: answer(too_many(error)))
    app.register_error_handler(StoreUnavailable, _store_unavailable)
    app.register_error_handler(HTTPException, _http_failure)
    app.register_error_handler(Exception, _broken)


def answer(problem: Problem) -> ResponseReturnValue:
    """Return the page of ``problem``, or its fragment where a panel asked."""
    values = {"problem": problem, "in_app_browser": in_app_browser(), **problem.context}
    if wants_part():
        page = render_template("_problem.html", **values)
    else:  # with the account's menu, unless it may be that which is broken
        account = None if problem.status in (500, 503) else accounts.current()
        page = render_template("problem.html", **{"account": account, **values})
    response = make_response(page, problem.status)
    # What was typed stays where it is; also when the form was fine, and the page of what came of it fails.
    if wants_part() and (request.method == "POST" or request.endpoint in _AFTER_A_FORM):
        response.headers["HX-Retarget"] = "previous .told"
        response.headers["HX-Reswap"] = "innerHTML show:top"
    if problem.retry_after is not None:
        response.headers["Retry-After"] = str(problem.retry_after)
    return response


def of_server(error: MisskeyError) -> Problem:
    """Return what a failure at the remote server means for the visitor, and note it in the log."""
    current_app.logger.warning("%s at %s (%s)", type(error).__name__, error.host, request.endpoint)
    kind, (title, words) = next((kind, told) for kind, told in _OF_SERVER.items() if isinstance(error, kind))
    retry_after = None
    if isinstance(error, RateLimited):
        words, retry_after = wait_words(error.retry_after), error.retry_after
    elif isinstance(error, NotMisskey) and error.software:
        words = _("It runs %(software)s. This works with Misskey servers only.", software=error.software.capitalize())
    elif type(error) is APIError:
        title, words = _of_refusal(error, title, words)
    action = "start" if kind in _BEGIN_ANEW else "retry"
    if isinstance(error, APIError) and error.code in _SWITCHED_OFF:
        title, words, action = *_SWITCHED_OFF[error.code], "none"
    return Problem(_STATUS.get(kind, 502), str(title % {"host": error.host}), str(words), action, retry_after)


def _of_refusal(error: APIError, title: Any, words: Any) -> tuple[Any, Any]:
    """Return title and words for a server that says no in a way of its own."""
    if error.status >= 500:
        title, words = _OUT_OF_ORDER
    elif error.status == 404:
        return _UNKNOWN_THERE
    if not error.text:
        return title, words
    said = _("The server said: %(text)s", text=" ".join(filter(None, (error.text, *refused_parameter(error)))))
    return title, sentences(words, said) if error.status >= 500 else said


def refused_parameter(error: APIError) -> tuple[str, str]:
    """Return the parameter that the server refused and what is wrong with it; ``""`` where it does not say.

    Misskey names it by where the rule stands: ``#/then/properties/text/maxLength``.
    """
    info = error.info if isinstance(error.info, dict) else {}
    path, reason = line(info.get("param")), line(info.get("reason"), 200)
    return path.partition("properties/")[2].partition("/")[0], reason


def too_many(error: RateLimitExceeded) -> Problem:
    """Return how long a visitor has to wait who asked too often."""
    seconds = error.limit.limit.get_expiry()
    return Problem(429, _l("Too many tries"), wait_words(seconds), "back", seconds)


#: Title and words for an error, by the first of its kinds that is here.
_OF_SERVER: dict[type[MisskeyError], tuple[Any, Any]] = {
    ServerTimeout: (
        _l("%(host)s takes too long"),
        _l("The server did not answer in time. It may be busy; try again in a minute."),
    ),
    ServerNotFound: (
        _l("%(host)s can’t be found"),
        _l("Check the spelling. If it is right, the server or this app may be offline just now."),
    ),
    ServerForbidden: (
        _l("%(host)s is not on the public internet"),
        _l("The name leads into a private network, where this app does not go. Check the spelling."),
    ),
    InsecureConnection: (
        _l("The connection to %(host)s is not secure"),
        _l("Its certificate is out of date or made for another name. Its owner can mend this."),
    ),
    AnswerTooLarge: (
        _l("%(host)s sends too much"),
        _l(
            "Its answer is longer than any Misskey server’s, so it was not read to the end. "
            "Check the name, or try later."
        ),
    ),
    TransportError: (
        _l("%(host)s can’t be reached"),
        _l("The server refused or cut the connection. It may be down; try again in a few minutes."),
    ),
    NotMisskey: (
        _l("%(host)s is not a Misskey server"),
        _l("It answers, but not as Misskey does. Check the spelling of your server’s name."),
    ),
    MiAuthDisabled: (
        _l("%(host)s does not let apps sign people in"),
        _l(
            "This Misskey server has its sign-in for apps (MiAuth) switched off. "
            "Only its administrators can change that."
        ),
    ),
    InvalidAnswer: (
        _l("%(host)s gave an answer that this app can’t read"),
        _l("The server may be under maintenance, or a firewall answered in its place. Try again later."),
    ),
    AuthenticationFailed: (
        _l("%(host)s no longer accepts the token"),
        _l("The token was removed at the server, or it ran out. Sign in there again to go on."),
    ),
    PermissionDenied: (
        _l("The permission for this is missing"),
        _l("It was not given when you signed in. To go on, sign in again and allow it."),
    ),
    RateLimited: (_l("%(host)s has had too many requests"), ""),
    MisskeyError: (
        _l("%(host)s said no"),
        _l("The server refused this without giving a reason. Try again in a minute."),
    ),
}
_OUT_OF_ORDER = (_l("%(host)s has a problem"), _l("The fault is on the server’s side. Try again in a few minutes."))
_UNKNOWN_THERE = (
    _l("%(host)s does not know this endpoint"),
    _l("Its name may be mistyped or belong to another version, or the server no longer runs Misskey."),
)
#: Refusals that trying again does not mend, by the server's code, with title and words.
_SWITCHED_OFF = {
    code: (
        _l("%(host)s does not offer this timeline"),
        _l("It is switched off there, for everybody or for your account. Choose another one."),
    )
    for code in ("LTL_DISABLED", "STL_DISABLED", "GTL_DISABLED")
}
_STATUS: dict[type[MisskeyError], int] = {
    ServerTimeout: 504,
    NotMisskey: 422,
    MiAuthDisabled: 422,
    PermissionDenied: 403,
}
_BEGIN_ANEW = (NotMisskey, MiAuthDisabled, AuthenticationFailed, PermissionDenied)


def wait_words(seconds: int | None) -> Any:
    """Return how long to wait, as people say it."""
    if seconds is None:
        return _l("Too many requests in a short time. Wait a minute, then try again.")
    if seconds < 90:
        return _ln("Wait %(num)d second, then try again.", "Wait %(num)d seconds, then try again.", seconds)
    minutes = -(-seconds // 60)
    return _ln("Wait %(num)d minute, then try again.", "Wait %(num)d minutes, then try again.", minutes)


def in_app_browser() -> bool:
    """Tell whether the page is open inside another app, whose browser forgets or splits cookies."""
    agent = request.headers.get("User-Agent", "")
    return any(
        mark in agent for mark in ("FBAN/", "FBAV/", "Instagram", " Line/", "Twitter", "; wv)", "MicroMessenger")
    )


def _not_our_page(_error: CSRFError) -> ResponseReturnValue:
    if request.cookies.get(current_app.config["SESSION_COOKIE_NAME"]) is None:
        return answer(
            Problem(
                400,
                _l("Your browser did not send our cookie"),
                _l("Signing in needs a cookie, to know that it is you. Allow cookies here, then start again."),
            )
        )
    words = _l("Nothing was changed. Go back, reload the page and send it again.")
    return answer(Problem(400, _l("This page was too old"), words, "back"))


def _http_failure(error: HTTPException) -> ResponseReturnValue:
    response = make_response(answer(_of_http(error)))
    for name, value in error.get_headers():  # Allow for 405, Content-Range for 416
        if name != "Content-Type":
            response.headers[name] = value
    return response


def _of_http(error: HTTPException) -> Problem:
    status = error.code or 500
    if status >= 500:
        return _BROKEN
    texts = {
        401: (_l("You are signed out"), _signed_out_words(), "start"),
        404: (_l("There is no such page"), _l("The address may be mistyped, or the page has moved."), "back"),
        405: (
            _l("This page can’t be opened like that"),
            _l("It is part of a form. Start from the first page."),
            "back",
        ),
        413: (_l("That was too much at once"), _l("Go back and send less."), "back"),
    }
    default = (_l("Something in the request was not right"), _l("Go back and try again."), "back")
    title, words, action = texts.get(status, default)
    return Problem(status, title, words, action)


def _signed_out_words() -> Any:
    if request.method == "POST":
        return _l("Nothing was done. Copy what you typed before you sign in again: it does not come along.")
    return _l("Sign in again to see this.")


def _store_unavailable(error: StoreUnavailable) -> ResponseReturnValue:
    current_app.logger.error("token store: %s", error)
    if isinstance(error, NotKept):
        words = _l("It was done at your server, and only the page about it is lost. Look there before you do it again.")
        return answer(Problem(503, _l("Our memory is not available"), words, "back"))
    words = _l("This is on our side: the place where sign-ins are kept does not answer. Try again in a minute.")
    return answer(Problem(503, _l("Our memory is not available"), words, "retry", 30))


def _broken(error: Exception) -> ResponseReturnValue:
    current_app.logger.error("%s failed", request.endpoint, exc_info=error)
    return answer(_BROKEN)


_BROKEN = Problem(
    500,
    _l("Something broke on our side"),
    _l("It was noted. Try again; if it happens again, tell whoever runs this site."),
    "retry",
)
