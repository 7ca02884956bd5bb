"""Calling a server's endpoints."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, BinaryIO

from .endpoints import UPLOAD_ENDPOINT
from .errors import (
    APIError,
    AuthenticationFailed,
    InvalidAnswer,
    MisskeyError,
    PermissionDenied,
    RateLimited,
    Redirected,
)
from .exchange import Exchange, text_of_answer, text_of_body
from .json_values import NotJSON, parse
from .multipart import MultipartBody
from .server import Server
from .text import clean_text, printable_ascii
from .transport import Answer, Transport

BYTES_FOR_A_VALUE = 10  # of the largest answer: many small values take much more memory and time than their text
MAX_WAIT_SECONDS = 10**6
_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
_SECONDS = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9})?")
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


@dataclass
class Client:
    """Calls endpoints at one server, with ``token`` where there is one.

    ``on_exchange`` is called after every call with an :class:`~misskey.Exchange`, also after one that failed.

    >>> Client(server, transport).call("users/show", {"username": "bob"})["username"]
    'bob'

    https://misskey-hub.net/docs/for-developers/api/
    """

    server: Server
    transport: Transport
    token: str | None = field(default=None, repr=False)
    on_exchange: Callable[[Exchange], None] | None = field(default=None, repr=False)

    def call(
        self,
        endpoint: str,
        params: Mapping[str, Any] | None = None,
        *,
        idempotent: bool = False,
        max_answer_bytes: int | None = None,
    ) -> Any:
        """POST ``params`` to ``endpoint`` and return the JSON of its answer, ``None`` where it has nothing to say.

        ``idempotent``: the request only reads, so it may be sent once more on a fresh connection when a kept one was
        dropped before a response began. ``max_answer_bytes`` is another limit for the response's body, and a tenth of
        it for the values in its JSON, of which a list or an object counts as five; more are not read.

        >>> client.call("notes/create", {"text": "Hello", "visibility": "followers"})["createdNote"]["text"]
        'Hello'

        Raises :class:`~misskey.errors.APIError` or one of its kinds when the server says no,
        :class:`~misskey.errors.InvalidAnswer` when the answer is not Misskey's, and a
        :class:`~misskey.errors.TransportError` when none came.
        """
        body = dict(params or {}) if self.token is None else {"i": self.token, **(params or {})}
        content = json.dumps(body).encode()
        options = {"idempotent": idempotent, "max_answer_bytes": max_answer_bytes}
        return self._send("POST", f"/api/{endpoint}", content, _JSON, content, **options)

    def upload(
        self,
        file: BinaryIO,
        name: str,
        *,
        mime_type: str = "application/octet-stream",
        comment: str = "",
        sensitive: bool = False,
    ) -> Any:
        """Put ``file`` into the drive under ``name``; return what the server tells of it. Raises as :meth:`call` does.

        The file is read while it is sent, from its beginning, and stays open. ``comment`` describes it to people who
        can't see it. The token needs ``write:drive``.

        >>> from io import BytesIO
        >>> file = client.upload(BytesIO(b"Good morning"), "morning.txt", mime_type="text/plain")
        >>> client.call("notes/create", {"fileIds": [file["id"]]})["createdNote"]["files"][0]["name"]
        'morning.txt'

        https://misskey-hub.net/docs/for-developers/api/endpoints/
        """
        name = name.encode(errors="replace").decode()
        mime_type = mime_type if _MIME_TYPE.fullmatch(mime_type) else "application/octet-stream"
        fields = {} if self.token is None else {"i": self.token}
        fields |= {"name": name, "isSensitive": "true" if sensitive else "false"}
        fields |= {"comment": comment.encode(errors="replace").decode()} if comment else {}
        body = MultipartBody(fields, file, name, mime_type)
        shown = fields | {"file": f"({name}, {mime_type}, {body.file_bytes} bytes)"}
        headers = _JSON | {"Content-Type": body.content_type}
        return self._send("POST", f"/api/{UPLOAD_ENDPOINT}", body, headers, json.dumps(shown).encode())

    def get(self, path: str, *, max_answer_bytes: int | None = None) -> Any:
        """GET ``path``, which needs no token, and return its JSON; errors and ``max_answer_bytes`` as in :meth:`call`.

        >>> client.get("/.well-known/nodeinfo")["links"][0]["href"] == server.url("/nodeinfo/2.1")
        True
        """
        headers = {"Accept": "application/json"}
        return self._send("GET", path, None, headers, idempotent=True, max_answer_bytes=max_answer_bytes)

    def _send(
        self,
        method: str,
        path: str,
        content: bytes | MultipartBody | None,
        headers: Mapping[str, str],
        sent: bytes | None = None,
        **options: Any,
    ) -> Any:
        most_values = (options.get("max_answer_bytes") or self.transport.max_answer_bytes) // BYTES_FOR_A_VALUE
        answer = None
        try:
            answer = self.transport.request(method, self.server, path, body=content, headers=headers, **options)
        finally:
            if self.on_exchange:
                self.on_exchange(self._exchange(method, path, sent, answer, most_values))
        told = parse(answer.body, self.token, most_values)
        if answer.status == 204:
            return None
        if not 200 <= answer.status < 300:
            raise error_of(self.server, answer, told)
        if isinstance(told, NotJSON):
            raise InvalidAnswer(self.server.host, "answered with something that is not JSON", status=answer.status)
        return told

    def _exchange(
        self, method: str, path: str, sent: bytes | None, answer: Answer | None, most_values: int
    ) -> Exchange:
        url, token = self.server.url(path), self.token
        body = (lambda: text_of_body(sent, token)) if sent else None
        if answer is None:
            return Exchange(method, url, body)

        def text() -> str:
            return text_of_answer(answer.body, token, most_values)

        return Exchange(method, url, body, answer.status, answer.milliseconds, text, len(answer.body))


def error_of(server: Server, answer: Answer, content: object) -> MisskeyError:
    """Return the error that an answer means, whatever its shape: an endpoint's, the layer's below it, HTML, nothing."""
    if 300 <= answer.status < 400:
        return Redirected(server.host, printable_ascii(answer.headers.get("Location")), status=answer.status)
    if answer.status < 400 or not (isinstance(content, dict) or content == "" or answer.status == 429):
        return InvalidAnswer(server.host, "did not answer as Misskey does", status=answer.status)
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    if isinstance(fields.get("error"), dict):  # else the layer below: {"statusCode", "code"?, "error", "message"}
        fields = fields["error"]
    said = (fields.get(key) for key in ("code", "message"))
    code, words = (clean_text(value) if isinstance(value, str) else "" for value in said)
    return _kind_of(answer.status, code)(
        server.host,
        answer.status,
        code,
        words,
        info=fields.get("info"),
        retry_after=_seconds_of(answer.headers.get("Retry-After", "")[:40]),
    )


def _seconds_of(wait: str) -> int | None:
    """Return how long a ``Retry-After`` says to wait, at least a second; it can be a date, or have a fraction."""
    try:
        seconds = float(wait) if _SECONDS.fullmatch(wait) else parsedate_to_datetime(wait).timestamp() - time.time()
    except (ValueError, OverflowError):
        return None
    return max(math.ceil(seconds), 1) if seconds < MAX_WAIT_SECONDS else None


def _kind_of(status: int, code: str) -> type[APIError]:
    if status == 429:
        return RateLimited
    if status == 401 or code == "AUTHENTICATION_FAILED":  # 403 on old servers and some forks
        return AuthenticationFailed
    return PermissionDenied if code == "PERMISSION_DENIED" else APIError
