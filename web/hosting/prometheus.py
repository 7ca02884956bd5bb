"""What the app does, in figures, at ``/metrics``: for the Prometheus that sends the token in ``MIAUTH_METRICS``.

They tell nothing of any person, and no label takes values without end: no path, no host.
"""

from __future__ import annotations

import os
from functools import partial
from hmac import compare_digest
from typing import Any

from flask import Blueprint, Flask, Response, current_app, request
from flask.typing import ResponseReturnValue
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from web import services, signals
from web.token_store import TokenStore

from .folders import METRICS_FOLDER
from .remote_calls import Call
from .request_log import Served

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
STORE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5)
STORE_OPERATIONS = ("put", "get", "replace", "delete", "owned_by", "delete_owned_by")

pages = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    """Measure what ``app`` does from now on, and show it."""
    app.extensions["metrics"] = metrics = Metrics()
    signals.request_served.connect(metrics.observe_request, sender=app)
    signals.server_called.connect(metrics.observe_call, sender=app)
    signals.sign_in_begun.connect(metrics.count_begun, sender=app)
    signals.signed_in.connect(metrics.count_finished, sender=app)
    app.after_request(metrics.count_stream)
    store = app.extensions["token_store"]
    for operation in STORE_OPERATIONS:
        timed = metrics.store.labels(operation).time()  # decorates functions only
        setattr(store, operation, partial(timed(getattr(TokenStore, operation)), store))
    app.register_blueprint(pages)


@pages.get("/metrics")
def show() -> ResponseReturnValue:
    """Give Prometheus the figures. https://prometheus.io/docs/instrumenting/exposition_formats/"""
    token = request.headers.get("Authorization", "").encode()
    if not compare_digest(token, f"Bearer {services.settings().metrics}".encode()):
        words = "Prometheus has to send the token in MIAUTH_METRICS (authorization: credentials).\n"
        return words, 401, {"WWW-Authenticate": "Bearer", "Content-Type": "text/plain; charset=utf-8"}
    registry = current_app.extensions["metrics"].registry
    if METRICS_FOLDER in os.environ:  # then it holds the figures of all processes
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


class Metrics:
    """The figures of one app."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        seconds = partial(Histogram, registry=registry, buckets=SECONDS)
        self.requests = seconds(
            "miauth_request_seconds", "Requests of visitors, until the answer was sent", ("method", "route", "status")
        )
        self.calls = seconds(
            "miauth_remote_call_seconds",
            "Requests to remote servers, and streams from them, until they ended",
            ("kind", "outcome"),
        )
        self.store = seconds(
            "miauth_store_seconds",
            "What is read from the token store and written to it",
            ("operation",),
            buckets=STORE_SECONDS,
        )
        self.begun = Counter("miauth_sign_ins_begun", "Sign-ins begun with MiAuth", registry=registry)
        self.finished = Counter(
            "miauth_sign_ins_finished", "Sign-ins that ended in an account", ("way",), registry=registry
        )
        self.streams = Gauge(
            "miauth_open_streams", "Streams that browsers have open", registry=registry, multiprocess_mode="livesum"
        )

    def observe_request(self, _app: Flask, served: Served) -> None:
        self.requests.labels(served.method, served.route or "none", served.status).observe(served.seconds)

    def observe_call(self, _app: Flask, call: Call) -> None:
        self.calls.labels(call.kind, call.outcome).observe(call.seconds)

    def count_begun(self, _app: Flask, **_: Any) -> None:
        self.begun.inc()

    def count_finished(self, _app: Flask, begun: Any, **_: Any) -> None:
        self.finished.labels("miauth" if begun else "token").inc()

    def count_stream(self, response: Response) -> Response:
        if response.mimetype == "text/event-stream":
            self.streams.inc()
            response.call_on_close(self.streams.dec)
        return response
