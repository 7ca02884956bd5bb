"""What a visitor may let the app do: presets, and all permissions in groups."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from flask_babel import lazy_gettext as _l

from misskey import IDENTITY_ONLY, PERMISSIONS, Permission

from . import services
from .languages import Text


class Preset(NamedTuple):
    """Permissions to ask for at once, with words for people."""

    title: Text
    words: Text
    permissions: tuple[str, ...]

    @property
    def allowed(self) -> list[Permission]:
        return [PERMISSIONS[name] for name in self.permissions]


def presets() -> dict[str, Preset]:
    """Return what may be asked for at once; the settings decide what the whole dashboard is."""
    return _presets(services.default_permissions())


@lru_cache
def _presets(whole: tuple[str, ...]) -> dict[str, Preset]:
    reading = tuple(name for name in whole if name.startswith("read:"))
    return {
        "dashboard": Preset(
            _l("Everything on the dashboard"),
            _l("So that every part of it works. The app writes only when you press a button for it."),
            whole,
        ),
        "read": Preset(_l("Only look"), _l("It may read, and change nothing."), reading),
        "identity": Preset(
            _l("Only learn who I am"),
            _l("It receives your profile, as your server sends it, and may do nothing."),
            IDENTITY_ONLY,
        ),
    }


def offered() -> dict[str, Preset]:
    """Return the presets to offer: where some ask for the same, the one that says it most plainly."""
    every = presets()
    different = {preset.permissions: name for name, preset in every.items()}
    return {name: every[name] for name in different.values()}


#: All permissions as people look for them, by what comes after the colon in their names.
GROUPS = (
    (_l("Everyday things"), ("account", "notes", "reactions", "votes", "favorites", "notifications", "drive")),
    (_l("Other people"), ("following", "mutes", "blocks", "report-abuse")),
    (_l("Chats"), ("chat", "messaging", "user-groups")),
    (
        _l("Things that people make"),
        ("channels", "clip-favorite", "pages", "page-likes", "gallery", "gallery-likes", "flash", "flash-likes"),
    ),
    (_l("The server"), ("invite-codes", "federation")),
)


def groups() -> list[tuple[Text, list[list[Permission]]]]:
    """Return every permission in its group, reading and writing the same thing side by side."""
    return [(title, [_pair(thing) for thing in things]) for title, things in GROUPS]


def _pair(thing: str) -> list[Permission]:
    return [PERMISSIONS[name] for name in (f"read:{thing}", f"write:{thing}") if name in PERMISSIONS]
