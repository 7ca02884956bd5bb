"""The commands of the Docker image, run here, and what is in it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import requests

from tests import cast
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
START_SECONDS = 60


def commands() -> tuple[list[str], list[str]]:
    """What the image asks to learn whether it is well, and what it runs."""
    health, start = (json.loads(found) for found in re.findall(r"^ *CMD (\[.*\])$", DOCKERFILE, re.MULTILINE))
    return health, start


def test_the_image_listens_on_port_tells_its_health_and_stops_at_once(tmp_path: Path) -> None:
    health, start = commands()
    port = free_port()
    environment = cast.environment(tmp_path, PUBLIC_URL="https://signin.example") | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PORT": str(port),
        "HTTP_PROXY": "http://127.0.0.1:9",  # not for its own health
        "WEB_CONCURRENCY": "1",
    }
    assert subprocess.run(health, env=environment, capture_output=True, check=False).returncode
    with subprocess.Popen(start, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as process:
        try:
            ends = time.monotonic() + START_SECONDS
            while subprocess.run(health, env=environment, capture_output=True, check=False).returncode:
                assert process.poll() is None, process.communicate()[1]
                assert time.monotonic() < ends
            assert requests.get(f"http://127.0.0.1:{port}/healthz", timeout=60).text == "ok\n"
        finally:
            process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)

    assert process.returncode == 0
    assert f"0.0.0.0:{port}" in log
    assert "Traceback" not in log


def asked_for(tmp_path: Path, **environment: str) -> list[str]:
    """Return what the image asks gunicorn for, and the number of workers that it tells it."""
    _, (shell, option, line) = commands()
    python = tmp_path / "python"
    python.write_text('#!/bin/sh\necho "$WEB_CONCURRENCY" "$@"\n')
    python.chmod(0o755)
    environment["PATH"] = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run([shell, option, line], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


@pytest.mark.parametrize("environment", [{}, {"PORT": "", "HOST": "", "WEB_CONCURRENCY": ""}], ids=["unset", "empty"])
def test_what_is_not_chosen_is_as_the_image_says(tmp_path: Path, environment: dict[str, str]) -> None:
    asked = asked_for(tmp_path, **environment)

    assert asked[0] == "2"
    assert asked[asked.index("--bind") + 1] == "0.0.0.0:8000"
    assert "EXPOSE 8000" in DOCKERFILE


def test_address_port_and_workers_can_be_chosen(tmp_path: Path) -> None:
    asked = asked_for(tmp_path, PORT="9000", HOST="[::]", WEB_CONCURRENCY="3")

    assert asked[0] == "3"
    assert asked[asked.index("--bind") + 1] == "[::]:9000"


def test_every_part_of_the_app_is_in_the_image_and_nothing_else() -> None:
    copied = re.findall(r"^COPY ([^-\s]+) ", DOCKERFILE, re.MULTILINE)
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)

    assert sorted(copied) == sorted(let_in)
    assert all((ROOT / name).exists() for name in copied)
    assert not {"sandbox/", "tests/", "bench/", "docs/", ".env", ".git/"} & {*copied}
    assert re.findall("^[^#!].*$", (ROOT / ".dockerignore").read_text(), re.MULTILINE) == ["*", "**/__pycache__/"]


def test_packages_are_what_was_tested_and_pip_stays_behind() -> None:
    building, running = DOCKERFILE.split("\nFROM ")[1:]

    assert "--require-hashes" in building
    assert "--no-cache-dir" in building
    assert "venv --without-pip" in building
    assert "pip" not in running


def test_the_app_is_not_root_and_stops_before_docker_kills_it() -> None:
    [user] = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    [graceful] = re.findall(r"^graceful_timeout = (\d+)$", (ROOT / "web/gunicorn.conf.py").read_text(), re.MULTILINE)

    assert int(user) > 0
    assert int(graceful) < 10
    assert "STOPSIGNAL SIGTERM" in DOCKERFILE
    assert commands()[1][2].startswith("exec ")


def test_where_the_data_rests_is_for_the_host_to_say() -> None:
    """Some platforms build no image that asks for a volume by itself."""
    assert not re.search("^VOLUME", DOCKERFILE, re.MULTILINE)
    assert "--mode=700 /data" in DOCKERFILE


def test_no_secret_is_in_the_image() -> None:
    assert not re.search("^(ENV|ARG).*(KEY|PASSWORD|METRICS)", DOCKERFILE, re.MULTILINE)
