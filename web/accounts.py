"""Who is signed in in this browser: from the signed cookie to an account.

The cookie holds one random key per account, the current one first; the account and its token rest in the token store.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import wraps
from typing import Any, TypeVar, cast

from flask import abort, current_app, g, redirect, request, session, url_for

from misskey import Client, Exchange, Grant, Server, ServerNameError, Transport

from .config import Settings
from .token_store import TokenStore

MOST_ACCOUNTS = 10  # keeps the cookie well below the 4 KB that browsers take
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Account:
    """A person signed in at a server, with the token and the permissions that were asked for.

    ``permissions`` is ``None`` for a token made by hand: nobody knows what it may do. ``signed_in`` is in seconds
    since 1970.
    """

    user_id: str
    username: str
    name: str
    origin: str
    token: str = field(repr=False)
    permissions: list[str] | None
    signed_in: int
    key: str = field(default="", repr=False)

    @property
    def server(self) -> Server:
        return Server(self.origin)

    @property
    def address(self) -> str:
        return f"{self.username}@{self.server.host}"

    @property
    def public_id(self) -> str:
        """What pages call this account by: tells nothing of the key."""
        return hashlib.sha256(f"public {self.key}".encode()).hexdigest()[:16]


def store() -> TokenStore:
    """Where this app's tokens rest."""
    return cast(TokenStore, current_app.extensions["token_store"])


def settings() -> Settings:
    """What this app was set up with."""
    return cast(Settings, current_app.extensions["settings"])


def transport() -> Transport:
    """What this app opens connections with."""
    return cast(Transport, current_app.extensions["transport"])


def client(account: Account) -> Client:
    """Return a client that calls endpoints as ``account`` and keeps what was sent for this answer's page."""
    server = Server.parse(account.origin, settings().private_servers)
    return Client(server, transport(), account.token, exchanges().append)


def exchanges() -> list[Exchange]:
    """What was sent to remote servers for this answer, in order."""
    if "exchanges" not in g:
        g.exchanges = []
    return cast(list[Exchange], g.exchanges)


def save(grant: Grant, permissions: list[str] | None) -> str:
    """Put a new account into the token store and return its fresh key."""
    user = grant.user
    account = Account(user.id, user.username, user.name, user.server.origin, grant.token, permissions, int(time.time()))
    key = secrets.token_urlsafe(32)
    store().put(key, json.dumps(asdict(account)), settings().session_days * 86400)
    return key


def load(key: str) -> Account | None:
    """Return the account under ``key``, ``None`` when it was signed out or its time is over."""
    value = store().get(key)
    return Account(**json.loads(value) | {"key": key}) if value else None


def is_allowed(origin: str) -> bool:
    """Tell whether the settings still allow a server that they allowed before."""
    try:
        return bool(Server.parse(origin, settings().private_servers))
    except ServerNameError:
        return False


def signed_in() -> list[Account]:
    """Return this browser's accounts, the current one first."""
    if "accounts" not in g:
        found = [account for key in session.get("accounts", []) if (account := load(key))]
        g.accounts = [account for account in found if is_allowed(account.origin)]
    return cast(list[Account], g.accounts)


def current() -> Account | None:
    """Return the account that this browser uses now."""
    return next(iter(signed_in()), None)


def named(public_id: str) -> Account | None:
    """Return the account of this browser that pages call by this name."""
    return next((account for account in signed_in() if account.public_id == public_id), None)


def asked() -> Account | None:
    """Return the account that the page was made for from which this request comes, else the current one.

    Another tab may have switched accounts since; what was typed as Alice is not posted as Bob.
    """
    public_id = request.values.get("account")
    return current() if public_id is None else named(public_id)


def enter(key: str) -> None:
    """Make the account under ``key`` this browser's current one, in place of an older sign-in of the same person."""
    account = load(key)
    others = [other for other in signed_in() if other.key != key]
    older = [o.key for o in others if account and (o.origin, o.user_id) == (account.origin, account.user_id)]
    kept = [other.key for other in others if other.key not in older]
    for dropped in older + kept[MOST_ACCOUNTS - 1 :]:
        store().delete(dropped)
    session.pop("csrf_token", None)  # whoever knew the cookie from before knows nothing of this one
    _remember([key, *kept[: MOST_ACCOUNTS - 1]])


def leave(account: Account) -> None:
    """Sign ``account`` out: its token is gone from the store when this returns."""
    store().delete(account.key)
    session["signed_out"] = {"address": account.address, "origin": account.origin}
    _remember([key for key in session.get("accounts", []) if key != account.key])


def just_signed_out() -> list[dict[str, str]]:
    """Return whom the last answer signed out, once, for the next page to tell."""
    return [session.pop("signed_out")] if "signed_out" in session else []


def _remember(keys: list[str]) -> None:
    session["accounts"] = keys
    session.permanent = True
    g.pop("accounts", None)


def login_required(view: View) -> View:
    """Hand the account to ``view``; without one, a page leads to the form and a part of one answers 401."""

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        account = asked()
        if account:
            return view(account, *args, **kwargs)
        if "HX-Request" in request.headers or signed_in():
            abort(401)
        return redirect(url_for("journey.home"), 303)

    return cast(View, guarded)
