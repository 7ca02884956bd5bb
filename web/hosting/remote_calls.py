"""The transport of the app, which tells of each call to a remote server by the signal ``server_called``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask

from misskey import Answer, Server, Transport
from misskey.responses import Response
from web import signals

from .concurrency import remote_call, waiting


@dataclass(slots=True)
class Call:
    """A call to a remote server that has ended: a request, or a stream from its opening on.

    ``status`` and ``size``, that of the answer in bytes, are ``None`` where no whole answer came. ``failure`` is the
    name of the error's class.
    """

    kind: str  # "request" or "stream"
    method: str
    host: str
    status: int | None = None
    size: int | None = None
    seconds: float = 0.0
    failure: str | None = None

    @property
    def outcome(self) -> str:
        """``ok``, what it failed of, or the kind of an answer that says no, such as ``http_4xx``."""
        refused = f"http_{self.status // 100}xx" if self.status and self.status >= 300 else ""
        return self.failure or refused or "ok"


class WatchedTransport(Transport):
    """A transport for the requests of ``app``, which are limited for each visitor and let others go on meanwhile."""

    def __init__(self, app: Flask, user_agent: str) -> None:
        super().__init__(user_agent, limit=remote_call, while_waiting=waiting)
        self._app = app

    def request(self, method: str, server: Server, *args: Any, **options: Any) -> Answer:
        """Send a request, as :meth:`misskey.Transport.request` does."""
        with self._timed(Call("request", method, server.host)) as call:
            answer = super().request(method, server, *args, **options)
            call.status, call.size = answer.status, len(answer.body)
            return answer

    @contextmanager
    def upgrade(self, server: Server, *args: Any) -> Iterator[tuple[Answer, Response]]:
        """Open a connection for a stream, as :meth:`misskey.Transport.upgrade` does."""
        with self._timed(Call("stream", "GET", server.host)), super().upgrade(server, *args) as opened:
            yield opened

    @contextmanager
    def _timed(self, call: Call) -> Iterator[Call]:
        started = time.monotonic()
        try:
            yield call
        except Exception as error:
            call.status, call.failure = getattr(error, "status", None), kind_of(error)
            raise
        finally:
            call.seconds = time.monotonic() - started
            signals.server_called.send(self._app, call=call)


def kind_of(error: BaseException) -> str:
    """Return the name of an error's class, or of the first public one above it."""
    return next(kind.__name__ for kind in type(error).__mro__ if not kind.__name__.startswith("_"))
