"""Headers, cookies, cross-site checks, and how large requests may be. Rate limits are in :mod:`web.rate_limits`."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import Event
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from flask import Flask, Request, request, session
from flask_wtf.csrf import CSRFError, CSRFProtect
from gunicorn.http.errors import ParseException
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import BadRequest
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.sansio.http import parse_cookie
from werkzeug.utils import cached_property

from . import rate_limits, secret_keys
from .config import ICON_PATH, Settings
from .hosting import canonical_url
from .hosting.concurrency import PerVisitor
from .rate_limits import View

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

#: Larger than any form here without files.
MAX_FORM_BYTES = 256 * 1024
MAX_COOKIES = 16 * 1024  # of all cookies together; most servers refuse half as much

csrf = CSRFProtect()

#: Leaves it to a view's form to check the page's token: when it is too old, the form keeps what was typed.
csrf_checked_by_form: Callable[[View], View] = csrf.exempt

YEAR_SECONDS = 31_536_000


class BoundedRequest(Request):
    """A request of which all parts can be read: no more cookies than browsers send, and text whatever the encoding."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.scheme = self.scheme if self.scheme in ("http", "https") else "http"  # some proxies pass on what they got
        self.query_string = self.query_string.decode(errors="replace").encode()  # gunicorn refuses others, not all do

    def _load_form_data(self) -> None:
        try:
            super()._load_form_data()
        except ParseException as error:  # gunicorn's, of chunks that are none
            raise BadRequest from error

    @cached_property
    def cookies(self) -> ImmutableMultiDict[str, str]:  # neighbours set some, too
        sent = self.environ.get("HTTP_COOKIE", "")[:MAX_COOKIES].encode("latin-1")
        return ImmutableMultiDict(parse_cookie(sent.decode(errors="replace")))


def init_app(app: Flask, settings: Settings) -> None:
    """Make every answer and every change of ``app`` safe by default."""
    _configure(app, settings)
    app.session_interface = secret_keys.Sessions(app)
    app.request_class = BoundedRequest
    app.wsgi_app = PerVisitor(  # type: ignore[method-assign]
        app.wsgi_app, lambda environ: rate_limits.visitor_at(environ.get("REMOTE_ADDR"))
    )
    app.wsgi_app = _SecureHeaders(app, settings)  # type: ignore[method-assign]
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    elif settings.production:
        _watch_for_proxies(app)
    canonical_url.init_app(app, settings)
    app.before_request(lambda: _refuse_other_sites(settings))  # before Flask-WTF's own check
    csrf.init_app(app)


def _configure(app: Flask, settings: Settings) -> None:
    app.debug = app.debug and not settings.production  # whatever FLASK_DEBUG says
    # In development all apps on this machine share their cookies, whatever their ports.
    own_name = f"miauth_session_{urlsplit(settings.public_url).port or 80}"
    app.config.from_mapping(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_key_fallbacks),
        WTF_CSRF_SECRET_KEY=settings.signing_keys,  # a form that was open when the key changed still works
        # A name with this prefix is accepted from this host over https only, so no neighbour can plant a cookie.
        SESSION_COOKIE_NAME="__Host-session" if settings.production else own_name,
        PENDING_COOKIE_PREFIX="__Host-signin-" if settings.production else "signin-",
        SESSION_COOKIE_SECURE=settings.production,
        SESSION_COOKIE_SAMESITE="Lax",  # Strict would be missing when the browser comes back from the server
        PERMANENT_SESSION_LIFETIME=settings.session_days * 86400,
        SESSION_REFRESH_EACH_REQUEST=False,  # a slow panel would bring back the cookie from before a sign-in
        WTF_CSRF_TIME_LIMIT=None,  # as long as the cookie: a form that was left open still works
        WTF_CSRF_SSL_STRICT=False,  # asks for a Referer, which privacy extensions remove; Origin is checked below
        MAX_CONTENT_LENGTH=MAX_FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=MAX_FORM_BYTES,
    )


def _watch_for_proxies(app: Flask) -> None:
    """Have the log tell, once, of a proxy that the settings do not count: all visitors would share its limits."""
    seen = Event()

    @app.before_request
    def look() -> None:
        if "X-Forwarded-For" in request.headers and not seen.is_set():
            seen.set()
            app.logger.warning(
                "A proxy seems to be in front of the app, and MIAUTH_TRUSTED_PROXIES is 0: all visitors share one rate "
                "limit. Set it to the number of proxies that stand one behind another."
            )


def _refuse_other_sites(settings: Settings) -> None:
    """Raise :class:`CSRFError` for what no page of this app sends: from another site, or without its cookie."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    headers = request.headers
    origin, site = headers.get("Origin"), headers.get("Sec-Fetch-Site")
    if site not in ("same-origin", "none", None) or not session:
        raise CSRFError
    # Where a proxy adds "Referrer-Policy: no-referrer", browsers send "Origin: null" with the app's own forms.
    is_hidden = origin == "null" and site == "same-origin"
    if origin and origin != settings.public_url and not is_hidden and origin != request.host_url.rstrip("/"):
        raise CSRFError


def _content_policy(settings: Settings) -> str:
    # Browsers also apply form-action to the redirect that answers a form, and that one leads to any Misskey server.
    # A policy can't name an IPv6 address, and should not name private servers to strangers.
    plain = [origin for origin in settings.private_servers if origin.startswith("http://")]
    private = " ".join(sorted({"http:" if settings.production or "[" in origin else origin for origin in plain}))
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",  # Pico CSS draws its icons as data: pictures
            "connect-src 'self'",
            "manifest-src 'self'",
            f"form-action 'self' https: {private}".rstrip(),
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )


class _SecureHeaders:
    """WSGI middleware: each answer tells browsers what its page may do, and to keep none but static files."""

    def __init__(self, app: Flask, settings: Settings) -> None:
        self._wsgi_app = app.wsgi_app
        self._static = f"{app.static_url_path}/"
        self._headers = [
            ("Content-Security-Policy", _content_policy(settings)),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "same-origin"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Permissions-Policy", "camera=(), geolocation=(), microphone=(), payment=()"),
        ]
        # Browsers keep this for a host name, whatever the port: no other app on this machine could be reached by http.
        if settings.production and not settings.host.endswith("localhost"):
            self._headers.append(("Strict-Transport-Security", f"max-age={YEAR_SECONDS}"))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        # Misskey's page shows the app's picture to whoever allows the app.
        readers = "cross-origin" if path == ICON_PATH else "same-origin"

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
            if not path.startswith(self._static):
                headers = [header for header in headers if header[0].lower() != "cache-control"]
            headers = [*headers, *self._headers, ("Cross-Origin-Resource-Policy", readers)]
            if "Cache-Control" not in dict(headers):
                # Some networks would put “[email protected]” in the place of people's addresses, and scripts that the
                # policy does not allow.
                headers.append(("Cache-Control", "no-store, no-transform"))
            return start_response(status, headers, exc_info)

        return self._wsgi_app(environ, start)
