"""What is stored for an account beside its token, until it signs out."""

from __future__ import annotations

from flask import Flask

from web import accounts, services, signals
from web.accounts import Account

NAMES = ("trace", "console", "left")


def save(account: Account, name: str, value: str, seconds: int) -> None:
    """Keep ``value`` under one of ``NAMES``; not for an account that was signed out meanwhile, wherever."""
    services.token_store().put(f"{name} {account.key}", value, seconds, owner=account.data_owner)
    if not accounts.load(account.key):
        forget(account, name)


def load(account: Account, name: str) -> str | None:
    """Return what was saved, ``None`` when there is nothing."""
    return services.token_store().get(f"{name} {account.key}")


def forget(account: Account, name: str) -> None:
    """Forget what was saved."""
    services.token_store().delete(f"{name} {account.key}")


@signals.signed_out.connect
def _forget_all(_app: Flask, account: Account) -> None:
    for name in NAMES:
        forget(account, name)
