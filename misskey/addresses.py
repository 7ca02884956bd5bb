"""Which addresses a server's name leads to, which of them are public, and connecting to the first that answers."""

from __future__ import annotations

import ipaddress
import itertools
import socket
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextlib import ExitStack, suppress
from selectors import EVENT_WRITE, DefaultSelector
from threading import Thread
from typing import Any, cast

from .errors import ServerForbidden, ServerNotFound, ServerTimeout
from .server import Server, ip_address

ADDRESSES_TRIED = 6
NEXT_ADDRESS_SECONDS = 0.25  # as RFC 8305 recommends

#: Global unicast blocks that lead elsewhere: translation and tunnels carry an IPv4 address that could be an inner one.
_NOT_PUBLIC = [
    ipaddress.ip_network(block)
    for block in (
        "192.0.0.0/24",  # protocol assignments
        "192.88.99.0/24",  # 6to4 relays
        "2001::/23",  # protocol assignments, Teredo and ORCHID among them
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
]
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
#: How a network without IPv4 reaches an IPv4 address, which is the last part: RFC 6052.
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

AddressInfo = tuple[Any, ...]
Resolver = Callable[..., list[AddressInfo]]


def is_public(address: str) -> bool:
    """Return whether an IP address, in text, belongs to the public internet and to nothing inside a network."""
    ip = ipaddress.ip_address(address)
    if ip in _NAT64:
        ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip.version == 6 and ip not in _GLOBAL_UNICAST:  # also IPv4 in IPv6, site-local
        return False
    return ip.is_global and not ip.is_multicast and not any(ip in block for block in _NOT_PUBLIC)


def look_up(server: Server, host: str, port: int, resolver: Resolver, seconds: float) -> list[AddressInfo]:
    """Return the addresses of ``host`` that may be connected to, IPv6 and IPv4 by turns.

    A name service can be slow without end, and ``getaddrinfo`` has no time-out: so it waits in a background thread.
    """
    answer = Future[list[AddressInfo]]()

    def resolve() -> None:
        try:
            answer.set_result(resolver(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            answer.set_exception(error)

    if ip_address(host):
        resolve()
    else:
        Thread(target=resolve, daemon=True).start()
    try:
        found = answer.result(seconds)
    except TimeoutError:
        raise ServerTimeout(server.host, "the name service did not answer in time") from None
    except (OSError, UnicodeError):
        raise ServerNotFound(server.host, "no server has this name") from None
    allowed = [entry for entry in found if server.private or is_public(entry[4][0])]
    if not allowed:
        raise ServerForbidden(server.host, "leads to an address that is not public")
    first = [entry for entry in allowed if entry[0] == allowed[0][0]]
    second = [entry for entry in allowed if entry[0] != allowed[0][0]]
    by_turns = itertools.chain.from_iterable(itertools.zip_longest(first, second))
    return [entry for entry in by_turns if entry][:ADDRESSES_TRIED]


def connect(addresses: Iterable[AddressInfo], seconds: float) -> socket.socket:
    """Return a connection to the first of ``addresses`` that answers; each waits a moment for those before it.

    https://www.rfc-editor.org/rfc/rfc8305
    """
    deadline, waiting = time.monotonic() + seconds, deque(addresses)
    with ExitStack() as opened, DefaultSelector() as selector:
        while waiting or selector.get_map():
            if waiting and not _begin_to_connect(waiting.popleft(), opened, selector):
                continue
            if (left := deadline - time.monotonic()) <= 0:
                raise TimeoutError("timed out")
            for key, _ in selector.select(min(left, NEXT_ADDRESS_SECONDS) if waiting else left):
                sock = cast(socket.socket, key.fileobj)
                selector.unregister(sock)
                if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                    return socket.socket(fileno=sock.detach())
    raise ConnectionRefusedError


def _begin_to_connect(address: AddressInfo, opened: ExitStack, selector: DefaultSelector) -> bool:
    """Return whether ``selector`` will tell more; this one can have failed already."""
    family, kind, _, _, place = address
    try:
        sock = opened.enter_context(socket.socket(family, kind))
        sock.setblocking(False)
        with suppress(BlockingIOError):
            sock.connect(place)
    except OSError:  # refused at once, or a machine without IPv6
        return False
    selector.register(sock, EVENT_WRITE)
    return True
