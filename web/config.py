"""Every setting: name, default, reason. Wrong ones stop the start, in words.

Settings are environment variables with the prefix ``MIAUTH_``, also from a file ``.env``; ``.env.example`` explains
each. ``python -m web.config`` checks them.
"""

from __future__ import annotations

import os
import re
import secrets
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from dotenv import dotenv_values

from misskey import DEMO, Server, ServerNameError, ca_bundle, check_app, check_proxies, parse_permissions

ROOT = Path(__file__).resolve().parent.parent
INSTANCE = ROOT / "instance"
PREFIX = "MIAUTH_"
#: The app's picture, as :mod:`web.static_files` serves it under its plain name.
ICON_PATH = "/static/icon.png"
#: Large, open to everyone, and Misskey itself; only suggestions.
SUGGESTED = "misskey.io nijimiss.moe misskey.design"


#: How many times in a day what is allowed in such a time.
_TIMES_A_DAY = {"second": 1500, "minute": 25, "hour": 5, "day": 1}


class SettingsError(ValueError):
    """A setting is wrong; the message says which ones and how to mend them."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the environment says, checked. Lists keep the order in which they were written."""

    secret_key: str = field(repr=False)
    secret_key_fallbacks: tuple[str, ...] = field(repr=False)
    public_url: str
    app_name: str
    app_icon: str
    permissions: tuple[str, ...]
    token_store: str = field(repr=False)  # a Redis has its password in it
    private_servers: tuple[str, ...]
    suggested_servers: tuple[str, ...]
    trusted_proxies: int
    session_days: int
    signin_limit: str

    @property
    def production(self) -> bool:
        """With a public address on https the app is in production."""
        return self.public_url.startswith("https://")

    @property
    def begin_limit(self) -> str:
        """How often one visitor may begin a sign-in, also in a day: what it leaves is stored for weeks."""
        times, _, unit = self.signin_limit.split()
        return f"{self.signin_limit}; {int(times) * _TIMES_A_DAY[unit]} per day"

    @property
    def host(self) -> str:
        """The host name of the public address: cookies belong to it."""
        return urlsplit(self.public_url).hostname or ""


def environment() -> dict[str, str]:
    """Return the environment, with what ``.env`` adds to it."""
    from_file = {name: value for name, value in dotenv_values(ROOT / ".env").items() if value is not None}
    return from_file | dict(os.environ)


def load(environ: Mapping[str, str] | None = None) -> Settings:
    """Return the settings in ``environ``, by default :func:`environment`; raises :class:`SettingsError`."""
    return _Reader(environment() if environ is None else environ).settings()


