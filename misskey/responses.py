"""How a response is read: within a budget, and by strict rules about its end.

By them no byte of it can be taken for another request's response:
https://www.rfc-editor.org/rfc/rfc9112#name-message-body-length
"""

from __future__ import annotations

import contextlib
import io
import re
import socket
import time
from collections.abc import Callable
from http.client import (
    NO_CONTENT,
    NOT_MODIFIED,
    SWITCHING_PROTOCOLS,
    HTTPException,
    HTTPMessage,
    HTTPResponse,
    parse_headers,
)
from typing import Any

from urllib3 import HTTPHeaderDict
from urllib3 import HTTPResponse as UnpackedResponse

from .errors import AnswerTooLarge, InvalidAnswer

MAX_ANSWER_BYTES = 1024 * 1024  # by default: the largest ``meta`` seen is smaller, lists of notes have a tenth
PACKINGS = ("", "identity", "gzip", "x-gzip", "deflate")
HEADER_BYTES = 64 * 1024  # of a response's head, with all informational responses before it
READ_COST_BYTES = 64  # what a read counts for, however little came: each costs processor time
CHUNK_BYTES = 16 * 1024
CHUNK_COST_BYTES = 256  # what a chunk counts for beside its content: each costs processor time
HTTP_1_1 = 11  # as http.client writes it; before it there were no chunks
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?\r?\n")
_LENGTH = re.compile("[0-9]{1,18}")

ContextFactory = Callable[[], contextlib.AbstractContextManager[object]]


class Budget:
    """What one request to ``host`` may take: so much time until its end, so much in one step, so many bytes.

    ``step_seconds`` is the longest silence; ``while_waiting`` returns a context manager that is entered for each wait.
    ``received`` is whether anything of the response came.
    """

    def __init__(
        self, host: str, seconds: float, step_seconds: float, body_bytes: int, while_waiting: ContextFactory
    ) -> None:
        self.host = host
        self.step_seconds = step_seconds
        self.body_bytes = body_bytes
        self.while_waiting = while_waiting
        self.received = False
        self.renew(seconds, HEADER_BYTES)

    def renew(self, seconds: float, size: int) -> None:
        """Begin anew: let so much time pass, and so many bytes come, from now on."""
        self._deadline = time.monotonic() + seconds
        self.expect(size)

    def seconds(self, most: float) -> float:
        """Return how long the next step may take, at most ``most``; raises :class:`TimeoutError` past the deadline."""
        if (left := self._deadline - time.monotonic()) <= 0:
            raise TimeoutError("timed out")
        return min(left, most)

    def expect(self, size: int) -> None:
        """Let so many bytes come from now on."""
        self._bytes_left = size

    def count(self, size: int) -> None:
        """Count what came; raises :class:`~misskey.errors.AnswerTooLarge` when it is more than may come."""
        self._bytes_left -= size
        if self._bytes_left < 0:
            raise AnswerTooLarge(self.host, "sends without end")


class BudgetedSocket(socket.socket):
    """A socket that receives for as long and as much as ``budget`` allows, and lets others go on while it waits.

    Below TLS, which computes outside of its waits: a server can send without end what holds no content.
    """

    budget: Budget

    def recv(self, size: int, *flags: int) -> bytes:
        received = bytearray(size)
        return bytes(received[: self.recv_into(received, size, *flags)])

    def recv_into(self, *args: Any) -> int:
        self.settimeout(self.budget.seconds(self.budget.step_seconds))
        with self.budget.while_waiting():
            count = super().recv_into(*args)
        self.budget.count(max(count, READ_COST_BYTES))
        return count

    def sendall(self, data: Any, *flags: int) -> None:
        if data:
            with self.budget.while_waiting():
                super().sendall(data, *flags)


class _Reader(io.RawIOBase):
    """What comes over a connection for one response, until that has ended."""

    def __init__(self, raw: io.RawIOBase, budget: Budget) -> None:
        self._raw = raw
        self._budget = budget
        self.ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        count = 0 if self.ended else self._raw.readinto(buffer) or 0
        self._budget.received |= count > 0
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Lines(io.BufferedReader):
    """Lines that end the same for every program."""

    def readline(self, size: int | None = -1) -> bytes:
        line = super().readline(size)
        if b"\r" in line.removesuffix(b"\r\n"):  # ends a line for some
            raise HTTPException
        return line


