"""Proxies and CA bundle, from the usual environment variables."""

from __future__ import annotations

import os
import re
import ssl
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from requests.utils import DEFAULT_CA_BUNDLE_PATH, get_environ_proxies, select_proxy
from urllib3.util import Url, parse_url
from urllib3.util.ssl_ import create_urllib3_context

from .errors import ServerUnreachable
from .server import Server, ip_address


def ca_bundle() -> str | bool:
    """Return the file or folder that the environment names for checking certificates, ``True`` for the usual ones.

    Raises :class:`ValueError` when it is not there or has no certificate, as :class:`~misskey.Transport` does when it
    is made.

    >>> ca_bundle()
    True
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE"):
        if bundle := os.environ.get(name):
            if not os.access(bundle, os.F_OK):
                raise ValueError(f"{name} names a file that is not there: {bundle}")
            if not _has_certificates(Path(bundle)):
                raise ValueError(
                    f"{name} names {bundle}, where no certificate can be read: it must be a file with certificates as "
                    "PEM, or a folder of such files that “openssl rehash” has named"
                )
            return bundle
    return True


def tls_context() -> ssl.SSLContext:
    """Return what connections are secured with; raises as :func:`ca_bundle` does."""
    bundle = ca_bundle()
    return _context(DEFAULT_CA_BUNDLE_PATH if bundle is True else str(bundle))


def _context(place: str) -> ssl.SSLContext:
    return _context_as_of(Path(place).stat().st_mtime_ns, place)


@lru_cache(2)  # with the usual certificates, and others: reading them takes longer than all else that a transport needs
def _context_as_of(changed: int, place: str) -> ssl.SSLContext:
    context = create_urllib3_context()
    # With DHE, which browsers no longer have, a server chooses numbers that a client computes with for half a second.
    ciphers = [cipher["name"] for cipher in context.get_ciphers()]
    context.set_ciphers(":".join(name for name in ciphers if not name.startswith("DHE-")))
    context.set_alpn_protocols(["http/1.1"])
    context.load_verify_locations(**{"capath" if Path(place).is_dir() else "cafile": place})
    return context


def _has_certificates(place: Path) -> bool:
    # In a folder, OpenSSL looks for names that tell a certificate's own.
    for file in [*place.glob("[0-9a-f]" * 8 + ".[0-9]*")] or [place]:
        with suppress(OSError):  # also what OpenSSL says
            if _context(str(file)).cert_store_stats()["x509"]:
                return True
    return False


def check_proxies() -> None:
    """Raise :class:`ValueError` for a proxy that can't be used; without its address, which can hold a password.

    >>> check_proxies()
    """
    proxies = getproxies_environment()
    for name in dict.fromkeys(scheme if proxies.get(scheme) else "all" for scheme in ("https", "http")):
        if (proxy := proxies.get(name)) and not _http_proxy(proxy):
            raise ValueError(
                f"{name.upper()}_PROXY must be the address of an HTTP proxy, such as http://proxy.example:3128. "
                "Others, such as SOCKS or over TLS, are not supported; without a proxy, leave it empty"
            )


def proxy_for(server: Server) -> Url | None:
    """Return the proxy of the environment for ``server``: none for this machine itself, where no proxy can lead.

    Raises :class:`~misskey.errors.ServerUnreachable` for one that can't be used.
    """
    host = (urlsplit(server.origin).hostname or "").rstrip(".")
    is_here = re.search(r"(^|\.)localhost$", host) or ((ip := ip_address(host)) and ip.is_loopback)
    # Without any, the library would ask macOS, which ends a process that was forked for that.
    asked = getproxies_environment() and not is_here
    address = select_proxy(server.origin, get_environ_proxies(server.origin)) if asked else None
    if not address:
        return None
    if not (proxy := _http_proxy(address)):
        raise ServerUnreachable(server.host, "can't be reached through this proxy; SOCKS or a proxy over TLS won't do")
    return proxy


def _http_proxy(address: str) -> Url | None:
    """Return the address of a proxy, taken apart; ``None`` where it is not that of an HTTP proxy."""
    try:
        proxy = parse_url(address if "://" in address else f"http://{address}")
    except ValueError:
        return None
    rest = (proxy.path or "/", proxy.query, proxy.fragment)
    return proxy if proxy.scheme == "http" and proxy.host and proxy.port != 0 and rest == ("/", None, None) else None
