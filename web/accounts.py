"""Who is signed in in this browser: from the signed cookie to an account.

The cookie holds one random key per account, the current one first; the account and its token rest in the token store.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import wraps
from typing import Any, TypeVar, cast

from flask import abort, current_app, g, redirect, request, session, url_for
from ua_parser import parse_os, parse_user_agent

from misskey import Client, Exchange, Grant, Server, ServerNameError, Transport, clean

from .config import Settings
from .parts import wants_part
from .token_store import TokenStore
from .trace import Trace

MOST_ACCOUNTS = 10  # keeps the cookie well below the 4 KB that browsers take
USED_SECONDS = 600  # how exactly “last used” is known: each use would be a write
LEFT_SECONDS = 3600  # longer than anybody goes without asking `still_current`
AGENT_CHARACTERS = 500  # of what a browser says of itself; real ones say less
_BEGINNING = '{"user_id": '  # tells an account from whatever else a person has in the token store
View = TypeVar("View", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Account:
    """A person signed in at a server, with the token and the permissions that were asked for.

    ``permissions`` is ``None`` for a token made by hand: nobody knows what it may do. ``signed_in`` and ``last_used``
    are in seconds since 1970. ``browser`` and ``system`` are where this was, such as Firefox and Windows, or ``""``.
    """

    user_id: str
    username: str
    name: str
    origin: str
    token: str = field(repr=False)
    permissions: list[str] | None
    signed_in: int
    last_used: int = 0  # sign-ins by version 0.1.0 have none of these
    browser: str = ""
    system: str = ""
    key: str = field(default="", repr=False)

    @property
    def server(self) -> Server:
        return Server(self.origin)

    @property
    def address(self) -> str:
        return f"{self.username}@{self.server.host}"

    @property
    def owner(self) -> str:
        """The person, as the token store knows all that belongs to them, in whichever browser."""
        return f"{self.origin} {self.user_id}"

    @property
    def public_id(self) -> str:
        """What pages call this account by: tells nothing of the key."""
        return _public_id(self.key)


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


def save(grant: Grant, permissions: list[str] | None, trace: Trace | None = None) -> str:
    """Put a new account, and how it was signed in, into the token store and return its fresh key."""
    user, now, key = grant.user, int(time.time()), secrets.token_urlsafe(32)
    account = Account(
        user.id, user.username, user.name, user.server.origin, grant.token, permissions, now, now, *_browser(), key
    )
    seconds = settings().session_days * 86400
    if trace:  # first, so that signing out leaves none behind
        store().put(f"trace {key}", trace.dump(), seconds, owner=account.owner)
    store().put(key, json.dumps(asdict(account), ensure_ascii=False), seconds, owner=account.owner)
    return key


def load(key: str) -> Account | None:
    """Return the account under ``key``, ``None`` when it was signed out or its time is over."""
    value = store().get(key)
    return Account(**json.loads(value) | {"key": key}) if value else None


def trace(account: Account) -> Trace | None:
    """Return how ``account`` was signed in, ``None`` when that was by version 0.1.0, which did not keep it."""
    value = store().get(f"trace {account.key}")
    return Trace.load(value) if value else None


def is_allowed(origin: str) -> bool:
    """Tell whether the settings still allow a server that they allowed before."""
    try:
        return bool(Server.parse(origin, settings().private_servers))
    except ServerNameError:
        return False


def signed_in() -> list[Account]:
    """Return this browser's accounts, the current one first."""
    return list(_each_here())


def current() -> Account | None:
    """Return the account that this browser uses now."""
    return next(_each_here(), None)


def named(public_id: str) -> Account | None:
    """Return the account of this browser that pages call by this name."""
    return next((account for key in _keys() if _public_id(key) == public_id and (account := _here(key))), None)


def _each_here() -> Iterator[Account]:
    return (account for key in _keys() if (account := _here(key)))


def _here(key: str) -> Account | None:
    """Return the account under ``key`` if its server is still allowed; it is read once for a request, if at all."""
    known = cast("dict[str, Account | None]", g.setdefault("accounts", {}))
    if key not in known:
        account = load(key)
        known[key] = account if account and is_allowed(account.origin) else None
    return known[key]


