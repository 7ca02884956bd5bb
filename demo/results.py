"""Results of notes, uploads and calls, stored for a while: a form that is sent twice does it once."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from flask import abort
from flask.typing import ResponseReturnValue

from misskey import Exchange, MisskeyError
from web import accounts, services
from web.accounts import Account
from web.failures import Failure
from web.htmx import page_or_fragment
from web.idempotency import WORKING_SECONDS, do_once
from web.languages import Text
from web.rate_limits import limit as rate_limit

from . import trace
from .forms import OnceForm

KEPT_SECONDS = 600
RATES = "60 per minute; 300 per hour"
limit = rate_limit(RATES, "results")
SENT_BYTES = 64 * 1024  # of all requests and answers together


def keep(kind: str, account: Account, draft: str, work: Callable[[], dict[str, Any]], seconds: float = 0) -> bool:
    """Do ``work`` for the form named ``draft``, once; return whether it is known to be done, now or before.

    Its result is kept with what was sent for it. Raises what ``work`` raises; where the server may have done it all the
    same, the form named ``draft`` does it no more. ``seconds`` are what it may take beyond the usual.
    """
    unclear: list[MisskeyError] = []

    def done() -> str:
        result = None
        try:
            result = work()
        except MisskeyError as error:
            if not error.maybe_done:
                raise
            unclear.append(error)
        exchanges = trace.exchanges()
        most_bytes = SENT_BYTES // max(2 * len(exchanges), 1)
        sent = [trace.truncated(exchange, most_bytes) for exchange in exchanges]
        return json.dumps([result, sent], ensure_ascii=False)

    name, working_seconds = _name(kind, account, draft), WORKING_SECONDS + int(seconds)
    kept = do_once(
        services.token_store(), name, done, KEPT_SECONDS, working_seconds=working_seconds, owner=account.data_owner
    )
    if not accounts.load(account.key):  # signed out while the server was asked, and nothing is to stay behind
        services.token_store().delete(name)
    if unclear:
        raise unclear[0]
    return kept is not None and json.loads(kept)[0] is not None


def find(kind: str, account: Account, draft: object) -> dict[str, Any]:
    """Return what :func:`keep` kept, and show again what was sent for it; 404 when there is nothing."""
    kept: dict[str, Any] | None
    kept, sent = json.loads(services.token_store().get(_name(kind, account, draft)) or abort(404))
    if kept is None:  # nobody knows what came of it
        abort(404)
    trace.exchanges().extend(Exchange(**entry) for entry in sent)
    return kept


def form_again(
    template: str, title: Text, account: Account, form: OnceForm, failure: Failure | None = None
) -> ResponseReturnValue:
    """Show a form with all that was typed, and what is wrong: with its fields, or else ``failure``."""
    if failure and failure.maybe_done:  # whoever presses again has been told, and decides anew
        form.draft.process(None)
    values = {"account": account, **(failure.context if failure else {}), "form": form, "failure": failure}
    return page_or_fragment(template, title, **values), failure.status if failure else 422


def _name(kind: str, account: Account, draft: object) -> str:
    return f"{kind} {account.key} {draft}"
