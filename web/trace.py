"""How a sign-in went, step by step, for showing it to the person who did it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace

from misskey import Exchange

from .shown import cut

ANSWER_BYTES = 5000  # a token and a person; kept for as long as the sign-in, so no server may fill the store


@dataclass(frozen=True, slots=True)
class Trace:
    """The steps of one sign-in; times are in seconds since 1970.

    ``exchange`` is the request that gave the token, or for a token made by hand told whose it is; the other fields are
    empty then. ``came_back`` is the address that the browser asked this app for; ``resumed`` tells that it was a button
    that the person pressed, not the server that led there.
    """

    exchange: Exchange
    page: str = ""
    began: int = 0
    came_back: str = ""
    finished: int = 0
    resumed: bool = False

    def dump(self) -> str:
        """Return this as text for the token store."""
        answer = cut(self.exchange.answer or "", ANSWER_BYTES)
        return json.dumps(asdict(replace(self, exchange=replace(self.exchange, answer=answer))), ensure_ascii=False)

    @classmethod
    def load(cls, value: str) -> Trace:
        """Return what :meth:`dump` made a text of."""
        fields = json.loads(value)
        return cls(**fields | {"exchange": Exchange(**fields["exchange"])})
