"""Calling a server's endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO

from .endpoints import UPLOAD
from .errors import (
    APIError,
    AuthenticationFailed,
    InvalidAnswer,
    MisskeyError,
    PermissionDenied,
    RateLimited,
    Redirected,
)
from .exchange import Exchange, answer_text, body_text
from .json_values import NotJSON, parse
from .multipart import MultipartBody
from .server import Server
from .text import clean, named
from .transport import Answer, Transport

BYTES_FOR_A_VALUE = 10  # of the largest answer: many small values take much more memory and time than their text
_JSON = {"Accept": "application/json", "Content-Type": "application/json"}
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)


@dataclass
class Client:
    """Calls endpoints at one server, with ``token`` where there is one.

    ``on_exchange`` is called after every call with an :class:`Exchange`, also after one that failed.
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
        body_bytes: int | None = None,
    ) -> Any:
        """POST ``params`` to ``endpoint`` and return the JSON of its answer, ``None`` where it has nothing to say.

        ``idempotent``: the request only reads, so it may be sent once more on a fresh connection when a kept one was
        dropped before a response began. ``body_bytes`` is another limit for the response's body.

        Raises :class:`~misskey.errors.APIError` or one of its kinds when the server says no,
        :class:`~misskey.errors.InvalidAnswer` when the answer is not Misskey's, and a
        :class:`~misskey.errors.TransportError` when none came.
        """
        body = dict(params or {}) if self.token is None else {"i": self.token, **(params or {})}
        content = json.dumps(body).encode()
        return self._send(
            "POST", f"/api/{endpoint}", content, _JSON, content, idempotent=idempotent, body_bytes=body_bytes
        )

    def upload(
        self,
        file: BinaryIO,
        name: str,
        *,
        kind: str = "application/octet-stream",
        comment: str = "",
        sensitive: bool = False,
    ) -> Any:
        """Put ``file`` into the drive under ``name``; return what the server tells of it. Raises as :meth:`call` does.

        The file is read while it is sent, from its beginning, and stays open. ``kind`` is its MIME type, ``comment``
        describes it to people who can't see it. https://misskey-hub.net/docs/for-developers/api/
        """
        name = name.encode("utf-8", "replace").decode()
        kind = kind if _MIME_TYPE.fullmatch(kind) else "application/octet-stream"
        fields = {} if self.token is None else {"i": self.token}
        fields |= {"name": name, "isSensitive": "true" if sensitive else "false"}
        fields |= {"comment": comment.encode("utf-8", "replace").decode()} if comment else {}
        body = MultipartBody(fields, file, name, kind)
        shown = fields | {"file": f"({name}, {kind}, {body.file_bytes} bytes)"}
        headers = _JSON | {"Content-Type": body.content_type}
        return self._send("POST", f"/api/{UPLOAD}", body, headers, json.dumps(shown).encode())

    def get(self, path: str, *, body_bytes: int | None = None) -> Any:
        """GET ``path``, which needs no token, and return its JSON; ``body_bytes`` and errors are as in :meth:`call`."""
        return self._send("GET", path, None, {"Accept": "application/json"}, idempotent=True, body_bytes=body_bytes)

    def _send(
        self,
        method: str,
        path: str,
        content: bytes | MultipartBody | None,
        headers: Mapping[str, str],
        sent: bytes | None = None,
        **options: Any,
    ) -> Any:
        most_values = (options.get("body_bytes") or self.transport.body_bytes) // BYTES_FOR_A_VALUE
        answer = None
        try:
            answer = self.transport.request(method, self.server, path, body=content, headers=headers, **options)
        finally:
            if self.on_exchange:
                self.on_exchange(self._exchange(method, path, sent, answer, most_values))
        return self._content(answer, parse(answer.body, self.token, most_values))

    def _exchange(
        self, method: str, path: str, sent: bytes | None, answer: Answer | None, most_values: int
    ) -> Exchange:
        url, body = self.server.url(path), partial(body_text, sent, self.token) if sent else None
        if answer is None:
            return Exchange(method, url, body)
        text = partial(answer_text, answer.body, self.token, most_values)
        return Exchange(method, url, body, answer.status, answer.milliseconds, text, len(answer.body))

    def _content(self, answer: Answer, content: Any) -> Any:
        if answer.status == 204:
            return None
        if not 200 <= answer.status < 300:
            raise error_of(self.server, answer, content)
        if isinstance(content, NotJSON):
            raise InvalidAnswer(self.server.host, "answered with something that is not JSON", status=answer.status)
        return content


def error_of(server: Server, answer: Answer, content: Any) -> MisskeyError:
    """Return the error that an answer means, whatever its shape: an endpoint's, the layer's below it, HTML, nothing."""
    if 300 <= answer.status < 400:
        return Redirected(server.host, named(answer.headers.get("Location")), status=answer.status)
    if answer.status < 400 or not (isinstance(content, dict) or content == "" or answer.status == 429):
        return InvalidAnswer(server.host, "did not answer as Misskey does", status=answer.status)
    fields: dict[str, Any] = content if isinstance(content, dict) else {}
    if isinstance(fields.get("error"), dict):  # else the layer below: {"statusCode", "code"?, "error", "message"}
        fields = fields["error"]
    code, words = (clean(value) if isinstance(value := fields.get(key), str) else "" for key in ("code", "message"))
    wait = answer.headers.get("Retry-After", "")
    return _kind_of(answer.status, code)(
        server.host,
        answer.status,
        code,
        words,
        info=fields.get("info"),
        retry_after=int(wait) if re.fullmatch("[0-9]{1,6}", wait) else None,
    )


def _kind_of(status: int, code: str) -> type[APIError]:
    if status == 429:
        return RateLimited
    if status == 401 or code == "AUTHENTICATION_FAILED":  # 403 on old servers and some forks
        return AuthenticationFailed
    return PermissionDenied if code == "PERMISSION_DENIED" else APIError
