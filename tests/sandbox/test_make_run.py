"""``make run``: the app and the sandbox, started for real and stopped again."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from sandbox.run import welcome
from tests import cast
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "sandbox.run"]


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return cast.environment(tmp_path, PUBLIC_URL="") | {
        "PATH": os.environ["PATH"],
        "PORT": str(free_port()),
        "SANDBOX_PORT": str(free_port()),
        "WEB_CONCURRENCY": "1",
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start both, and return once their addresses are printed."""
    started: list[subprocess.Popen[str]] = []

    def begin(*arguments: str, folder: Path = ROOT) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout
        for line in process.stdout:
            if "Ctrl-C" in line and "Open the app" in line:
                break
        return process

    yield begin
    for process in started:
        process.terminate()  # so that it stops both: they would outlive it
        process.communicate(timeout=60)


@pytest.mark.parametrize(
    ("only", "words"),
    [
        ("", "sign in with 127.0.0.1:3000 and choose"),
        ("http://127.0.0.1:3000 misskey.example", "sign in with 127.0.0.1:3000 and choose"),
        ("misskey.example", "at misskey.example only; to try it with the sandbox: MIAUTH_ONLY_SERVERS=127.0.0.1:3000."),
    ],
)
def test_it_says_where_one_can_sign_in(only: str, words: str) -> None:
    settings = {"MIAUTH_PUBLIC_URL": "http://localhost:8000", "MIAUTH_ONLY_SERVERS": only}

    assert words in welcome(settings, "127.0.0.1:3000")


@pytest.mark.parametrize("arguments", [(), ("--dev",)], ids=["run", "dev"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_both_answer_and_stop_cleanly(
    start: Callable[..., subprocess.Popen[str]],
    environment: dict[str, str],
    how: signal.Signals,
    arguments: tuple[str, ...],
) -> None:
    process = start(*arguments)
    addresses = [f"http://localhost:{environment['PORT']}/", f"http://127.0.0.1:{environment['SANDBOX_PORT']}/"]
    for address in addresses:
        assert requests.get(address, timeout=60).status_code == 200

    process.send_signal(how)

    rest, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "Traceback" not in rest
    for address in addresses:
        with pytest.raises(requests.ConnectionError):
            requests.get(address, timeout=60)


def copy_to(folder: Path) -> None:
    """Copy the app and the sandbox."""
    others = shutil.ignore_patterns(".*", "__pycache__", "tests", "docs", "bench", "instance", "mutants", "screenshots")
    shutil.copytree(ROOT, folder, ignore=others, dirs_exist_ok=True)


def test_the_folder_may_be_called_anything(
    start: Callable[..., subprocess.Popen[str]], environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "C#; 100%41 $x & (ミス) 'y'"
    copy_to(folder)
    start(folder=folder)

    japanese = {"Accept-Language": "ja"}
    page = requests.get(f"http://localhost:{environment['PORT']}/", headers=japanese, timeout=60).text
    assert ">プライバシー</a>" in page


def test_while_developing_a_change_of_the_env_file_counts_at_once(
    start: Callable[..., subprocess.Popen[str]], environment: dict[str, str], tmp_path: Path
) -> None:
    copy_to(tmp_path)
    del environment["PYTHON_DOTENV_DISABLED"]
    (tmp_path / ".env").write_text("MIAUTH_APP_NAME=Before\n")
    start("--dev", folder=tmp_path)

    def title() -> str:
        try:
            page = requests.get(f"http://localhost:{environment['PORT']}/", timeout=60).text
        except requests.RequestException:  # it starts anew, before an answer or within one
            return ""
        return page.partition("<title>")[2].partition("</title>")[0]

    cast.wait_until(lambda: "Before" in title())

    (tmp_path / ".env").write_text("MIAUTH_APP_NAME=After\n")

    cast.wait_until(lambda: "After" in title())


@pytest.mark.parametrize("name", ["PORT", "SANDBOX_PORT"])
def test_a_taken_port_is_told_in_words(environment: dict[str, str], name: str) -> None:
    with socket.create_server(("127.0.0.1", int(environment[name]))):
        done = subprocess.run(COMMAND, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert environment[name] in done.stderr
    assert f"{name}=" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_journey_leaves_neither_session_id_nor_token_in_the_log(
    start: Callable[..., subprocess.Popen[str]], environment: dict[str, str]
) -> None:
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):  # which can't lead to a sandbox on this machine
        environment[name] = f"http://127.0.0.1:{free_port()}"
    process = start()
    app, server = f"http://localhost:{environment['PORT']}", f"http://127.0.0.1:{environment['SANDBOX_PORT']}"
    with requests.Session() as browser:
        token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get(app, timeout=60).text)
        assert token
        form = {"host": server, "csrf_token": token[1]}
        begun = browser.post(f"{app}/signin", form, allow_redirects=False, timeout=60)
        session_id = urlsplit(begun.headers["Location"]).path.rpartition("/")[2]
        allow = {"i": "aliceNativeToken", "session": session_id, "permission": ["read:account"]}
        made = requests.post(f"{server}/api/miauth/gen-token", json=allow, timeout=60).json()["token"]
        page = browser.get(f"{app}/callback?session={session_id}", timeout=60).text
        profile = browser.get(f"{app}/dashboard/profile", timeout=60).text
    process.send_signal(signal.SIGINT)
    log, _ = process.communicate(timeout=60)

    assert "Hello, Alice" in page
    assert "@alice@" in profile
    assert "GET /callback 303" in log
    for secret in (session_id, made, "aliceNativeToken"):
        assert secret not in log.replace(f"/api/miauth/{session_id}/check", "")
