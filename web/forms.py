"""What a visitor may send, and the words when it is wrong."""

from __future__ import annotations

import re
import uuid
from functools import cache
from typing import Any

from babel.support import NullTranslations, Translations
from flask import request, session
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from wtforms import (
    BooleanField,
    Field,
    HiddenField,
    PasswordField,
    SelectChoice,
    SelectField,
    StringField,
    TextAreaField,
    ValidationError,
)
from wtforms.i18n import messages_path
from wtforms.validators import UUID, AnyOf, InputRequired, Length, Optional
from wtforms.widgets import FileInput

from misskey import PERMISSIONS, UPLOAD, Server, ServerNameError

from . import accounts, pending, typed_json
from .fields import MOST_FILES, Files, Megabytes, Permissions, Uploaded, file_bytes
from .languages import language
from .presets import offered, presets

PRESETS = ("dashboard", "read", "identity", "own")
COMMENT_CHARACTERS = 512  # Misskey's own limit
MEGABYTE = 1024 * 1024  # as Misskey counts
NOTE_CHARACTERS = 20_000  # each server has its own limit, and the last word; few take more than 3,000
PARAMS_CHARACTERS = 20_000  # in a form, letters of any script as long as this stay below ``LARGEST_FORM_BYTES``
ENDPOINT = re.compile("[a-z0-9-]+(/[a-z0-9-]+)*")
ENDPOINT_CHARACTERS = 128
#: Keys are ``ServerNameError.reason``.
SERVER_NAME_WORDS = {
    "empty": _l("Type the name of your server, such as misskey.io."),
    "scheme": _l("Only https addresses work here. Type just the server’s name, such as misskey.io."),
    "login": _l("This could hide another server behind the @. Type just the server’s name, such as misskey.io."),
    "query": _l("Leave out everything from the ? or # on. The server’s name is enough."),
    "ip_address": _l("This is an IP address. Type the server’s name, such as misskey.io."),
    "port": _l("Leave out the colon and the number after it. The server’s name is enough."),
    "no_dot": _l("The ending is missing: a server’s name looks like misskey.io."),
    "reserved": _l("Names with this ending are used inside private networks only."),
    "too_long": _l("This is longer than a server’s name can be."),
    "characters": _l("A server’s name has letters, digits, hyphens and dots only, such as misskey.io."),
}


#: Reasons that a developer meets who mistypes a server of their own.
_OF_PRIVATE_SERVERS = ("ip_address", "no_dot", "port", "reserved", "scheme")


@cache
def _own_words_of_wtforms(language: str) -> Translations | NullTranslations:
    """Return what WTForms itself says; Flask-WTF would read it anew for each request."""
    return Translations.load(messages_path(), [language], "wtforms")


class Form(FlaskForm):
    """A form that reads what a form sends, and nothing else: no JSON, no file in a text's place."""

    class Meta(FlaskForm.Meta):
        def wrap_formdata(self, form: FlaskForm, formdata: Any) -> Any:
            return request.form if request.method == "POST" else None

        def get_translations(self, form: FlaskForm) -> Translations | NullTranslations:
            return _own_words_of_wtforms(language())


class ServerForm(Form):
    """A form that asks for a server; after validation ``server`` is the one that was meant."""

    host = StringField(_l("Your Misskey server"))
    server: Server

    def prefill(self) -> None:
        """Fill in the server where this browser signed in last."""
        self.host.data = session.get("last_server", "")

    def validate_host(self, field: Field) -> None:
        try:
            self.server = Server.parse(field.data or "", accounts.settings().private_servers)
        except ServerNameError as error:
            words = str(SERVER_NAME_WORDS[error.reason])
            settings = accounts.settings()
            private = () if settings.production else settings.private_servers  # strangers need not know them
            if private and error.reason in _OF_PRIVATE_SERVERS:
                hosts = ", ".join(Server.parse_origin(origin).host for origin in private)
                words = _("%(words)s Of private servers, these work here: %(hosts)s.", words=words, hosts=hosts)
            raise ValidationError(words) from error


class SignInForm(ServerForm):
    """Which server to sign in at, and what for: a preset, or permissions one by one."""

    preset = StringField(
        _l("What may this app do?"),
        [Optional(), AnyOf(PRESETS, message=_l("Choose one of these."))],
    )
    permission = Permissions()

    def prefill(self) -> None:
        """Fill in what a link says, else the last server; the visitor sees it before anything is sent."""
        super().prefill()
        begun = [entry.server.host for entry in pending.under_way()]
        self.host.data = request.args.get("host", next(iter(begun), self.host.data))
        if "permission" in request.args:
            self.permission.data = [name for name in PERMISSIONS if name in request.args.getlist("permission")]

    def permissions(self) -> list[str]:
        """Return what to ask for: the preset's, else those that were chosen one by one."""
        preset = presets().get(self.preset.data or "own")
        return list(preset.permissions) if preset else self.permission.data

    def chosen(self) -> str:
        """Return what is chosen on the page: the preset's name, or ``own``; ``""`` for what there is not."""
        if self.preset.data:
            return self.preset.data if self.preset.data in PRESETS else ""
        return next((name for name, preset in offered().items() if preset.permissions == self.ticked()), "own")

    def ticked(self) -> tuple[str, ...]:
        """Return the permissions that are chosen one by one on the page."""
        return tuple(self.permission.data)


