"""Fields of forms that WTForms has none of: permissions, files, and what is known of them."""

from __future__ import annotations

import re
from typing import Any

from flask import request
from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import FileStorage
from wtforms import Field
from wtforms.widgets import FileInput, HiddenInput

from misskey import parse_permissions

from . import accounts
from .shown import read_id

MOST_FILES = 4  # of one note: what other apps show at once


class Permissions(Field):
    """Permission names, one value each; without the field the settings decide, an empty value asks for none."""

    data: list[str]

    def process_formdata(self, valuelist: list[Any]) -> None:
        if not valuelist:
            return
        try:
            self.data = list(parse_permissions(name for name in valuelist if name))
        except ValueError as error:
            raise ValueError(_l("A permission was asked for that Misskey does not have.")) from error

    def process_data(self, value: Any) -> None:
        self.data = list(accounts.settings().permissions)


class Files(Field):
    """Files that were chosen; a text in their place is none."""

    widget = FileInput()
    data: list[FileStorage]

    def process_data(self, value: Any) -> None:
        self.data = []

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = [file for file in request.files.getlist(self.name) if file.filename]


class Uploaded(Field):
    """Files that are in the drive already, each as its id and its name; those that stay are sent back as one text."""

    data: list[tuple[str, str]]

    def process_data(self, value: Any) -> None:
        self.data = []

    def process_formdata(self, valuelist: list[Any]) -> None:
        parts = [value.partition(" ") for value in valuelist]
        self.data = [(file_id, name[:200]) for file_id, _, name in parts if read_id(file_id)][:MOST_FILES]


class Megabytes(Field):
    """How large a file may be, ``None`` when nobody knows."""

    widget = HiddenInput()
    data: float | None

    def process_data(self, value: Any) -> None:
        self.data = value if isinstance(value, int | float) and 0 < value < 10**6 else None

    def process_formdata(self, valuelist: list[Any]) -> None:
        if valuelist and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", valuelist[0]):
            self.process_data(float(valuelist[0]))

    def _value(self) -> str:
        return f"{self.data:g}" if self.data else ""


def file_bytes(file: FileStorage) -> int:
    """Return how large a file is that was sent here."""
    return int(file.stream.seek(0, 2))
