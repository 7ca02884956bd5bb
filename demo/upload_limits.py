"""Forms with files: who may send them, how many at once, and as long as the disk has room.

Files rest on the disk while they are passed on. How much room is left is looked at while a file comes, so that it is
known whichever worker takes the others. How many come at once is counted in each process: others, on other machines,
take threads and disks of their own.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from functools import wraps
from tempfile import SpooledTemporaryFile
from threading import BoundedSemaphore
from typing import Any, cast

from flask import abort, make_response, request
from flask_babel import lazy_gettext as _l
from werkzeug.exceptions import RequestEntityTooLarge

from web import accounts, error_pages
from web.failures import Failure
from web.hosting import concurrency
from web.hosting.concurrency import Visitor
from web.rate_limits import View
from web.security import MAX_FORM_BYTES

#: Servers with a larger limit are rare; browsers take long for this one.
MAX_UPLOAD_BYTES = 1024**3
MAX_PARTS = 64  # of a form with files
MAX_UPLOADS = 8  # of one visitor at once
IN_MEMORY_BYTES = 16 * 1024  # of a file
SPARE_BYTES = 256 * 1024**2  # of the disk, for everything that is not an upload
WAIT_SECONDS = 30

_TOO_MANY = Failure(
    429,
    _l("Too many files at once"),
    _l("Other files are on their way from your network. Wait until they have arrived, then try again."),
    "back",
    WAIT_SECONDS,
)
_NO_ROOM = Failure(
    503,
    _l("No room for files just now"),
    _l("Many people are uploading here at the moment. Try again in a minute."),
    "back",
    WAIT_SECONDS,
)


def _make_sure_of_room(size: int) -> None:
    if shutil.disk_usage(tempfile.gettempdir()).free < size + SPARE_BYTES:
        abort(make_response(error_pages.answer(_NO_ROOM)))


class _Form:
    """What comes of a form with files; all of it that is no file stays in memory, as much as of any other form."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.in_memory = 0

    def read(self, size: int) -> Any:
        if self.in_memory > MAX_FORM_BYTES:
            raise RequestEntityTooLarge
        content = self._stream.read(size)
        self.in_memory += len(content)
        return content


class _File(SpooledTemporaryFile[bytes]):
    def __init__(self, form: _Form) -> None:
        super().__init__(IN_MEMORY_BYTES, "rb+")
        self._form = form

    def write(self, content: Any) -> int:
        _make_sure_of_room(len(content))
        self._form.in_memory -= len(content)
        return super().write(content)


def takes_files(view: View) -> View:
    """Let ``view`` take large forms from visitors who are signed in, while the disk has room; strangers could fill it.

    It stands above everything that reads the form.
    """

    @wraps(view)
    def guarded(*args: Any, **kwargs: Any) -> Any:
        # A form in the other encoding is read whole into memory.
        if request.mimetype != "multipart/form-data":
            return view(*args, **kwargs)
        size = request.content_length or 0
        if not accounts.current():
            return abort(401) if size > MAX_FORM_BYTES else view(*args, **kwargs)
        places = cast(Visitor, concurrency.current()).places.setdefault("uploads", BoundedSemaphore(MAX_UPLOADS))
        if not places.acquire(blocking=False):
            return error_pages.answer(_TOO_MANY)
        with ExitStack() as at_the_end:
            at_the_end.callback(places.release)
            _make_sure_of_room(min(size, MAX_UPLOAD_BYTES))
            request.max_content_length = MAX_UPLOAD_BYTES
            request.max_form_parts = MAX_PARTS
            request.stream = form = _Form(request.stream)  # type: ignore[assignment]
            # Closed in every case: until then they take room. Werkzeug leaves those of a form that can't be read to its
            # end to the garbage collector.
            request._get_file_stream = lambda *_, **__: at_the_end.enter_context(_File(form))  # type: ignore[method-assign]
            return view(*args, **kwargs)

    return cast(View, guarded)
