"""The record of one call: the request that was sent, and the response, without the token."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from .json_values import MASK, indented, parse


class _Text:
    """A field whose text can be a function, called when somebody first reads it: a closure, which shows no token."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, exchange: Exchange | None, owner: type) -> str | None:
        if exchange is None:  # dataclass asks for the default
            return None
        value: str | Callable[[], str] | None = exchange.__dict__[self._name]
        if callable(value):
            value = exchange.__dict__[self._name] = value()
        return value

    def __set__(self, exchange: Exchange, value: str | Callable[[], str] | None) -> None:
        exchange.__dict__[self._name] = value


@dataclass(frozen=True)
class Exchange:
    r"""One call as it went over the wire, for showing, with tokens masked.

    ``body`` and ``answer`` are indented JSON, or text where the server sent none, in bounds;
    ``size`` is the whole answer's in bytes, unpacked. ``status``, ``milliseconds``, ``answer`` and ``size`` are
    ``None`` when no answer came.

    >>> exchanges = []
    >>> user = whoami(Client(server, transport, "aliceNativeToken", exchanges.append))
    >>> exchanges[0].status, exchanges[0].body
    (200, '{\n  "i": "•••"\n}')
    """

    method: str
    url: str
    body: _Text = _Text()
    status: int | None = None
    milliseconds: int | None = None
    answer: _Text = _Text()
    size: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what is copied and stored: texts only."""
        return asdict(self)


def text_of_body(sent: bytes, token: str | None) -> str:
    """Return the text of a request's parameters, which are JSON, without any token."""
    fields = json.loads(sent)
    return indented(fields | ({"i": MASK} if "i" in fields else {}), token)


def text_of_answer(body: bytes, token: str | None, most_values: int) -> str:
    """Return the text of an answer, without ``token`` and without a token that it grants."""
    content, fresh = parse(body, token, most_values), None
    if isinstance(content, dict) and "token" in content:
        fresh, content = content["token"], content | {"token": MASK}
    return indented(content, fresh if isinstance(fresh, str) else None)
