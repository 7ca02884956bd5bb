"""A form with one file in it, read from the file while it is being sent: its size needs no memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import BinaryIO

from urllib3.filepost import choose_boundary, encode_multipart_formdata

PIECE_BYTES = 64 * 1024


class MultipartBody:
    """What a request sends: ``fields``, then ``file``, which can seek and is sent from its beginning.

    ``name`` is the file's, ``kind`` its MIME type. As browsers do it:
    https://html.spec.whatwg.org/multipage/form-control-infrastructure.html#multipart-form-data
    """

    def __init__(self, fields: Mapping[str, str], file: BinaryIO, name: str, kind: str) -> None:
        boundary = choose_boundary()
        empty, self.content_type = encode_multipart_formdata({**fields, "file": (name, b"", kind)}, boundary)
        self._end = f"\r\n--{boundary}--\r\n".encode()
        self._head = empty.removesuffix(self._end)
        self._file = file
        self.file_bytes = file.seek(0, 2)

    def __len__(self) -> int:
        return len(self._head) + self.file_bytes + len(self._end)

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        yield self._head
        while piece := self._file.read(PIECE_BYTES):
            yield piece
        yield self._end
