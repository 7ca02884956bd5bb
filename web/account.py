"""A person signed in at a server, as the token store keeps them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from misskey import Server


@dataclass(frozen=True, slots=True)
class Account:
    """A person signed in at a server, with the token and the permissions that were asked for.

    ``permissions`` is ``None`` for a token made by hand: nobody knows what it may do. ``signed_in`` and ``last_used``
    are in seconds since 1970. ``browser`` and ``system`` are where this was, such as Firefox and Windows, or ``""``.
    """

    user_id: str
    username: str
    name: str
    origin: str
    token: str = field(repr=False)
    permissions: list[str] | None
    signed_in: int
    last_used: int = 0  # sign-ins by version 0.1.0 have none of these
    browser: str = ""
    system: str = ""
    key: str = field(default="", repr=False)

    @property
    def server(self) -> Server:
        return Server(self.origin)

    @property
    def address(self) -> str:
        return f"{self.username}@{self.server.host}"

    @property
    def owner(self) -> str:
        """The person, as the token store knows their sign-ins, in whichever browser."""
        return f"{self.origin} {self.user_id}"

    @property
    def data_owner(self) -> str:
        """The person, as the token store knows all else that is theirs: it can be much, and nobody has to list it."""
        return f"data {self.owner}"

    @property
    def public_id(self) -> str:
        """What pages call this account by: tells nothing of the key."""
        return hashlib.sha256(f"public {self.key}".encode()).hexdigest()[:16]

    def lacks(self, *permissions: str) -> list[str]:
        """Return those of ``permissions`` that nobody asked for, as far as is known; the server has the last word."""
        return [name for name in permissions if self.permissions is not None and name not in self.permissions]
