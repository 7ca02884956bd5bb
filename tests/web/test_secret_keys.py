"""Secret keys in a file: a new one, without signing anyone out."""

from __future__ import annotations

import os
import re
import resource
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import requests
from flask import Flask

from sandbox import Running
from tests.cast import FIRST_PAGE, SECRET_KEY, Visitor, environment, wait_until
from tests.ports import free_port
from web import config, secret_keys

ROOT = Path(__file__).parents[2]
OLD = "the-key-of-yesterday-that-is-long-enough"
UNWRITABLE = "/proc/sys/kernel/random/boot_id"  # reads like a key


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    file = tmp_path / "key"
    file.write_text(f"{SECRET_KEY}\n")
    return file


@pytest.fixture
def app(make_app: Callable[..., Flask], sandbox: Running, key_file: Path) -> Flask:
    return make_app(PRIVATE_SERVERS=sandbox.origin, SECRET_KEY_FILE=str(key_file))


def rotate(app: Flask) -> str:
    done = app.test_cli_runner().invoke(args=["secret-key", "rotate"])
    assert (done.exit_code, done.stderr) == (0, "")
    return done.stdout


def keys(file: Path) -> list[str]:
    return [line.split()[0] for line in file.read_text().splitlines()]


def write_former(file: Path, days_ago: float) -> None:
    replaced = datetime.now(UTC) - timedelta(days=days_ago)
    file.write_text(f"{SECRET_KEY}\n{OLD} {replaced.isoformat()}\n")


def is_signed_in(visitor: Visitor) -> bool:
    return visitor.get("/dashboard").status_code == 200


def sign_in(url: str, sandbox: Running) -> requests.Session:
    browser = requests.Session()
    token = re.findall('csrf_token" value="(.+?)"', browser.get(f"{url}/signin").text)[0]
    by_hand = {"csrf_token": token, "host": sandbox.origin, "token": "aliceNativeToken"}
    assert browser.post(f"{url}/signin/token", by_hand).url == f"{url}{FIRST_PAGE}"
    return browser


@contextmanager
def two_workers(settings: dict[str, str], url: str, log: Path) -> Iterator[None]:
    command = [sys.executable, "-m", "gunicorn", "-c", "web/gunicorn.conf.py", "app:create_app()"]
    environ = settings | {"PORT": url.rpartition(":")[2], "WEB_CONCURRENCY": "2"}
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=os.environ | environ, stdout=output, stderr=output)
        try:
            wait_until(lambda: log.read_text().count("Booting worker") >= 2 or process.poll())
            assert process.poll() is None, log.read_text()
            yield
        finally:
            process.send_signal(signal.SIGQUIT)  # now; SIGTERM waits for browsers to hang up
            process.wait(60)


@pytest.mark.long
def test_a_new_key_signs_nobody_out_of_any_worker_nor_at_a_restart(
    tmp_path: Path, key_file: Path, sandbox: Running
) -> None:
    url = f"http://localhost:{free_port()}"
    options = {"PUBLIC_URL": url, "PRIVATE_SERVERS": sandbox.origin, "SECRET_KEY_FILE": str(key_file)}
    settings = environment(tmp_path, **options)

    def finds(browser: requests.Session) -> bool:
        """Ask over many connections, so that both workers are met."""
        answers = (
            requests.get(f"{url}/dashboard", cookies=browser.cookies, allow_redirects=False, timeout=60)
            for _ in range(20)
        )
        return all(answer.status_code == 200 for answer in answers)

    with two_workers(settings, url, tmp_path / "log"):
        before = sign_in(url, sandbox)
        command = [sys.executable, "-m", "flask", "--app", "app", "secret-key", "rotate"]
        done = subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert not any(key in done.stdout for key in keys(key_file))
        assert finds(before)
        after = sign_in(url, sandbox)
        assert finds(after)
    with two_workers(settings, url, tmp_path / "log of the restart"):
        assert finds(before)
        assert finds(after)


def test_the_new_key_is_the_first_one(app: Flask, key_file: Path) -> None:
    told = rotate(app)

    new, former = keys(key_file)
    assert (len(new), former) == (43, SECRET_KEY)
    assert [path.name for path in key_file.parent.iterdir() if "key" in path.name] == ["key"]
    assert f"{datetime.now(UTC) + timedelta(days=31):%Y-%m-%d}" in told
    assert str(key_file) in told


