"""Sign-ins under way in this browser: in its signed cookies, so that no other browser can finish them.

Several may be under way, one in each tab. Each has a cookie of its own, which no answer to another tab undoes. It stays
for a while when the sign-in is finished: should an answer to another tab undo that, the callback is as good as before.
Any machine with the same secret key reads it; that a sign-in is finished once is for the token store, which they share.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import cast

from flask import Response, after_this_request, current_app, g, request
from itsdangerous import BadSignature, URLSafeSerializer

from misskey import Server, ServerNameError
from misskey import authorize_url as build_authorize_url

from . import accounts, services, signals
from .idempotency import do_once

VALID_SECONDS = 600
MAX_PENDING = 4  # what people have open in tabs, and servers take in cookies
MAX_COOKIES = 2 * MAX_PENDING  # those of finished sign-ins stay for a while
MAX_COOKIE = 3000  # with all permissions and the longest host it is below 2,000
SESSION_ID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
KEPT_SECONDS = 3600  # after this nobody comes back to read that the time is over, or by the back button
_signing = lru_cache(URLSafeSerializer)  # to make one takes as long as to sign


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that was begun: where, what for, when, in seconds since 1970, and as which account, if any."""

    session_id: str
    server: Server
    permissions: list[str]
    started: int
    account: str = ""  # its public id; version 0.3.0 did not keep it

    @property
    def authorize_url(self) -> str:
        """The page where the person allows or denies it."""
        settings = services.settings()
        return build_authorize_url(
            self.server,
            self.session_id,
            name=settings.app_name,
            icon=settings.app_icon,
            callback=f"{services.public_url()}/callback",
            permissions=self.permissions,
        )

    @property
    def finished(self) -> bool:
        """Whether it ended in an account, or is about to."""
        return account_key(self.session_id) is not None

    @property
    def expired(self) -> bool:
        return time.time() - self.started > VALID_SECONDS


def begin(session_id: str, server: Server, permissions: list[str]) -> Pending:
    """Remember a fresh session id in a cookie; with too many, in place of a finished one, else of the oldest."""
    for dropped in sorted(under_way(), key=lambda entry: entry.finished)[MAX_PENDING - 1 :]:
        drop(dropped.session_id)
    account = accounts.current()
    begun = Pending(session_id, server, permissions, int(time.time()), account.public_id if account else "")
    _change(session_id, begun)
    signals.send(signals.sign_in_begun, begun=begun)
    return begun


def under_way() -> list[Pending]:
    """Return the sign-ins that this browser began in the last hour, the latest first."""
    entries = (_cookies() | g.get("pending", {})).values()
    recent = [
        entry
        for entry in entries
        if entry and time.time() - entry.started < KEPT_SECONDS and services.may_sign_in_at(entry.server)
    ]
    return sorted(recent, key=lambda entry: entry.started, reverse=True)


def unfinished() -> list[Pending]:
    """Return the sign-ins under way whose time is not over, the latest first."""
    return [entry for entry in under_way() if not (entry.expired or entry.finished)]


def find(session_id: str) -> Pending | None:
    """Return the sign-in with this session id, if this browser began it and has not cancelled it."""
    return next((entry for entry in under_way() if entry.session_id == session_id), None)


def drop(session_id: str) -> None:
    """Forget a sign-in: its time or its account is over, or the person cancelled it."""
    _change(session_id, None)


def account_key(session_id: str) -> str | None:
    """Return the key of the account that a sign-in ended in in the last hour, ``""`` for one that is about to."""
    return services.token_store().get(_claim(session_id))


def finish_once(session_id: str, work: Callable[[], str | None]) -> str | None:
    """Return the account key of a sign-in, from ``work`` or from whoever does the same at this moment.

    The server's ``check`` is not atomic: of two callers at once both may get a token. ``None`` when ``work`` gives
    none; then it can be tried again.
    """
    return do_once(services.token_store(), _claim(session_id), work, KEPT_SECONDS)


def _claim(session_id: str) -> str:
    return f"sign-in {session_id}"


def _cookies() -> dict[str, Pending | None]:
    """Return what the browser sent, by session id; of more cookies than this app ever sets, the first ones."""
    if "pending_cookies" not in g:
        prefix, sent = _name(""), request.cookies.items()
        found = ((name.removeprefix(prefix), value) for name, value in sent if name.startswith(prefix))
        ours = [(name, value) for name, value in found if SESSION_ID.fullmatch(name) and len(value) < MAX_COOKIE]
        g.pending_cookies = {}
        for session_id, value in ours[:MAX_COOKIES]:
            with suppress(BadSignature, ServerNameError):  # the second where a private server is no longer listed
                origin, *others = _serializer().loads(value, _salt(session_id))
                server = Server.parse(origin, services.settings().private_servers)
                g.pending_cookies[session_id] = Pending(session_id, server, *others)
    return cast("dict[str, Pending | None]", g.pending_cookies)


def _change(session_id: str, entry: Pending | None) -> None:
    """Have this request's answer set the cookie of a sign-in, or remove it."""
    pending = g.setdefault("pending", {})
    if not pending:
        after_this_request(_send)
    pending[session_id] = entry


def _send(response: Response) -> Response:
    for session_id, entry in g.pending.items():
        content = [entry.server.origin, entry.permissions, entry.started, entry.account] if entry else []
        response.set_cookie(
            _name(session_id),
            str(_serializer().dumps(content, _salt(session_id))) if entry else "",
            max_age=KEPT_SECONDS if entry else 0,
            secure=current_app.config["SESSION_COOKIE_SECURE"],
            httponly=True,
            samesite="Lax",  # Strict would be missing when the browser comes back from the server
        )
    return response


def _name(session_id: str) -> str:
    return f"{current_app.config['PENDING_COOKIE_PREFIX']}{session_id}"


def _salt(session_id: str) -> str:
    """Return what binds the cookie of one sign-in to its name; under another one's it is worth nothing."""
    return f"sign-in {session_id}"


def _serializer() -> URLSafeSerializer:
    return _signing(services.settings().signing_keys)
