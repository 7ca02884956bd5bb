"""Rate limits, and whom they count requests for. How many sign-ins are allowed is a setting.

They are counted in the Redis that machines share, else in this process: a file would make each request wait to write.
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache

from flask import request
from flask_limiter import Limiter

from .storage.local_counters import LocalCounters
from .storage.sqlite_backend import file_at

MAX_VISITORS = 1000  # whose addresses are read once, though several limits count for them


def storage_uri(token_store: str) -> str:
    """Return where to count requests, where sign-ins are kept at ``token_store``."""
    if file_at(token_store):
        return f"{LocalCounters.STORAGE_SCHEME[0]}://"
    from .storage.shared_counters import SharedCounters  # a large library, which few need

    return f"{SharedCounters.STORAGE_SCHEME[0]}://"


@lru_cache(MAX_VISITORS)
def visitor_at(address: str | None) -> str:
    """Return whom to count requests from ``address`` for: an IPv6 visitor has a whole /64 of addresses."""
    text = address or ""
    if text.startswith("["):  # some proxies add the port
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        ip = ipaddress.ip_address(text)
    except ValueError:
        return text
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False))


limiter = Limiter(lambda: visitor_at(request.remote_addr))
#: A page makes a handful of calls; this keeps one visitor from wearing out a server, or this one.
calls = limiter.shared_limit("300 per minute", scope="calls")