def test_every_part_of_the_app_uses_the_new_key_from_the_next_request_on(app: Flask, key_file: Path) -> None:
    rotate(app)
    app.test_client().get("/")

    assert app.secret_key == keys(key_file)[0]
    assert app.extensions["settings"].secret_key == keys(key_file)[0]


def test_whoever_signs_in_later_needs_the_new_key_only(app: Flask, key_file: Path, visitor: Visitor) -> None:
    rotate(app)
    visitor.sign_in("alice")
    key_file.write_text(keys(key_file)[0])

    assert is_signed_in(visitor)


def test_a_sign_in_under_way_survives(app: Flask, visitor: Visitor) -> None:
    session_id = visitor.begin()
    visitor.allow(session_id)
    rotate(app)

    assert visitor.get(f"/callback?session={session_id}").location == FIRST_PAGE


def test_a_form_that_was_open_still_works(app: Flask, alice: Visitor) -> None:
    token = alice.csrf_token()
    rotate(app)

    assert alice.client.post("/signout", data={"csrf_token": token}).location == "/"
    assert alice.cookie()["signed_out"]


def test_a_key_whose_line_is_deleted_counts_no_longer(app: Flask, key_file: Path, alice: Visitor) -> None:
    rotate(app)
    assert is_signed_in(alice)

    key_file.write_text(keys(key_file)[0])

    assert not is_signed_in(alice)


def test_a_key_made_by_the_app_itself_is_rotated_too(
    tmp_path: Path, make_app: Callable[..., Flask], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(config, "INSTANCE", tmp_path / "instance")
    app = make_app(SECRET_KEY="")
    file = tmp_path / "instance" / "secret_key"
    (former,) = keys(file)

    rotate(app)

    assert keys(file)[1:] == [former]


def test_former_keys_stay_as_long_as_sign_ins_last(app: Flask, key_file: Path) -> None:
    write_former(key_file, 30.9)
    rotate(app)
    assert keys(key_file)[1:] == [SECRET_KEY, OLD]

    write_former(key_file, 31.1)
    rotate(app)
    assert keys(key_file)[1:] == [SECRET_KEY]


def test_a_former_key_counts_until_its_time_is_over(make_app: Callable[..., Flask], key_file: Path) -> None:
    def fallbacks(days_ago: float) -> tuple[str, ...]:
        write_former(key_file, days_ago)
        app = make_app(SECRET_KEY_FILE=str(key_file), SECRET_KEY_FALLBACKS="of-the-environment")
        app.test_client().get("/")
        settings: config.Settings = app.extensions["settings"]
        return settings.secret_key_fallbacks

    assert fallbacks(30.9) == (OLD, "of-the-environment")
    assert fallbacks(31.1) == ("of-the-environment",)


def test_a_former_key_written_by_hand_needs_no_time_and_gets_one(app: Flask, key_file: Path) -> None:
    key_file.write_text(f"\n{SECRET_KEY}\n\n  {OLD}\nolder 2999-01-01\n")

    rotate(app)

    today = datetime.now(UTC).date().isoformat()
    _, former, by_hand, older = key_file.read_text().splitlines()
    assert former.startswith(f"{SECRET_KEY} {today}T")
    assert by_hand.startswith(f"{OLD} {today}T")
    assert older.startswith("older 29")


def test_fallbacks_of_the_environment_go_on_working(
    make_app: Callable[..., Flask], sandbox: Running, key_file: Path
) -> None:
    alice = Visitor(make_app(PRIVATE_SERVERS=sandbox.origin, SECRET_KEY=OLD), sandbox)
    alice.sign_in()
    app = make_app(PRIVATE_SERVERS=sandbox.origin, SECRET_KEY_FILE=str(key_file), SECRET_KEY_FALLBACKS=OLD)
    rotate(app)

    assert is_signed_in(alice.twin(app))


def test_of_many_rotations_at_once_no_key_is_lost(key_file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: secret_keys.rotate(str(key_file), 30), range(8)))

    assert len(set(keys(key_file))) == 9
    assert keys(key_file)[-1] == SECRET_KEY


