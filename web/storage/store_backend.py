"""What the token store asks of a backend, and how one fails."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from click import ClickException

MAX_OWNED = 2000  # several hundred sign-ins of a person, and what they did in the last minutes
BATCH = 100  # entries that are read at once; one can take a third of a megabyte


class StoreUnavailable(ClickException):
    """The store can't be read or written now: a full disk, a lock that nobody gives back, a Redis that is down.

    Commands show it, and end with 1.
    """

    def format_message(self) -> str:
        """Return what commands show."""
        return f"The token store is not available: {self.message}."


class NotKept(StoreUnavailable):
    """Something was done, and the store could not keep what came of it."""


class Backend(Protocol):
    """Bytes under ids, each with an expiry and, where it has one, an owner. Everything is done in one step.

    Of an owner, ``MAX_OWNED`` entries stay: of those before, the ones that expire the soonest go. Each verb raises
    :class:`StoreUnavailable`.
    """

    def put(self, entry: str, value: bytes, seconds: int, *, only_if_new: bool = False, owner: str = "") -> bool:
        """Keep ``value`` for ``seconds``; with ``only_if_new`` return whether nothing was there."""

    def get(self, entry: str) -> bytes | None:
        """Return the value, ``None`` when there is none or its time is over."""

    def replace(self, entry: str, value: bytes, *, owner: str = "") -> bool:
        """Change the value, and the owner where one is given, but not the expiry; return whether there was a value."""

    def delete(self, entry: str) -> None:
        """Forget the value, if there is one."""

    def owned_by(self, *owners: str) -> list[bytes]:
        """Return all values of these owners."""

    def delete_owned_by(self, *owners: str) -> None:
        """Forget all values of these owners."""

    def count(self, name: str, seconds: int) -> int:
        """Count once more; return how often since this counter began. A new one ends after ``seconds``."""

    def entries(self) -> Iterator[tuple[str, bytes, float]]:
        """Yield what is there, a few at a time: id, value and when it expires, in seconds since 1970.

        What is put meanwhile may be missing, and some may come twice.
        """

    def prune(self) -> int:
        """Remove what has expired, without keeping others waiting; return how many that were."""
