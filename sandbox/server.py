"""The app, and a real server for it: HTTP/1.1 whose connections stay open, on this machine only."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from typing import Any, cast
from weakref import WeakSet

from flask import Flask
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app

from sandbox.api import api
from sandbox.pages import pages
from sandbox.streaming import streaming
from sandbox.world import World


def create_app(origin: str = "http://127.0.0.1:3000") -> Flask:
    """The sandbox with a new world in `app.extensions["sandbox"]`; `origin` is where it says it lives."""
    app = Flask(__name__)
    app.url_map.merge_slashes = False  # `/api/miauth//check` is a call like any other
    app.extensions["sandbox"] = World(origin)
    for blueprint in (api, pages, streaming):
        app.register_blueprint(blueprint)
    return app


@contextmanager
def serve(port: int = 0) -> Iterator["Running"]:
    """A sandbox that is being served on 127.0.0.1, until the block ends; OSError when the port is taken."""
    with socket.create_server(("127.0.0.1", port)) as listening:
        server = Running(listening)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), name="sandbox")
    thread.start()
    try:
        yield server
    finally:
        server.world.closing.set()
        server.shutdown()
        for connection in server.open:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


class Running(ThreadedWSGIServer):
    """A served sandbox: its `origin`, its `world`, the `requests` it saw, how many `connections` it accepted."""

    daemon_threads = False

    def __init__(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()
        self.origin, self.connections = f"http://{host}:{port}", 0
        self.requests: list[tuple[str, str]] = []
        self.open: WeakSet[socket.socket] = WeakSet()
        app = create_app(self.origin)
        self.world: World = app.extensions["sandbox"]
        super().__init__(host, port, app, Handler, fd=listening.fileno())

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a new connection in a thread of its own."""
        self.connections += 1
        self.open.add(request)
        super().process_request(request, client_address)


class Handler(WSGIRequestHandler):
    """Answers request after request on one connection, which Werkzeug's own handler does not."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else the body waits until the other side acknowledges the head

    def handle(self) -> None:
        """Answer until the connection ends; what is cut in the middle, or is not HTTP, ends it without a word."""
        with suppress(OSError, ValueError):
            super().handle()

    def run_wsgi(self) -> None:
        """Answer one request and leave the connection ready for the next."""
        server, environ = cast(Running, self.server), self.make_environ()
        server.requests.append((self.command, environ["PATH_INFO"]))
        # All of the body, used or not: what stayed behind would be taken for the next request.
        length = -1 if environ.get("wsgi.input_terminated") else int(environ.get("CONTENT_LENGTH") or 0)
        environ["wsgi.input"] = BytesIO(environ["wsgi.input"].read(length))
        chunks, status, headers = run_wsgi_app(server.app, environ, buffered=True)
        code, _, reason = status.partition(" ")
        self.close_connection = self.close_connection or code == "101"
        if code != "101":  # that a WebSocket sent itself
            self.send_response_only(int(code), reason)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.writelines(chunks)
