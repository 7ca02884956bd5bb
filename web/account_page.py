"""Views of the account page, of switching accounts and of signing out."""

from __future__ import annotations

from flask import Blueprint, redirect, render_template, request, session, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from misskey import PERMISSIONS

from . import accounts, error_pages, pending_signins, services
from .accounts import Account, login_required
from .failures import Failure

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
        days=services.settings().session_days,
    )


@pages.post("/accounts/<public_id>/switch")
def switch(public_id: str) -> ResponseReturnValue:
    """Use another of this browser's accounts."""
    account = accounts.by_public_id(public_id)
    if not account:
        return _not_here()
    accounts.sign_in(account)
    return redirect(url_for(accounts.FIRST_PAGE), 303)


def add(account: Account) -> ResponseReturnValue:
    """Put an account into this browser beside the one in use, and tell so on the next page."""
    accounts.sign_in(account, in_use=False)
    if account != accounts.current():
        session["added"] = account.public_id
    return redirect(url_for(accounts.FIRST_PAGE), 303)


@pages.app_template_global()
def just_added() -> Account | None:
    """Return the account that the last answer added, once, for the next page to tell."""
    return accounts.by_public_id(session.pop("added")) if "added" in session else None


@pages.post("/signout")
def signout() -> ResponseReturnValue:
    """Sign an account out, with ``all`` every one in this browser, and tell that the tokens live on."""
    if "all" in request.form:
        accounts.sign_out_all()
        _leave_undone()
    elif account := accounts.of_request():
        accounts.sign_out(account)
    return redirect(url_for("journey.home"), 303)


@pages.post("/signout/everywhere")
def signout_everywhere() -> ResponseReturnValue:
    """Sign an account out in every browser at once."""
    account = accounts.of_request()
    if not account:
        return _not_here()
    accounts.sign_out(account, everywhere=True)
    return redirect(url_for("journey.home"), 303)


def _leave_undone() -> None:
    """Sign out whom an answer to another tab undid, for their callback could bring them back."""
    for entry in pending_signins.under_way():
        if key := pending_signins.account_key(entry.session_id):
            if account := accounts.load(key):
                accounts.sign_out(account)
            pending_signins.drop(entry.session_id)


def _not_here() -> ResponseReturnValue:
    return error_pages.answer(_NOT_HERE) if accounts.current() else redirect(url_for("journey.home"), 303)


_NOT_HERE = Failure(404, _l("This account is not signed in here"), _l("Sign in again to use it."))
