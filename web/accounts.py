"""Who is signed in in this browser: from the signed cookie to an account.

The cookie holds one random key per account, the current one first; the account and its token rest in the token store.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import partial, wraps
from typing import Any, cast, overload

from flask import abort, g, redirect, request, session, url_for
from ua_parser import parse_os, parse_user_agent

from misskey import Client, Grant, Server, clean_text, parse_permissions

from . import services, signals
from .account import Account as Account
from .htmx import wants_fragment
from .rate_limits import View

FIRST_PAGE = "dashboard.shell"  # for whoever is signed in
MAX_ACCOUNTS = 10  # keeps the cookie well below the 4 KB that browsers take
USED_SECONDS = 600  # how exactly “last used” is known: each use would be a write
BEGINNING = '{"user_id": '  # tells an account from whatever else a person has in the token store
AGENT_CHARACTERS = 500  # of what a browser says of itself; real ones say less


def client(account: Account) -> Client:
    """Return a client that calls endpoints as ``account``."""
    return services.client(Server.parse(account.origin, services.settings().private_servers), account.token)


def save(grant: Grant, permissions: list[str] | None, begun: object = None) -> Account:
    """Put a new account into the token store, send the signal ``signed_in``, and return it, with its fresh key."""
    user, now, key = grant.user, int(time.time()), secrets.token_urlsafe(32)
    browser, system = _browser_and_system()
    account = Account(
        user.id, user.username, user.name, user.server.origin, grant.token, permissions, now, now, browser, system, key
    )
    seconds = services.settings().session_days * 86400
    services.token_store().put(key, json.dumps(asdict(account), ensure_ascii=False), seconds, owner=account.owner)
    is_new = all(other.owner != account.owner for other in in_this_browser())
    session["last_server"] = account.server.host
    try:
        signals.send(signals.signed_in, account=account, is_new=is_new, begun=begun)
    except Exception:
        _forget(account)  # nobody could use it
        raise
    return account


def _browser_and_system() -> tuple[str, str]:
    """Return the browser that asks and the system that it runs on, such as Firefox and Windows, or ``""``."""
    agent = request.user_agent.string[:AGENT_CHARACTERS]
    browser, system = parse_user_agent(agent), parse_os(agent)
    return clean_text(browser.family, 40) if browser else "", clean_text(system.family, 40) if system else ""


def permissions_of(account: Account) -> tuple[str, ...]:
    """Return the permissions that were asked for; for a token made by hand, those that the app needs."""
    return services.default_permissions() if account.permissions is None else tuple(account.permissions)


def load(key: str) -> Account | None:
    """Return the account under ``key``, ``None`` when it was signed out or its time is over."""
    value = services.token_store().get(key)
    return Account(**json.loads(value) | {"key": key}) if value else None


def in_this_browser() -> list[Account]:
    """Return this browser's accounts, the current one first."""
    return list(_each_here())


def current() -> Account | None:
    """Return the account that this browser uses now."""
    return next(_each_here(), None)


def by_public_id(public_id: str) -> Account | None:
    """Return the account of this browser that pages call by this name."""
    return next((account for account in _each_here() if account.public_id == public_id), None)


def _each_here() -> Iterator[Account]:
    return (account for key in _keys() if (account := _here(key)))


def _here(key: str) -> Account | None:
    """Return the account under ``key`` if its server is still allowed; it is read once for a request, if at all."""
    known = cast("dict[str, Account | None]", g.setdefault("accounts", {}))
    if key not in known:
        account = load(key)
        known[key] = account if account and services.may_sign_in_at(account.server) else None
    return known[key]


def _keys() -> list[str]:
    return cast(list[str], session.get("accounts", []))


def of_request() -> Account | None:
    """Return the account that the page was made for from which this request comes, else the current one.

    Another tab may have switched accounts since; what was typed as Alice is not posted as Bob.
    """
    public_id = request.values.get("account")
    return current() if public_id is None else by_public_id(public_id)


