"""The app, and a real server for it: HTTP/1.1 whose connections stay open, on this machine only."""

import logging
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

from flask import Flask
from werkzeug.exceptions import ClientDisconnected
from werkzeug.serving import ThreadedWSGIServer, WSGIRequestHandler
from werkzeug.test import run_wsgi_app
from werkzeug.wsgi import LimitedStream

from sandbox.api import api
from sandbox.pages import pages
from sandbox.streaming import streaming
from sandbox.world import SHAPES, World

log = logging.getLogger(__name__)


def create_app(origin: str | None = None) -> Flask:
    """The sandbox with a new world in `app.extensions["sandbox"]`; `origin` is where it says it lives."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = SHAPES["meta"]["maxFileSize"]
    # `/api/miauth//check` is a call like any other.
    app.url_map.merge_slashes = False
    app.extensions["sandbox"] = World(origin or "http://127.0.0.1:3000")
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
        for connection in list(server.open):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        thread.join()


class Running(ThreadedWSGIServer):
    """A served sandbox: its `origin`, its `world`, the `requests` it saw, how many `connections` it accepted."""

    daemon_threads = False

    def __init__(self, listening: socket.socket) -> None:
        host, port = listening.getsockname()
        self.origin = f"http://{host}:{port}"
        self.connections = 0
        self.requests: list[tuple[str, str]] = []
        self.open: set[socket.socket] = set()
        app = create_app(self.origin)
        self.world: World = app.extensions["sandbox"]
        super().__init__(host, port, app, Handler, fd=listening.fileno())

    def process_request(self, request: Any, client_address: Any) -> None:
        """Answer a new connection in a thread of its own."""
        self.connections += 1
        self.open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget a connection that has ended."""
        self.open.discard(request)
        super().shutdown_request(request)


class Handler(WSGIRequestHandler):
    """Answers request after request on one connection, which Werkzeug's own handler does not."""

    protocol_version = "HTTP/1.1"
    # Head and body leave together: in two parts, the second would wait for the other side's acknowledgement.
    wbufsize = -1

    def run_wsgi(self) -> None:
        """Answer one request and leave the connection ready for the next."""
        server = cast(Running, self.server)
        self.environ = environ = self.make_environ()
        server.requests.append((self.command, environ["PATH_INFO"]))
        if not environ.get("wsgi.input_terminated"):
            length = int(environ.get("CONTENT_LENGTH") or 0)
            environ["wsgi.input"] = LimitedStream(cast(IO[bytes], self.rfile), length)
        chunks, status, headers = run_wsgi_app(server.app, environ, buffered=True)
        if environ.get("sandbox.upgraded"):
            self.close_connection = True
            return
        try:
            while environ["wsgi.input"].read(65536):
                pass
        except (ClientDisconnected, OSError):
            self.close_connection = True
        code, _, reason = status.partition(" ")
        self.send_response(int(code), reason)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.writelines(chunks)

    def finish(self) -> None:
        """Close the connection, also when the other side has gone without reading its answer."""
        try:
            super().finish()
        except OSError:
            self.rfile.close()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Note a request, without its query: a token may be in there."""
        log.info("%s %s %s", self.command, self.environ["PATH_INFO"], code)