def _keys() -> list[str]:
    return cast(list[str], session.get("accounts", []))


def _public_id(key: str) -> str:
    return hashlib.sha256(f"public {key}".encode()).hexdigest()[:16]


def asked() -> Account | None:
    """Return the account that the page was made for from which this request comes, else the current one.

    Another tab may have switched accounts since; what was typed as Alice is not posted as Bob.
    """
    public_id = request.values.get("account")
    return current() if public_id is None else named(public_id)


def sign_ins(account: Account) -> list[Account]:
    """Return the sign-ins of this person in every browser: this one first, then the last used."""
    values = store().owned_by(account.owner)
    found = [Account(**json.loads(value)) for value in values if value.startswith(_BEGINNING)]
    return sorted(found, key=lambda other: (other.key != account.key, -other.last_used))


def enter(key: str, *, in_use: bool = True) -> None:
    """Put the account under ``key`` into this browser, in place of an older sign-in of the same person.

    It becomes the current one; unless ``in_use``, only where no other person is that already.
    """
    account, former = load(key), current()
    others = [other for other in signed_in() if other.key != key]
    kept = [other.key for other in others if not account or other.owner != account.owner][: MOST_ACCOUNTS - 1]
    stays = not in_use and former is not None and former.key in kept
    if former and former.key != key and not stays:
        store().put(f"left {former.key}", str(time.time()), LEFT_SECONDS, owner=former.owner)
    for dropped in set(_keys()) - {key, *kept}:  # also at servers that are no longer allowed
        _forget(dropped)
    session.pop("pending", None)  # of version 0.2.0
    session.pop("csrf_token", None)  # whoever knew the cookie from before knows nothing of this one
    _remember([kept[0], key, *kept[1:]] if stays else [key, *kept])


def still_current(account: Account, since: float) -> bool:
    """Tell whether what began at ``since`` may go on, in seconds since 1970.

    Not when ``account`` was signed out, wherever, or its browser went over to another one after that.
    """
    if store().get(account.key) is None:
        return False
    left = store().get(f"left {account.key}")
    return left is None or float(left) <= since


def leave(account: Account, *, everywhere: bool = False) -> None:
    """Sign ``account`` out, here or in every browser: its tokens are gone from the store when this returns."""
    if everywhere:
        store().delete_owned_by(account.owner)
    _forget(account.key)
    session["signed_out"] = [
        *just_signed_out(),
        {"address": account.address, "origin": account.origin, "everywhere": everywhere},
    ]
    _remember([key for key in _keys() if key != account.key])


def leave_all() -> None:
    """Sign out every account of this browser, also at servers that the settings no longer allow."""
    for key in _keys():
        if account := load(key):
            leave(account)


def just_signed_out() -> list[dict[str, Any]]:
    """Return whom the last answer signed out, once, for the next page to tell."""
    told = session.pop("signed_out", [])
    return [told] if isinstance(told, dict) else told  # version 0.1.0 told of one


def _forget(key: str) -> None:
    """Remove an account, the token first, and what is kept beside it."""
    for entry in (key, f"trace {key}", f"console {key}", f"left {key}"):
        store().delete(entry)


def _note_use(account: Account) -> None:
    """Write down that an account is used; one that was signed out meanwhile stays so."""
    now = int(time.time())
    if now - account.last_used >= USED_SECONDS:
        used = json.dumps(asdict(replace(account, last_used=now)))
        store().replace(account.key, used, owner=account.owner)


def _browser() -> tuple[str, str]:
    """Return the browser that asks and the system that it runs on, as people call them."""
    agent = request.user_agent.string[:AGENT_CHARACTERS]
    browser, system = parse_user_agent(agent), parse_os(agent)
    return clean(browser.family, 40) if browser else "", clean(system.family, 40) if system else ""


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
            _note_use(account)
            return view(account, *args, **kwargs)
        if wants_part() or current():
            abort(401)
        return redirect(url_for("journey.home"), 303)

    return cast(View, guarded)
