"""Signing in with Misskey (MiAuth) and calling its API, without any web framework.

::

    from misskey import Client, Server, Transport, authorize_url, check_session, find_misskey, new_session_id

    transport = Transport("MyApp/1.0 (+https://myapp.example)")
    server = find_misskey(Server.parse("@alice@misskey.io"), transport)
    session_id = new_session_id()
    print(authorize_url(server, session_id, name="MyApp", permissions=["write:notes"]))
    input("Allow it on that page, then press Enter. ")
    grant = check_session(Client(server, transport), session_id)
    Client(server, transport, grant.token).call("notes/create", {"text": "Hello"})

A web app also passes ``callback``, and keeps the session id in the browser's signed cookie. For a server of one's own,
on http or a private address: ``Server.parse("127.0.0.1:3000", ["http://127.0.0.1:3000"])``. The name of a program has
no ``misskey/`` in it: Misskey's media proxy refuses those that do.

What can be imported from here is the whole interface; README.md shows it at work. The examples below it have a
``transport``, a ``server`` and a ``client`` with the token of alice, a person there. All of them are run as tests.

https://misskey-hub.net/docs/for-developers/api/token/
"""

from .client import Client
from .discovery import META_BYTES, find_misskey
from .endpoints import NATIVE_ONLY_ENDPOINTS, UPLOAD_ENDPOINT
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
from .json_values import MASK, mask_token
from .miauth import Grant, User, authorize_url, check_app, check_session, new_session_id, whoami
from .permissions import IDENTITY_ONLY, PERMISSIONS, Permission, parse_permissions
from .server import Server
from .streaming import Stream
from .text import clean_text, is_blank
from .transport import TOTAL_SECONDS, Answer, Transport

# Which server, and the way to it.
__all__ = ["TOTAL_SECONDS", "Answer", "Server", "Transport", "ca_bundle", "check_proxies", "find_misskey"]
# Signing in.
__all__ += ["Grant", "User", "authorize_url", "check_app", "check_session", "new_session_id", "whoami"]
__all__ += ["IDENTITY_ONLY", "PERMISSIONS", "Permission", "parse_permissions"]
# Using the token.
__all__ += ["META_BYTES", "NATIVE_ONLY_ENDPOINTS", "UPLOAD_ENDPOINT", "Client", "Exchange", "Stream"]
# Showing what others wrote.
__all__ += ["MASK", "clean_text", "is_blank", "mask_token"]
# What can go wrong: the tree is drawn in misskey/errors.py.
__all__ += ["APIError", "AuthenticationFailed", "InvalidAnswer", "MisskeyError", "PermissionDenied", "RateLimited"]
__all__ += ["AnswerTooLarge", "InsecureConnection", "Redirected", "ServerForbidden", "ServerNotFound", "ServerTimeout"]
__all__ += ["ServerNameError", "ServerUnreachable", "TransportError"]
__all__ += ["LoginRequired", "MiAuthDisabled", "MiAuthMissing", "NoMiAuth", "NotMisskey", "ServerElsewhere"]
__all__ += ["ServerUnsuitable"]