def test_a_link_to_the_file_stays_one(app: Flask, key_file: Path, tmp_path: Path) -> None:
    key_file.rename(tmp_path / "elsewhere")
    key_file.symlink_to("elsewhere")

    rotate(app)

    assert key_file.is_symlink()
    assert keys(key_file)[1:] == [SECRET_KEY]


@pytest.mark.parametrize(
    ("content", "words"),
    [("", "must have 32 characters"), (f"{SECRET_KEY} {OLD}", "no spaces"), (None, "can't be read: No such file")],
)
def test_a_file_that_is_spoilt_while_the_app_runs_changes_nothing(
    app: Flask, key_file: Path, alice: Visitor, caplog: pytest.LogCaptureFixture, content: str | None, words: str
) -> None:
    assert is_signed_in(alice)
    if content is None:
        key_file.unlink()
    else:
        key_file.write_text(content)

    assert is_signed_in(alice)
    assert is_signed_in(alice)
    assert caplog.text.count(words) == 1
    assert SECRET_KEY not in caplog.text

    key_file.write_text(SECRET_KEY)
    rotate(app)
    assert is_signed_in(alice)
    assert app.secret_key == keys(key_file)[0]


def test_a_key_in_the_environment_is_for_whoever_starts_the_app(make_app: Callable[..., Flask]) -> None:
    done = make_app().test_cli_runner().invoke(args=["secret-key", "rotate"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert "MIAUTH_SECRET_KEY_FALLBACKS for 30 days" in done.stderr
    assert SECRET_KEY not in done.stderr


def test_a_file_that_can_not_be_replaced_is_told(make_app: Callable[..., Flask]) -> None:
    done = make_app(SECRET_KEY_FILE=UNWRITABLE).test_cli_runner().invoke(args=["secret-key", "rotate"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert f"{UNWRITABLE} was not changed: " in done.stderr
    assert "Traceback" not in done.stderr


def test_a_file_that_is_gone_is_told(app: Flask, key_file: Path) -> None:
    key_file.unlink()

    done = app.test_cli_runner().invoke(args=["secret-key", "rotate"])

    assert (done.exit_code, done.stdout) == (1, "")
    assert "key was not changed: can't be read: No such file" in done.stderr


@pytest.mark.parametrize("mode", [0o600, 0o640])
def test_whoever_could_read_the_file_still_can_and_nobody_else(key_file: Path, mode: int) -> None:
    key_file.chmod(mode)
    secret_keys.rotate(str(key_file), 30)
    assert stat.S_IMODE(key_file.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_root_rotates_belongs_to_whom_it_did(key_file: Path) -> None:
    os.chown(key_file, 4711, 4712)
    secret_keys.rotate(str(key_file), 30)

    assert (key_file.stat().st_uid, key_file.stat().st_gid) == (4711, 4712)


def test_what_somebody_puts_in_the_place_of_the_new_file_stays_as_it_is(
    key_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root rotates keys for the app, to whom the folder belongs."""
    key_file.chmod(0o644)
    of_others = tmp_path / "of others"
    of_others.touch(0o600)

    def swap(_: int) -> None:
        for file in tmp_path.glob("tmp*"):
            file.unlink()
            file.symlink_to(of_others)

    monkeypatch.setattr(os, "fsync", swap)
    secret_keys.rotate(str(key_file), 30)

    assert stat.S_IMODE(of_others.stat().st_mode) == 0o600


def test_an_empty_file_is_no_key_to_be_replaced(key_file: Path) -> None:
    key_file.write_text("")
    with pytest.raises(ValueError, match="is empty"):
        secret_keys.rotate(str(key_file), 30)
    assert key_file.read_text() == ""


def test_on_a_full_disk_the_file_stays_as_it_is_and_nothing_is_left_behind(app: Flask, key_file: Path) -> None:
    before = sorted(path.name for path in key_file.parent.iterdir())
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, limits[1]))
    try:
        done = app.test_cli_runner().invoke(args=["secret-key", "rotate"])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    assert (done.exit_code, done.stdout) == (1, "")
    assert "key was not changed: File too large." in done.stderr
    assert key_file.read_text() == f"{SECRET_KEY}\n"
    assert sorted(path.name for path in key_file.parent.iterdir()) == before
