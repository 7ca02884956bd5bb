"""Redirects from other host names and from http to the public address: cookies belong to one host name.

A proxy that tells the app another name than the browser's makes of this a circle, which ends in words.
"""

from __future__ import annotations

import re
from threading import Event
from urllib.parse import quote, urlsplit

from flask import Flask, current_app, redirect, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import BadHost

from web import error_pages
from web.config import Settings
from web.failures import Failure
from web.storage.local_counters import LocalCounters

LED_SECONDS = 5
MAX_LED = 3  # in this time, and for each process: browsers follow 20 redirects in all

_CIRCLE = Failure(
    503,
    _l("This site is not set up right yet"),
    _l(
        "Whoever runs it has to mend it: the proxy in front of this app does not tell it what browsers ask for, so the "
        "way here leads in a circle."
    ),
    "proxy",
)


def init_app(app: Flask, settings: Settings) -> None:
    """Lead who asks ``app`` under another name than its own to its public address."""
    led, told = LocalCounters(), Event()

    @app.before_request
    def stay() -> ResponseReturnValue | None:
        no_name = isinstance(request.routing_exception, BadHost)  # not even our own pages can be found under it
        open_to_all = request.endpoint in ("static", "health.healthz", "health.readyz", "metrics.show")
        if (_is_at_home(settings) or open_to_all) and not no_name:
            return None
        own = _own_address(settings)
        if no_name or request.method not in ("GET", "HEAD"):
            return redirect(f"{own}/", 303)
        query = quote(request.query_string, safe="%&=+,;:/?@!$'()*")
        home = own + quote(request.path) + (f"?{query}" if query else "")
        way = (request.remote_addr, request.user_agent.string, request.headers.get("Host"), home)
        if led.count(str(hash(way)), LED_SECONDS) <= MAX_LED:
            return redirect(home, 303)
        if not told.is_set():  # the page comes with every request
            told.set()
            _tell(settings)
        return error_pages.answer(_CIRCLE)


def _is_at_home(settings: Settings) -> bool:
    by_http = settings.trusted_proxies and settings.production and request.headers.get("X-Forwarded-Proto") == "http"
    return urlsplit(f"//{request.host}").hostname == settings.host and not by_http


def _own_address(settings: Settings) -> str:
    """Return the public address; while developing, at the port that was asked: `flask run` names 127.0.0.1:5000."""
    asked = re.fullmatch(r"127\.0\.0\.1(:[0-9]{1,5})", request.host)
    if asked and settings.public_url.startswith("http://localhost:"):
        return f"http://localhost{asked[1]}"
    return settings.public_url


def _tell(settings: Settings) -> None:
    current_app.logger.error(
        "%s leads in a circle: the proxy in front passes Host %.200r, X-Forwarded-Host %.200r and "
        "X-Forwarded-Proto %.200r, with MIAUTH_TRUSTED_PROXIES=%d. Let it pass the Host that browsers send "
        "(nginx: proxy_set_header Host $host; Apache: ProxyPreserveHost On), or X-Forwarded-Host and the right "
        "X-Forwarded-Proto, and count it in MIAUTH_TRUSTED_PROXIES.",
        settings.public_url,
        request.host,
        request.headers.get("X-Forwarded-Host"),
        request.headers.get("X-Forwarded-Proto"),
        settings.trusted_proxies,
    )
