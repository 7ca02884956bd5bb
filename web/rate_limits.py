"""Rate limits, and whom they count requests for. How many sign-ins are allowed is a setting.

They are counted in the Redis that machines share, else in this process: a file would make each request wait to write.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

from flask import request
from werkzeug.exceptions import TooManyRequests

from . import services

MAX_VISITORS = 1000  # whose addresses are read once, though several limits count for them
VISITORS_OF_NETWORK = 10  # that the 65,536 of an IPv6 network, which may all be one stranger, count as
#: What is allowed may be so often per second, minute, hour or day.
SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
View = TypeVar("View", bound=Callable[..., Any])


class RateLimitExceeded(TooManyRequests):
    """A visitor asks more often than is allowed in so many ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__()
        self.seconds = seconds


def limit(
    rates: str | Callable[[], str], scope: str = "", *, exempt_when: Callable[[], bool] = lambda: False
) -> Callable[[View], View]:
    """Answer a view to each visitor no more often than ``rates``, such as ``20 per minute; 500 per day``.

    Views of one ``scope`` are counted together. What is too often raises :class:`RateLimitExceeded`.
    """

    def decorate(view: View) -> View:
        @wraps(view)
        def limited(*args: Any, **kwargs: Any) -> Any:
            if not exempt_when():
                _count(rates if isinstance(rates, str) else rates(), scope or str(request.endpoint))
            return view(*args, **kwargs)

        return cast(View, limited)

    return decorate


def _count(rates: str, scope: str) -> None:
    visitor, count = visitor_at(request.remote_addr), services.token_store().count
    counted = {visitor: 1} | ({network_of(visitor): VISITORS_OF_NETWORK} if visitor.endswith("/64") else {})
    for name, times in counted.items():
        limits = [(seconds, most * times) for seconds, most in _parse(rates)]
        if exceeded := [seconds for seconds, most in limits if count(f"{seconds} {scope} {name}", seconds) > most]:
            raise RateLimitExceeded(max(exceeded))


@lru_cache
def _parse(rates: str) -> list[tuple[int, int]]:
    """Return, of each limit, in how many seconds it allows something how often."""
    return [(SECONDS[unit], int(times)) for times, _, unit in map(str.split, rates.split(";"))]


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
    except ValueError:  # a Unix socket's are none, and a proxy may say “unknown” (RFC 7239)
        return text
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return str(ip if ip.version == 4 else ipaddress.ip_network((ip, 64), strict=False))


@lru_cache(MAX_VISITORS)
def network_of(visitor: str) -> str:
    """Return the network that ``visitor`` is in: all its addresses may be one stranger's, as a /48 or /24 often is."""
    try:
        network = ipaddress.ip_network(visitor)
    except ValueError:  # what visitor_at could not read
        return visitor
    return str(network.supernet(new_prefix=24 if network.version == 4 else 48))


#: A page makes a handful of calls; this keeps one visitor from wearing out a server, or this one.
calls = limit("300 per minute", "calls")
