"""A large file passes through the app, served by gunicorn, without filling its memory."""

from __future__ import annotations

import http.client
import re
import ssl
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from demo.upload_limits import MAX_UPLOADS
from tests.hostile import MEBIBYTE, serve
from tests.web.test_gunicorn import gunicorn, sign_in, takes_files

SMALL, LARGE = 1 * MEBIBYTE, 200 * MEBIBYTE
MAX_MORE = 16 * MEBIBYTE


def upload(url: str, cookie: str, token: str, size: int, tls: ssl.SSLContext | None = None) -> int:
    """Send a file of zeros as a browser would, and return the status of the answer."""
    head = f'--x\r\nContent-Disposition: form-data; name="csrf_token"\r\n\r\n{token}\r\n'
    head += '--x\r\nContent-Disposition: form-data; name="file"; filename="zeros"\r\n\r\n'
    end = "\r\n--x--\r\n"
    headers = {"Cookie": cookie, "Content-Type": "multipart/form-data; boundary=x"}
    headers["Content-Length"] = str(len(head) + size + len(end))
    headers["Origin"] = url
    place = urlsplit(url).netloc
    secure = http.client.HTTPSConnection(place, timeout=120, context=tls) if tls else None
    connection = secure or http.client.HTTPConnection(place, timeout=120)
    pieces = [head.encode(), *([bytes(MEBIBYTE)] * (size // MEBIBYTE)), end.encode()]
    connection.request("POST", "/files", pieces, headers)
    status = connection.getresponse().status
    connection.close()
    return status


def most_memory(pid: int) -> int:
    """How many bytes of memory a process has had at most."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_a_large_file_needs_little_memory(tmp_path: Path) -> None:
    with serve(takes_files) as server, gunicorn(tmp_path, server) as (url, pid):
        cookie, token = sign_in(url, server)
        assert upload(url, cookie, token, SMALL) == 303
        before, sent = most_memory(pid), server.drained

        assert upload(url, cookie, token, LARGE) == 303

        assert server.drained - sent > LARGE
        assert most_memory(pid) - before < MAX_MORE


@pytest.mark.parametrize("of_file", ["", '; filename="x"'])
def test_many_parts_at_once_need_little_memory(tmp_path: Path, of_file: str) -> None:
    """One letter beyond the usual ones makes a text four times as large in memory."""
    part = f'--x\r\nContent-Disposition: form-data; name="x"{of_file}\r\n\r\n'.encode()
    body = (part + "😀".encode() + bytes(255_000) + b"\r\n") * 60
    with serve(takes_files) as server, gunicorn(tmp_path, server) as (url, pid), ExitStack() as stack:
        cookie, _ = sign_in(url, server)
        before = most_memory(pid)
        for _ in range(MAX_UPLOADS):
            connection = stack.enter_context(closing(http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)))
            connection.putrequest("POST", "/files")
            connection.putheader("Cookie", cookie)
            connection.putheader("Content-Type", "multipart/form-data; boundary=x")
            connection.putheader("Content-Length", str(len(body) + 1))  # whose last byte never comes
            connection.endheaders()
            with suppress(ConnectionError):  # refused
                connection.send(body)

        assert most_memory(pid) - before < MAX_UPLOADS * MAX_MORE / 4
