"""Signing in with MiAuth: a session id, the server's own page, and the check that gives the token.

https://misskey-hub.net/docs/for-developers/api/token/
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from urllib.parse import unquote, urlencode

from .client import Client
from .errors import APIError, InvalidAnswer, MiAuthMissing
from .json_values import MASK
from .server import Server
from .text import clean_text

NAME_CHARACTERS = 128  # the server's columns: longer ones end in its error 500
ICON_CHARACTERS = 512
_ID = re.compile("[A-Za-z0-9_-]{1,64}")
_USERNAME = re.compile("[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,126}[A-Za-z0-9_])?")
_TOKEN = re.compile("[!-~]{1,512}")
_encode = lru_cache(urlencode)  # an app asks for the same again and again


@dataclass(frozen=True, slots=True)
class User:
    """A person at ``server``: ``id`` and ``username`` as the server has them, ``name`` for people (never empty).

    >>> User("9alice", "alice", "Alice", Server.parse("misskey.io")).address
    'alice@misskey.io'
    """

    id: str
    username: str
    name: str
    server: Server

    @property
    def address(self) -> str:
        """The person's identity: ``username@`` the server that was asked, whatever it says of itself."""
        return f"{self.username}@{self.server.host}"


@dataclass(frozen=True, slots=True)
class Grant:
    """What a successful sign-in gives: the person and a token for calling endpoints in their name.

    >>> "s3cret" in repr(Grant(whoami(client), "s3cret"))
    False
    """

    user: User
    token: str = field(repr=False)


def new_session_id() -> str:
    """Return a fresh session id, a random UUID: a secret until it is used, for whoever knows it can fetch the token.

    >>> new_session_id() != new_session_id()
    True
    """
    return str(uuid.uuid4())


def check_app(name: str, icon: str, callback: str) -> None:
    """Raise :class:`ValueError` for what the authorize page would change or refuse.

    The page decodes its query twice, so ``%41`` in a value would come out as ``A``.

    >>> check_app("MyApp", "https://myapp.example/icon.png", "https://myapp.example/callback?next=/")
    Traceback (most recent call last):
    ValueError: the callback must have no query and no fragment
    """
    if not 0 < len(name) <= NAME_CHARACTERS or clean_text(name) != name:
        raise ValueError(f"the app's name must have 1 to {NAME_CHARACTERS} characters on one line")
    if len(icon) > ICON_CHARACTERS:
        raise ValueError(f"the address of the app's icon is longer than {ICON_CHARACTERS} characters")
    if "?" in callback or "#" in callback:
        raise ValueError("the callback must have no query and no fragment")
    for what, value in (("name", name), ("icon", icon), ("callback", callback)):
        if unquote(value) != value:
            raise ValueError(f"the app's {what} has a % in it that the page where people allow it would decode")


def authorize_url(
    server: Server,
    session_id: str,
    *,
    name: str,
    callback: str = "",
    icon: str = "",
    permissions: Iterable[str] = (),
) -> str:
    """Return the address of the server's own page, where the person allows or denies; send the browser there.

    ``permissions`` are names of :data:`~misskey.permissions.PERMISSIONS`; none at all is allowed and only signs in.
    Without ``callback`` the page tells the person to go back to the app; with it, the browser comes back there, with
    ``session`` in the query. What :func:`check_app` refuses would come out changed. Raises :class:`TypeError` for a
    single name.

    >>> authorize_url(Server.parse("misskey.io"), "c1f6d42b", name="MyApp", permissions=["read:account"])
    'https://misskey.io/miauth/c1f6d42b?name=MyApp&permission=read%3Aaccount'

    https://misskey-hub.net/docs/for-developers/api/token/miauth/
    """
    if isinstance(permissions, str):
        raise TypeError("permissions must be a list of names, not one name")
    query = (("name", name), ("icon", icon), ("callback", callback), ("permission", ",".join(permissions)))
    return f"{server.url(f'/miauth/{session_id}')}?{_encode(tuple(pair for pair in query if pair[1]))}"


def check_session(client: Client, session_id: str) -> Grant | None:
    """Fetch the token of ``session_id``; ``None`` while nobody has allowed it, after a denial, and the second time.

    Raises what :meth:`Client.call <misskey.client.Client.call>` raises, :class:`~misskey.errors.MiAuthMissing` where
    there is no such endpoint, and :class:`~misskey.errors.InvalidAnswer` for an answer that is not whole.

    >>> print(check_session(Client(server, transport), new_session_id()))
    None

    https://misskey-hub.net/docs/for-developers/api/token/miauth/
    """
    try:
        answer = client.call(f"miauth/{session_id}/check", idempotent=True)
    except (APIError, InvalidAnswer) as error:
        if error.status == 404:
            raise MiAuthMissing(client.server) from None
        raise
    if not isinstance(answer, dict) or not isinstance(answer.get("ok"), bool):
        raise InvalidAnswer(client.server.host, "gave an answer to the sign-in that is not Misskey's")
    if not answer["ok"]:
        return None
    token = answer.get("token")
    if not isinstance(token, str) or not _TOKEN.fullmatch(token):
        raise InvalidAnswer(client.server.host, "gave a token of the wrong kind")
    user = read_user(answer.get("user"), client.server)
    if token in (user.id, user.username):
        raise InvalidAnswer(client.server.host, "gave a person that is named after the token")
    return Grant(replace(user, name=user.name.replace(token, MASK)), token)


def whoami(client: Client) -> User:
    """Return whose token the client has, by the endpoint ``i``; the token needs ``read:account``.

    Raises what :meth:`Client.call <misskey.client.Client.call>` raises: a wrong token is an
    :class:`~misskey.errors.AuthenticationFailed`.

    >>> whoami(client).username
    'alice'
    """
    return read_user(client.call("i", idempotent=True), client.server)


def read_user(value: object, server: Server) -> User:
    """Return the :class:`User` in a server's answer, checked in every field.

    Raises :class:`~misskey.errors.InvalidAnswer`; also when the person belongs to another server, for which this one
    can't speak.
    """
    fields = value if isinstance(value, dict) else {}
    user_id, username, name = (fields.get(key) for key in ("id", "username", "name"))
    if not isinstance(user_id, str) or not _ID.fullmatch(user_id):
        raise InvalidAnswer(server.host, "gave a person without an id")
    if not isinstance(username, str) or not _USERNAME.fullmatch(username):
        raise InvalidAnswer(server.host, "gave a person without a user name")
    if fields.get("host") not in (None, server.host):
        raise InvalidAnswer(server.host, "gave a person of another server")
    shown = clean_text(name, 100) if isinstance(name, str) else ""
    return User(user_id, username, shown or username, server)