class Response(HTTPResponse):
    """A response that is read past any number of informational ones.

    ``fields`` are its headers. ``is_whole`` when all of it came, and nothing else, so that its connection can be used
    again; ``read_ahead`` is what was read beyond it.
    """

    fields: HTTPHeaderDict
    is_whole = _is_doubtful = _saw_last_chunk = False
    read_ahead = b""

    def __init__(self, sock: socket.socket, method: str, budget: Budget) -> None:
        super().__init__(sock, method=method)
        self.sock, self.method, self.budget = sock, method, budget
        budget.expect(HEADER_BYTES)
        self._reader = _Reader(self.fp.detach(), budget)
        self.fp = _Lines(self._reader)

    # http.client's methods with an underscore are in no stub of types.
    def _read_status(self) -> tuple[str, int, str]:
        """Return the first status line that is final: http.client itself passes over 100 only."""
        while True:
            version, status, reason = super()._read_status()  # type: ignore[misc]
            if not 100 <= status < 200 or status == SWITCHING_PROTOCOLS:
                return version, status, reason
            _refuse_defects(parse_headers(self.fp))

    def begin(self) -> None:
        """Read the head.

        Raises :class:`http.client.HTTPException` where two programs could differ about the end of the response.
        """
        super().begin()
        _refuse_defects(self.msg)
        lengths = {length.strip() for length in self.msg.get_all("Content-Length", [])}
        codings = [coding.strip().lower() for coding in self.msg.get_all("Transfer-Encoding", [])]
        is_clear = codings in (["chunked"] if self.chunked else [], ["identity"])
        if not all(map(_LENGTH.fullmatch, lengths)) or len(lengths) > 1 or not is_clear:
            raise HTTPException
        if self.status in (NO_CONTENT, NOT_MODIFIED):  # has no body, whatever it says
            self.chunked, self.length = False, 0
            self._is_doubtful = bool(codings or lengths - {"0"})
        else:
            self._is_doubtful = bool(self.chunked and (lengths or self.version < HTTP_1_1))
        if "close" in ",".join(self.msg.get_all("Connection", [])).lower():  # http.client looks at the first line only
            self.will_close = True
        body_bytes = self.budget.body_bytes
        self.budget.expect(HEADER_BYTES + body_bytes + body_bytes // 4)  # a quarter for what is not content
        self.fields = HTTPHeaderDict((name, "".join(value.splitlines()).strip()) for name, value in self.msg.items())

    def _get_chunk_left(self) -> int | None:
        if self.chunk_left == 0:
            if self._safe_read(2) != b"\r\n":  # type: ignore[attr-defined]
                raise HTTPException
            self.chunk_left = None
        return super()._get_chunk_left()  # type: ignore[misc, no-any-return]

    def _read_next_chunk_size(self) -> int:
        self.budget.count(CHUNK_COST_BYTES)
        size = _CHUNK_SIZE.fullmatch(self.fp.readline(HEADER_BYTES))
        if not size:
            raise HTTPException
        self._saw_last_chunk = int(size[1], 16) == 0
        return int(size[1], 16)

    def _close_conn(self) -> None:
        """Note whether this was the whole response, and nothing came after it."""
        self._reader.ended = True
        is_at_end = self._saw_last_chunk if self.chunked is True else self.length == 0
        self.read_ahead = self.fp.read()
        more = self.read_ahead or getattr(self.sock, "pending", int)()  # TLS has buffers of its own
        self.is_whole = is_at_end and not more and not self._is_doubtful
        super()._close_conn()  # type: ignore[misc]


def _refuse_defects(head: HTTPMessage) -> None:
    if head.defects:  # where it ends is doubtful
        raise HTTPException


def read_body(response: Response, budget: Budget) -> bytes:
    """Return the unpacked body of ``response``.

    Raises :class:`~misskey.errors.AnswerTooLarge` and, when it is packed otherwise than was asked for,
    :class:`~misskey.errors.InvalidAnswer`.
    """
    # Packed twice, 4 MiB can be work for minutes; urllib3 would unpack other kinds too, one of them very slowly.
    if response.fields.get("Content-Encoding", "").lower() not in PACKINGS:
        raise InvalidAnswer(budget.host, "packed its answer in a way that was not asked for", status=response.status)
    unpacked = UnpackedResponse(
        response, response.fields, response.status, preload_content=False, request_method=response.method
    )
    content = bytearray()
    while chunk := unpacked.read(CHUNK_BYTES):
        content += chunk
        if len(content) > budget.body_bytes:
            raise AnswerTooLarge(budget.host, f"sent more than {budget.body_bytes} bytes")
    return bytes(content)
