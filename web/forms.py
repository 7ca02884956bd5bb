"""The forms of the sign-in, and the words beside a field that is wrong."""

from __future__ import annotations

from typing import Any

from flask import request, session
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from flask_wtf import FlaskForm
from flask_wtf.csrf import validate_csrf
from wtforms import Field, PasswordField, StringField, ValidationError
from wtforms.validators import AnyOf, DataRequired, Length, Optional

from misskey import (
    PERMISSIONS,
    AuthenticationFailed,
    PermissionDenied,
    Server,
    ServerNameError,
    is_blank,
    parse_permissions,
)

from . import pending_signins, services
from .permission_presets import offered, presets

PRESETS = ("dashboard", "read", "identity", "own")
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
_TOO_OLD = _l(
    "This page was open for a long time, so nothing was sent yet. What you typed is still here; send it once more."
)


class Form(FlaskForm):
    """A form that reads what a form sends, and nothing else: no JSON, no file in a text's place.

    With the fields it checks the page's token, which the templates put in.
    """

    class Meta(FlaskForm.Meta):
        csrf = False  # a field of its own, which would make a new token each time

        def wrap_formdata(self, form: FlaskForm, formdata: Any) -> Any:
            return request.form if request.method == "POST" else None

    def validate(self, extra_validators: Any = None) -> bool:
        """Return whether all is well; ``form_errors`` tells what is wrong with the form as a whole."""
        is_valid = super().validate(extra_validators)
        try:
            validate_csrf(request.form.get("csrf_token"))
        except ValidationError:
            self.form_errors.append(_TOO_OLD)
        return is_valid and not self.form_errors


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

    def process_data(self, value: object) -> None:
        self.data = list(services.default_permissions())


class ServerForm(Form):
    """A form that asks for a server; after validation ``server`` is the one that was meant."""

    host = StringField(_l("Your Misskey server"))
    server: Server

    def prefill(self) -> None:
        """Fill in the server where this browser signed in last."""
        self.host.data = session.get("last_server", "")

    def validate_host(self, field: Field) -> None:
        settings = services.settings()
        try:
            self.server = Server.parse(field.data or "", settings.private_servers)
        except ServerNameError as error:
            words = str(SERVER_NAME_WORDS[error.reason])
            private = () if settings.production else settings.private_servers  # strangers need not know them
            if private and error.reason in _OF_PRIVATE_SERVERS:
                hosts = ", ".join(Server.parse_origin(origin).host for origin in private)
                words = _("%(words)s Of private servers, these work here: %(hosts)s.", words=words, hosts=hosts)
            raise ValidationError(words) from error
        if not services.may_sign_in_at(self.server):
            hosts = ", ".join(settings.only_servers)
            raise ValidationError(_("Here you can sign in only with: %(hosts)s.", hosts=hosts))


class SignInForm(ServerForm):
    """Which server to sign in at, and what for: a preset, or permissions one by one."""

    preset = StringField(
        _l("What may this app do?"),
        [Optional(), AnyOf(PRESETS, message=_l("Choose one of these."))],
    )
    permission = Permissions("")

    def prefill(self) -> None:
        """Fill in what a link says, else the last server; the visitor sees it before anything is sent."""
        super().prefill()
        begun = [entry.server.host for entry in pending_signins.under_way()]
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


#: Why a server did not take a token.
TOKEN_WORDS = {
    AuthenticationFailed: _l(
        "The server does not know this token. Copy it again, whole; it may also have been removed."
    ),
    PermissionDenied: _l("The token is real, but may not tell whose it is. Make one that may “view your account”."),
}


def _pasted(text: str | None) -> str:
    """Return what was pasted without what can't be seen, which copying adds; a space between letters stays."""
    return "".join(letter for letter in text or "" if letter == " " or not is_blank(letter)).strip()


class TokenForm(ServerForm):
    """A token made by hand, and its server, which no link fills in: it is given a secret."""

    token = PasswordField(
        _l("Access token"),
        [DataRequired(_l("Paste the token that you made.")), Length(max=512, message=_l("This is not a token."))],
        filters=[_pasted],
    )

    def validate_token(self, field: Field) -> None:
        if not field.data.isascii() or not field.data.isprintable() or " " in field.data:
            raise ValidationError(_l("This is not a token: it has letters and digits only."))
