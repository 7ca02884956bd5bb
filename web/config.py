"""Every setting: name, default, reason. Wrong ones stop the start, in words.

Settings are environment variables with the prefix ``MIAUTH_``, also from a file ``.env``; ``.env.example`` explains
each. ``flask --app app settings check`` checks them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path
from typing import TypeVar, cast
from urllib.parse import urlsplit

from misskey import Server, ca_bundle, check_app, check_proxies, parse_permissions

from . import secret_keys, token_store
from .environment import PREFIX, ROOT, environment
from .environment import SettingsError as SettingsError
from .hosting import folders

INSTANCE = ROOT / "instance"
APP_NAME = "Sign in with Misskey"
#: The app's picture, as :mod:`web.static_files` serves it under its plain name.
ICON_PATH = "/static/icon.png"
#: Large, open to everyone, and Misskey itself; only suggestions.
SUGGESTED = "misskey.io nijimiss.moe misskey.design"

#: How many times in a day what is allowed in such a time.
_TIMES_A_DAY = {"second": 1500, "minute": 25, "hour": 5}

Value = TypeVar("Value")


@dataclass(frozen=True)
class Settings:
    """What the environment says, checked. Lists keep the order in which they were written."""

    secret_key: str = field(repr=False)
    secret_key_fallbacks: tuple[str, ...] = field(repr=False)
    secret_key_file: str  # "": the key is in the environment itself
    public_url: str
    app_name: str
    app_icon: str
    permissions: tuple[str, ...] | None  # None: what the app needs
    token_store: str = field(repr=False)  # a Redis has its password in it
    private_servers: tuple[str, ...]
    suggested_servers: tuple[str, ...]
    only_servers: tuple[str, ...]
    trusted_proxies: int
    session_days: int
    signin_limit: str
    log: str
    metrics: str = field(repr=False)

    @cached_property
    def production(self) -> bool:
        """With a public address on https the app is in production."""
        return self.public_url.startswith("https://")

    @cached_property
    def signing_keys(self) -> tuple[str, ...]:
        """The secret keys as itsdangerous takes them: it signs with the last one."""
        return (*self.secret_key_fallbacks, self.secret_key)

    @cached_property
    def begin_limit(self) -> str:
        """How often one visitor may begin a sign-in, also in a day: what it leaves is stored for weeks."""
        times, _, unit = self.signin_limit.split()
        if unit == "day":  # twice the same limit would count twice
            return self.signin_limit
        return f"{self.signin_limit}; {int(times) * _TIMES_A_DAY[unit]} per day"

    @cached_property
    def host(self) -> str:
        """The host name of the public address: cookies belong to it."""
        return urlsplit(self.public_url).hostname or ""


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in ``environ``, by default :func:`environment`; raises :class:`SettingsError`."""
    reader = _Reader(environment() if environ is None else environ)
    settings = reader.settings()
    reader.check(settings)
    reader.check_names()
    if reader.wrong:
        raise SettingsError("\n  ".join(("These settings need mending:", *reader.wrong)))
    return settings


