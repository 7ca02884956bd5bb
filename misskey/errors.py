"""Everything that can go wrong, as one tree.

::

    MisskeyError
    ├── ServerNameError         what a person typed is not the name of a server
    ├── TransportError          no answer came
    │   ├── ServerNotFound      the name leads nowhere
    │   ├── ServerForbidden     the name leads to an address that is not public
    │   ├── ServerUnreachable   refused, cut off, not speaking HTTP
    │   │   └── InsecureConnection  the certificate does not hold
    │   ├── ServerTimeout       too slow, as a whole or in one step
    │   └── AnswerTooLarge      more than this program reads
    ├── ServerUnsuitable        answers, but a sign-in can't be done there
    │   ├── NotMisskey          another software, or no API at all
    │   ├── ServerElsewhere     names another server; ``leads_to`` says which
    │   └── NoMiAuth            Misskey, but only for a token made by hand
    │       ├── MiAuthDisabled    MiAuth is switched off
    │       ├── MiAuthMissing     from before MiAuth
    │       └── LoginRequired     tells nothing without a login
    ├── InvalidAnswer           an answer that Misskey would not give
    │   └── Redirected          leads elsewhere; ``location`` says where
    └── APIError                the server says no
        ├── AuthenticationFailed  the token is wrong, revoked or missing
        ├── PermissionDenied      the token lacks the permission
        └── RateLimited           too many calls; ``retry_after`` says how long

Messages are for people and never hold a token, a request's body or text from the server that was not cleaned.

>>> try:
...     client.call("notes/show", {"noteId": "none"})
... except APIError as error:
...     error.status, error.code
(400, 'NO_SUCH_NOTE')

https://misskey-hub.net/docs/for-developers/api/
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from .server import Server


class MisskeyError(Exception):
    """The root of the tree: catch it to catch everything.

    ``host`` is the server that it is about, ``status`` the HTTP status of its answer; ``""`` and ``None`` where there
    is none. ``maybe_done``: the server may have done what it was asked for all the same.
    """

    maybe_done = False

    def __init__(self, host: str, message: str, *, status: int | None = None) -> None:
        super().__init__(f"{host}: {message}" if host else message)
        self.host = host
        self.status = status


class ServerNameError(MisskeyError, ValueError):
    """What a person typed is not the name of a server; ``reason`` is one of :data:`SERVER_NAME_REASONS`."""

    def __init__(self, reason: str) -> None:
        super().__init__("", SERVER_NAME_REASONS[reason])
        self.reason = reason


#: Why a typed text is refused, by ``ServerNameError.reason``.
SERVER_NAME_REASONS = {
    "empty": "Type the name of your server, such as misskey.io.",
    "scheme": "Only https addresses work here.",
    "login": "An address with a user name or password before the @ can hide another server.",
    "query": "Leave out everything from the ? or # on.",
    "ip_address": "Type the name of your server, not an IP address.",
    "port": "Leave out the port: public servers answer on the usual one.",
    "no_dot": "That is not a whole server name. Add its ending, such as .io or .com.",
    "reserved": "That name is reserved for private networks.",
    "too_long": "That is longer than a server name can be.",
    "characters": "A server name has letters, digits, hyphens and dots only.",
}


class TransportError(MisskeyError):
    """No answer came from ``host``; ``connected`` when a connection stood, so that it may have got the request."""

    def __init__(self, host: str, message: str, *, connected: bool = False) -> None:
        super().__init__(host, message)
        self.maybe_done = self.maybe_done or connected


class ServerNotFound(TransportError):
    """The name leads nowhere: no such name, or the name service does not answer."""


class ServerForbidden(TransportError):
    """The name leads to an address that is not public."""


class ServerUnreachable(TransportError):
    """The server refused, cut the connection off or did not speak HTTP."""


class InsecureConnection(ServerUnreachable):
    """The server's certificate does not hold: expired, another name, or nobody known vouches for it."""


class ServerTimeout(TransportError):
    """The server was too slow, as a whole or in one step."""


class AnswerTooLarge(TransportError):
    """The answer is larger than this program reads."""

    maybe_done = True


class ServerUnsuitable(MisskeyError):
    """``host`` answers, but a sign-in can't be done there."""


class NotMisskey(ServerUnsuitable):
    """``host`` runs another software, ``software`` when it says which, or nothing that is known."""

    def __init__(self, host: str, software: str | None = None) -> None:
        super().__init__(host, f"runs {software}, not Misskey" if software else "does not answer as Misskey does")
        self.software = software


class ServerElsewhere(ServerUnsuitable):
    """``host`` is not where its people sign in, but leads to the server ``leads_to``, where nobody has looked yet."""

    def __init__(self, host: str, leads_to: Server) -> None:
        super().__init__(host, f"leads to {leads_to}")
        self.leads_to = leads_to


class NoMiAuth(ServerUnsuitable):
    """``host`` is a Misskey server where only a token made by hand signs somebody in: at ``server``."""

    _message: ClassVar[str]

    def __init__(self, server: Server, *, status: int | None = None) -> None:
        super().__init__(server.host, self._message, status=status)
        self.server = server


class MiAuthDisabled(NoMiAuth):
    """``host`` is a Misskey server with MiAuth switched off."""

    _message = "has MiAuth switched off"


class MiAuthMissing(NoMiAuth):
    """``host`` is a Misskey server from before MiAuth, which came with version 12.27.0."""

    _message = "has no MiAuth, which came with Misskey 12.27.0"


class LoginRequired(NoMiAuth):
    """``host`` does not say what it is to a program without a token."""

    _message = "tells nothing without a login"


class InvalidAnswer(MisskeyError):
    """``host`` gave an answer that Misskey would not give: HTML, broken JSON, a redirect, values of the wrong kind."""

    def __init__(self, host: str, message: str, *, status: int | None = None) -> None:
        super().__init__(host, message, status=status)
        self.maybe_done = status is None or status < 300 or status >= 500


class Redirected(InvalidAnswer):
    """``host`` leads to ``location``, its own words, where this program did not go."""

    def __init__(self, host: str, location: str, *, status: int) -> None:
        super().__init__(host, "leads elsewhere", status=status)
        self.location = location


class APIError(MisskeyError):
    """The server says no.

    ``status`` is the HTTP status, ``code`` Misskey's name for the error (``""`` where it gave none), ``text`` its own
    words, cleaned, ``info`` its details, ``retry_after`` the seconds it asks to wait.
    """

    status: int

    def __init__(
        self,
        host: str,
        status: int,
        code: str = "",
        text: str = "",
        *,
        info: object = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(host, f"{status} {code} {text}".rstrip(), status=status)
        self.code = code
        self.text = text
        self.info = info
        self.retry_after = retry_after
        self.maybe_done = status >= 500 and not code  # without Misskey's own words it is a proxy that speaks


class AuthenticationFailed(APIError):
    """The token is wrong, revoked or missing (401, or ``AUTHENTICATION_FAILED`` with another status)."""


class PermissionDenied(APIError):
    """The token lacks the permission for this endpoint (403 ``PERMISSION_DENIED``)."""


class RateLimited(APIError):
    """Too many calls (429); ``retry_after`` says how long to wait, when the server does."""
