"""What was sent to servers and answered: for this page, and for the sign-in, step by step."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

from flask import Flask, g, request

from misskey import MASK, Exchange
from web import accounts, services, signals
from web.accounts import Account
from web.pending_signins import Pending

from .template_filters import cut

MAX_EXCHANGES = 20  # of one page: a note with its files takes five
ANSWER_BYTES = 5000  # a token and a person; kept for as long as the sign-in, so no server may fill the store


def init_app(app: Flask) -> None:
    """Keep what ``app`` sends and how people signed in, and give it to templates."""
    signals.api_called.connect(_add, sender=app)
    signals.signed_in.connect(_keep, sender=app)
    signals.signed_out.connect(_forget, sender=app)
    app.context_processor(lambda: {"exchanges": exchanges()})
    app.jinja_env.globals.update(sign_in_trace=of, mask=MASK)


def exchanges() -> list[Exchange]:
    """Return what was sent to servers for this page, in order."""
    return cast(list[Exchange], g.setdefault("exchanges", []))


def of(account: Account) -> Trace | None:
    """Return how ``account`` was signed in, ``None`` when that was by version 0.1.0, which did not keep it."""
    value = services.token_store().get(f"trace {account.key}")
    return Trace.load(value) if value else None


def _add(_app: Flask, exchange: Exchange) -> None:
    if len(exchanges()) < MAX_EXCHANGES:
        exchanges().append(exchange)


def _keep(_app: Flask, account: Account, begun: Pending | None, **_: Any) -> None:
    if not exchanges():  # no server was asked
        return
    trace = Trace(exchanges()[-1])
    if begun:
        came_back = services.public_url() + request.full_path.removesuffix("?")
        resumed = request.method == "POST"
        trace = replace(
            trace,
            page=begun.authorize_url,
            began=begun.started,
            came_back=came_back,
            finished=int(time.time()),
            resumed=resumed,
        )
    seconds = services.settings().session_days * 86400
    services.token_store().put(f"trace {account.key}", trace.dump(), seconds, owner=account.owner)
    if not accounts.load(account.key):  # signed out everywhere at this moment, and nothing is to stay behind
        _forget(_app, account)


def _forget(_app: Flask, account: Account) -> None:
    services.token_store().delete(f"trace {account.key}")


@dataclass(frozen=True, slots=True)
class Trace:
    """The steps of one sign-in; times are in seconds since 1970.

    ``exchange`` is the request that gave the token, or for a token made by hand told whose it is; the other fields are
    empty then. ``came_back`` is the address that the browser asked this app for; ``resumed`` tells that it was a button
    that the person pressed, not the server that led there.
    """

    exchange: Exchange
    page: str = ""
    began: int = 0
    came_back: str = ""
    finished: int = 0
    resumed: bool = False

    def dump(self) -> str:
        """Return this as text for the token store."""
        answer = cut(self.exchange.answer or "", ANSWER_BYTES)
        return json.dumps(asdict(replace(self, exchange=replace(self.exchange, answer=answer))), ensure_ascii=False)

    @classmethod
    def load(cls, value: str) -> Trace:
        """Return what :meth:`dump` made a text of."""
        fields = json.loads(value)
        return cls(**fields | {"exchange": Exchange(**fields["exchange"])})
