"""Headers, cross-site checks, rate limits, proxies."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from flask import Flask, Request, Response, abort, request, session
from flask.typing import ResponseReturnValue
from flask_limiter import Limiter
from flask_wtf.csrf import CSRFError, CSRFProtect
from werkzeug.middleware.proxy_fix import ProxyFix

from . import accounts, crowd, one_host
from .config import ICON_PATH, Settings


def _visitor() -> str:
    """Return whom to count requests for: an IPv6 visitor has a whole /64 of addresses."""
    text = request.remote_addr or ""
    if text.startswith("["):  # some proxies add the port
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return text
    address = getattr(address, "ipv4_mapped", None) or address
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))


csrf = CSRFProtect()
limiter = Limiter(_visitor)

View = TypeVar("View", bound=Callable[..., Any])


def checked_by_form(view: View) -> View:
    """Leave it to the form of ``view`` to check the page's token: when it is too old, the form keeps what was typed."""
    csrf.exempt(view)
    return view


#: Larger than any form here without files.
LARGEST_FORM_BYTES = 256 * 1024
#: Files rest on disk while they are passed on. Servers with a larger limit are rare; browsers take long for this one.
LARGEST_UPLOAD_BYTES = 1024**3
MOST_PARTS = 64  # of a form with files; each text in it may take LARGEST_FORM_BYTES of memory
_WITH_FILES = ("/files", "/notes")
YEAR_SECONDS = 31_536_000


class _Request(Request):
    """A request that closes its files in every case: until then they take room on the disk.

    Werkzeug leaves those of a form that can't be read to its end to the garbage collector.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._opened: list[IO[bytes]] = []

    def _get_file_stream(self, *args: Any, **kwargs: Any) -> IO[bytes]:
        self._opened.append(super()._get_file_stream(*args, **kwargs))
        return self._opened[-1]

    def close(self) -> None:
        for stream in self._opened:
            stream.close()
        super().close()


def init_app(app: Flask, settings: Settings) -> None:
    """Make every answer and every change of ``app`` safe by default."""
    app.request_class = _Request
    # In development all apps on this machine share their cookies, whatever their ports.
    own_name = f"miauth_session_{urlsplit(settings.public_url).port or 80}"
    app.config.from_mapping(
        SECRET_KEY=settings.secret_key,
        SECRET_KEY_FALLBACKS=list(settings.secret_key_fallbacks),
        MAX_CONTENT_LENGTH=LARGEST_FORM_BYTES,
        MAX_FORM_MEMORY_SIZE=LARGEST_FORM_BYTES,
        # A name with this prefix is accepted from this host over https only, so no neighbour can plant a cookie.
        SESSION_COOKIE_NAME="__Host-session" if settings.production else own_name,
        PENDING_COOKIE_PREFIX="__Host-signin-" if settings.production else "signin-",
        SESSION_COOKIE_SECURE=settings.production,
        SESSION_COOKIE_SAMESITE="Lax",  # Strict would be missing when the browser comes back from the server
        PERMANENT_SESSION_LIFETIME=settings.session_days * 86400,
        SESSION_REFRESH_EACH_REQUEST=False,  # a slow panel would bring back the cookie from before a sign-in
        WTF_CSRF_TIME_LIMIT=None,  # as long as the cookie: a form that was left open still works
        WTF_CSRF_SSL_STRICT=False,  # asks for a Referer, which privacy extensions remove; Origin is checked below
        RATELIMIT_STORAGE_URI="memory://",  # each worker counts for itself
    )
    if settings.trusted_proxies:
        count = settings.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=count, x_proto=count, x_host=count)  # type: ignore[method-assign]
    one_host.init_app(app, settings)
    crowd.init_app(app, _visitor)
    app.before_request(lambda: _refuse_other_sites(settings))  # before Flask-WTF's own check
    app.before_request(_allow_files)  # before anything reads the form
    csrf.init_app(app)
    limiter.init_app(app)
    policy = _content_policy(settings)
    app.after_request(lambda response: _add_headers(response, policy, settings.production))


def _refuse_other_sites(settings: Settings) -> None:
    """Raise :class:`CSRFError` for what no page of this app sends: from another site, or without its cookie."""
    if request.method in ("GET", "HEAD", "OPTIONS"):
        return
    origin, site = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    if site not in ("same-origin", "none", None):
        raise CSRFError
    # Where a proxy adds "Referrer-Policy: no-referrer", browsers send "Origin: null" with the app's own forms.
    own = (settings.public_url, request.host_url.rstrip("/"), "null" if site == "same-origin" else "")
    if origin and origin not in own:
        raise CSRFError
    if not session:
        raise CSRFError


def _allow_files() -> ResponseReturnValue | None:
    """Take large forms from visitors who are signed in, while the disk has room; strangers could fill it."""
    # A form in the other encoding is read whole into memory.
    if request.path not in _WITH_FILES or request.mimetype != "multipart/form-data":
        return None
    if accounts.current():
        request.max_content_length = LARGEST_UPLOAD_BYTES
        request.max_form_parts = MOST_PARTS
        size = LARGEST_UPLOAD_BYTES if request.content_length is None else request.content_length
        return crowd.make_room(min(size, LARGEST_UPLOAD_BYTES))
    if (request.content_length or 0) > LARGEST_FORM_BYTES:
        abort(401)
    return None


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


def _add_headers(response: Response, policy: str, production: bool) -> Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["Referrer-Policy"] = "same-origin"
    response.headers["Cross-Origin-Opener-Policy"] = "same-origin"
    # Misskey's page shows the app's picture to whoever allows the app.
    shown_elsewhere = request.path == ICON_PATH
    response.headers["Cross-Origin-Resource-Policy"] = "cross-origin" if shown_elsewhere else "same-origin"
    response.headers["Permissions-Policy"] = "camera=(), geolocation=(), microphone=(), payment=()"
    if production:
        response.headers["Strict-Transport-Security"] = f"max-age={YEAR_SECONDS}"
    response.headers["Cache-Control"] = "no-store"  # except static files, see web/static_files.py
    return response
