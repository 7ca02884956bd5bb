"""Errors as words for the visitor; :mod:`web.error_pages` renders them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from flask import current_app, request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import lazy_ngettext as _ln

import misskey

from .hosting import request_log
from .hosting.remote_calls import kind_of
from .languages import Text
from .rate_limits import RateLimitExceeded
from .template_filters import line, sentences


@dataclass(frozen=True, slots=True)
class Failure:
    """A failure in words for the visitor.

    ``action`` is what the page offers to do next: ``start``, ``retry``, ``back``, ``resume``, ``browser``, ``by_hand``
    (sign in with a token made by hand) or ``none``;
    ``context`` is what it needs to know for that. ``maybe_done``: the server may have done it all the same.
    """

    status: int
    title: Text
    words: Text
    action: str = "start"
    retry_after: int | None = None
    context: dict[str, Any] = field(default_factory=dict)
    maybe_done: bool = False


def of_server(error: misskey.MisskeyError) -> Failure:
    """Return what a failure at the remote server means for the visitor, and note it in the log."""
    request_log.note(error)
    # Of others, it may be the server's words.
    reason = f": {error}" if isinstance(error, misskey.InsecureConnection) else ""
    current_app.logger.warning("%s at %s (%s)%s", kind_of(error), error.host, request.endpoint, reason)
    kind, (title, words) = next((kind, told) for kind, told in _OF_SERVER.items() if isinstance(error, kind))
    retry_after = None
    if isinstance(error, misskey.RateLimited):
        words, retry_after = wait_words(error.retry_after), error.retry_after
    elif isinstance(error, misskey.NotMisskey) and error.software:
        words = _("It runs %(software)s. This works with Misskey servers only.", software=error.software.capitalize())
    elif isinstance(error, misskey.ServerElsewhere):
        words = words % {"named": error.leads_to.name}
    elif isinstance(error, misskey.NoMiAuth):
        words = sentences(words, _BY_HAND)
    elif type(error) is misskey.APIError:
        title, words = _of_refusal(error, title, words)
    action = "by_hand" if isinstance(error, misskey.NoMiAuth) else "start" if kind in _BEGIN_ANEW else "retry"
    if isinstance(error, misskey.APIError) and error.code in WORDS_BY_CODE:
        title, words, action = *WORDS_BY_CODE[error.code], "none"
    status = next((status for kind, status in _STATUS.items() if isinstance(error, kind)), 502)
    title, words = str(title % {"host": error.host}), sentences(words).unescape()
    return Failure(status, title, words, action, retry_after, maybe_done=error.maybe_done)


def _of_refusal(error: misskey.APIError, title: Text, words: Text) -> tuple[Text, Text]:
    """Return title and words for a server that says no in a way of its own."""
    if error.status >= 500:
        title, words = _OUT_OF_ORDER
    elif error.status == 404:
        return _UNKNOWN_THERE
    if not error.text:
        return title, words
    said = _("The server said: %(text)s", text=" ".join(filter(None, (error.text, *refused_parameter(error)))))
    return title, sentences(words, said) if error.status >= 500 else said


def refused_parameter(error: misskey.APIError) -> tuple[str, str]:
    """Return the parameter that the server refused and what is wrong with it; ``""`` where it does not say.

    Misskey names it by where the rule stands: ``#/then/properties/text/maxLength``.
    """
    info = error.info if isinstance(error.info, dict) else {}
    path, reason = line(info.get("param")), line(info.get("reason"), 200)
    return path.partition("properties/")[2].partition("/")[0], reason


def too_many(error: RateLimitExceeded) -> Failure:
    """Return how long a visitor has to wait who asked too often."""
    return Failure(429, _l("Too many tries"), wait_words(error.seconds), "back", error.seconds)


OFFLINE = _l("The server or this app may be offline just now.")
#: Title and words for an error, by the first of its kinds that is here.
_OF_SERVER: dict[type[misskey.MisskeyError], tuple[Text, Text]] = {
    misskey.ServerTimeout: (
        _l("%(host)s takes too long"),
        _l("The server did not answer in time. It may be busy; try again in a minute."),
    ),
    misskey.ServerNotFound: (
        _l("%(host)s can’t be found"),
        _l("Check the spelling. If it is right, the server or this app may be offline just now."),
    ),
    misskey.ServerForbidden: (
        _l("%(host)s is not on the public internet"),
        _l("The name leads into a private network, where this app does not go. Check the spelling."),
    ),
    misskey.InsecureConnection: (
        _l("The connection to %(host)s is not secure"),
        _l(
            "Its certificate is out of date, made for another name or incomplete, which browsers can make up for. "
            "Its owner can mend this."
        ),
    ),
    misskey.AnswerTooLarge: (
        _l("%(host)s sends too much"),
        _l(
            "Its answer is longer than any Misskey server’s, so it was not read to the end. "
            "Check the name, or try later."
        ),
    ),
    misskey.TransportError: (
        _l("%(host)s can’t be reached"),
        _l("The server refused or cut the connection. It may be down; try again in a few minutes."),
    ),
    misskey.NotMisskey: (
        _l("%(host)s is not a Misskey server"),
        _l("It answers, but not as Misskey does. Check the spelling of your server’s name."),
    ),
    misskey.MiAuthDisabled: (
        _l("%(host)s does not let apps sign people in"),
        _l("This Misskey server has its sign-in for apps (MiAuth) switched off."),
    ),
    misskey.MiAuthMissing: (
        _l("%(host)s runs a Misskey that is too old for this"),
        _l("The sign-in for apps (MiAuth) came with Misskey 12.27.0."),
    ),
    misskey.LoginRequired: (
        _l("%(host)s answers only to those who are signed in there"),
        _l("So this app can’t see whether it offers the sign-in for apps (MiAuth)."),
    ),
    misskey.ServerElsewhere: (
        _l("%(host)s leads to another server"),
        _l("Did you mean %(named)s? This app asks no server that you did not choose."),
    ),
    misskey.InvalidAnswer: (
        _l("%(host)s gave an answer that this app can’t read"),
        _l(
            "It is not your mistake: the server may be under maintenance, or a firewall of its own answered. "
            "Try again later."
        ),
    ),
    misskey.AuthenticationFailed: (
        _l("%(host)s no longer accepts the token"),
        _l("The token was removed at the server, or it ran out. Sign in there again to go on."),
    ),
    misskey.PermissionDenied: (
        _l("The permission for this is missing"),
        _l("It was not given when you signed in. To go on, sign in again and allow it."),
    ),
    misskey.RateLimited: (_l("%(host)s has had too many requests"), ""),
    misskey.MisskeyError: (
        _l("%(host)s said no"),
        _l("The server refused this without giving a reason. Try again in a minute."),
    ),
}
_BY_HAND = _l("With an access token that you make by hand in its settings you can sign in all the same.")
_OUT_OF_ORDER = (_l("%(host)s has a problem"), _l("The fault is on the server’s side. Try again in a few minutes."))
_UNKNOWN_THERE = (
    _l("%(host)s can’t do what was asked"),
    _l("It may run another version, or no Misskey any more."),
)
#: Refusals that trying again does not mend, by the server's code, with title and words; a part of the app adds its own.
WORDS_BY_CODE: dict[str, tuple[Text, Text]] = {
    "YOUR_ACCOUNT_SUSPENDED": (
        _l("%(host)s has suspended your account"),
        _l("Only whoever runs that server can lift this. Ask there."),
    ),
    "YOUR_ACCOUNT_MOVED": (
        _l("Your account has moved away from %(host)s"),
        _l("There it can’t do this any more. Sign in at the server where your account is now."),
    ),
    "ROLE_PERMISSION_DENIED": (
        _l("%(host)s does not let your account do this"),
        _l("It needs a role there that your account does not have. Whoever runs that server gives it."),
    ),
}
_STATUS: dict[type[misskey.MisskeyError], int] = {
    misskey.ServerTimeout: 504,
    misskey.NotMisskey: 422,
    misskey.NoMiAuth: 422,
    misskey.ServerElsewhere: 422,
    misskey.PermissionDenied: 403,
}
_BEGIN_ANEW = (misskey.NotMisskey, misskey.ServerElsewhere, misskey.AuthenticationFailed, misskey.PermissionDenied)


def wait_words(seconds: int | None) -> Text:
    """Return how long to wait, as people say it."""
    if seconds is None:
        return _l("Too many requests in a short time. Wait a minute, then try again.")
    if seconds < 90:
        return _ln("Wait %(num)d second, then try again.", "Wait %(num)d seconds, then try again.", seconds)
    if seconds > 90 * 60:
        return _l("Too many requests in one day. Try again tomorrow.")
    minutes = -(-seconds // 60)
    return _ln("Wait %(num)d minute, then try again.", "Wait %(num)d minutes, then try again.", minutes)
