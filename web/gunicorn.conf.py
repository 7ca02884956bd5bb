"""How gunicorn serves the app, on a developer's machine and in Docker alike.

gunicorn -c web/gunicorn.conf.py 'app:create_app()'
"""

import ctypes
import os
import resource
import socket
import sys
from contextlib import suppress
from typing import Any

from ua_parser import parse_os, parse_user_agent

from web.config import SettingsError, load
from web.environment import environment
from web.hosting.folders import temporary_folder
from web.hosting.gunicorn_worker import JSONLog, Log, Worker

M_MMAP_THRESHOLD = -3  # of malloc.h


def loopback(port: str) -> list[str]:
    """Both addresses that browsers may take `localhost` for, one on a machine without IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return [f"127.0.0.1:{port}"]
    return [f"127.0.0.1:{port}", f"[::1]:{port}"]


try:  # a wrong setting stops the start here, in words; in a worker it would be a stack trace, again and again
    environ = environment()
    settings = load(environ)
except SettingsError as error:
    sys.stderr.write(f"{error}\n")
    sys.exit(1)

# Out of other machines' reach unless --bind says otherwise, as the Dockerfile does.
bind = loopback(environ.get("PORT") or "8000")

# Most of a request is waiting for someone's Misskey server, and a thread that waits costs little: hundreds of servers
# that never answer, and hundreds of open streams, hold up nobody. One that computes is interrupted for others.
worker_class = Worker
threads = 500

# Two, so that a worker that is busy or being replaced leaves one that answers.
workers = int(environ.get("WEB_CONCURRENCY") or "2")

# Per worker, those that wait for their next request included.
worker_connections = 1500
# Of one address; not behind a proxy, where all have the proxy's.
if not settings.trusted_proxies:
    Worker.max_connections = 120

# Each connection is an open file, to visitors and to servers; many systems allow 1,024 unless one asks for more.
_, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (min(most_files, 8192) if most_files > 0 else 8192, most_files))

# Looking a name up ends sooner than glibc's 5 seconds, twice, for each name server.
raw_env = ["RES_OPTIONS=" + os.environ.get("RES_OPTIONS", "timeout:2 attempts:2")]

# glibc would keep what a large answer took, for each of some threads; what has a mapping of its own is given back.
with suppress(AttributeError):  # another C library
    ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, 256 * 1024)

# A worker that shows no sign of life for so many seconds is replaced. This is not a limit on requests.
timeout = 30

# Less than the 10 seconds after which `docker stop` kills. Streams reconnect by themselves.
graceful_timeout = 7


def post_worker_init(worker: Any) -> None:
    """Prepare what else the first visitors would wait for, and everybody with them."""
    templates = worker.wsgi.jinja_env
    names = sorted(templates.list_templates(), key=len, reverse=True)
    for name in {templates.loader.get_source(templates, name)[1]: name for name in names}.values():  # each file once
        templates.get_template(name)
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
logger_class = JSONLog if settings.log == "json" else Log
accesslog = "-" if settings.log == "text" else None
access_log_format = "%(t)s %(m)s %(U)s %(s)s %(M)sms %({x-request-id}o)s"
