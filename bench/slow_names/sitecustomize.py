"""Run by Python as it starts: a name service that takes long over names below ``slow.example``, and then fails."""

import _socket
import time
from typing import Any

SECONDS = 8  # two name servers that don't answer, asked twice for two seconds


def _getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
    if "slow.example" in str(host):
        _sleep(SECONDS)
        raise _socket.gaierror(_socket.EAI_AGAIN, "Temporary failure in name resolution")
    return _usual(host, *args, **kwargs)


_usual, _sleep = _socket.getaddrinfo, time.sleep  # as they are before anything else changes them
_socket.getaddrinfo = _getaddrinfo
