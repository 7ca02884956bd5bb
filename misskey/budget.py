"""What one request may take: so much time until its end, so much in one step, so many bytes."""

from __future__ import annotations

import time

from .errors import AnswerTooLarge

BODY_BYTES = 1024 * 1024  # of a response, by default: the largest ``meta`` seen is smaller, lists of notes have a tenth
HEADER_BYTES = 64 * 1024  # of a response's head, with all informational responses before it
READ_COST_BYTES = 64  # what a read counts for, however little came: each costs processor time


class Budget:
    """What one request to ``host`` may take; ``step_seconds`` is the longest silence.

    ``received`` is whether anything of the response came.
    """

    def __init__(self, host: str, seconds: float, step_seconds: float, body_bytes: int) -> None:
        self.host = host
        self.step_seconds = step_seconds
        self.received = False
        self._deadline = time.monotonic() + seconds
        self.body_bytes = body_bytes
        self._bytes_left = HEADER_BYTES

    @property
    def is_late(self) -> bool:
        return time.monotonic() >= self._deadline

    def seconds(self, most: float) -> float:
        """Return how long the next step may take, at most ``most``; raises :class:`TimeoutError` past the deadline."""
        if (left := self._deadline - time.monotonic()) <= 0:
            raise TimeoutError("timed out")
        return min(left, most)

    def expect_body(self) -> None:
        """Let a body come: as large as allowed, with a quarter of that for what is not content."""
        self._bytes_left = HEADER_BYTES + self.body_bytes + self.body_bytes // 4

    def count(self, size: int) -> None:
        """Count what came; raises :class:`~misskey.errors.AnswerTooLarge` when it is more than may come."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise AnswerTooLarge(self.host, "sends without end")

    def count_read(self, size: int) -> None:
        """Count one read from the connection."""
        self.received = self.received or size > 0
        self.count(max(size, READ_COST_BYTES))