class TokenForm(ServerForm):
    """A token made by hand, and its server, which no link fills in: it is given a secret."""

    token = PasswordField(
        _l("Access token"),
        [InputRequired(_l("Paste the token that you made.")), Length(max=512, message=_l("This is not a token."))],
        filters=[lambda text: text.strip() if text else text],
    )

    def validate_token(self, field: Field) -> None:
        if not field.data.isascii() or not field.data.isprintable() or " " in field.data:
            raise ValidationError(_l("This is not a token: it has letters and digits only."))


def new_draft() -> str:
    """Return a name for what a form is to do once."""
    return str(uuid.uuid4())


class UploadForm(Form):
    """A file for the drive; ``draft`` names the upload, so that it is done once."""

    draft = HiddenField(validators=[UUID()], default=new_draft)
    max_file_mb = Megabytes()
    file = Files(_l("File"))
    comment = StringField(
        _l("Description for people who can’t see it (optional)"),
        [Length(max=COMMENT_CHARACTERS, message=_l("This is longer than %(max)d characters."))],
    )
    sensitive = BooleanField(_l("Mark as sensitive"))

    def validate_file(self, field: Files) -> None:
        if not field.data:
            raise ValidationError(_l("Choose a file first."))
        if len(field.data) > 1:
            raise ValidationError(_l("Choose one file; each is uploaded on its own."))
        if self.max_file_mb.data and file_bytes(field.data[0]) > self.max_file_mb.data * MEGABYTE:
            raise ValidationError(_("Your server takes files up to %(num)s MB; this one is larger.", num=self.most))

    @property
    def most(self) -> str:
        """The limit as text, ``""`` when nobody knows."""
        return self.max_file_mb._value()


class NoteForm(Form):
    """A note to post; ``draft`` names it, so that it is posted once."""

    draft = HiddenField(validators=[UUID()], default=new_draft)
    text = TextAreaField(
        _l("Your note"),
        [Length(max=NOTE_CHARACTERS, message=_l("This is longer than %(max)d characters."))],
        filters=[lambda text: text.replace("\r\n", "\n") if text else text],
    )
    cw = StringField(
        _l("Content warning (optional)"), [Length(max=100, message=_l("This is longer than %(max)d characters."))]
    )
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
    files = Files(_l("Files (optional)"), widget=FileInput(multiple=True))
    file_id = Uploaded()

    def validate_text(self, field: Field) -> None:
        if not ((field.data or "").strip() or self.files.data or self.file_id.data):
            raise ValidationError(_l("Write something or add a file first."))

    def validate_files(self, field: Files) -> None:
        if len(field.data) + len(self.file_id.data) > MOST_FILES:
            raise ValidationError(_("A note takes up to %(num)d files here. Choose fewer.", num=MOST_FILES))

    def params(self) -> dict[str, Any]:
        """Return the parameters of ``notes/create``, which takes none that is empty."""
        params: dict[str, Any] = {"visibility": self.visibility.data, "localOnly": self.local_only.data}
        if (self.text.data or "").strip():
            params["text"] = self.text.data
        if (self.cw.data or "").strip():
            params["cw"] = self.cw.data
        if self.file_id.data:
            params["fileIds"] = [file_id for file_id, _ in self.file_id.data]
        return params


class ConsoleForm(Form):
    """A call to make by hand; ``draft`` names it, so that it is sent once; ``values`` are its parameters."""

    draft = HiddenField(validators=[UUID()], default=new_draft)
    endpoint = StringField(
        _l("Endpoint"), filters=[lambda text: text.strip().removeprefix("/").removeprefix("api/") if text else text]
    )
    params = TextAreaField(
        _l("Parameters, as JSON"),
        [Length(max=PARAMS_CHARACTERS, message=_l("This is longer than %(max)d characters."))],
        filters=[lambda text: text.replace("\r\n", "\n") if text else text],
    )
    values: dict[str, Any]

    def validate_endpoint(self, field: Field) -> None:
        if not field.data:
            raise ValidationError(_("Type an endpoint, such as notes/create."))
        if not is_endpoint(field.data):
            raise ValidationError(_("An endpoint has small letters, digits, hyphens and slashes only: notes/create."))
        if field.data == UPLOAD:
            raise ValidationError(_("This endpoint takes a file, so it is not sent from here. See below."))

    def validate_params(self, field: Field) -> None:
        self.values = typed_json.read(field.data if (field.data or "").strip() else "{}")
        if "i" in self.values:
            raise ValidationError(_("Leave out “i”: this app adds the token itself."))


def is_endpoint(name: str) -> bool:
    """Tell whether an endpoint can have this name."""
    return len(name) <= ENDPOINT_CHARACTERS and bool(ENDPOINT.fullmatch(name))
