"""Ports for servers that are started in a moment."""

from __future__ import annotations

import errno
import secrets
import socket


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens at, below those that systems give to outgoing connections."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        try:
            with socket.create_server(("127.0.0.1", port)):
                return port
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
