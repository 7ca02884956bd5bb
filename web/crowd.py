"""How much each visitor may have under way at once, in this process: requests, and files on the disk.

Rate limits count how often somebody asks. This counts what is not finished: slow servers, live timelines and uploads
hold a place for long, and anybody can run a slow server and sign in with it.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable
from threading import Lock
from typing import cast

from flask import Flask, current_app, g
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from . import error_pages
from .problems import Problem

MOST_REQUESTS = 100  # a browser asks six at once, and many people can share one address
MOST_UPLOADS = 8
SPARE_BYTES = 256 * 1024**2  # of the disk, for everything that is not an upload
WAIT_SECONDS = 30

_TOO_MANY = Problem(
    429,
    _l("Too much at once"),
    _l("Too much from your network is under way here. Close pages that you don’t need, then try again."),
    "back",
    WAIT_SECONDS,
)
_NO_ROOM = Problem(
    503,
    _l("No room for files just now"),
    _l("Many people are uploading here at the moment. Try again in a minute."),
    "back",
    WAIT_SECONDS,
)


class Crowd:
    """Who has what under way."""

    def __init__(self) -> None:
        self._requests: Counter[str] = Counter()
        self._uploads: Counter[str] = Counter()
        self._reserved = 0
        self._lock = Lock()

    def enter(self, visitor: str) -> bool:
        """Take a place for a request, unless the visitor has too many."""
        with self._lock:
            if self._requests[visitor] >= MOST_REQUESTS:
                return False
            self._requests[visitor] += 1
            return True

    def reserve(self, visitor: str, size: int) -> Problem | None:
        """Take room on the disk for ``size`` bytes; tell why not where there is none."""
        with self._lock:
            if self._uploads[visitor] >= MOST_UPLOADS:
                return _TOO_MANY
            if shutil.disk_usage(tempfile.gettempdir()).free < self._reserved + size + SPARE_BYTES:
                return _NO_ROOM
            self._uploads[visitor] += 1
            self._reserved += size
            return None

    def leave(self, visitor: str, size: int | None) -> None:
        """Give back what a request took; ``size`` is ``None`` for one without files."""
        with self._lock:
            self._requests -= Counter([visitor])  # this way, who has nothing left is forgotten
            if size is not None:
                self._uploads -= Counter([visitor])
                self._reserved -= size


def init_app(app: Flask, visitor: Callable[[], str]) -> None:
    """Count what is under way in ``app``; ``visitor`` tells whose the request is."""
    app.extensions["crowd"] = Crowd()

    @app.before_request
    def enter() -> ResponseReturnValue | None:
        if not _crowd().enter(visitor()):
            return error_pages.answer(_TOO_MANY)
        g.visitor = visitor()
        return None

    @app.teardown_request
    def leave(_: BaseException | None) -> None:
        if (whose := g.pop("visitor", None)) is not None:  # "" where a socket of the machine's own is asked
            _crowd().leave(whose, g.pop("upload_bytes", None))


def make_room(size: int) -> ResponseReturnValue | None:
    """Take room for the files of this request until it is over; without, return the answer that says so."""
    if problem := _crowd().reserve(g.visitor, size):
        return error_pages.answer(problem)
    g.upload_bytes = size
    return None


def _crowd() -> Crowd:
    return cast(Crowd, current_app.extensions["crowd"])
