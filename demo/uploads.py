"""Views that upload a file to the drive."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, cast

from flask import Blueprint, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import FileStorage

from misskey import APIError, AuthenticationFailed, Client, InvalidAnswer, MisskeyError, ServerUnreachable, clean_text
from web import accounts, error_pages, services
from web.accounts import Account, login_required
from web.failures import Failure
from web.hosting.concurrency import WAIT_SECONDS
from web.htmx import answers_form, page_or_fragment
from web.rate_limits import calls
from web.security import csrf_checked_by_form
from web.template_filters import line, read_id, sentences

from . import results
from .forms import Files, UploadForm, file_bytes
from .template_filters import web_address
from .upload_limits import takes_files

pages = Blueprint("uploads", __name__)

MAX_NAME = 200  # Misskey's own limit


@pages.get("/files")
@calls
@login_required
def upload_form(account: Account) -> ResponseReturnValue:
    """Show the form for a file on a page of its own."""
    try:
        me = accounts.client(account).call("i", idempotent=True)
    except AuthenticationFailed:
        raise
    except MisskeyError:  # without the limit that it tells, the form works all the same
        me = None
    return page_or_fragment("upload_form.html", _TITLE, account, form=new_upload_form(me))


def new_upload_form(me: object) -> UploadForm:
    """Return the form for a file, with the size limit that the endpoint ``i`` tells of a person, if it does."""
    policies = me.get("policies") if isinstance(me, dict) else None
    return UploadForm(max_file_mb=policies.get("maxFileSizeMb") if isinstance(policies, dict) else None)


@pages.post("/files")
@takes_files
@csrf_checked_by_form
@calls
@results.limit
@login_required
def upload(account: Account) -> ResponseReturnValue:
    """Upload one file to the drive and show it; a form that is sent twice uploads once."""
    form = UploadForm()
    if not form.validate_on_submit():
        return _form_again(account, form)
    (file,) = form.file.data
    work = partial(send, accounts.client(account), file, form.comment.data, form.sensitive.data)
    try:
        if not results.keep("file", account, form.draft.data, work, max_seconds(form.file.data)):
            return _form_again(account, form, _NOT_KNOWN)
    except MisskeyError as error:
        return _form_again(account, form, failure_of(error, account, form.file, "write:drive"))
    return redirect(url_for("uploads.uploaded", draft=form.draft.data, account=account.public_id), 303)


@pages.get("/files/<draft>")
@answers_form
@login_required
def uploaded(account: Account, draft: str) -> ResponseReturnValue:
    """Show a file that was uploaded here a moment ago, and what was sent for it."""
    return page_or_fragment("uploaded.html", _TITLE, account, file=results.find("file", account, draft))


_TITLE = _l("Upload a file")
_form_again = partial(results.form_again, "upload_form.html", _TITLE)
_MAYBE_UPLOADED = _l("The file may have arrived all the same. Look into your drive before you send it again.")
_NOT_KNOWN = Failure(502, _l("It is not known whether the file was uploaded"), _MAYBE_UPLOADED, maybe_done=True)


def send(client: Client, file: FileStorage, comment: str = "", sensitive: bool = False) -> dict[str, Any]:
    """Upload a file to the drive and return what is shown of it: ``id``, ``name``, ``size`` and ``url``.

    ``known`` tells that the server had this content already, and kept what was said of it then.
    """
    stream, name = cast(BinaryIO, file.stream), drive_name(file.filename or "")
    answer = client.upload(stream, name, mime_type=file.mimetype, comment=comment, sensitive=sensitive)
    if not isinstance(answer, dict) or not read_id(answer.get("id")):
        raise InvalidAnswer(client.server.host, "did not give the file back")
    return {
        "id": answer["id"],
        "name": line(answer.get("name"), MAX_NAME) or name,
        "size": file_bytes(file),
        "url": web_address(answer.get("url"), client.server),
        "known": any((comment and answer.get("comment") != comment, sensitive and answer.get("isSensitive") is False)),
    }


def drive_name(name: str) -> str:
    """Return a file's name as Misskey takes it: without a path, without two dots, and not too long.

    Apple's systems take letters apart, as か and ゛ of が, which others then show as two.
    """
    own = re.split(r"[/\\]", unicodedata.normalize("NFC", clean_text(name, len(name))))[-1]
    return re.sub(r"\.{2,}", ".", own)[-MAX_NAME:] or "untitled"


def failure_of(error: MisskeyError, account: Account, field: Files, *permissions: str) -> Failure | None:
    """Return why the first file of ``field`` was not uploaded, ``None`` when it is to blame, which ``field`` says then.

    ``permissions`` are what a new sign-in would ask for.
    """
    if refusal := _refusal(error, drive_name(field.data[0].filename or "")):
        field.errors = [refusal]
        return None
    failure = error_pages.failure_of(error, account, *permissions)
    if not failure.maybe_done:
        return failure
    cut = _("If the server goes on cutting the connection, the file may be too large for it.")
    return replace(failure, words=sentences(_MAYBE_UPLOADED, cut if type(error) is ServerUnreachable else ""))


def _refusal(error: MisskeyError, name: str) -> str:
    """Return what to say beside a file that a server does not take, ``""`` when the file is not to blame."""
    if error.status == 413:  # Misskey's own answer, or a proxy's with no body or a page as its body
        return str(_TOO_LARGE) % {"name": name}
    return str(_REFUSED.get(error.code, "")) % {"name": name} if isinstance(error, APIError) else ""


_TOO_LARGE = _l("“%(name)s” is larger than your server takes. Make it smaller, or choose another one.")
#: What to say beside a file that a server refuses, by its code.
_REFUSED = {
    "INAPPROPRIATE": _l("“%(name)s” shows something that your server does not let anybody upload."),
    "MAX_FILE_SIZE_EXCEEDED": _TOO_LARGE,
    "NO_FREE_SPACE": _l("“%(name)s” does not fit into your drive any more. Delete something there, then try again."),
    "UNALLOWED_FILE_TYPE": _l("“%(name)s” is of a kind that your server does not take. Choose another one."),
}


def max_seconds(files: Iterable[FileStorage]) -> float:
    """Return how long it may take to upload ``files``, in seconds."""
    return sum(WAIT_SECONDS + services.transport().max_upload_seconds(file_bytes(file)) for file in files)