def sign_ins(account: Account) -> list[Account]:
    """Return the sign-ins of this person in every browser: this one first, then the last used."""
    values = services.token_store().owned_by(account.owner)
    found = [Account(**json.loads(value)) for value in values if value.startswith(BEGINNING)]
    return sorted(found, key=lambda other: (other.key != account.key, -other.last_used))


def sign_in(account: Account, *, in_use: bool = True) -> None:
    """Put an account into this browser, in place of an older sign-in of the same person.

    It becomes the current one; unless ``in_use``, only where no other person is that already.
    """
    key, former = account.key, current()
    kept = [other.key for other in in_this_browser() if other.owner != account.owner][: MAX_ACCOUNTS - 1]
    stays = not in_use and former is not None and former.key in kept
    if former and former.key != key and not stays:
        signals.send(signals.account_switched, account=former)
    for dropped in set(_keys()) - {key, *kept}:  # also at servers that are no longer allowed
        if replaced := load(dropped):
            _forget(replaced)
    session.pop("pending", None)  # of version 0.2.0
    session.pop("csrf_token", None)  # whoever knew the cookie from before knows nothing of this one
    _remember([kept[0], key, *kept[1:]] if stays else [key, *kept])


def sign_out(account: Account, *, everywhere: bool = False) -> None:
    """Sign ``account`` out, here or in every browser: its tokens are gone from the store when this returns."""
    others = [other for other in sign_ins(account) if other.key != account.key] if everywhere else []
    if everywhere:
        services.token_store().delete_owned_by(account.owner, account.data_owner)
    for gone in (account, *others):
        _forget(gone)
    told = {"address": account.address, "origin": account.origin, "everywhere": everywhere}
    session["signed_out"] = [*just_signed_out(), told]
    _remember([key for key in _keys() if key != account.key])


def sign_out_all() -> None:
    """Sign out every account of this browser, also at servers that the settings no longer allow."""
    for key in _keys():
        if account := load(key):
            sign_out(account)


def just_signed_out() -> list[dict[str, Any]]:
    """Return whom the last answer signed out, once, for the next page to tell."""
    told = session.pop("signed_out", [])
    return [told] if isinstance(told, dict) else told  # version 0.1.0 told of one


def _forget(account: Account) -> None:
    services.token_store().delete(account.key)
    signals.send(signals.signed_out, account=account)


def _note_use(account: Account) -> None:
    """Write down that an account is used; one that was signed out meanwhile stays so."""
    now = int(time.time())
    if now - account.last_used >= USED_SECONDS:
        used = json.dumps(asdict(replace(account, last_used=now)))
        services.token_store().replace(account.key, used, owner=account.owner)


def _remember(keys: list[str]) -> None:
    session["accounts"] = keys
    session.permanent = True


@dataclass(eq=False)
class PermissionMissing(Exception):
    """``account`` was signed in without ``permissions``, which a page needs; :mod:`web.error_pages` answers it."""

    account: Account
    permissions: tuple[str, ...]


@overload
def login_required(view: View, /) -> View: ...
@overload
def login_required(*permissions: str) -> Callable[[View], View]: ...
def login_required(*given: Any) -> Any:
    """Hand the account to a view as its first argument; without one, a page leads home and a fragment answers 401.

    It is the one of the page that the request comes from, which its links and forms name: ``account.public_id``.
    With permissions, as in ``@login_required("write:notes")``, an account that was signed in without them is led to a
    new sign-in that asks for them. What a token made by hand may do is for the server to say.
    """
    if given and callable(given[0]):
        return _guard(given[0], ())
    return partial(_guard, permissions=parse_permissions(given))


def _guard(view: View, permissions: tuple[str, ...]) -> View:
    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        account = of_request()
        if account:
            _note_use(account)
            if account.lacks(*permissions):
                raise PermissionMissing(account, permissions)
            return view(account, *args, **kwargs)
        if wants_fragment() or current():
            abort(401)
        return redirect(url_for("journey.home"), 303)

    return cast(View, guarded)
