"""Every setting: its default, and the words when it is wrong."""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import stat
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

from sandbox.run import read_settings
from tests.cast import environment, forget_settings
from web import config
from web.config import SettingsError, load
from web.hosting import folders

ROOT = Path(__file__).parents[2]
KEY = "k" * 32


REDIS_URLS = [
    "redis://localhost",
    "redis://localhost:6379/",
    "redis://:pass%2Fword@redis.example:6380/15",
    "rediss://app:password@redis.example/0?ssl_ca_certs=/etc/ssl/redis.pem",
    "unix:///run/redis.sock",
    "unix://:password@/run/redis.sock?db=3",
    "redis+sentinel://localhost/mymaster",
    "redis+sentinel://app:pass%2Fword@localhost:26379,[::1]:26380/mymaster/2?sentinel_password=s3cret",
]
BAD_REDIS_URLS = [
    "redis://",
    "redis:///0",
    "redis://:pass/word@localhost",
    "redis://localhost:port",
    "redis://localhost:99999",
    "redis://localhost/tokens",
    "redis://localhost/0/1",
    "redis://localhost?db=first",
    "redis://localhost?decode_responses=true",
    "redis://localhost?ssl_ca_certs=/etc/ssl/redis.pem",
    "rediss://localhost?ssl_anything=1",
    "rediss://localhost?ssl_cert_reqs=perhaps",
    "redis://localhost/0#fragment",
    "unix://run/redis.sock",
    "unix://",
    "redis+sentinel://localhost",
    "redis+sentinel://localhost/",
    "redis+sentinel:///mymaster",
    "redis+sentinel://localhost,/mymaster",
    "redis+sentinel://localhost:port/mymaster",
    "redis+sentinel://localhost:0/mymaster",
    "redis+sentinel://localhost/mymaster/first",
    "redis+sentinel://localhost/mymaster/0/1",
    "redis+sentinel://localhost/mymaster?ssl_ca_certs=/etc/ssl/redis.pem",
    "redis+sentinel://:pass/word@localhost/mymaster",
    "rediss+sentinel://localhost/mymaster",
    "redis+unix:///run/redis.sock",
]


@pytest.fixture(autouse=True)
def instance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(config, "INSTANCE", tmp_path / "instance")
    return tmp_path / "instance"


def settings(**values: str) -> config.Settings:
    """Load these settings alone: others have their defaults."""
    return load({f"MIAUTH_{name}": value for name, value in values.items()})


