"""The forms of the demonstration: a note, a file, a call; and the fields that WTForms has none of."""

from __future__ import annotations

import re
import uuid
from typing import Any

from flask import request
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import FileStorage
from wtforms import BooleanField, Field, HiddenField, SelectChoice, SelectField, StringField, TextAreaField
from wtforms.validators import UUID, Length, ValidationError
from wtforms.widgets import FileInput

from misskey import UPLOAD_ENDPOINT
from web.forms import Form
from web.template_filters import read_id

from . import json_parameters

COMMENT_CHARACTERS = 512  # Misskey's own limit
MEGABYTE = 1024 * 1024  # as Misskey counts
NOTE_CHARACTERS = 20_000  # each server has its own limit, and the last word; few take more than 3,000
PARAMS_CHARACTERS = 20_000  # in a form, letters of any script as long as this stay below ``MAX_FORM_BYTES``
ENDPOINT = re.compile("[a-z0-9-]+(/[a-z0-9-]+)*")
ENDPOINT_CHARACTERS = 128
MAX_FILES = 4  # of one note: what other apps show at once


class Files(Field):
    """Files that were chosen; a text in their place is none."""

    widget = FileInput()
    data: list[FileStorage]

    def process_formdata(self, valuelist: list[Any]) -> None:
        self.data = [file for file in request.files.getlist(self.name) if file.filename]


class Uploaded(Field):
    """Files that are in the drive already, each as its id and its name; those that stay are sent back as one text."""

    data: list[tuple[str, str]]

    def process_formdata(self, valuelist: list[Any]) -> None:
        parts = [value.partition(" ") for value in valuelist]
        self.data = [(file_id, name[:200]) for file_id, _, name in parts if read_id(file_id)][:MAX_FILES]


class Megabytes(Field):
    """How large a file may be, ``None`` when nobody knows."""

    data: float | None

    def process_data(self, value: object) -> None:
        self.data = value if isinstance(value, int | float) and 0 < value < 10**6 else None

    def process_formdata(self, valuelist: list[Any]) -> None:
        if valuelist and re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", valuelist[0]):
            self.process_data(float(valuelist[0]))


def file_bytes(file: FileStorage) -> int:
    """Return how large a file is that was sent here."""
    return int(file.stream.seek(0, 2))


def _at_most(characters: int) -> Length:
    return Length(max=characters, message=_l("This is longer than %(max)d characters."))


def _typed(text: str | None) -> str:
    """Return what was typed as servers can store it: line breaks, no NUL; ``""`` where there are spaces only."""
    kept = (text or "").replace("\r\n", "\n").replace("\0", "")
    return kept if kept.strip() else ""


class OnceForm(Form):
    """A form for something that is done once, however often it is sent; ``draft`` names what.

    Its content counts too: changed and sent again, as after a connection was lost, it is for something else.
    """

    draft = HiddenField("", [UUID()], default=lambda: str(uuid.uuid4()))

    def validate(self, *args: Any, **options: Any) -> bool:
        if not super().validate(*args, **options):
            return False
        fields = [field for field in self if field.name != "draft"]
        files = [
            (file.filename, file_bytes(file)) for field in fields if isinstance(field, Files) for file in field.data
        ]
        content = [field.data for field in fields if not isinstance(field, Files)]
        self.draft.data = str(uuid.uuid5(uuid.UUID(self.draft.data), repr((content, files))))
        return True


class UploadForm(OnceForm):
    """A file for the drive."""

    max_file_mb = Megabytes("")
    file = Files(_l("File"), default=list)
    comment = StringField(
        _l("Description for people who can’t see it (optional)"), [_at_most(COMMENT_CHARACTERS)], filters=[_typed]
    )
    sensitive = BooleanField(_l("Mark as sensitive"))

    def validate_file(self, field: Files) -> None:
        if not field.data:
            raise ValidationError(_l("Choose a file first."))
        if len(field.data) > 1:
            raise ValidationError(_l("Choose one file; each is uploaded on its own."))
        most = self.max_file_mb.data
        if most and file_bytes(field.data[0]) > most * MEGABYTE:
            raise ValidationError(_("Your server takes files up to %(num)s MB; this one is larger.", num=f"{most:g}"))


class NoteForm(OnceForm):
    """A note to post."""

    text = TextAreaField(_l("Your note"), [_at_most(NOTE_CHARACTERS)], filters=[_typed])
    cw = StringField(_l("Content warning (optional)"), [_at_most(100)], filters=[_typed])
    visibility = SelectField(
        _l("Who can see it"),
        choices=[
            SelectChoice("public", _l("Everyone")),
            SelectChoice("home", _l("Home timelines only")),
            SelectChoice("followers", _l("Your followers")),
            SelectChoice("specified", _l("Only you")),
        ],
        default="home",
    )
    local_only = BooleanField(_l("Don’t send it to other servers"))
    files = Files(_l("Files (optional)"), widget=FileInput(multiple=True), default=list)
    file_id = Uploaded("", default=list)

    def validate_text(self, field: Field) -> None:
        if not (field.data or self.files.data or self.file_id.data):
            raise ValidationError(_l("Write something or add a file first."))

    def validate_files(self, field: Files) -> None:
        if len(field.data) + len(self.file_id.data) > MAX_FILES:
            raise ValidationError(_("A note takes up to %(num)d files here. Choose fewer.", num=MAX_FILES))

    def params(self) -> dict[str, Any]:
        """Return the parameters of ``notes/create``, which takes none that is empty."""
        given = {
            "text": self.text.data,
            "cw": self.cw.data,
            "fileIds": [file_id for file_id, _ in self.file_id.data],
        }
        params = {name: value for name, value in given.items() if value}
        return {"visibility": self.visibility.data, "localOnly": self.local_only.data, **params}


class ConsoleForm(OnceForm):
    """A call to make by hand; ``values`` are its parameters."""

    endpoint = StringField(
        _l("Endpoint"), filters=[lambda text: text.strip().removeprefix("/").removeprefix("api/") if text else text]
    )
    params = TextAreaField(_l("Parameters, as JSON"), [_at_most(PARAMS_CHARACTERS)], filters=[_typed])
    values: dict[str, Any]

    def validate_endpoint(self, field: Field) -> None:
        if not field.data:
            raise ValidationError(_("Type an endpoint, such as notes/create."))
        if not is_endpoint(field.data):
            raise ValidationError(_("An endpoint has small letters, digits, hyphens and slashes only: notes/create."))
        if field.data == UPLOAD_ENDPOINT:
            raise ValidationError(_("This endpoint takes a file, so it is not sent from here. See below."))

    def validate_params(self, field: Field) -> None:
        self.values = json_parameters.read(field.data or "{}")
        if "i" in self.values:
            raise ValidationError(_("Leave out “i”: this app adds the token itself."))


def is_endpoint(name: str) -> bool:
    """Return whether an endpoint can have this name."""
    return len(name) <= ENDPOINT_CHARACTERS and bool(ENDPOINT.fullmatch(name))
