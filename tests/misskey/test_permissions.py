"""What an app may ask to do."""

import re

import pytest

from misskey.permissions import IDENTITY_ONLY, PERMISSIONS, parse_permissions

READ_AND_WRITE = (
    *("account", "blocks", "channels", "chat", "clip-favorite", "drive", "favorites", "flash", "flash-likes"),
    *("following", "gallery", "gallery-likes", "invite-codes", "messaging", "mutes", "notifications", "page-likes"),
    *("pages", "reactions", "user-groups"),
)
WRITE_ONLY = ("notes", "report-abuse", "votes")
READ_ONLY = ("federation",)


def test_every_permission_that_is_not_for_administrators_is_there() -> None:
    reads = {f"read:{name}" for name in (*READ_AND_WRITE, *READ_ONLY)}
    writes = {f"write:{name}" for name in (*READ_AND_WRITE, *WRITE_ONLY)}
    assert PERMISSIONS.keys() == reads | writes
    assert len(PERMISSIONS) == 44


def test_a_permission_is_found_by_its_own_name() -> None:
    assert all(permission.name == name for name, permission in PERMISSIONS.items())


def test_every_label_is_short_and_in_its_language() -> None:
    for permission in PERMISSIONS.values():
        assert re.fullmatch("[A-Z][A-Za-z ,()]{5,47}", permission.english)
        assert re.fullmatch("(?:[ぁ-んァ-ヶー・、一-龠（）]| ?Play ?){5,28}", permission.japanese)


@pytest.mark.parametrize("language", ["english", "japanese"])
def test_no_two_permissions_have_the_same_label(language: str) -> None:
    assert len({getattr(permission, language) for permission in PERMISSIONS.values()}) == len(PERMISSIONS)


@pytest.mark.parametrize("preset", [IDENTITY_ONLY, ("read:account", "write:notes", "read:drive")])
def test_a_preset_has_known_permissions_in_the_usual_order(preset: tuple[str, ...]) -> None:
    assert parse_permissions(preset) == preset


def test_names_come_out_once_and_in_the_usual_order() -> None:
    assert parse_permissions(iter(["write:drive", "read:account", "write:drive"])) == ("read:account", "write:drive")


def test_unknown_names_are_refused_and_named() -> None:
    with pytest.raises(ValueError, match=r"^unknown permissions: read:admin:meta, read:notes$"):
        parse_permissions(["read:notes", "read:account", "read:admin:meta"])
