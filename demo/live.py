"""The live timeline: new notes of the home timeline, from the server's stream to the page, while somebody watches.

To the browser they go as Server-Sent Events; the token stays here.
https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import json
import random
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from threading import Lock
from weakref import WeakValueDictionary

from flask import Blueprint, Flask, Response, current_app, render_template, stream_with_context
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_babel import ngettext
from werkzeug.exceptions import TooManyRequests

from misskey import APIError, AuthenticationFailed, MisskeyError, PermissionDenied, RateLimited, Stream
from web import accounts, failures, signals
from web.accounts import Account, login_required
from web.hosting.concurrency import Visitor, keep_place, take_turn
from web.languages import Text
from web.rate_limits import calls
from web.storage.store_backend import StoreUnavailable

from . import account_data
from .notes import read_note

pages = Blueprint("live", __name__)

TICK_SECONDS = 5.0  # how soon it is noticed that the page was closed or the account signed out
FIRST_PAUSE_SECONDS = 1.0
MAX_PAUSE_SECONDS = 60.0
MAX_WAIT_SECONDS = 600  # where the server says how long
STEADY_SECONDS = 60.0  # a stream that held for so long was no failure
RETRY_SECONDS = 5  # about which a browser that lost this app waits before it asks again
MAX_AT_ONCE = 4  # of one account in this process, whose threads they take; a tab that nobody looks at closes its own
RESTS_FOR = 9  # times as long as a piece took: a server that sends without a pause gets a tenth of the processor
HEARTBEAT = ": still here\n\n"  # writing it fails when the page has gone
LEFT_SECONDS = 3600  # longer than anybody goes without asking `may_go_on`

_NOT_IN_USE = _l("This account is signed out or no longer the one in use here. Reload the page.")
_TOO_MANY = _l("Live notes are open in too many places. Close one, then reload this page.")
_places: WeakValueDictionary[str, deque[object]] = WeakValueDictionary()
_lock = Lock()


@pages.get("/live")
@calls
@login_required
def notes(account: Account) -> ResponseReturnValue:
    """Send new notes of the home timeline, and how it goes, until the page closes or the account is left."""
    response = Response(mimetype="text/event-stream")
    response.response = stream_with_context(_events(account, keep_place(response)))
    response.headers["X-Accel-Buffering"] = "no"  # nginx would collect them
    return response


def _events(account: Account, visitor: Visitor | None) -> Iterator[str]:
    """Yield what the browser gets; before each, make sure that it still may."""
    yield f"retry: {round(_about(RETRY_SECONDS) * 1000)}\n\n"
    if account != accounts.current():
        yield _state("stopped", _NOT_IN_USE)
        return
    started = time.time()
    with _place(account) as is_kept, closing(_news(account, visitor)) as news:
        for event in news:
            if not (yield from _asked_if_it_may_go_on(account, started)) or not is_kept():
                yield _state("stopped", _TOO_MANY if not is_kept() else _NOT_IN_USE)
                return
            yield event


def _asked_if_it_may_go_on(account: Account, since: float) -> Generator[str, None, bool]:
    """Return what :func:`may_go_on` does, as soon as the token store answers; yield what the browser gets meanwhile."""
    waited = False
    while True:
        try:
            answer = may_go_on(account, since)
        except StoreUnavailable as error:
            if not waited:
                current_app.logger.error("token store: %s", error)
                yield _state("waiting", _("Our memory is not available"))
            waited = True
            yield from _wait(TICK_SECONDS)
        else:
            if answer and waited:
                yield _live()
            return answer


def may_go_on(account: Account, since: float) -> bool:
    """Return whether what began at ``since`` may go on, in seconds since 1970.

    Not when ``account`` was signed out, wherever, or its browser went over to another one after that.
    """
    if not accounts.load(account.key):
        return False
    left = account_data.load(account, "left")
    return left is None or float(left) <= since


@signals.account_switched.connect
def _note_left(_app: Flask, account: Account) -> None:
    account_data.save(account, "left", str(time.time()), LEFT_SECONDS)


@contextmanager
def _place(account: Account) -> Iterator[Callable[[], bool]]:
    """Take one of the account's places, the oldest when all are taken; yield what tells whether it is kept."""
    mine = object()
    with _lock:
        places = _places.setdefault(account.key, deque(maxlen=MAX_AT_ONCE))
        places.append(mine)
    try:
        yield lambda: mine in places
    finally:
        with _lock, suppress(ValueError):  # somebody else has it by now
            places.remove(mine)


def _news(account: Account, visitor: Visitor | None) -> Generator[str, None, None]:
    """Yield events, at least one in a while, until the server refuses the token or the person."""
    tries = 0
    while True:
        opened = time.monotonic()
        try:
            yield from _stream(account, visitor)
        except TooManyRequests:  # of this visitor, to whichever servers; it was waited for long enough
            yield HEARTBEAT
        except MisskeyError as error:
            refused = isinstance(error, (AuthenticationFailed, PermissionDenied))  # forks differ in the status
            if refused or (isinstance(error, APIError) and error.status == 403):
                failure = failures.of_server(error)
                yield _state("stopped", _("%(title)s. %(words)s", title=failure.title, words=failure.words))
                return
            tries = 0 if time.monotonic() - opened > STEADY_SECONDS else tries
            seconds = _pause(tries, error)
            tries += 1
            yield _state("waiting", _waiting_words(error, seconds))
            yield from _wait(seconds)


def _stream(account: Account, visitor: Visitor | None) -> Iterator[str]:
    client = replace(accounts.client(account), on_exchange=None)  # hours of tries would be kept for this page
    with ExitStack() as opened:
        with take_turn(visitor):
            stream = opened.enter_context(Stream(client, tick_seconds=TICK_SECONDS))
        yield _live()
        values = iter(stream)
        while True:
            with take_turn(visitor):
                began = time.thread_time()
                note = read_note(next(values), account.server)
                event = _event("note", render_template("notes/note.html", note=note, account=account)) if note else None
            yield event or HEARTBEAT
            time.sleep((time.thread_time() - began) * RESTS_FOR)


def _pause(tries: int, error: MisskeyError) -> float:
    """Return how long to wait: longer each time, or as the server asks."""
    pause = min(FIRST_PAUSE_SECONDS * 2.0 ** min(tries, 10), MAX_PAUSE_SECONDS)
    asked = error.retry_after if isinstance(error, RateLimited) else None
    return max(_about(pause), min(asked or 0, MAX_WAIT_SECONDS))


def _about(seconds: float) -> float:
    """Return a time near this one, so that not everybody comes back at the same moment."""
    return seconds * random.uniform(0.75, 1.25)  # noqa: S311 - no secret


def _waiting_words(error: MisskeyError, seconds: float) -> str:
    return ngettext(
        "%(title)s. Next try in %(num)d second.",
        "%(title)s. Next try in %(num)d seconds.",
        max(round(seconds), 1),
        title=failures.of_server(error).title,
    )


def _wait(seconds: float) -> Iterator[str]:
    ends = time.monotonic() + seconds
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(left, TICK_SECONDS))
        yield HEARTBEAT


def _live() -> str:
    return _state("live", _("Live: new notes appear here by themselves."))


def _state(state: str, words: Text) -> str:
    return _event("state", json.dumps({"state": state, "words": str(words)}))


def _event(name: str, data: str) -> str:
    return f"event: {name}\n" + "".join(f"data: {line}\n" for line in data.splitlines()) + "\n"
