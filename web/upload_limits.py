"""Large forms: who may send them, how many at once, and as long as the disk has room.

Files rest on the disk while they are passed on. How much room is left is looked at while a file comes, so that it is
known whichever worker takes the others.
"""

from __future__ import annotations

import shutil
import tempfile
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from flask import Flask, Request, abort, g, request
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.exceptions import ServiceUnavailable
from werkzeug.http import parse_cookie
from werkzeug.utils import cached_property

from . import accounts, concurrency, error_pages
from .problems import Problem

#: Larger than any form here without files.
LARGEST_FORM_BYTES = 256 * 1024
#: Servers with a larger limit are rare; browsers take long for this one.
LARGEST_UPLOAD_BYTES = 1024**3
MOST_PARTS = 64  # of a form with files; each text in it may take LARGEST_FORM_BYTES of memory
MOST_UPLOADS = 8  # of one visitor at once
IN_MEMORY_BYTES = 500_000  # of a file
SPARE_BYTES = 256 * 1024**2  # of the disk, for everything that is not an upload
LONGEST_COOKIES = 16 * 1024  # of all cookies together; most servers refuse half as much
WAIT_SECONDS = 30
_WITH_FILES = ("/files", "/notes")

_TOO_MANY = Problem(
    429,
    _l("Too many files at once"),
    _l("Other files are on their way from your network. Wait until they have arrived, then try again."),
    "back",
    WAIT_SECONDS,
)
_NO_ROOM = Problem(
    503,
    _l("No room for files just now"),
    _l("Many people are uploading here at the moment. Try again in a minute."),
    "back",
    WAIT_SECONDS,
)


class NoRoom(ServiceUnavailable):
    """The disk has no room for a file, or for the rest of it."""


def _make_sure_of_room(size: int) -> None:
    if shutil.disk_usage(tempfile.gettempdir()).free < size + SPARE_BYTES:
        raise NoRoom


class _File(SpooledTemporaryFile[bytes]):
    def write(self, content: Any) -> int:
        _make_sure_of_room(len(content))
        return super().write(content)


class BoundedRequest(Request):
    """A request that closes its files in every case, and reads no more cookies than browsers send.

    Until files are closed they take room on the disk; Werkzeug leaves those of a form that can't be read to its end to
    the garbage collector.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._opened: list[IO[bytes]] = []

    def _get_file_stream(self, *_: object, **__: object) -> IO[bytes]:
        self._opened.append(_File(IN_MEMORY_BYTES, "rb+"))
        return self._opened[-1]

    @cached_property
    def cookies(self) -> ImmutableMultiDict[str, str]:
        return ImmutableMultiDict(parse_cookie(self.environ.get("HTTP_COOKIE", "")[:LONGEST_COOKIES]))

    def close(self) -> None:
        for stream in self._opened:
            stream.close()
        super().close()


def init_app(app: Flask) -> None:
    """Limit what ``app`` takes."""
    app.request_class = BoundedRequest
    app.config.from_mapping(MAX_CONTENT_LENGTH=LARGEST_FORM_BYTES, MAX_FORM_MEMORY_SIZE=LARGEST_FORM_BYTES)
    app.before_request(_allow_files)
    app.teardown_request(_finish)
    app.register_error_handler(NoRoom, lambda _: error_pages.answer(_NO_ROOM))


def _allow_files() -> ResponseReturnValue | None:
    """Take large forms from visitors who are signed in, while the disk has room; strangers could fill it."""
    # A form in the other encoding is read whole into memory.
    if request.path not in _WITH_FILES or request.mimetype != "multipart/form-data":
        return None
    size = request.content_length or 0
    if not accounts.current():
        return abort(401) if size > LARGEST_FORM_BYTES else None
    visitor = concurrency.current()
    if visitor and visitor.uploads >= MOST_UPLOADS:
        return error_pages.answer(_TOO_MANY)
    _make_sure_of_room(min(size, LARGEST_UPLOAD_BYTES))
    if visitor:
        visitor.uploads += 1
        g.uploader = visitor
    request.max_content_length = LARGEST_UPLOAD_BYTES
    request.max_form_parts = MOST_PARTS
    return None


def _finish(_: BaseException | None) -> None:
    if uploader := g.pop("uploader", None):
        uploader.uploads -= 1
