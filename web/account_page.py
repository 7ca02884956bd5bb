"""The page about an account: where it is signed in, what it may do, and signing out."""

from __future__ import annotations

from flask import Blueprint, render_template
from flask.typing import ResponseReturnValue

from misskey import PERMISSIONS

from . import accounts
from .accounts import Account, login_required

pages = Blueprint("account", __name__)


@pages.get("/account")
@login_required
def show(account: Account) -> ResponseReturnValue:
    """Show an account's sign-ins in all browsers, the permissions that it asked for, and the ways to sign out."""
    return render_template(
        "account.html",
        account=account,
        sign_ins=accounts.sign_ins(account),
        permissions=[PERMISSIONS[name] for name in account.permissions or () if name in PERMISSIONS],
        days=accounts.settings().session_days,
    )
