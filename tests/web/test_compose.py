"""What compose.yaml promises, as far as it can be told without Docker."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from web.config import Settings, load

ROOT = Path(__file__).parents[2]
FILE = (ROOT / "compose.yaml").read_text()
CADDYFILE = (ROOT / "Caddyfile").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
GUNICORN = (ROOT / "web" / "gunicorn.conf.py").read_text()
APPS, SERVICES = ("app", "app-2"), ("app", "app-2", "redis", "caddy")


def composed(**variables: str) -> Any:
    """Return the file as Docker Compose reads it with these variables."""

    def value(found: re.Match[str]) -> str:
        name, operator, words = found[1], found[2] or "", found[3]
        is_set = bool(variables.get(name))
        assert operator != ":?" or is_set, words
        if operator == ":+":
            return words if is_set else ""
        return variables[name] if is_set else words

    text, replaced = FILE, 1
    while replaced:  # from the inside out
        text, replaced = re.subn(r"\$\{(\w+)(:[?+-])?([^${}]*)\}", value, text)
    return yaml.safe_load(text)


def services(**variables: str) -> dict[str, Any]:
    found = composed(DOMAIN="signin.example", **variables)["services"]
    assert tuple(found) == SERVICES
    return dict(found)


def settings(folder: Path, service: str, **variables: str) -> Settings:
    """Return what the app makes of its environment there; its data is in ``folder``."""
    environment: dict[str, str | None] = services(**variables)[service]["environment"]
    return load({name: (text or "").replace("/data", str(folder)) for name, text in environment.items()})


@pytest.mark.parametrize("service", APPS)
def test_the_domain_is_all_that_the_app_has_to_be_told(tmp_path: Path, service: str) -> None:
    chosen = settings(tmp_path, service)

    assert chosen.public_url == "https://signin.example"
    assert chosen.production
    assert chosen.trusted_proxies == 1
    assert chosen.secret_key == (tmp_path / "secret-key").read_text()
    assert chosen.token_store.startswith("sqlite:")


def test_without_a_domain_it_says_what_to_do() -> None:
    with pytest.raises(AssertionError, match=r"DOMAIN=signin\.example docker compose up -d"):
        composed()


def test_with_the_profile_several_apps_have_one_redis_and_one_key(tmp_path: Path) -> None:
    first, second = (settings(tmp_path, service, COMPOSE_PROFILES="redis") for service in APPS)

    assert first == second
    assert first.token_store == "redis://redis:6379/0"


def test_what_a_host_writes_down_goes_before_what_is_usual(tmp_path: Path) -> None:
    elsewhere = {"MIAUTH_TOKEN_STORE": "redis://127.0.0.1:1/0", "MIAUTH_TRUSTED_PROXIES": "2"}
    chosen = settings(tmp_path, "app", COMPOSE_PROFILES="redis", **elsewhere)

    assert (chosen.token_store, chosen.trusted_proxies) == ("redis://127.0.0.1:1/0", 2)


def test_the_redis_keeps_what_it_is_given() -> None:
    redis = services()["redis"]
    command = redis["command"]

    assert command[command.index("--appendonly") + 1] == "yes"
    assert command[command.index("--maxmemory-policy") + 1] == "noeviction"
    assert redis["volumes"] == ["redis-data:/data"]
    assert redis["profiles"] == services()["app-2"]["profiles"] == ["redis"]


@pytest.mark.parametrize("service", SERVICES)
def test_each_may_do_as_little_as_possible(service: str) -> None:
    found = services()[service]

    assert found["read_only"]
    assert found["cap_drop"] == ["ALL"]
    assert found.get("cap_add", []) == (["NET_BIND_SERVICE"] if service == "caddy" else [])
    assert found["security_opt"] == ["no-new-privileges:true"]
    assert [folder.partition(":")[0] for folder in found["tmpfs"]] == ["/tmp"]
    assert {"memory", "pids"} == found["deploy"]["resources"]["limits"].keys()
    assert found["restart"] == "unless-stopped"
    assert "healthcheck" in found or "HEALTHCHECK" in DOCKERFILE
    assert not found.keys() & {"privileged", "network_mode", "pid", "ipc", "devices"}


def test_only_the_proxy_can_be_reached_and_the_redis_by_the_apps_only() -> None:
    found = services()

    assert [name for name in SERVICES if "ports" in found[name]] == ["caddy"]
    assert [name for name in SERVICES if "store" in found[name]["networks"]] == ["app", "app-2", "redis"]
    assert found["redis"]["networks"] == ["store"]
    assert composed(DOMAIN="signin.example")["networks"]["store"]["internal"]


def test_the_proxy_finds_every_app() -> None:
    found = services()

    assert f"dynamic a app {found['app']['environment']['PORT']} " in CADDYFILE
    assert found["app-2"]["networks"]["front"]["aliases"] == ["app"]
    assert "./Caddyfile:/etc/caddy/Caddyfile:ro" in found["caddy"]["volumes"]


def test_where_the_network_has_ipv6_too_the_proxy_still_asks_where_the_app_listens() -> None:
    assert '--bind \\"${HOST:-0.0.0.0}:' in DOCKERFILE
    assert re.search(r"dynamic a app \d+ \{\n\t+versions ipv4\n", CADDYFILE)


def test_nothing_secret_stands_in_it() -> None:
    for found in services(COMPOSE_PROFILES="redis").values():
        words = f"{found.get('command')} {found.get('environment')} {found.get('healthcheck')}".lower()
        assert not re.search("password|requirepass|--pass|token(?!_store)|miauth_secret_key['=]", words)


def test_what_must_last_is_in_volumes_that_have_names() -> None:
    volumes = composed(DOMAIN="signin.example")["volumes"]
    used = {volume.partition(":")[0] for found in services().values() for volume in found["volumes"]}

    assert used - {"./Caddyfile"} == volumes.keys()
    assert "--mode=700 /data" in DOCKERFILE


def test_there_may_be_as_many_threads_as_the_workers_want() -> None:
    [threads] = re.findall(r"^threads = (\d+)$", GUNICORN, re.MULTILINE)

    assert services()["app"]["deploy"]["resources"]["limits"]["pids"] >= 2 * int(threads) * 2


@pytest.mark.parametrize("service", APPS)
def test_the_app_is_built_here_and_comes_from_no_registry(service: str) -> None:
    assert services()[service]["build"] == "."
    assert "image" not in services()[service]


@pytest.mark.parametrize("service", ["redis", "caddy"])
def test_images_of_others_have_a_version_and_a_registry(service: str) -> None:
    """Podman knows no short names unless its host has said what they are short for."""
    assert re.fullmatch(r"docker\.io/library/[a-z]+:\d[a-z0-9.-]*", services()[service]["image"])


@pytest.mark.parametrize("service", SERVICES)
def test_logs_end_somewhere_by_a_driver_that_podman_has_too(service: str) -> None:
    logging = services()[service]["logging"]

    assert logging["driver"] == "json-file"
    assert {"max-size", "max-file"} == logging["options"].keys()
