"""What whoever hosts the app does at a shell. Rotating the secret key is in its own file."""

from __future__ import annotations

import dataclasses
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from sandbox import Running
from tests.cast import FIRST_PAGE, SECRET_KEY, Visitor, environment
from tests.ports import free_port
from tests.redis_server import PASSWORD, RedisServer
from web import accounts, config, signals
from web.config import Settings
from web.hosting.commands import _shown
from web.storage import sqlite_backend
from web.storage.store_backend import StoreUnavailable
from web.token_store import open_store

ROOT = Path(__file__).parents[2]
TOKENS = ("aliceNativeToken", "bobbyNativeToken")
ALL = [("secret-key", "rotate"), ("accounts", "show"), ("accounts", "forget"), ("store", "prune"), ("store", "backup")]
ALL += [("settings", "check")]


@pytest.fixture(params=["sqlite", "redis"])
def app(request: pytest.FixtureRequest, make_app: Callable[..., Flask], sandbox: Running) -> Flask:
    """The app, with each of the stores."""
    settings = {"PRIVATE_SERVERS": sandbox.origin}
    if request.param == "redis":
        settings["TOKEN_STORE"] = request.getfixturevalue("redis_server").url
    return make_app(**settings)


def run(app: Flask, *arguments: str) -> Result:
    return app.test_cli_runner().invoke(args=arguments)


def told(app: Flask, *arguments: str) -> str:
    """What a command says that does its work."""
    done = run(app, *arguments)
    assert (done.exit_code, done.stderr) == (0, ""), done.stderr
    return done.stdout