@pytest.fixture
def env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that is read where no others are set."""
    monkeypatch.setattr("web.environment.ROOT", tmp_path)
    monkeypatch.delenv("PYTHON_DOTENV_DISABLED")
    return tmp_path / ".env"


def test_nothing_needs_to_be_set_in_development(instance: Path) -> None:
    chosen = load({})

    assert chosen.public_url == "http://localhost:8000"
    assert chosen.token_store == f"sqlite:///{instance / 'tokens.sqlite3'}"
    assert chosen.permissions is None
    assert "misskey.io" in chosen.suggested_servers
    assert (chosen.trusted_proxies, chosen.session_days, chosen.signin_limit) == (0, 30, "20 per minute")
    assert not chosen.production


def test_in_development_a_short_key_and_an_http_icon_will_do() -> None:
    chosen = settings(SECRET_KEY="short", SECRET_KEY_FALLBACKS="shorter", APP_ICON="http://localhost:8000/icon.svg")

    assert (chosen.secret_key, chosen.secret_key_fallbacks) == ("short", ("shorter",))
    assert chosen.app_icon == "http://localhost:8000/icon.svg"


def test_the_port_is_part_of_the_address() -> None:
    assert load({"PORT": "9000"}).public_url == "http://localhost:9000"


@pytest.mark.parametrize(
    ("limit", "begin"),
    [
        ("20 per minute", "20 per minute; 500 per day"),
        ("1 per second", "1 per second; 1500 per day"),
        ("100 per hour", "100 per hour; 500 per day"),
        ("7 per day", "7 per day"),  # twice would count twice
    ],
)
def test_sign_ins_are_limited_for_the_day_too(limit: str, begin: str) -> None:
    assert settings(SIGNIN_LIMIT=limit).begin_limit == begin


@pytest.mark.parametrize(("name", "most"), [("PORT", 65535), ("WEB_CONCURRENCY", 1000)])
@pytest.mark.parametrize("wrong", ["0", "65536", "99999", "http", "-1", "８０", "80 ", "80\r", "tcp://10.0.0.1:80"])
def test_a_wrong_port_or_number_of_workers_stops_the_start_in_words(name: str, most: int, wrong: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load({name: wrong})

    words = f"{name} must be a whole number from 1 to {most}, not {wrong!r}."
    assert str(caught.value) == f"These settings need mending:\n  {words}"


def test_what_the_app_keeps_is_beside_the_tokens_where_they_are_in_a_file(instance: Path, tmp_path: Path) -> None:
    assert folders.data_folder(settings().token_store, instance) == str(instance)
    assert folders.data_folder(f"sqlite:///{tmp_path}/data/tokens.sqlite3", instance) == f"{tmp_path}/data"
    assert folders.data_folder("redis://localhost:6379/0", instance) == str(instance)


def test_the_development_key_is_made_once_and_the_owners_alone(instance: Path) -> None:
    first, second = load({}).secret_key, load({}).secret_key

    assert first == second
    assert len(first) >= 32
    assert stat.S_IMODE((instance / "secret_key").stat().st_mode) == 0o600
    assert stat.S_IMODE(instance.stat().st_mode) == 0o700


def test_lists_are_separated_by_spaces_or_commas() -> None:
    chosen = settings(PRIVATE_SERVERS="http://127.0.0.1:3000, https://misskey.lan\nhttp://[::1]:3000")

    assert chosen.private_servers == ("http://127.0.0.1:3000", "https://misskey.lan", "http://[::1]:3000")


def test_no_permission_at_all_can_be_set() -> None:
    assert settings(PERMISSIONS="").permissions == ()
    assert settings(PERMISSIONS="write:notes read:account").permissions == ("read:account", "write:notes")


def test_with_https_the_app_is_in_production() -> None:
    chosen = settings(PUBLIC_URL="https://SignIn.example/", SECRET_KEY=KEY)

    assert chosen.production
    assert chosen.public_url == "https://signin.example"
    assert chosen.host == "signin.example"


def test_the_secret_key_can_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")

    assert settings(SECRET_KEY_FILE=str(tmp_path / "key")).secret_key == KEY


@pytest.mark.parametrize("name", ["SUGGESTED_SERVERS", "ONLY_SERVERS"])
def test_servers_are_named_as_people_type_them_and_may_be_private(name: str) -> None:
    chosen = settings(PRIVATE_SERVERS="http://127.0.0.1:3000", **{name: "127.0.0.1:3000, https://Misskey.io/@me"})

    assert getattr(chosen, name.lower()) == ("127.0.0.1:3000", "misskey.io")


def test_a_file_with_a_key_that_is_too_short_is_named(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("short")

    with pytest.raises(SettingsError, match="MIAUTH_SECRET_KEY_FILE must have 32 characters"):
        settings(SECRET_KEY_FILE=str(tmp_path / "key"), PUBLIC_URL="https://signin.example")


def test_by_default_sign_ins_are_not_for_some_servers_only() -> None:
    assert load({}).only_servers == ()


def test_a_ca_bundle_that_is_not_there_stops_the_start_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca")

    with pytest.raises(SettingsError, match="REQUESTS_CA_BUNDLE names a file that is not there: /nowhere/ca"):
        load({})


def test_certificates_and_proxies_that_can_not_be_used_stop_the_start_in_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", os.devnull)
    monkeypatch.setenv("ALL_PROXY", "socks5h://127.0.0.1:1080")

    with pytest.raises(SettingsError) as caught:
        load({})

    assert "REQUESTS_CA_BUNDLE names /dev/null, where no certificate can be read" in str(caught.value)
    assert "ALL_PROXY must be the address of an HTTP proxy" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"PUBLIC_URL": "https://signin.example"}, "MIAUTH_SECRET_KEY must have 32 characters"),
        ({"PUBLIC_URL": "https://signin.example", "SECRET_KEY": "short"}, "MIAUTH_SECRET_KEY must have 32 characters"),
        (
            {"PUBLIC_URL": "https://signin.example", "SECRET_KEY": KEY, "SECRET_KEY_FALLBACKS": "short"},
            "MIAUTH_SECRET_KEY_FALLBACKS must have 32 characters",
        ),
        ({"PUBLIC_URL": "http://signin.example", "SECRET_KEY": KEY}, "must begin with https://"),
        ({"PUBLIC_URL": "http://localhost.signin.example", "SECRET_KEY": KEY}, "must begin with https://"),
        ({"PUBLIC_URL": "signin.example"}, "MIAUTH_PUBLIC_URL must be an address"),
        ({"PUBLIC_URL": "https://signin.example/app", "SECRET_KEY": KEY}, "MIAUTH_PUBLIC_URL must be an address"),
        ({"SECRET_KEY_FILE": "/nowhere/key"}, "MIAUTH_SECRET_KEY_FILE can't be read"),
        ({"APP_NAME": "100%25 fun"}, "the app's name has a %"),
        ({"APP_NAME": "n" * 129}, "1 to 128 characters"),
        ({"APP_NAME": os.fsdecode("サインイン".encode("shift_jis"))}, "MIAUTH_APP_NAME is no text"),
        ({"APP_ICON": "https://signin.example/" + "i" * 512}, "longer than 512"),
        (
            {"PUBLIC_URL": "https://signin.example", "SECRET_KEY": KEY, "APP_ICON": "http://signin.example/i.png"},
            "MIAUTH_APP_ICON must begin with https://",
        ),
        ({"APPNAME": "x"}, "MIAUTH_APPNAME is no setting. Is MIAUTH_APP_NAME meant?"),
        ({"QUITE_ANOTHER": "x"}, "MIAUTH_QUITE_ANOTHER is no setting."),
        ({"PERMISSIONS": "read:account read:minds"}, "read:minds"),
        ({"TOKEN_STORE": "sqlite:////proc/nowhere/tokens"}, "MIAUTH_TOKEN_STORE can't be used, /proc/nowhere/tokens: "),
        ({"TOKEN_STORE": "sqlite:////proc/tokens"}, "MIAUTH_TOKEN_STORE can't be used, /proc/tokens: "),
        ({"TOKEN_STORE": f"sqlite:///{Path(__file__).parent}"}, "web: Is a directory."),
        ({"TOKEN_STORE": f"sqlite:///{__file__}"}, "MIAUTH_TOKEN_STORE is a file of another kind"),
        ({"SECRET_KEY_FILE": sys.executable}, "MIAUTH_SECRET_KEY_FILE must hold text"),
        ({"SECRET_KEY": f"{KEY} {KEY}"}, "MIAUTH_SECRET_KEY must have no spaces or commas"),
        ({"TOKEN_STORE": "postgres://db"}, "MIAUTH_TOKEN_STORE must be a file"),
        ({"TOKEN_STORE": "sqlite://tokens"}, "MIAUTH_TOKEN_STORE must be a file"),
        ({"TOKEN_STORE": "sqlite:///:memory:"}, "MIAUTH_TOKEN_STORE must name a file by its path"),
        ({"TOKEN_STORE": "sqlite:///~/tokens"}, "MIAUTH_TOKEN_STORE must name a file by its path"),
        ({"TOKEN_STORE": "sqlite:////proc/tokens?mode=ro"}, "MIAUTH_TOKEN_STORE must name a file by its path"),
        *(({"TOKEN_STORE": url}, "MIAUTH_TOKEN_STORE must read like redis://") for url in BAD_REDIS_URLS),
        ({"PRIVATE_SERVERS": "127.0.0.1:3000"}, "MIAUTH_PRIVATE_SERVERS has 127.0.0.1:3000"),
        ({"SUGGESTED_SERVERS": "10.0.0.1"}, "MIAUTH_SUGGESTED_SERVERS has 10.0.0.1"),
        ({"ONLY_SERVERS": "misskey.io 10.0.0.1"}, "MIAUTH_ONLY_SERVERS has 10.0.0.1"),
        ({"TRUSTED_PROXIES": "one"}, "MIAUTH_TRUSTED_PROXIES must be a whole number from 0 to 10"),
        ({"SESSION_DAYS": "0"}, "MIAUTH_SESSION_DAYS must be a whole number from 1 to 400"),
        ({"SIGNIN_LIMIT": "often"}, "MIAUTH_SIGNIN_LIMIT must read like"),
    ],
)
def test_a_wrong_setting_stops_the_start_in_words(values: dict[str, str], words: str) -> None:
    with pytest.raises(SettingsError) as caught:
        settings(**values)

    assert words in str(caught.value)


@pytest.mark.parametrize("url", REDIS_URLS)
def test_the_token_store_can_be_a_redis_which_need_not_answer_yet(url: str) -> None:
    assert settings(TOKEN_STORE=url).token_store == url


@pytest.mark.parametrize(
    "url", ["redis://:pa55/word@localhost", "redis://:pa55word@localhost:pa55word", "redis://pa55word"]
)
def test_the_password_of_a_redis_is_not_told(url: str) -> None:
    try:
        words = repr(settings(TOKEN_STORE=url))
    except SettingsError as error:
        words = "".join(traceback.format_exception(error))

    assert "pa55" not in words


def test_everything_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        settings(SESSION_DAYS="many", TRUSTED_PROXIES="all")

    assert "SESSION_DAYS" in str(caught.value)
    assert "TRUSTED_PROXIES" in str(caught.value)


def test_the_settings_show_no_secret() -> None:
    shown = repr(settings(SECRET_KEY=KEY, SECRET_KEY_FALLBACKS="f" * 32))

    assert KEY not in shown
    assert "f" * 32 not in shown


def test_lines_of_the_log_are_text_unless_the_setting_says_json() -> None:
    assert [settings(LOG=value).log for value in ("", "text", "json")] == ["text", "text", "json"]
    with pytest.raises(SettingsError, match="MIAUTH_LOG must be text or json"):
        settings(LOG="JSON lines")


@pytest.mark.parametrize("token", ["short", "x" * 15, "sixteen with space", "ein-Schlüssel-mit-Umlaut"])
def test_a_token_for_metrics_that_none_could_be_sent_as_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(SettingsError, match="MIAUTH_METRICS must be the token that Prometheus sends") as caught:
        settings(METRICS=token)

    assert token not in str(caught.value)


def test_a_good_token_for_metrics_is_not_shown() -> None:
    chosen = settings(METRICS="x" * 16)

    assert chosen.metrics == "x" * 16
    assert "x" * 16 not in repr(chosen)
    assert settings().metrics == ""


def test_a_file_adds_to_the_environment(env_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    env_file.write_text('MIAUTH_APP_NAME="From the file"\nMIAUTH_SESSION_DAYS=3\nEMPTY\n')
    monkeypatch.setenv("MIAUTH_SESSION_DAYS", "4")

    chosen = load()

    assert (chosen.app_name, chosen.session_days) == ("From the file", 4)


@pytest.mark.parametrize("content", ["サインイン".encode("shift_jis"), "x".encode("utf-16")])
def test_a_file_that_is_not_utf_8_stops_the_start_in_words(env_file: Path, content: bytes) -> None:
    env_file.write_bytes(b"MIAUTH_APP_NAME=" + content)

    for read in (load, read_settings):
        with pytest.raises((SettingsError, SystemExit), match="is not UTF-8"):
            read()


def test_a_file_that_can_not_be_read_stops_the_start_in_words(env_file: Path) -> None:
    env_file.symlink_to("/proc/self/mem")  # which can be opened, but not read

    with pytest.raises(SettingsError, match=r"\.env can.t be read"):
        load()


def test_what_kubernetes_tells_of_a_service_is_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("MIAUTH", "MIAUTH_BLUE"):
        for name, value in {
            "SERVICE_HOST": "10.0.0.1",
            "SERVICE_PORT": "8000",
            "SERVICE_PORT_HTTP": "8000",
            "PORT": "tcp://10.0.0.1:8000",
            "PORT_8000_TCP": "tcp://10.0.0.1:8000",
            "PORT_8000_TCP_PROTO": "tcp",
            "PORT_8000_TCP_PORT": "8000",
            "PORT_8000_TCP_ADDR": "10.0.0.1",
        }.items():
            monkeypatch.setenv(f"{service}_{name}", value)

    assert load() == load({})


def test_a_port_under_the_name_of_a_setting_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIAUTH_PORT", "9000")

    with pytest.raises(SettingsError, match="MIAUTH_PORT is no setting"):
        load()


def test_every_setting_is_explained_in_the_example() -> None:
    read = {field.name.upper() for field in dataclasses.fields(config.Settings)} | {"MAKE_SECRET_KEY"}
    explained = set(re.findall(r"^#? ?MIAUTH_([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))

    assert explained == read


def test_the_example_can_be_used_as_it_is(env_file: Path) -> None:
    env_file.write_text((ROOT / ".env.example").read_text())

    assert load().public_url == "http://localhost:8000"


def test_what_the_person_who_runs_the_tests_has_set_reaches_none(
    env_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env_file.write_text("MIAUTH_FROM_THE_FILE=1\nMIAUTH_SESSION_DAYS=many\n")
    for name, value in (("MIAUTH_FROM_OUTSIDE", "1"), ("PORT", "none"), ("SSL_CERT_FILE", "/nowhere")):
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        load()
    for name in ("MIAUTH_FROM_THE_FILE", "MIAUTH_SESSION_DAYS", "MIAUTH_FROM_OUTSIDE", "PORT", "SSL_CERT_FILE"):
        assert name in str(caught.value)

    forget_settings(monkeypatch)

    assert load() == load({})


@pytest.mark.parametrize("kept_out", [True, False])
def test_in_a_process_of_its_own_the_app_sees_the_settings_of_the_test_alone(tmp_path: Path, kept_out: bool) -> None:
    for package in ("web", "misskey"):
        shutil.copytree(ROOT / package, tmp_path / package)
    (tmp_path / ".env").write_text("MIAUTH_FROM_THE_FILE=1\n")
    environ = environment(tmp_path)
    if not kept_out:
        del environ["PYTHON_DOTENV_DISABLED"]

    command = [sys.executable, "-c", "from web.config import load; load()"]
    done = subprocess.run(command, env=environ, cwd=tmp_path, check=False)

    assert done.returncode == (0 if kept_out else 1)
