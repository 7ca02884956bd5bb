"""Where settings come from: the environment, and a file ``.env`` for what the environment does not say."""

from __future__ import annotations

import os
import re
from pathlib import Path

from click import ClickException
from dotenv import dotenv_values

ROOT = Path(__file__).resolve().parent.parent
PREFIX = "MIAUTH_"
# Kubernetes tells each container of the services beside it, in variables that begin with their names: of “miauth”, too.
_OF_A_SERVICE = re.compile(
    rf"{PREFIX}(\w+_)?(SERVICE_HOST=|SERVICE_PORT(_\w+)?=|PORT_[0-9]+_(TCP|UDP|SCTP)(_\w+)?=|PORT=[a-z]+://)"
)


class SettingsError(ClickException, ValueError):
    """A setting is wrong; the message says which ones and how to mend them. Commands show it, and end with 1."""


def environment() -> dict[str, str]:
    """Return the environment, with what ``.env`` adds to it; python-dotenv's own variable keeps that file out.

    Raises :class:`SettingsError` where the file can't be read.
    """
    own = {name: value for name, value in os.environ.items() if not _OF_A_SERVICE.match(f"{name}={value}")}
    return {name: value for name, value in _env_file().items() if value is not None} | own


def source(name: str) -> str:
    """Return where a setting comes from, ``""`` where it has its default. Flask's commands read ``.env`` before."""
    in_file = _env_file().get(PREFIX + name.upper())
    value = os.environ.get(PREFIX + name.upper(), in_file)
    return "" if value is None else ".env" if value == in_file else "environment"


def _env_file() -> dict[str, str | None]:
    if os.environ.get("PYTHON_DOTENV_DISABLED"):
        return {}
    file = ROOT / ".env"
    try:
        return dotenv_values(file)
    except UnicodeDecodeError:
        raise SettingsError(f"{file} is not UTF-8, so it can't be read: save it again, with that encoding.") from None
    except OSError as error:
        raise SettingsError(f"{file} can't be read: {error.strerror}.") from error