class _Reader:
    """Reads setting after setting and collects what is wrong, so that one start tells everything."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self.environ = environ
        self.wrong: list[str] = []
        self.known: list[str] = []

    def settings(self) -> Settings:
        port = self.port()
        public_url = self.public_url(self.text("PUBLIC_URL", f"http://localhost:{port}"))
        production = public_url.startswith("https://")
        private_servers = self.private_servers()
        settings = Settings(
            secret_key=self.secret_key(production),
            secret_key_fallbacks=tuple(
                self.long_enough("SECRET_KEY_FALLBACKS", key, production) for key in self.words("SECRET_KEY_FALLBACKS")
            ),
            public_url=public_url,
            app_name=self.text("APP_NAME", "Sign in with Misskey"),
            # On plain http it would be on this machine, where the page of a Misskey server on https can't show it.
            app_icon=self.text("APP_ICON", public_url + ICON_PATH if production else ""),
            permissions=self.permissions(),
            token_store=self.token_store(),
            private_servers=private_servers,
            suggested_servers=self.suggested_servers(private_servers),
            trusted_proxies=self.number("TRUSTED_PROXIES", 0, 0, 10),
            session_days=self.number("SESSION_DAYS", 30, 1, 400),  # browsers keep a cookie for 400 days at most
            signin_limit=self.limit("SIGNIN_LIMIT", "20 per minute"),
        )
        if settings.app_icon and production and not settings.app_icon.startswith("https://"):
            self.complain("APP_ICON", "must begin with https://, as the page that shows it does.")
        for check in (ca_bundle, check_proxies, lambda: temporary_folder(settings.token_store)):
            try:
                check()
            except ValueError as error:
                self.wrong.append(f"{error}.")
        try:
            check_app(settings.app_name, settings.app_icon, f"{public_url}/callback")
        except ValueError as error:
            self.complain("APP_NAME", f"or APP_ICON or PUBLIC_URL: {error}.")
        for name in sorted(name for name in self.environ if name.startswith(PREFIX)):
            if (rest := name.removeprefix(PREFIX)) not in self.known:
                meant = get_close_matches(rest, self.known, 1)
                self.complain(rest, "is no setting." + (f" Is {PREFIX}{meant[0]} meant?" if meant else ""))
        if self.wrong:
            raise SettingsError("These settings need mending:\n" + "\n".join(f"  {line}" for line in self.wrong))
        return settings

    def complain(self, name: str, words: str) -> None:
        self.wrong.append(f"{PREFIX}{name} {words}")

    def text(self, name: str, default: str) -> str:
        self.known.append(name)
        return self.environ.get(PREFIX + name, "").strip() or default

    def words(self, name: str, default: str = "") -> tuple[str, ...]:
        return tuple(word for word in re.split(r"[\s,]+", self.text(name, default)) if word)

    def number(self, name: str, default: int, least: int, most: int) -> int:
        text = self.text(name, str(default))
        if re.fullmatch("[0-9]{1,9}", text) and least <= int(text) <= most:
            return int(text)
        self.complain(name, f"must be a whole number from {least} to {most}.")
        return default

    def limit(self, name: str, default: str) -> str:
        text = self.text(name, default)
        if not re.fullmatch(r"[1-9][0-9]{0,5} per (second|minute|hour|day)", text):
            self.complain(name, f"must read like “{default}”.")
        return text

    def port(self) -> str:
        port = self.environ.get("PORT") or "8000"
        if re.fullmatch("[0-9]{1,5}", port) and 0 < int(port) < 65536:
            return port
        self.wrong.append("PORT must be a number from 1 to 65535.")
        return "8000"

    def public_url(self, text: str) -> str:
        try:
            origin = Server.parse_origin(text).origin
        except ValueError as error:
            self.complain("PUBLIC_URL", f"must be an address such as https://signin.example: {error}")
            return text
        if origin.startswith("http://") and urlsplit(origin).hostname not in ("localhost", "127.0.0.1", "::1"):
            self.complain("PUBLIC_URL", "must begin with https://; plain http is for this machine only.")
        return origin

    def secret_key(self, production: bool) -> str:
        key = self.text("SECRET_KEY", "")
        if path := self.text("SECRET_KEY_FILE", ""):
            try:
                key = Path(path).read_text().strip()
            except OSError as error:
                self.complain("SECRET_KEY_FILE", f"can't be read: {error.strerror}.")
            except UnicodeDecodeError:
                self.complain("SECRET_KEY_FILE", "must hold text; bytes of any kind are none.")
        if not key and not production:
            try:
                key = development_key()
            except OSError as error:
                self.complain("SECRET_KEY", f"is missing, and one can't be kept in {INSTANCE}: {error.strerror}.")
                return key
        return self.long_enough("SECRET_KEY", key, production)

    def long_enough(self, name: str, key: str, production: bool) -> str:
        if len(key) < (32 if production else 1):
            self.complain(
                name,
                "must have 32 characters or more. Make one with: "
                "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'",
            )
        if re.search(r"[\s,]", key):
            self.complain(name, "must have no spaces or commas: as one of the fallbacks later, they would divide it.")
        return key

    def permissions(self) -> tuple[str, ...]:
        names = self.words("PERMISSIONS")
        if f"{PREFIX}PERMISSIONS" not in self.environ:
            return DEMO
        try:
            return parse_permissions(names)
        except ValueError as error:
            self.complain("PERMISSIONS", f"has a name that Misskey does not know: {error}")
            return ()

    def token_store(self) -> str:
        url = self.text("TOKEN_STORE", f"sqlite:///{INSTANCE / 'tokens.sqlite3'}")
        if url.startswith(("redis://", "rediss://", "unix://")):
            # Whether it answers is for /readyz to tell: unlike a folder, a Redis may start after the app, or restart.
            self.redis(url)
        elif re.fullmatch("sqlite:///.+", url):
            self.folder_of(url)
        else:
            self.complain(
                "TOKEN_STORE",
                "must be a file, such as sqlite:////data/tokens.sqlite3, or a Redis, such as redis://localhost:6379/0.",
            )
        return url

    def redis(self, url: str) -> None:
        from .redis_backend import check_url  # a large library, which few need

        try:
            check_url(url)
        except ValueError:  # whose words may hold a part of the password
            self.complain(
                "TOKEN_STORE",
                "must read like redis://:password@host:6379/0, rediss://:password@host:6379/0 or "
                "unix:///run/redis.sock?db=0, with %-escapes for signs such as / and @ in the password.",
            )

    def folder_of(self, url: str) -> None:
        path = Path(url.removeprefix("sqlite:///"))
        folder = path.parent
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()
            if path.exists():
                with path.open("rb") as file:
                    if file.read(16) not in (b"", b"SQLite format 3\0"):
                        self.complain("TOKEN_STORE", f"is a file of another kind: {path}.")
        except OSError as error:
            self.complain("TOKEN_STORE", f"can't be used, {path}: {error.strerror}.")

    def private_servers(self) -> tuple[str, ...]:
        origins = []
        for word in self.words("PRIVATE_SERVERS"):
            try:
                origins.append(Server.parse_origin(word).origin)
            except ValueError as error:
                self.complain("PRIVATE_SERVERS", f"has {word}: {error}")
        return tuple(origins)

    def suggested_servers(self, private: tuple[str, ...]) -> tuple[str, ...]:
        servers = []
        for word in self.words("SUGGESTED_SERVERS", SUGGESTED):
            try:
                servers.append(Server.parse(word, private).host)
            except ServerNameError as error:
                self.complain("SUGGESTED_SERVERS", f"has {word}: {error}")
        return tuple(servers)


def temporary_folder(token_store: str) -> str:
    """Return where large forms and files rest until they are passed on: in the usual place, else beside the tokens.

    Raises :class:`ValueError` where neither can be written to.
    """
    with suppress(FileNotFoundError):
        return tempfile.gettempdir()
    folder = str(Path(token_store.removeprefix("sqlite:///")).parent)
    if token_store.startswith("sqlite:///") and os.access(folder, os.W_OK | os.X_OK):
        return folder
    raise ValueError("TMPDIR must name a folder that can be written to, for files that people send; /tmp can't")


def development_key() -> str:
    """Return the key of this working copy: made once, readable by the owner only."""
    path = INSTANCE / "secret_key"
    INSTANCE.mkdir(mode=0o700, exist_ok=True)
    try:
        with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(32))
    except FileExistsError:
        pass
    return path.read_text()


def main() -> int:
    """Check the settings; say what is wrong."""
    try:
        load()
    except SettingsError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if sys.stdout.isatty():
        sys.stdout.write("All settings are fine.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
