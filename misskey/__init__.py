"""Signing in with Misskey (MiAuth) and calling its API, without any web framework.

::

    from misskey import Client, Server, Transport, authorize_url, check, find_misskey, new_session_id

    transport = Transport("MyApp/1.0 (+https://myapp.example)")
    server = find_misskey(Server.parse("@alice@misskey.io"), transport)
    session_id = new_session_id()
    print(authorize_url(server, session_id, name="MyApp", permissions=["write:notes"]))
    input("Allow it on that page, then press Enter. ")
    grant = check(Client(server, transport), session_id)
    Client(server, transport, grant.token).call("notes/create", {"text": "Hello"})

A web app also passes ``callback``, and keeps the session id in the browser's signed cookie. For a server of one's own,
on http or a private address: ``Server.parse("127.0.0.1:3000", ["http://127.0.0.1:3000"])``. The name of a program has
no ``misskey/`` in it: Misskey's media proxy refuses those that do.

https://misskey-hub.net/docs/for-developers/api/token/
"""

from .client import Client
from .discovery import META_BYTES, find_misskey
from .endpoints import NATIVE_ONLY, UPLOAD
from .environment import ca_bundle, check_proxies
from .errors import (
    AnswerTooLarge,
    APIError,
    AuthenticationFailed,
    InsecureConnection,
    InvalidAnswer,
    LoginRequired,
    MiAuthDisabled,
    MiAuthMissing,
    MisskeyError,
    NoMiAuth,
    NotMisskey,
    PermissionDenied,
    RateLimited,
    Redirected,
    ServerElsewhere,
    ServerForbidden,
    ServerNameError,
    ServerNotFound,
    ServerTimeout,
    ServerUnreachable,
    ServerUnsuitable,
    TransportError,
)
from .exchange import Exchange
from .json_values import MASK, masked
from .miauth import Grant, User, authorize_url, check, check_app, new_session_id, who_is
from .permissions import IDENTITY_ONLY, PERMISSIONS, Permission, parse_permissions
from .server import Server
from .streaming import Stream
from .text import clean, is_blank
from .transport import TOTAL_SECONDS, Answer, Transport

__all__ = [
    "IDENTITY_ONLY",
    "MASK",
    "META_BYTES",
    "NATIVE_ONLY",
    "PERMISSIONS",
    "TOTAL_SECONDS",
    "UPLOAD",
    "APIError",
    "Answer",
    "AnswerTooLarge",
    "AuthenticationFailed",
    "Client",
    "Exchange",
    "Grant",
    "InsecureConnection",
    "InvalidAnswer",
    "LoginRequired",
    "MiAuthDisabled",
    "MiAuthMissing",
    "MisskeyError",
    "NoMiAuth",
    "NotMisskey",
    "Permission",
    "PermissionDenied",
    "RateLimited",
    "Redirected",
    "Server",
    "ServerElsewhere",
    "ServerForbidden",
    "ServerNameError",
    "ServerNotFound",
    "ServerTimeout",
    "ServerUnreachable",
    "ServerUnsuitable",
    "Stream",
    "Transport",
    "TransportError",
    "User",
    "authorize_url",
    "ca_bundle",
    "check",
    "check_app",
    "check_proxies",
    "clean",
    "find_misskey",
    "is_blank",
    "masked",
    "new_session_id",
    "parse_permissions",
    "who_is",
]
