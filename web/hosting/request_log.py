"""An id for every request, and with ``MIAUTH_LOG=json`` a log of which each line is an object of JSON.

The id stands in the header ``X-Request-Id``, on pages of failures and in the lines of the log. A line about a request,
or about a call to a remote server, holds no path, no query and nobody's name: it has the route, such as
``/dashboard/<name>``.
"""

from __future__ import annotations

import json
import logging
import re
import secrets
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from http import HTTPMethod
from typing import TYPE_CHECKING, Any

from flask import Flask, has_request_context, request
from flask.logging import default_handler
from werkzeug.wsgi import ClosingIterator

from web import signals
from web.config import Settings

from .remote_calls import Call, kind_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HEADER = "X-Request-Id"
_KEY = "web.hosting.request_log"
_FROM_A_PROXY = re.compile("[A-Za-z0-9._-]{1,64}")
_METHODS = frozenset(HTTPMethod)
_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Served:
    """A request of a visitor, as far as it has come.

    ``size`` is that of the answer in bytes, ``None`` for a stream; ``failure`` the kind of error that the answer tells
    of; ``seconds`` how long it took until the answer was sent.
    """

    id: str
    method: str
    started: float = field(default_factory=time.monotonic)
    route: str | None = None
    status: int = 0
    size: int | None = None
    failure: str | None = None
    seconds: float = 0.0


def init_app(app: Flask, settings: Settings) -> None:
    """Give each request of ``app`` an id, and write the log as the settings say."""
    app.wsgi_app = _Middleware(app, settings.trusted_proxies > 0)  # type: ignore[method-assign]
    app.jinja_env.globals["request_id"] = request_id
    if settings.log == "json":
        _write_json()
        signals.request_served.connect(_log_request, sender=app)
        signals.server_called.connect(_log_call, sender=app)
    else:
        default_handler.setFormatter(TextFormatter("[%(asctime)s] %(levelname)s in %(module)s: %(message)s"))


def request_id() -> str:
    """Return the id of the current request, ``""`` outside of requests."""
    served = _current()
    return served.id if served else ""


def note(error: Exception) -> None:
    """Note what the current request failed of."""
    if served := _current():
        served.failure = kind_of(error)


class JSONFormatter(logging.Formatter):
    """Makes one line of JSON of each record, with its stack trace; line breaks within are escaped."""

    def format(self, record: logging.LogRecord) -> str:
        told = {"event": "log", "logger": record.name, "message": record.getMessage()}
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "request_id": request_id() or None,
            "route": _route(),
            **getattr(record, "fields", told),
            "exception": self.formatException(record.exc_info) if record.exc_info else None,
        }
        return json.dumps({name: value for name, value in line.items() if value is not None})


class TextFormatter(logging.Formatter):
    """Adds the id of the current request to each line of text."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's own name
        """Return the line before a stack trace."""
        of_request = f" [{request_id()}]" if request_id() else ""
        return super().formatMessage(record) + of_request


class _Middleware:
    """WSGI middleware: names each request, and sends the signal ``request_served`` when its answer was sent."""

    def __init__(self, app: Flask, trusts_proxy: bool) -> None:
        self._app = app
        self._wsgi_app = app.wsgi_app
        self._trusts_proxy = trusts_proxy

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        method = environ["REQUEST_METHOD"]
        served = environ[_KEY] = Served(self._id(environ), method if method in _METHODS else "other")
        # /healthz is asked twice a minute, for ever.
        is_told = environ["PATH_INFO"] != "/healthz" and signals.request_served.has_receivers_for(self._app)

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if is_told:
                served.status, served.route = int(status[:3]), _route()
                served.size = next((int(value) for name, value in headers if name == "Content-Length"), None)
            return start_response(status, [*headers, (HEADER, served.id)], exc_info)

        answer = self._wsgi_app(environ, start)
        if not is_told:
            return answer  # a file as it is, which the system can send by itself
        return ClosingIterator(answer, partial(self._end, served))

    def _id(self, environ: WSGIEnvironment) -> str:
        given = environ.get("HTTP_X_REQUEST_ID", "") if self._trusts_proxy else ""
        return given if _FROM_A_PROXY.fullmatch(given) else secrets.token_hex(8)

    def _end(self, served: Served) -> None:
        served.seconds = time.monotonic() - served.started
        signals.request_served.send(self._app, served=served)


def _current() -> Served | None:
    return request.environ.get(_KEY) if has_request_context() else None


def _route() -> str | None:
    return request.url_rule.rule if has_request_context() and request.url_rule else None


def _write_json() -> None:
    """Have whatever is logged come out as JSON, warnings too."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JSONFormatter())
    logging.getLogger().handlers = [handler]
    logging.captureWarnings(True)
    _logger.setLevel(logging.INFO)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # Flask's own server would log addresses with their query


def _log_request(_app: Flask, served: Served) -> None:
    _log("request", served, request_id=served.id, route=served.route)


def _log_call(_app: Flask, call: Call) -> None:
    _log(f"remote_{call.kind}", call, host=call.host)


def _log(event: str, ended: Served | Call, **fields: str | None) -> None:
    told = {
        "event": event,
        **fields,
        "method": ended.method,
        "status": ended.status,
        "ms": round(ended.seconds * 1000),
        "bytes": ended.size,
        "failure": ended.failure,
    }
    _logger.info(event, extra={"fields": told})
