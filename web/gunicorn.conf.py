"""How gunicorn serves the app, on a developer's machine and in Docker alike.

gunicorn -c web/gunicorn.conf.py 'app:create_app()'
"""

import errno
import os
import resource
import socket
import sys
import time
from collections import Counter
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from gunicorn.glogging import Logger
from gunicorn.http.unreader import SocketUnreader
from gunicorn.util import close_graceful
from gunicorn.workers import gthread
from ua_parser import parse_os, parse_user_agent

from web.concurrency import waiting
from web.config import SettingsError, load
from web.folders import temporary_folder
from web.hosting.request_log import JSONFormatter
from web.rate_limits import visitor_at


def loopback(port: str) -> list[str]:
    """Both addresses that browsers may take `localhost` for, one on a machine without IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return [f"127.0.0.1:{port}"]
    return [f"127.0.0.1:{port}", f"[::1]:{port}"]


class Log(Logger):
    """Logs without query strings: the callback's holds a session id, a secret until it is used."""

    def setup(self, cfg: Any) -> None:
        super().setup(cfg)
        for handler in self.error_log.handlers if settings.log == "json" else ():
            handler.setFormatter(JSONFormatter())

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        if environ["PATH_INFO"] != "/healthz":  # asked twice a minute, for ever
            # The path as it was sent: decoded, a %0A in it would begin a line of its own.
            path = quote(environ["PATH_INFO"], safe="/:@", encoding="latin-1")
            told = {"PATH_INFO": path, "RAW_URI": path}
            told |= {name: environ[name] for name in ("REQUEST_METHOD", "SERVER_PROTOCOL")}
            super().access(resp, (), told, request_time)  # no address, no cookie, whatever the format

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # gunicorn's own "Invalid request from ip=…" names the visitor's address, and the request's with its query.
        super().warning(msg.partition(" from ip=")[0] if isinstance(msg, str) else msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # gunicorn's own "Error handling request" names the address with its query.
        without_queries = [arg.partition("?")[0] if isinstance(arg, str) else arg for arg in args]
        super().exception(msg, *without_queries, **kwargs)


try:  # a wrong setting stops the start here, in words; in a worker it would be a stack trace, again and again
    settings = load()
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(1)

# How long a visitor may take to send a request: so many seconds, and one more for each 64 KiB. Silence ends it sooner.
SEND_SECONDS = 30
SEND_BYTES_PER_SECOND = 64 * 1024
SILENCE_SECONDS = 20
# How long a visitor may take over so much of an answer.
TAKE_SECONDS = 60
TAKE_BYTES = 64 * 1024
# Of one address at once, in each worker; not behind a proxy, where all have the proxy's.
MAX_CONNECTIONS = 120


class Unreader(SocketUnreader):
    """Reads a request for so long and no longer, and lets the visitor's other requests go on meanwhile."""

    def chunk(self, size_hint: int | None = None) -> bytes:
        try:
            self.sock.settimeout(max(min(self.ends - time.monotonic(), SILENCE_SECONDS), 0.001))
            with waiting():
                received: bytes = super().chunk(size_hint)
        except TimeoutError:
            self.sock.shutdown(socket.SHUT_RD)  # what still comes must not be taken for the next request
            received = b""
        self.ends += len(received) / SEND_BYTES_PER_SECOND
        self.sock.settimeout(TAKE_SECONDS)
        return received


class Socket(socket.socket):
    """A socket whose time-out counts for a piece of what is sent, not for the whole."""

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of ``data``."""
        for start in range(0, len(data), TAKE_BYTES):
            super().sendall(memoryview(data)[start : start + TAKE_BYTES], flags)


class Connection(gthread.TConn):
    """A connection from ``address``, one of those ``open``."""

    def __init__(self, address: str, open: Counter[str], *args: Any) -> None:  # noqa: A002
        super().__init__(*args)
        self.address, self.open = address, open
        self.open[address] += 1

    def init(self) -> None:
        """Prepare for the next request."""
        if not self.initialized:
            super().init()
            self.parser.unreader = Unreader(self.sock)
        self.parser.unreader.ends = time.monotonic() + SEND_SECONDS

    def close(self, graceful: bool = False) -> None:
        """Close at once; what can take a while was done in a thread of its own, see :meth:`Worker.handle`."""
        self.open[self.address] -= 1
        if not self.open[self.address]:
            del self.open[self.address]
        super().close()


class Worker(gthread.ThreadWorker):
    """gunicorn's threaded worker, in which one address can't take all connections, nor anybody hold up the others."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.open: Counter[str] = Counter()

    def accept(self, listener: socket.socket) -> None:
        """Accept a connection, unless its address has enough."""
        try:
            sock, client = listener.accept()
        except OSError as error:  # taken by the other worker, or given up meanwhile
            if error.errno in (errno.EMFILE, errno.ENFILE):
                time.sleep(0.05)  # until others are closed
            return
        address = visitor_at(client[0]) if client else ""  # a Unix socket's have none
        if address and self.open[address] >= MAX_CONNECTIONS and not settings.trusted_proxies:
            sock.close()
            return
        self.nr_conns += 1
        sock = Socket(fileno=sock.detach())
        self.enqueue_req(Connection(address, self.open, self.cfg, sock, client, listener.getsockname()))

    def set_accept_enabled(self, enabled: bool) -> None:
        """Accept connections, or don't; once the worker ends, refuse them: until the last answer they would wait."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                listener.close()

    def handle(self, conn: Connection) -> Any:
        """Answer a request; return whether the connection is kept."""
        kept = super().handle(conn)
        if kept is False:
            close_graceful(conn.sock)  # which can take seconds; gunicorn would do it where all connections are accepted
        return kept


# Out of other machines' reach unless --bind says otherwise, as the Dockerfile does.
bind = loopback(os.environ.get("PORT") or "8000")

# Most of a request is waiting for someone's Misskey server, and a thread that waits costs little: hundreds of servers
# that never answer, and hundreds of open streams, hold up nobody. One that computes is interrupted for others.
worker_class = Worker
threads = 500

# Two, so that a worker that is busy or being replaced leaves one that answers.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# Per worker, those that wait for their next request included.
worker_connections = 1500

# Each connection is an open file, to visitors and to servers; many systems allow 1,024 unless one asks for more.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 8192) if most_files > 0 else 8192, most_files))

# Looking a name up ends sooner than glibc's 5 seconds, twice, for each name server.
raw_env = ["RES_OPTIONS=" + os.environ.get("RES_OPTIONS", "timeout:2 attempts:2")]

# A worker that shows no sign of life for so many seconds is replaced. This is not a limit on requests.
timeout = 30

# Less than the 10 seconds after which `docker stop` kills. Streams reconnect by themselves.
graceful_timeout = 7


def post_worker_init(worker: Any) -> None:
    """Prepare what else the first visitors would wait for, and everybody with them."""
    for name in worker.wsgi.jinja_env.list_templates():
        worker.wsgi.jinja_env.get_template(name)
    parse_user_agent("")
    parse_os("")


def worker_exit(server: Any, worker: Any) -> None:
    """End at once: Python would wait until the last thread has its answer from a server."""
    if worker.booted:
        os._exit(0)


# Longer than nginx (60 s), Traefik (90 s) and Caddy (120 s) keep an idle connection to the app: were the app the first
# to close, a request sent in that moment would end as 502.
keepalive = 125

# The longest addresses and headers the app knows are far below: the callback's 60 bytes; cookies of 4 KiB, 4 of 1 KiB.
limit_request_line = 4094
limit_request_fields = 64
limit_request_field_size = 16380

# What a proxy says about scheme, address and path is for MIAUTH_TRUSTED_PROXIES alone to believe or not. By default
# gunicorn believes anyone on the same machine, even a SCRIPT_NAME that a visitor sent through the proxy.
secure_scheme_headers: dict[str, str] = {}
forwarder_headers = ""

# The workers' sign of life is a file; where it lies on a slow disk, touching it can block a worker.
# gunicorn makes a name nobody can guess.
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else temporary_folder(settings.token_store)  # noqa: S108

if settings.metrics:
    from web.hosting.metrics import child_exit, on_exit, pre_fork  # noqa: F401 - gunicorn calls them

# No remote control: it would put a socket in the home directory, which a container may not have.
control_socket_disable = True

# Requests to stdout, gunicorn's own news to stderr. With MIAUTH_LOG=json it is the app that tells of requests.
logger_class = Log
accesslog = "-" if settings.log == "text" else None
access_log_format = "%(t)s %(m)s %(U)s %(s)s %(M)sms %({x-request-id}o)s"
