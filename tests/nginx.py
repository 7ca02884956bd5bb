"""A real nginx for the tests, with what docs/hosting.md says to put into it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

from tests.hostile import authority
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
START_SECONDS = 60
HELP = """\
The tests run an nginx of their own, and none was found. Any of these helps:
  - Debian and Ubuntu: sudo apt install nginx (it need not be running);
  - macOS: brew install nginx."""
#: What a distribution's /etc/nginx/nginx.conf has around a server, with folders that anybody may write to.
AROUND = """\
daemon off;
{user}
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
http {{
    access_log off;
    gzip on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{servers}
}}
"""


def snippet() -> str:
    """Return what docs/hosting.md says to put into nginx's configuration."""
    found = re.search(r"^```nginx\n(.*?)^```$", (ROOT / "docs" / "hosting.md").read_text(), re.DOTALL | re.MULTILINE)
    assert found
    return found[1]


def filled_in(port: int, plain_port: int, app_port: int, certificate: Path) -> str:
    """Return the snippet with ports and certificate of the tests in the place of a host's."""
    text = re.sub(r" *listen \[::\]:.*\n", "", snippet())
    for pattern, replacement in {
        r"listen 443\b": f"listen 127.0.0.1:{port}",
        r"listen 80\b": f"listen 127.0.0.1:{plain_port}",
        r"server_name signin\.example;": "server_name localhost;",
        r"(ssl_certificate(?:_key)?) +/\S+;": rf"\1 {certificate};",
        r"127\.0\.0\.1:8000": f"127.0.0.1:{app_port}",
    }.items():
        text, count = re.subn(pattern, replacement, text)
        assert count, pattern
    return text


@contextmanager
def nginx(folder: Path, app_port: int, port: int, *, plain_port: int = 0) -> Iterator[Path]:
    """Run nginx in front of an app on ``app_port``; yield the file of the authority that made its certificate."""
    program = shutil.which("nginx", path=f"{os.environ['PATH']}{os.pathsep}/usr/sbin")
    assert program, HELP
    folder = folder / "nginx"
    folder.mkdir()
    _certify(folder)
    servers = filled_in(port, plain_port or free_port(), app_port, folder / "certificate.pem")
    user = "user root root;" if os.geteuid() == 0 else ""  # by default nobody, whom the folder is closed to
    (folder / "nginx.conf").write_text(AROUND.format(user=user, folder=folder, servers=servers))
    log = folder / "log"
    process = subprocess.Popen([program, "-p", folder, "-c", folder / "nginx.conf", "-e", log])
    try:
        ends = time.monotonic() + START_SECONDS
        while not (folder / "nginx.pid").exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < ends
            time.sleep(0.02)
        yield folder / "authority.pem"
    finally:
        process.terminate()
        process.wait(START_SECONDS)


def _certify(folder: Path) -> None:
    certificate: trustme.LeafCert = authority().issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "certificate.pem"))
    authority().cert_pem.write_to_path(str(folder / "authority.pem"))
