"""The live channel: new notes of the home timeline, at the moment they are written.

The protocol is spoken by the library websockets; the connection stays the transport's own, guarded as every other.
https://misskey-hub.net/docs/for-developers/api/streaming/
"""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from http.client import SWITCHING_PROTOCOLS
from typing import Any, Self
from urllib.parse import urlencode

from websockets.client import ClientProtocol
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, PayloadTooBig
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from .client import Client, error_of
from .errors import AnswerTooLarge, InvalidAnswer, MisskeyError, ServerTimeout, ServerUnreachable
from .json_values import parse
from .transport import Answer

TICK_SECONDS = 5.0
SILENCE_SECONDS = 60.0  # pinged after half of it, a server that lives has long answered
SEND_SECONDS = 5.0  # what is sent is short: it waits only for a server that has stopped reading
MESSAGE_BYTES = 512 * 1024  # a note with its files, its renote and all their reactions has less than 100 KiB
TICK_BYTES = 2 * 1024 * 1024  # hundreds of notes
PIECE_BYTES = 4 * 1024  # read at once: a stream holds as much memory while it waits
FRAME_BYTES = 8 * 1024  # what a frame counts for, however small: drawing a note takes milliseconds

_HOME_TIMELINE = {"channel": "homeTimeline", "id": "1", "params": {}}

# websockets would log the address, which holds the token, wherever a program logs everything.
_SILENT = logging.Logger("misskey.streaming", logging.CRITICAL)  # noqa: LOG001 - out of reach of any configuration


@dataclass(eq=False)
class Stream:
    """The home timeline of the person whose token ``client`` holds, as it grows; needs ``read:account``.

    >>> with Stream(client, tick_seconds=0.2) as stream:
    ...     for note in stream:
    ...         if note:
    ...             break
    ...         said = client.call("notes/create", {"text": "Hello, all"})
    >>> note["text"]
    'Hello, all'

    Iterating yields each new note, the ``dict`` that Misskey sends, and ``None`` at least every ``tick_seconds``, so
    that the program can look around. It ends with an error only, also when nothing at all came for
    ``silence_seconds``. Leaving the block ends the stream at the server; there it would outlive its token.
    """

    client: Client
    _: KW_ONLY
    tick_seconds: float = TICK_SECONDS
    silence_seconds: float = SILENCE_SECONDS

    def __enter__(self) -> Self:
        """Open the stream; raises what :meth:`~misskey.client.Client.call` raises."""
        address = self.client.server.url("/streaming").replace("http", "ws", 1)
        query = urlencode({"i": self.client.token or ""})
        self._protocol = ClientProtocol(parse_uri(f"{address}?{query}"), max_size=MESSAGE_BYTES, logger=_SILENT)
        self._text: bytearray | None = None
        request = self._protocol.connect()
        with contextlib.ExitStack() as stack:
            opening = self.client.transport.upgrade(self.client.server, request.path, dict(request.headers.raw_items()))
            answer, response = stack.enter_context(opening)
            self._socket, self._budget = response.sock, response.budget
            if answer.status != SWITCHING_PROTOCOLS:
                raise self._refusal(answer)
            with contextlib.suppress(InvalidHandshake):  # a header with a control character is refused at once
                head = Response(answer.status, "", Headers(answer.headers.items())).serialize()
                self._feed(head + response.read_ahead)
            if self._protocol.state is State.CONNECTING:
                raise InvalidAnswer(self.client.server.host, "did not open a stream")
            stack.callback(self._say_goodbye)
            if self._protocol.state is State.OPEN:  # else what came along with the handshake ended it already
                self._protocol.send_text(json.dumps({"type": "connect", "body": _HOME_TIMELINE}).encode())
            self._send()
            self._heard = time.monotonic()
            self._open = stack.pop_all()
        return self

    def __exit__(self, *error: Any) -> None:
        self._open.__exit__(*error)

    def __iter__(self) -> Iterator[dict[str, Any] | None]:
        """Yield notes and ``None``.

        Raises a :class:`~misskey.errors.TransportError` when the stream ends, and
        :class:`~misskey.errors.InvalidAnswer` when it turns out to be none.
        """
        yield from self._notes()  # what came along with the handshake
        while True:
            self._budget.renew(self.tick_seconds, TICK_BYTES)
            for received in self._pieces():
                self._feed(received)
                self._budget.count(FRAME_BYTES * len(self._protocol.events))
                yield from self._notes()
            self._check_silence()
            yield None

    def _refusal(self, answer: Answer) -> MisskeyError:
        if answer.status in (401, 403):  # to a wrong token and to one without the permission alike; a call tells which
            self.client.call("i")
        return error_of(self.client.server, answer, parse(answer.body, self.client.token))

    def _pieces(self) -> Iterator[bytes]:
        """Yield what comes until the time of the budget is over."""
        while True:
            try:
                received = self._socket.recv(PIECE_BYTES)
            except TimeoutError:
                return
            except OSError:
                raise ServerUnreachable(self.client.server.host, "cut the stream off") from None
            yield received

    def _feed(self, received: bytes) -> None:
        if received:
            self._protocol.receive_data(received)
        else:
            self._protocol.receive_eof()

    def _notes(self) -> Iterator[dict[str, Any]]:
        """Yield the notes in what was fed, answer its pings, and raise when the stream is over."""
        events = self._protocol.events_received()
        self._send()
        for text in self._texts(events):
            match parse(text, self.client.token):  # Misskey tells more than was asked for, and forks more than that
                case {"type": "channel", "body": {"id": "1", "type": "note", "body": dict() as note}}:
                    yield note
        if self._protocol.state is not State.OPEN:
            raise self._end()

    def _texts(self, events: list[Any]) -> Iterator[bytes]:
        for frame in (event for event in events if isinstance(event, Frame)):
            self._heard = time.monotonic()
            if frame.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._text = bytearray() if frame.opcode is Opcode.TEXT else None
            elif frame.opcode is not Opcode.CONT:
                continue
            if self._text is not None:
                self._text += frame.data
                if frame.fin:
                    yield bytes(self._text)

    def _end(self) -> MisskeyError:
        error = self._protocol.parser_exc
        if isinstance(error, PayloadTooBig):
            return AnswerTooLarge(self.client.server.host, f"sent a message of more than {MESSAGE_BYTES} bytes")
        if error is None or isinstance(error, EOFError):
            return ServerUnreachable(self.client.server.host, "ended the stream")
        return InvalidAnswer(self.client.server.host, "sent something that is not a WebSocket's")

    def _check_silence(self) -> None:
        silence = time.monotonic() - self._heard
        if silence > self.silence_seconds:
            raise ServerTimeout(self.client.server.host, "has fallen silent")
        if silence > self.silence_seconds / 2:
            self._protocol.send_ping(b"")
            self._send()

    def _send(self, *, wait: bool = True) -> None:
        if to_send := b"".join(self._protocol.data_to_send()):
            self._socket.settimeout(SEND_SECONDS if wait else 0)
            try:
                self._socket.sendall(to_send)
            except TimeoutError:
                raise ServerTimeout(self.client.server.host, "no longer reads") from None
            except OSError:
                raise ServerUnreachable(self.client.server.host, "cut the stream off") from None

    def _say_goodbye(self) -> None:
        if self._protocol.state is State.OPEN:
            self._protocol.send_close()
        with contextlib.suppress(MisskeyError):
            self._send(wait=False)
