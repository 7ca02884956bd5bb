"""The app as it is hosted, a sandbox to sign in at, and visitors with addresses of their own."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import Retry

from tests.ports import free_port

PERMISSIONS = ["read:account", "write:notes", "read:notifications", "read:drive", "write:drive"]
MAX_SECONDS = 60  # that anybody waits for an answer
APP = ("-c", "web/gunicorn.conf.py", "app:create_app()")


@dataclass(frozen=True)
class Hosted:
    """The app under gunicorn: its address, and the process that starts its workers."""

    url: str
    pid: int


@contextmanager
def hosted(
    settings: Mapping[str, str], arguments: Sequence[str] = (), *, app: Sequence[str] = APP, **options: Any
) -> Iterator[Hosted]:
    """Yield an app under gunicorn, in processes of its own; ``arguments`` are further ones for gunicorn."""
    url = f"http://localhost:{(port := free_port())}"
    environ = {**settings, "MIAUTH_PUBLIC_URL": url, "PORT": str(port)}
    with _started(("gunicorn", "--log-level", "error", *arguments, *app), url, env=environ, **options) as pid:
        yield Hosted(url, pid)


@contextmanager
def sandbox() -> Iterator[str]:
    """Yield the origin of a sandbox in another process: its time does not count."""
    origin = f"http://127.0.0.1:{(port := free_port())}"
    with _started(("sandbox", "--port", str(port)), origin, stderr=subprocess.DEVNULL):  # a line for each request
        yield origin


def allow(origin: str, page: str) -> str:
    """Allow, as alice at a sandbox, the sign-in whose page has the address ``page``; return its session id."""
    session_id = urlsplit(page).path.rpartition("/")[2]
    form = {"i": "aliceNativeToken", "session": session_id, "name": "bench", "permission": PERMISSIONS}
    requests.post(f"{origin}/api/miauth/gen-token", json=form, timeout=MAX_SECONDS).raise_for_status()
    return session_id


class Visitor:
    """Somebody with a browser and an address of this machine: on Linux, all of 127.0.0.0/8 are its own."""

    def __init__(self, url: str, address: str = "127.0.0.1") -> None:
        self.url, self.address, self.browser = url, address, requests.Session()
        self.browser.mount("http://", _From(address))

    def form_token(self, path: str) -> str:
        """Return the token of the forms on a page."""
        page = self.browser.get(self.url + path, timeout=MAX_SECONDS)
        if not (token := re.search('name="csrf_token" value="([^"]+)"', page.text)):
            raise OSError(f"{path} was answered with {page.status_code}, and with no form.")
        return token[1]

    def sign_in(self, origin: str) -> None:
        """Sign in at the server ``origin``, as alice where it is a sandbox."""
        page = self._led("POST", "/signin", {"host": origin, "csrf_token": self.form_token("/signin")})
        self._led("GET", f"/callback?session={allow(origin, page)}")

    def _led(self, method: str, path: str, form: dict[str, str] | None = None) -> str:
        """Return where the app leads this visitor on; raise OSError when it does not."""
        answer = self.browser.request(method, self.url + path, data=form, allow_redirects=False, timeout=MAX_SECONDS)
        if answer.status_code != 303:
            raise OSError(f"{path.partition('?')[0]} was answered with {answer.status_code}.")
        return answer.headers["Location"]

    def head(self, request: str, *lines: str, last: bool = True) -> bytes:
        """Return the head of a request such as ``GET /``, by default the last one on its connection."""
        cookies = "; ".join(f"{cookie.name}={cookie.value}" for cookie in self.browser.cookies)
        own = (f"Host: {urlsplit(self.url).netloc}", f"Cookie: {cookies}", *["Connection: close"] * last)
        return "\r\n".join([f"{request} HTTP/1.1", *own, *lines, "", ""]).encode()

    def connect(self) -> socket.socket:
        """Return a connection to the app."""
        place = ("127.0.0.1", urlsplit(self.url).port or 80)
        return socket.create_connection(place, MAX_SECONDS, source_address=(self.address, 0))

    def send(self, pieces: Iterable[bytes]) -> str:
        """Send ``pieces`` on a connection of their own, take all that is answered, and return the first status."""
        with self.connect() as sock:
            threading.Thread(target=pour, args=(sock, pieces), daemon=True).start()
            beginning = sock.recv(12)
            while sock.recv(1024**2, socket.MSG_TRUNC):  # thrown away
                pass
        return beginning[9:].decode()


def pour(sock: socket.socket, pieces: Iterable[bytes]) -> None:
    """Send ``pieces``, as long as they are taken."""
    with suppress(OSError):
        for piece in pieces:
            sock.sendall(piece)


class _From(HTTPAdapter):
    def __init__(self, address: str) -> None:
        self._address = address
        super().__init__()

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options, source_address=(self._address, 0))


@contextmanager
def _started(arguments: Sequence[str], url: str, **options: Any) -> Iterator[int]:
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, **options) as process:
        try:
            with requests.Session() as session:
                session.mount(url, HTTPAdapter(max_retries=Retry(20, backoff_factor=0.1)))
                session.get(url, timeout=10).raise_for_status()
            yield process.pid
        finally:
            process.terminate()