def refused(app: Flask, *arguments: str) -> str:
    """The words of a command that does nothing."""
    done = run(app, *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    return done.stderr


def shell(folder: Path, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command as a host does."""
    environ = os.environ | environment(folder, **settings)
    command = [sys.executable, "-m", "flask", "--app", "app", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)


def signed_in(app: Flask, sandbox: Running, person: str = "alice", **options: Any) -> Visitor:
    visitor = Visitor(app, sandbox)
    assert visitor.sign_in(person, **options).location == FIRST_PAGE
    return visitor


def address(sandbox: Running, person: str = "alice") -> str:
    return f"{person}@{sandbox.origin.partition('://')[2]}"


@pytest.mark.parametrize("command", ALL)
def test_every_command_explains_itself(make_app: Callable[..., Flask], command: tuple[str, str]) -> None:
    assert "Usage: " in told(make_app(), *command, "--help")


@pytest.mark.parametrize(
    "command", [("accounts", "show"), ("store", "backup"), ("store", "prune", "all"), ("store", "x")]
)
def test_a_command_line_that_is_none_ends_with_2(make_app: Callable[..., Flask], command: tuple[str, ...]) -> None:
    done = run(make_app(), *command)

    assert (done.exit_code, done.stdout) == (2, "")
    assert "Usage: " in done.stderr


def test_what_a_developer_has_set_in_a_file_reaches_no_command_of_a_test(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("MIAUTH_SESSION_DAYS=many\n")
    command = [sys.executable, "-m", "flask", "--app", str(ROOT / "app.py"), "settings", "check"]

    done = subprocess.run(
        command, cwd=tmp_path, env=os.environ | environment(tmp_path), capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_setting_is_told_as_the_start_tells_it(tmp_path: Path) -> None:
    with pytest.raises(config.SettingsError) as caught:
        config.load(environment(tmp_path, SESSION_DAYS="many"))

    for command in (("settings", "check"), ("store", "prune")):
        done = shell(tmp_path, *command, SESSION_DAYS="many")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == f"Error: {caught.value}\n"


def test_a_person_is_shown_with_each_sign_in(app: Flask, sandbox: Running) -> None:
    signed_in(app, sandbox)
    signed_in(app, sandbox, permissions=["read:account", "write:notes"])
    signed_in(app, sandbox, "bob")

    first, *lines = told(app, "accounts", "show", address(sandbox)).splitlines()

    assert first == f"{address(sandbox)}: 2 sign-ins."
    assert len(lines) == 2
    since, until = (time.strftime("%Y-%m-%d", time.gmtime(time.time() + days * 86400)) for days in (0, 30))
    for line in lines:
        assert line.startswith(f"Since {since} ")
        assert f", until {until} " in line
        assert "Permissions: read:account" in line


def test_a_person_whose_token_was_made_by_hand_or_may_nothing_is_shown_too(app: Flask, sandbox: Running) -> None:
    visitor = Visitor(app, sandbox)
    visitor.post("/signin/token", {"host": sandbox.origin, "token": TOKENS[0]})
    visitor = Visitor(app, sandbox)
    session_id = visitor.begin(permission="")
    visitor.allow(session_id, "bob", [])
    visitor.get(f"/callback?session={session_id}")

    assert "Permissions: not known, as the token was made by hand." in told(app, "accounts", "show", address(sandbox))
    assert "Permissions: none." in told(app, "accounts", "show", address(sandbox, "bob"))


@pytest.mark.parametrize("written", ["@{}", "ALICE@{1}", "Alice@{1}"])
def test_an_address_is_read_as_people_write_it(app: Flask, sandbox: Running, written: str) -> None:
    signed_in(app, sandbox)

    shown = told(app, "accounts", "show", written.format(address(sandbox), address(sandbox).partition("@")[2]))
    assert ": 1 sign-in." in shown


@pytest.mark.parametrize("command", ["show", "forget"])
@pytest.mark.parametrize("nobody", ["bob@{}", "alice@misskey.example", "alice", "@", "alice@not a host"])
def test_who_is_not_signed_in_is_told(app: Flask, sandbox: Running, command: str, nobody: str) -> None:
    alice = signed_in(app, sandbox)
    nobody = nobody.format(address(sandbox).partition("@")[2])

    assert refused(app, "accounts", command, nobody) == f"Error: There is no sign-in of {nobody}.\n"
    assert alice.get("/dashboard").status_code == 200


def test_a_person_is_forgotten_in_every_browser_and_nobody_else(app: Flask, sandbox: Running) -> None:
    phone, computer, bob = signed_in(app, sandbox), signed_in(app, sandbox), signed_in(app, sandbox, "bob")
    heard: list[str] = []

    def hear(_app: Flask, account: Any) -> None:
        heard.append(account.username)

    with signals.signed_out.connected_to(hear, app):
        words = told(app, "accounts", "forget", address(sandbox))

    assert words.startswith(f"2 sign-ins of {address(sandbox)} removed.")
    assert heard == ["alice", "alice"]
    assert phone.get("/dashboard").location == computer.get("/dashboard").location == "/"
    assert bob.get("/dashboard").status_code == 200
    assert "alice" not in str([value for _, value, _ in app.extensions["token_store"].entries()])
    assert "There is no sign-in" in refused(app, "accounts", "forget", address(sandbox))


@pytest.mark.parametrize("owner", ["owner", "data_owner"])
def test_what_is_kept_beside_a_sign_in_is_forgotten_too(app: Flask, sandbox: Running, owner: str) -> None:
    alice = signed_in(app, sandbox)
    store = app.extensions["token_store"]
    with app.test_request_context():
        account = accounts.load(alice.cookie()["accounts"][0])
    assert account
    store.put("a draft", "Hello", 60, owner=getattr(account, owner))

    told(app, "accounts", "forget", address(sandbox))

    assert store.get("a draft") is None


def test_a_sign_in_by_version_0_1_0_is_forgotten_too(app: Flask, sandbox: Running) -> None:
    alice = signed_in(app, sandbox)
    store = app.extensions["token_store"]
    (key,) = alice.cookie()["accounts"]
    value = store.get(key)
    store.delete(key)
    store.put(key, value.replace(key, ""), 60)

    assert told(app, "accounts", "forget", address(sandbox)).startswith("1 sign-in of ")
    assert store.get(key) is None


def test_nothing_secret_is_shown(app: Flask, sandbox: Running, tmp_path: Path) -> None:
    alice = signed_in(app, sandbox)
    store = app.extensions["token_store"]
    token = next(account for _, account, _ in store.entries() if "user_id" in account).partition('"token": "')[2][:12]
    commands = [("settings", "check"), ("accounts", "show", address(sandbox)), ("accounts", "forget", address(sandbox))]
    said = "".join(told(app, *command) for command in commands)

    for secret in (SECRET_KEY, PASSWORD, "the%2Fpassword", token, *alice.cookie()["accounts"]):
        assert secret not in said


def test_no_setting_that_has_a_secret_is_shown(make_app: Callable[..., Flask]) -> None:
    """Whatever the settings themselves do not show: keys, a password in an address, a token."""
    secrets = {"SECRET_KEY": "k" * 40, "SECRET_KEY_FALLBACKS": "f" * 40, "METRICS": "m" * 40}
    secrets["TOKEN_STORE"] = "redis://:passwordpassword@localhost:1"
    hidden = {field.name.upper() for field in dataclasses.fields(Settings) if not field.repr}
    assert hidden == secrets.keys()

    shown = _shown(make_app(**secrets).extensions["settings"])

    assert not [value for value in shown.values() if re.search("k{9}|f{9}|m{9}|passwordpassword", value)]
    assert shown["metrics"] == "set"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////srv/a@b.sqlite3", "sqlite:////srv/a@b.sqlite3"),
        ("rediss://app:password@redis.example/0?ssl_ca_certs=/redis.pem", "rediss://redis.example/0"),
        ("redis://:password@[::1]:6380", "redis://[::1]:6380"),
        ("unix://:password@/run/redis.sock?db=3", "unix:///run/redis.sock"),
        (
            "redis+sentinel://:password@one,[::1]/mymaster?sentinel_password=s3cret",
            "redis+sentinel://one,[::1]/mymaster",
        ),
    ],
)
def test_the_store_is_shown_without_what_it_is_opened_with(url: str, shown: str) -> None:
    settings = dataclasses.replace(config.load({"MIAUTH_SECRET_KEY": SECRET_KEY}), token_store=url)

    assert _shown(settings)["token_store"] == shown


def test_what_has_expired_is_pruned_and_nothing_else(make_app: Callable[..., Flask], sandbox: Running) -> None:
    app = make_app(PRIVATE_SERVERS=sandbox.origin)
    alice = signed_in(app, sandbox)
    backend = app.extensions["token_store"].backend
    for number in range(250):
        backend.put(f"expired {number}", b"value", -1)

    assert told(app, "store", "prune") == "250 expired entries removed.\n"
    assert told(app, "store", "prune") == "0 expired entries removed.\n"
    assert alice.get("/dashboard").status_code == 200


def test_a_redis_needs_no_pruning(make_app: Callable[..., Flask], redis_server: RedisServer) -> None:
    assert told(make_app(TOKEN_STORE=redis_server.url), "store", "prune") == "0 expired entries removed.\n"


def test_a_backup_of_a_store_in_use_works_as_a_store(
    make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path
) -> None:
    app = make_app(PRIVATE_SERVERS=sandbox.origin)
    alice = signed_in(app, sandbox)
    copy, enough = tmp_path / "copies", threading.Event()
    copy.mkdir()

    def write() -> None:
        number = 0
        while not enough.is_set():
            number += 1
            app.extensions["token_store"].put(f"{number}", "x" * 1000, 60, owner="busy")

    thread = threading.Thread(target=write)
    thread.start()
    try:
        words = told(app, "store", "backup", str(copy / "backup"))
    finally:
        enough.set()
        thread.join()

    assert words.startswith(f"The store is copied to {copy / 'backup'}.")
    assert [path.name for path in copy.iterdir()] == ["backup"]
    assert stat.S_IMODE((copy / "backup").stat().st_mode) == 0o600
    restored = make_app(PRIVATE_SERVERS=sandbox.origin, TOKEN_STORE=f"sqlite:///{copy / 'backup'}")
    assert "Hello, Alice" in alice.twin(restored).get("/dashboard").text


def test_a_backup_overwrites_nothing(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    (tmp_path / "there").write_text("something precious")

    assert "can't be written: File exists" in refused(make_app(), "store", "backup", str(tmp_path / "there"))
    assert (tmp_path / "there").read_text() == "something precious"
    assert "No such file" in refused(make_app(), "store", "backup", str(tmp_path / "nowhere" / "copy"))


def test_a_damaged_store_makes_no_backup(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    app = make_app()
    backend = app.extensions["token_store"].backend
    for number in range(500):
        backend.put(f"id {number}", b"value" * 50, 60)
    with closing(sqlite3.connect(tmp_path / "tokens.sqlite3")) as database:
        database.execute("PRAGMA wal_checkpoint (TRUNCATE)")
    with (tmp_path / "tokens.sqlite3").open("r+b") as file:
        file.seek(8 * 4096)
        file.write(b"garbage!" * 512 * 8)

    assert "The token store is not available: " in refused(app, "store", "backup", str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_a_backup_that_is_interrupted_leaves_nothing_behind(
    make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_database: sqlite3.Connection) -> None:
        raise KeyboardInterrupt

    app = make_app()
    monkeypatch.setattr(sqlite_backend, "_look_for_damage", interrupt)

    assert "Aborted!" in refused(app, "store", "backup", str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_a_backup_that_finds_no_store_is_told(make_app: Callable[..., Flask], tmp_path: Path) -> None:
    app = make_app()
    for path in tmp_path.glob("tokens.*"):
        path.unlink()
    tmp_path.joinpath("tokens.sqlite3").mkdir()

    assert "unable to open" in refused(app, "store", "backup", str(tmp_path / "copy"))
    assert not (tmp_path / "copy").exists()


def test_a_redis_is_copied_by_its_own_tools(
    make_app: Callable[..., Flask], redis_server: RedisServer, tmp_path: Path
) -> None:
    words = refused(make_app(TOKEN_STORE=redis_server.url), "store", "backup", str(tmp_path / "copy"))

    assert words == "Error: The token store is a Redis; copy it with its own tools, such as BGSAVE.\n"
    assert not (tmp_path / "copy").exists()


def test_the_settings_are_told_with_where_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key = tmp_path / "key"
    key.write_text(f"{SECRET_KEY}\n{SECRET_KEY[::-1]}\n")
    options = {"SECRET_KEY_FILE": str(key), "SECRET_KEY_FALLBACKS": "one two", "ONLY_SERVERS": "misskey.io a.example"}
    done = shell(tmp_path, "settings", "check", **options)

    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert f"MIAUTH_SECRET_KEY_FILE: {key}, with 1 former key (environment)" in lines
    assert "MIAUTH_SECRET_KEY_FALLBACKS: 2 former keys (environment)" in lines
    assert "MIAUTH_ONLY_SERVERS: misskey.io a.example (environment)" in lines
    assert f"MIAUTH_TOKEN_STORE: sqlite:///{tmp_path}/tokens.sqlite3 (environment)" in lines
    assert f"MIAUTH_APP_NAME: {config.APP_NAME} (by default)" in lines
    assert "MIAUTH_PERMISSIONS: what the app needs (by default)" in lines
    assert "MIAUTH_APP_ICON: none (by default)" in lines
    assert lines[-1] == "All settings are fine, and the token store can be read."
    assert SECRET_KEY not in done.stdout
    assert SECRET_KEY[::-1] not in done.stdout


def test_settings_of_the_file_are_told_as_such(
    make_app: Callable[..., Flask], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, redis_server: RedisServer
) -> None:
    (tmp_path / ".env").write_text("MIAUTH_SESSION_DAYS=3\nMIAUTH_SIGNIN_LIMIT=1 per hour\n")
    monkeypatch.setattr("web.environment.ROOT", tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    monkeypatch.setenv("MIAUTH_SESSION_DAYS", "4")
    app = make_app(SESSION_DAYS="4", SIGNIN_LIMIT="1 per hour", PERMISSIONS="", TOKEN_STORE=redis_server.unix_url)

    lines = told(app, "settings", "check").splitlines()

    assert "MIAUTH_SESSION_DAYS: 4 (environment)" in lines
    assert "MIAUTH_SIGNIN_LIMIT: 1 per hour (.env)" in lines
    assert "MIAUTH_PERMISSIONS: none (by default)" in lines
    assert "MIAUTH_SECRET_KEY: set (by default)" in lines
    assert any(line.startswith("MIAUTH_TOKEN_STORE: unix://") for line in lines)


@pytest.mark.parametrize("command", [("settings", "check"), ("accounts", "show", "alice@misskey.example")])
def test_a_redis_that_is_down_is_told(make_app: Callable[..., Flask], command: tuple[str, ...]) -> None:
    app = make_app(TOKEN_STORE=f"redis://:{PASSWORD[:3]}@127.0.0.1:{free_port()}/0")

    assert refused(app, *command).startswith("Error: The token store is not available: ")


@pytest.mark.parametrize("command", [("accounts", "show", "alice@misskey.example"), ("store", "prune")])
def test_a_host_at_a_shell_is_told_in_words(tmp_path: Path, command: tuple[str, ...]) -> None:
    store = open_store(f"sqlite:///{tmp_path}/tokens.sqlite3", [SECRET_KEY])
    store.backend.put("expired", b"value", -1)

    done = shell(tmp_path, *command)

    if command[0] == "accounts":
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr == "Error: There is no sign-in of alice@misskey.example.\n"
    else:
        assert (done.returncode, done.stdout, done.stderr) == (0, "1 expired entry removed.\n", "")


def test_a_host_backs_up_and_forgets_at_a_shell(
    make_app: Callable[..., Flask], sandbox: Running, tmp_path: Path
) -> None:
    alice = signed_in(make_app(PRIVATE_SERVERS=sandbox.origin), sandbox)

    backed_up = shell(tmp_path, "store", "backup", str(tmp_path / "copy"))
    assert (backed_up.returncode, backed_up.stderr) == (0, "")
    forgotten = shell(tmp_path, "accounts", "forget", address(sandbox), PRIVATE_SERVERS=sandbox.origin)
    assert (forgotten.returncode, forgotten.stderr) == (0, "")
    assert alice.get("/dashboard").location == "/"
    shown = shell(
        tmp_path,
        *("accounts", "show", address(sandbox)),
        PRIVATE_SERVERS=sandbox.origin,
        TOKEN_STORE=f"sqlite:///{tmp_path}/copy",
    )
    assert shown.stdout.startswith(f"{address(sandbox)}: 1 sign-in.\n")


def test_a_store_that_fails_says_so_to_commands() -> None:
    assert StoreUnavailable("disk full").format_message() == "The token store is not available: disk full."
