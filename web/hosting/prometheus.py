"""What the app does, in figures, at ``/metrics``: for the Prometheus that sends the token in ``MIAUTH_METRICS``.

They tell nothing of any person, and no label takes values without end: no path, no host.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
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

from .metrics import FOLDER
from .remote_calls import Call
from .request_log import Served

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)
STORE_SECONDS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.1, 0.5, 1, 5)
STORE_OPERATIONS = ("put", "get", "replace", "delete", "owned_by", "delete_owned_by")

pages = Blueprint("metrics", __name__)


def init_app(app: Flask) -> None:
    """Measure what ``app`` does from now on, and show it."""
    registry = CollectorRegistry()
    for measure in (_measure_requests, _measure_calls, _measure_sign_ins, _measure_streams, _measure_store):
        measure(app, registry)
    if FOLDER in os.environ:  # then it holds the figures of all processes
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    app.extensions["metrics"] = registry
    app.register_blueprint(pages)


@pages.get("/metrics")
def show() -> ResponseReturnValue:
    """Give Prometheus the figures. https://prometheus.io/docs/instrumenting/exposition_formats/"""
    token = request.headers.get("Authorization", "").encode()
    if not compare_digest(token, f"Bearer {services.settings().metrics}".encode()):
        words = "Prometheus has to send the token in MIAUTH_METRICS (authorization: credentials).\n"
        return words, 401, {"WWW-Authenticate": "Bearer", "Content-Type": "text/plain; charset=utf-8"}
    return Response(generate_latest(current_app.extensions["metrics"]), content_type=CONTENT_TYPE_LATEST)


def _measure_requests(app: Flask, registry: CollectorRegistry) -> None:
    seconds = Histogram(
        "miauth_request_seconds",
        "Requests of visitors, until the answer was sent",
        ("method", "route", "status"),
        registry=registry,
        buckets=SECONDS,
    )

    def observe(_app: Flask, served: Served) -> None:
        seconds.labels(served.method, served.route or "none", served.status).observe(served.seconds)

    signals.request_served.connect(observe, sender=app, weak=False)


def _measure_calls(app: Flask, registry: CollectorRegistry) -> None:
    seconds = Histogram(
        "miauth_remote_call_seconds",
        "Requests to remote servers, and streams from them, until they ended",
        ("kind", "outcome"),
        registry=registry,
        buckets=SECONDS,
    )

    def observe(_app: Flask, call: Call) -> None:
        seconds.labels(call.kind, call.outcome).observe(call.seconds)

    signals.server_called.connect(observe, sender=app, weak=False)


def _measure_sign_ins(app: Flask, registry: CollectorRegistry) -> None:
    begun = Counter("miauth_sign_ins_begun", "Sign-ins begun with MiAuth", registry=registry)
    finished = Counter("miauth_sign_ins_finished", "Sign-ins that ended in an account", ("way",), registry=registry)

    def count_begun(_app: Flask, **_: Any) -> None:
        begun.inc()

    def count_finished(_app: Flask, begun: Any, **_: Any) -> None:
        finished.labels("miauth" if begun else "token").inc()

    signals.sign_in_begun.connect(count_begun, sender=app, weak=False)
    signals.signed_in.connect(count_finished, sender=app, weak=False)


def _measure_streams(app: Flask, registry: CollectorRegistry) -> None:
    streams = Gauge(
        "miauth_open_streams", "Streams that browsers have open", registry=registry, multiprocess_mode="livesum"
    )

    @app.after_request
    def count(response: Response) -> Response:
        if response.mimetype == "text/event-stream":
            streams.inc()
            response.call_on_close(streams.dec)
        return response


def _measure_store(app: Flask, registry: CollectorRegistry) -> None:
    seconds = Histogram(
        "miauth_store_seconds",
        "What is read from the token store and written to it",
        ("operation",),
        registry=registry,
        buckets=STORE_SECONDS,
    )

    def timed(work: Callable[..., Any], histogram: Histogram) -> Callable[..., Any]:
        @wraps(work)
        def work_in_time(*args: Any, **options: Any) -> Any:
            with histogram.time():
                return work(*args, **options)

        return work_in_time

    store = app.extensions["token_store"]
    for operation in STORE_OPERATIONS:
        setattr(store, operation, timed(getattr(store, operation), seconds.labels(operation)))
