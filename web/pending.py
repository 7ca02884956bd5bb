"""Sign-ins under way in this browser: in its signed cookie, so that no other browser can finish them.

Several may be under way, one in each tab.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flask import session

from misskey import Server

from . import accounts
from .once import do_once

VALID_SECONDS = 600
MOST_PENDING = 4  # with all permissions in each, the cookie stays below the 4 KB that browsers take
KEPT_SECONDS = 3600  # after this nobody comes back to read that the time is over


@dataclass(frozen=True, slots=True)
class Pending:
    """A sign-in that was begun: where, what for, and when, in seconds since 1970."""

    session_id: str
    origin: str
    permissions: list[str]
    started: int

    @property
    def server(self) -> Server:
        return Server.parse(self.origin, accounts.settings().private_servers)

    @property
    def expired(self) -> bool:
        return time.time() - self.started > VALID_SECONDS


def begin(session_id: str, server: Server, permissions: list[str]) -> Pending:
    """Remember a fresh session id in the cookie, in place of the oldest when there are too many."""
    entries = {entry.session_id: entry for entry in under_way()[: MOST_PENDING - 1]}
    entries[session_id] = begun = Pending(session_id, server.origin, permissions, int(time.time()))
    _remember(entries.values())
    return begun


def under_way() -> list[Pending]:
    """Return this browser's sign-ins that are not finished, the latest first."""
    entries = [Pending(session_id, *fields) for session_id, fields in session.get("pending", {}).items()]
    recent = [
        entry for entry in entries if time.time() - entry.started < KEPT_SECONDS and accounts.is_allowed(entry.origin)
    ]
    return sorted(recent, key=lambda entry: entry.started, reverse=True)


def find(session_id: str) -> Pending | None:
    """Return the sign-in with this session id, if this browser began it and has not finished it."""
    return next((entry for entry in under_way() if entry.session_id == session_id), None)


def drop(session_id: str) -> None:
    """Forget a sign-in: it is finished or the person cancelled it."""
    _remember(entry for entry in under_way() if entry.session_id != session_id)


def finished_as(session_id: str) -> str | None:
    """Return the account key that a sign-in ended in, ``""`` while it is being finished, ``None`` if it never was."""
    return accounts.store().get(_claim(session_id))


def finish_once(session_id: str, work: Callable[[], str | None]) -> str | None:
    """Return the account key of a sign-in, from ``work`` or from whoever does the same at this moment.

    The server's ``check`` is not atomic: of two callers at once both may get a token. ``None`` when ``work`` gives
    none; then it can be tried again.
    """
    return do_once(accounts.store(), _claim(session_id), work, KEPT_SECONDS)


def _claim(session_id: str) -> str:
    return f"sign-in {session_id}"


def _remember(entries: Iterable[Pending]) -> None:
    session["pending"] = {entry.session_id: [entry.origin, entry.permissions, entry.started] for entry in entries}
    session.permanent = True