class _Reader:
    """Reads setting after setting and collects what is wrong, so that one start tells everything."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.wrong: list[str] = []

    def parsed(self, name: str, text: str, parse: Callable[[str], Value]) -> Value:
        """Return what ``parse`` makes of ``text``; where that is wrong ``text`` itself, to go on checking with."""
        try:
            return parse(text)
        except ValueError as error:
            self.wrong.append(f"{PREFIX}{name} {str(error).removesuffix('.')}.")
            return cast(Value, text)

    def text(self, name: str, default: str = "") -> str:
        return self.environ.get(PREFIX + name, "").strip() or default

    def one(self, name: str, parse: Callable[[str], Value], default: str = "") -> Value:
        return self.parsed(name, self.text(name, default), parse)

    def each(self, name: str, parse: Callable[[str], str], default: str = "") -> tuple[str, ...]:
        return tuple(self.parsed(f"{name} has {word}:", word, parse) for word in _words(self.text(name, default)))

    def settings(self) -> Settings:
        url = self.text("PUBLIC_URL", f"http://localhost:{self.number('PORT', 65535, '8000')}")
        url = self.parsed("PUBLIC_URL must be an address such as https://signin.example:", url, _origin)
        production = url.startswith("https://")
        private = self.each("PRIVATE_SERVERS", _origin)
        # Browsers keep a cookie for 400 days at most.
        days = self.one("SESSION_DAYS", lambda text: _number(text, 1, 400), "30")
        key_file, keys = self.secret_keys(production, 1 if self.wrong else days)  # what is wrong stops the start
        fallbacks = self.one(
            "SECRET_KEY_FALLBACKS", lambda text: tuple(secret_keys.check(key, production) for key in _words(text))
        )
        return Settings(
            secret_key=keys[0],
            secret_key_fallbacks=(*keys[1:], *fallbacks),
            secret_key_file=key_file,
            public_url=url,
            app_name=self.text("APP_NAME", APP_NAME),
            # On plain http it would be on this machine, where the page of a Misskey server on https can't show it.
            app_icon=self.text("APP_ICON", url + ICON_PATH if production else ""),
            permissions=self.permissions() if f"{PREFIX}PERMISSIONS" in self.environ else None,
            token_store=self.one("TOKEN_STORE", token_store.check_url, f"sqlite:///{INSTANCE / 'tokens.sqlite3'}"),
            private_servers=private,
            suggested_servers=self.each("SUGGESTED_SERVERS", lambda word: Server.parse(word, private).host, SUGGESTED),
            only_servers=self.each("ONLY_SERVERS", lambda word: Server.parse(word, private).host),
            trusted_proxies=self.one("TRUSTED_PROXIES", lambda text: _number(text, 0, 10), "0"),
            session_days=days,
            signin_limit=self.text("SIGNIN_LIMIT", "20 per minute"),
            log=self.one("LOG", _log, "text"),
            metrics=self.one("METRICS", _bearer_token),
        )

    def number(self, name: str, most: int, default: str) -> str:
        """Check one of gunicorn's settings, which have no prefix."""
        text = self.environ.get(name) or default
        try:
            return str(_number(text, 1, most))
        except ValueError as error:
            self.wrong.append(f"{name} {error}, not {text!r}.")
        return default

    def secret_keys(self, production: bool, days: int) -> tuple[str, tuple[str, ...]]:
        """Return the file that holds the keys, ``""`` where the environment itself does, and the keys."""
        given = self.text("SECRET_KEY_FILE")
        make = self.one("MAKE_SECRET_KEY", lambda text: _number(text, 0, 1), "0")
        if make and not given:
            self.wrong.append(f"{PREFIX}MAKE_SECRET_KEY needs {PREFIX}SECRET_KEY_FILE: it says where.")
        if not given and (production or self.text("SECRET_KEY")):
            return "", (self.one("SECRET_KEY", lambda key: secret_keys.check(key, production)),)
        path = given or str(INSTANCE / "secret_key")

        def read(path: str) -> tuple[str, ...]:
            if make == 1 or not given:
                secret_keys.make(Path(path))
            return secret_keys.read(path, production, days)

        return path, self.parsed("SECRET_KEY_FILE" if given else "SECRET_KEY", path, read)

    def permissions(self) -> tuple[str, ...]:
        return self.parsed("PERMISSIONS has", self.text("PERMISSIONS"), lambda text: parse_permissions(_words(text)))

    def check(self, settings: Settings) -> None:
        self.number("WEB_CONCURRENCY", 1000, "2")
        name, icon, url = settings.app_name, settings.app_icon, settings.public_url
        if url.startswith("http://") and not re.match(r"http://(localhost|127\.0\.0\.1|\[::1\])(:|/|$)", url):
            self.wrong.append(f"{PREFIX}PUBLIC_URL must begin with https://; plain http is for this machine only.")
        if settings.production and not icon.startswith("https://"):
            self.wrong.append(f"{PREFIX}APP_ICON must begin with https://, as the page that shows it does.")
        if not re.fullmatch(r"[1-9][0-9]{0,5} per (second|minute|hour|day)", settings.signin_limit):
            self.wrong.append(f"{PREFIX}SIGNIN_LIMIT must read like “20 per minute”.")
        self.parsed("APP_NAME or APP_ICON or PUBLIC_URL:", url, lambda url: check_app(name, icon, f"{url}/callback"))
        for check in (ca_bundle, check_proxies, lambda: folders.temporary_folder(settings.token_store)):
            try:
                check()
            except ValueError as error:
                self.wrong.append(f"{error}.")

    def check_names(self) -> None:
        given = {name: value for name, value in self.environ.items() if name.startswith(PREFIX)}
        self.wrong += [
            f"{name} is no text: it must be UTF-8." for name in given if re.search("[\ud800-\udfff]", given[name])
        ]
        known = [PREFIX + name for name in (*(setting.name.upper() for setting in fields(Settings)), "MAKE_SECRET_KEY")]
        for name in sorted(given.keys() - known):
            meant = get_close_matches(name, known, 1)
            self.wrong.append(f"{name} is no setting." + (f" Is {meant[0]} meant?" if meant else ""))


def _words(text: str) -> tuple[str, ...]:
    return tuple(word for word in re.split(r"[\s,]+", text) if word)


def _number(text: str, least: int, most: int) -> int:
    if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most:
        return int(text)
    raise ValueError(f"must be a whole number from {least} to {most}")


def _log(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError("must be text or json")
    return text


def _bearer_token(text: str) -> str:
    if text and not re.fullmatch("[!-~]{16,}", text):
        raise ValueError(
            "must be the token that Prometheus sends: 16 letters, digits or signs or more, without spaces. Make one "
            "with: python3 -c 'import secrets; print(secrets.token_urlsafe(32))'"
        )
    return text


def _origin(text: str) -> str:
    return Server.parse_origin(text).origin
