"""The last calls that an account made in the console."""

from __future__ import annotations

import json
from typing import Any

from flask import Flask

from web import accounts, services, signals
from web.accounts import Account

MAX_CALLS = 20
MAX_CHARACTERS = 250_000
KEPT_SECONDS = 86_400


def init_app(app: Flask) -> None:
    """Forget in ``app`` which calls were made when somebody signs out."""
    signals.signed_out.connect(_signed_out, sender=app)


def of(account: Account) -> list[dict[str, Any]]:
    """Return the last calls, the newest first."""
    return list(json.loads(services.token_store().get(_key(account)) or "[]"))


def add(account: Account, call: dict[str, Any]) -> None:
    """Remember a call, in place of the oldest ones where they are too many."""
    history = [call, *of(account)][:MAX_CALLS]
    while len(text := json.dumps(history)) > MAX_CHARACTERS:
        history.pop()
    services.token_store().put(_key(account), text, KEPT_SECONDS, owner=account.owner)
    if not accounts.load(account.key):  # signed out while the server was asked, and nothing is to stay behind
        forget(account)


def forget(account: Account) -> None:
    """Forget the calls of an account."""
    services.token_store().delete(_key(account))


def _signed_out(_app: Flask, account: Account) -> None:
    forget(account)


def _key(account: Account) -> str:
    return f"console {account.key}"
