"""How gunicorn serves the app, on a developer's machine and in Docker alike.

gunicorn -c web/gunicorn.conf.py 'app:create_app()'
"""

import os
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any
from urllib.parse import quote

from gevent.hub import Hub
from gunicorn.glogging import Logger


def loopback(port: str) -> list[str]:
    """Both addresses that browsers may take `localhost` for."""
    addresses = [f"127.0.0.1:{port}"]
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
        addresses.append(f"[::1]:{port}")
    except OSError:
        pass  # a machine without IPv6
    return addresses


class Log(Logger):
    """Logs without query strings: the callback's holds a session id, a secret until it is used."""

    def atoms(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> dict[str, Any]:
        # The path as it was sent: decoded, a %0A in it would begin a line of its own.
        path = quote(environ.get("PATH_INFO", ""), safe="/:@", encoding="latin-1")
        return {**super().atoms(resp, req, environ, request_time), "U": path}

    def access(self, resp: Any, req: Any, environ: dict[str, Any], request_time: timedelta) -> None:
        if environ.get("PATH_INFO") != "/healthz":  # asked twice a minute, for ever
            super().access(resp, req, environ, request_time)

    def warning(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # gunicorn's own "Invalid request from ip=…" names the visitor's address, and the request's with its query.
        super().warning(msg.partition(" from ip=")[0] if isinstance(msg, str) else msg, *args, **kwargs)

    def exception(self, msg: Any, *args: Any, **kwargs: Any) -> None:
        # gunicorn's own "Error handling request" names the address with its query.
        without_queries = [arg.partition("?")[0] if isinstance(arg, str) else arg for arg in args]
        super().exception(msg, *without_queries, **kwargs)


def on_starting(server: Any) -> None:
    """A wrong setting stops the start here, in words; in a worker it would be a stack trace, again and again."""
    # In a process of its own: requests, imported here, would keep the ssl module as it was before gevent changes it.
    if subprocess.run([sys.executable, "-m", "web.config"], check=False).returncode:
        sys.exit(1)


# The longest silence of a visitor in the middle of a form, or of an answer that they read.
SILENCE_SECONDS = 20


def pre_request(worker: Any, req: Any) -> None:
    """gunicorn waits without end for the rest of a form; enough of such visitors would hold every place."""
    req.unreader.sock.settimeout(SILENCE_SECONDS)


def post_request(worker: Any, req: Any, environ: Any, resp: Any) -> None:
    """Between requests `keepalive` counts."""
    req.unreader.sock.settimeout(None)


# Out of other machines' reach unless --bind says otherwise, as the Dockerfile does.
bind = loopback(os.environ.get("PORT") or "8000")

# Most of a request is waiting for someone's Misskey server. A greenlet per request makes waiting cheap: hundreds of
# servers that never answer hold up nobody else.
worker_class = "gevent"

# Two, so that a worker that is busy or being replaced leaves one that answers.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))

# Per worker and address. Each open live timeline holds one.
worker_connections = 1000

# gevent looks names up in threads, ten of them: ten visitors whose name servers don't answer would hold up everyone.
Hub.threadpool_size = 100

# And such a look-up ends sooner than glibc's 5 seconds, twice, for each name server.
raw_env = ["RES_OPTIONS=" + os.environ.get("RES_OPTIONS", "timeout:2 attempts:2")]

# A worker that shows no sign of life for so many seconds is replaced. With gevent this is not a limit on requests.
timeout = 30

# Less than the 10 seconds after which `docker stop` kills. Live timelines reconnect by themselves.
graceful_timeout = 7

# Longer than nginx (60 s), Traefik (90 s) and Caddy (120 s) keep an idle connection to the app: were the app the first
# to close, a request sent in that moment would end as 502. It is also the time that a request's headers may take.
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
worker_tmp_dir = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - gunicorn makes a name nobody can guess

# No remote control: it would put a socket in the home directory, which a container may not have.
control_socket_disable = True

# Requests to stdout, gunicorn's own news to stderr.
logger_class = Log
accesslog = "-"
access_log_format = "%(t)s %(m)s %(U)s %(s)s %(M)sms"
