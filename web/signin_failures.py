"""Failures of the sign-in itself, in words for the visitor."""

from __future__ import annotations

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from .failures import Failure
from .pending_signins import Pending

OTHER_BROWSER = Failure(
    400,
    _l("This browser did not begin this sign-in"),
    _l("Only the browser that began a sign-in can finish it, so you are not signed in here. If cookies are off, "
       "turn them on. If you began in another browser or app, go back there, or start again here."),
    "browser",
)  # fmt: skip
SIGN_IN_OVER = Failure(
    410,
    _l("This sign-in is over"),
    _l("Each sign-in works once, and this one was used or cancelled. Start a new one; it takes a few seconds."),
)
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
