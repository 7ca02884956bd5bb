"""What a visitor may send, and the words when it is wrong."""

from __future__ import annotations

import uuid
from typing import Any

from flask import request
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
from wtforms.validators import UUID, InputRequired, Length

from misskey import PERMISSIONS, Permission, Server, ServerNameError, parse_permissions

from . import accounts

NOTE_CHARACTERS = 3000  # Misskey's own limit unless the server's ``maxNoteTextLength`` says otherwise
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


class Form(FlaskForm):
    """A form that reads what a form sends, and nothing else: no JSON, no file in a text's place."""

    class Meta(FlaskForm.Meta):
        def wrap_formdata(self, form: FlaskForm, formdata: Any) -> Any:
            return request.form if request.method == "POST" else None


class ServerForm(Form):
    """A form that asks for a server; after validation ``server`` is the one that was meant."""

    host = StringField(_l("Your Misskey server"))
    server: Server

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


class SignInForm(ServerForm):
    """Which server to sign in at, and what for."""

    permission = Permissions()

    def choices(self) -> list[tuple[Permission, bool]]:
        """The permissions to offer, those of the settings and those asked for, each with whether it is chosen."""
        offered = {*accounts.settings().permissions, *self.permission.data}
        return [(PERMISSIONS[name], name in self.permission.data) for name in PERMISSIONS if name in offered]


class TokenForm(ServerForm):
    """A token made by hand, and its server."""

    token = PasswordField(
        _l("Access token"),
        [InputRequired(_l("Paste the token that you made.")), Length(max=512, message=_l("This is not a token."))],
        filters=[lambda text: text.strip() if text else text],
    )

    def validate_token(self, field: Field) -> None:
        if not field.data.isascii() or not field.data.isprintable() or " " in field.data:
            raise ValidationError(_l("This is not a token: it has letters and digits only."))


class NoteForm(Form):
    """A note to post; ``draft`` names it, so that it is posted once."""

    draft = HiddenField(validators=[UUID()], default=lambda: str(uuid.uuid4()))
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
    local_only = BooleanField(_l("Keep it on your server"))

    def validate_text(self, field: Field) -> None:
        if not (field.data or "").strip():
            raise ValidationError(_l("Write something first."))

    def params(self) -> dict[str, Any]:
        """Return the parameters of ``notes/create``."""
        params: dict[str, Any] = {
            "text": self.text.data,
            "visibility": self.visibility.data,
            "localOnly": self.local_only.data,
        }
        return params | ({"cw": self.cw.data} if self.cw.data else {})
