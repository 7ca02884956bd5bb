"""What whoever hosts the app does at a shell: ``flask --app app --help`` lists it.

Each command ends with 0 when it was done, 1 when it failed or found nothing, 2 for a command line that is none.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path

import click
from flask import Flask
from flask.cli import AppGroup

from misskey import Server, ServerNameError
from web import environment, secret_keys, services, signals
from web.accounts import BEGINNING, Account
from web.config import Settings
from web.storage import sqlite_backend

secret_key = AppGroup("secret-key", help="The key that signs cookies and encrypts tokens.")
people = AppGroup("accounts", help="People's sign-ins.")
store = AppGroup("store", help="The token store.")
settings_group = AppGroup("settings", help="What the environment and .env say.")


def init_app(app: Flask) -> None:
    """Give ``app`` its commands."""
    for group in (secret_key, people, store, settings_group):
        app.cli.add_command(group)


@secret_key.command("rotate")
def rotate() -> None:
    """Put a new secret key in the place of the present one, without signing anyone out.

    The key must be in a file: that of MIAUTH_SECRET_KEY_FILE, or the one that the app made for itself in instance/. The
    former key moves to a line of its own below. The app reads the file again when it changes; nothing is restarted.

    With several machines that each have a file of their own, do this by hand: first add the new key as the last line of
    every file, then make it the first line.
    """
    settings = services.settings()
    file, days = settings.secret_key_file, settings.session_days
    if not file:
        raise click.ClickException(
            "The secret key is in MIAUTH_SECRET_KEY, which no command can change. Put a new one there, and the present "
            f"one into MIAUTH_SECRET_KEY_FALLBACKS for {days} days, then stop the app and start it again. Or put the "
            "present one into a file that MIAUTH_SECRET_KEY_FILE names; there this command changes it."
        )
    try:
        until = secret_keys.rotate(file, days)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", error)
        raise click.ClickException(
            f"{file} was not changed: {reason}. Where it is read-only or mounted by itself, change it where it comes "
            "from: a new key as the first line, the lines that are there now below it."
        ) from error
    click.echo(
        f"The new secret key is in {file}. The app uses it from its next request on, "
        f"and accepts the former one until {until:%Y-%m-%d}; to end that at once, delete its line: whoever still needs "
        "it is signed out."
    )


@people.command("show")
@click.argument("address")
def show(address: str) -> None:
    """Tell which sign-ins of a person are stored.

    ADDRESS is such as alice@misskey.example. No token is shown.
    """
    found = _sign_ins(address)
    click.echo(f"{address}: {_counted(len(found), 'sign-in')}.")
    for account, expires in sorted(found.values(), key=lambda one: one[0].signed_in):
        asked = account.permissions
        words = "not known, as the token was made by hand" if asked is None else ", ".join(asked) or "none"
        click.echo(f"Since {_time(account.signed_in)}, until {_time(expires)}. Permissions: {words}.")


@people.command("forget")
@click.argument("address")
def forget(address: str) -> None:
    """Sign a person out everywhere: all that is stored of them is removed.

    ADDRESS is such as alice@misskey.example. Their tokens live on at their server, where only they can remove them,
    in its settings.
    """
    found = _sign_ins(address)
    for entry, (account, _) in found.items():
        services.token_store().delete_owned_by(account.owner, account.data_owner)
        services.token_store().delete_entry(entry)  # those of version 0.1.0 have no owner
        signals.send(signals.signed_out, account=account)
    click.echo(f"{_counted(len(found), 'sign-in')} of {address} removed. The tokens still live at the server.")


@store.command("prune")
def prune() -> None:
    """Remove what has expired.

    Sign-ins do so too, a few entries at a time. A file of SQLite keeps its size and fills the room again. A Redis
    removes by itself what has expired.
    """
    removed = services.token_store().prune()
    click.echo(f"{_counted(removed, 'expired entry', 'expired entries')} removed.")


@store.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the store into FILE, also while the app runs; a file that is there already stays as it is.

    Without the secret key nobody can read it: keep that too, in another place.
    """
    stored = sqlite_backend.file_at(services.settings().token_store)
    if not stored:
        raise click.ClickException("The token store is a Redis; copy it with its own tools, such as BGSAVE.")
    try:
        sqlite_backend.backup(stored, file)
    except OSError as error:
        raise click.ClickException(f"{file} can't be written: {error.strerror}.") from error
    click.echo(
        f"The store is copied to {file}. Without the secret key it can't be read: keep that too, somewhere else."
    )


@settings_group.command("check")
def check() -> None:
    """Read the settings as the start does, open the store, and tell what is set and where, without any secret."""
    services.token_store().get("ready?")
    for name, value in _shown(services.settings()).items():
        where = environment.source(name) or "by default"
        click.echo(f"{environment.PREFIX}{name.upper()}: {value or 'none'} ({where})")
    click.echo("All settings are fine, and the token store can be read.")


def _shown(settings: Settings) -> dict[str, str]:
    """Return the settings as a host reads them, without anything secret, by their names."""
    values = {field.name: getattr(settings, field.name) for field in fields(settings)}
    file, former = settings.secret_key_file, len(settings.secret_key_fallbacks)
    of_file = len(secret_keys.read(file, settings.production, settings.session_days)) - 1 if file else 0
    values["secret_key_file"] = f"{file}, with {_counted(of_file, 'former key')}"
    values["secret_key"] = "set"  # noqa: S105 - all that is told of it
    values["secret_key_fallbacks"] = _counted(former - of_file, "former key")
    values["metrics"] = "set" if settings.metrics else ""
    del values["secret_key" if file else "secret_key_file"]
    if settings.permissions is None:
        values["permissions"] = "what the app needs"
    address, _, _ = settings.token_store.partition("?")  # a query may have a password
    values["token_store"] = re.sub("^([a-z+]+://)[^/]*@", r"\1", address)
    return {name: " ".join(value) if isinstance(value, tuple) else str(value) for name, value in values.items()}


def _sign_ins(address: str) -> dict[str, tuple[Account, float]]:
    """Return a person's sign-ins, and when they expire, by their entry's id; end with 1 where there is none."""
    name, _, host = address.removeprefix("@").rpartition("@")
    with suppress(ServerNameError):
        host = Server.parse(host, services.settings().private_servers).host
    wanted = f"{name}@{host}".lower()  # Misskey takes @Alice for @alice
    owners = {account.owner for _, account, _ in _stored() if account.address.lower() == wanted}
    if not owners:
        raise click.ClickException(f"There is no sign-in of {address}.")
    return {entry: (account, expires) for entry, account, expires in _stored() if account.owner in owners}


def _stored() -> Iterator[tuple[str, Account, float]]:
    for entry, value, expires in services.token_store().entries():
        if value.startswith(BEGINNING):
            yield entry, Account(**json.loads(value)), expires


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"


def _time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"
