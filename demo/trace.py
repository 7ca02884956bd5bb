"""What was sent to servers and answered: for this page, and for the sign-in, step by step."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import Any, cast

from flask import Flask, g, request

from misskey import Exchange
from web import services, signals
from web.accounts import Account
from web.pending_signins import Pending

from . import account_data

MAX_EXCHANGES = 20  # of one page: a note with its files takes five
ANSWER_BYTES = 5000  # a token and a person; kept for as long as the sign-in, so no server may fill the store


def exchanges() -> list[Exchange]:
    """Return what was sent to servers for this page, in order."""
    return cast(list[Exchange], g.setdefault("exchanges", []))


@signals.api_called.connect
def _add(_app: Flask, exchange: Exchange) -> None:
    if len(exchanges()) < MAX_EXCHANGES:
        exchanges().append(exchange)


def truncated(exchange: Exchange, most_bytes: int) -> dict[str, Any]:
    """Return an exchange for the store, whose texts take at most so many bytes each, with … where there was more."""

    def cut(text: str | None) -> str | None:
        whole = (text or "").encode(errors="replace")
        return text if len(whole) <= most_bytes else whole[:most_bytes].decode(errors="ignore") + " …"

    return asdict(replace(exchange, body=cut(exchange.body), answer=cut(exchange.answer)))


def of_sign_in(account: Account) -> dict[str, Any] | None:
    """Return how ``account`` was signed in, ``None`` when that was by version 0.1.0, which did not keep it.

    ``exchange`` is the request that gave the token, or for a token made by hand told whose it is, and then all there
    is. Else ``page`` is where the browser was sent and ``began`` when, ``came_back`` the address that it then asked
    this app for and ``finished`` when, in seconds since 1970; ``resumed`` tells that the person pressed a button there.
    """
    value = account_data.load(account, "trace")
    return json.loads(value) if value else None


@signals.signed_in.connect
def _keep(_app: Flask, account: Account, begun: Pending | None, **_: Any) -> None:
    if not exchanges():  # no server was asked
        return
    trace: dict[str, Any] = {"exchange": truncated(exchanges()[-1], ANSWER_BYTES)}
    if begun:
        trace |= {
            "page": begun.authorize_url,
            "began": begun.started,
            "came_back": services.public_url() + request.full_path.removesuffix("?"),
            "finished": int(time.time()),
            "resumed": request.method == "POST",
        }
    seconds = services.settings().session_days * 86400
    account_data.save(account, "trace", json.dumps(trace, ensure_ascii=False), seconds)
