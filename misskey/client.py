"""Calling a server's endpoints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .errors import (
    APIError,
    AuthenticationFailed,
    InvalidAnswer,
    MisskeyError,
    PermissionDenied,
    RateLimited,
    Redirected,
)
from .multipart import MultipartBody
from .server import Server
from .transport import Answer, Transport

MASK = "•••"
SHOWN_CHARACTERS = 20_000  # of an answer in an Exchange: more than anybody reads, less than slows a page down
BYTES_FOR_A_VALUE = 10  # of the largest answer: many small values take much more memory and time than their text
MOST_VALUES = 100_000
MOST_DIGITS = 300  # of a whole number: reading one takes the longer the more it has, by the square
_WORDS_CHARACTERS = 300  # of a server's own words in an error
#: What leaves no trace on a page: white space, Unicode's default ignorable code points, signs that are drawn empty.
_BLANK = re.compile(
    "[\\s\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffc\U00013441\U00013442\U0001bca0-\U0001bca3\U0001d159"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]*"
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]+")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_MIME_TYPE = re.compile(r"[\w.+-]+/[\w.+-]+", re.ASCII)
_INDENTED = json.JSONEncoder(ensure_ascii=False, indent=2)


def clean(text: str, length: int = _WORDS_CHARACTERS) -> str:
    """Return ``text`` as one line of at most ``length`` characters without control and direction characters.

    ``""`` when nothing of it can be seen.
    """
    line = _CONTROL.sub(" ", text[: length * 2]).strip()[:length]
    return "" if is_blank(line) else line


def named(value: Any, length: int = 2048) -> str:
    """Return what a server names, an address or a version: printable ASCII in bounds, ``""`` for anything else."""
    return value if isinstance(value, str) and re.fullmatch(f"[!-~]{{1,{length}}}", value) else ""


def is_blank(text: str) -> bool:
    """Return whether nothing of ``text`` can be seen."""
    return _BLANK.fullmatch(text) is not None


def masked(value: Any, token: str | None) -> Any:
    """Return JSON without ``token``, wherever in it, and without half surrogate pairs, which no page can hold."""
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode()
        return text.replace(token, MASK) if token else text
    if isinstance(value, dict):
        return {masked(key, token): masked(inner, token) for key, inner in value.items()}
    return [masked(inner, token) for inner in value] if isinstance(value, list) else value


class NotJSON(str):
    """The text of an answer that is not JSON; a string in JSON is a ``str``."""


@dataclass(frozen=True, slots=True)
class Exchange:
    """One call as it went over the wire, for showing, with tokens masked.

    ``body`` and ``answer`` are indented JSON, or text where the server sent none, at most ``SHOWN_CHARACTERS`` long;
    ``size`` is the whole answer's in bytes, unpacked. ``status``, ``milliseconds``, ``answer`` and ``size`` are
    ``None`` when no answer came.
    """

    method: str
    url: str
    body: str | None
    status: int | None
    milliseconds: int | None
    answer: str | None
    size: int | None = None


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
        dropped before an answer began. ``body_bytes`` is another limit for this answer's body.

        Raises :class:`~misskey.errors.APIError` or one of its kinds when the server says no,
        :class:`~misskey.errors.InvalidAnswer` when the answer is not Misskey's, and a
        :class:`~misskey.errors.TransportError` when none came.
        """
        body = dict(params or {}) if self.token is None else {"i": self.token, **(params or {})}
        content = json.dumps(body).encode()
        return self._send(
            "POST",
            f"/api/{endpoint}",
            body,
            content,
            "application/json",
            idempotent=idempotent,
            body_bytes=body_bytes,
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
        return self._send("POST", "/api/drive/files/create", shown, body, body.content_type)

    def get(self, path: str, *, body_bytes: int | None = None) -> Any:
        """GET ``path``, which needs no token, and return its JSON; ``body_bytes`` and errors are as in :meth:`call`."""
        return self._send("GET", path, None, None, idempotent=True, body_bytes=body_bytes)

    def _send(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None,
        content: bytes | MultipartBody | None,
        content_type: str | None = None,
        **options: Any,
    ) -> Any:
        headers = {"Accept": "application/json"} | ({"Content-Type": content_type} if content_type else {})
        answer = parsed = None
        try:
            answer = self.transport.request(method, self.server, path, body=content, headers=headers, **options)
            largest = options.get("body_bytes") or self.transport.body_bytes
            parsed = parse(answer.body, self.token, largest // BYTES_FOR_A_VALUE)
        finally:
            if self.on_exchange:
                self.on_exchange(self._exchange(method, path, body, answer, parsed))
        return self._content(answer, parsed)

    def _exchange(
        self, method: str, path: str, body: Mapping[str, Any] | None, answer: Answer | None, parsed: Any
    ) -> Exchange:
        url = self.server.url(path)
        sent = None if body is None else _shown({**body, **({"i": MASK} if "i" in body else {})}, self.token)
        if answer is None:
            return Exchange(method, url, sent, None, None, None)
        fresh = None
        if isinstance(parsed, dict) and "token" in parsed:
            fresh, parsed = parsed["token"], parsed | {"token": MASK}
        shown = _shown(parsed, fresh if isinstance(fresh, str) else None)
        return Exchange(method, url, sent, answer.status, answer.milliseconds, shown, len(answer.body))

    def _content(self, answer: Answer, content: Any) -> Any:
        if answer.status == 204:
            return None
        if not 200 <= answer.status < 300:
            raise error_of(self.server, answer, content)
        if isinstance(content, NotJSON):
            raise InvalidAnswer(self.server.host, "answered with something that is not JSON", status=answer.status)
        return content


def parse(body: bytes, token: str | None, most_values: int = MOST_VALUES) -> Any:
    """Return the JSON that a server sent, else :class:`NotJSON`; without the token, should the server repeat it.

    Of more than ``most_values`` it is none: a list or an object counts as five.
    """
    text = body.decode("utf-8-sig", "replace")  # some proxies add a byte order mark
    try:
        if text.count(",") + 5 * (text.count("[") + text.count("{")) > most_values:
            return NotJSON(masked(text, token))
        content = _DECODER.decode(text)
        # Without an escape or the token itself in the text, there is nothing to take out.
        return masked(content, token) if "\\" in text or (token and token in text) else content
    except (ValueError, RecursionError):
        return NotJSON(masked(text, token))


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


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise ValueError("a number without end")
    return int(digits)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_whole)


def _shown(content: Any, token: str | None) -> str:
    """Return JSON as text with all that can't be seen escaped.

    It is made no further than it is shown: the indentation of deep JSON is many times its size.
    """
    text, is_json = "", not isinstance(content, NotJSON)
    try:
        content = masked(content, token)
        for piece in _INDENTED.iterencode(content) if is_json else (content,):
            text += _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", piece[: SHOWN_CHARACTERS + 1])
            if len(text) > SHOWN_CHARACTERS:
                return text[:SHOWN_CHARACTERS] + " …"
    except RecursionError:
        return type(content).__name__
    return text
