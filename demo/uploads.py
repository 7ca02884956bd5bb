"""Views that upload a file to the drive."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any, BinaryIO, cast

from flask import Blueprint, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from werkzeug.datastructures import FileStorage

from misskey import APIError, Client, InvalidAnswer, MisskeyError, ServerUnreachable, clean_text
from web import accounts, failures, services
from web.accounts import Account, login_required
from web.concurrency import WAIT_SECONDS
from web.dashboard import to_ask_for
from web.failures import Failure
from web.htmx import answers_form, page_or_fragment, wants_fragment
from web.rate_limits import calls
from web.security import csrf_checked_by_form
from web.template_filters import line, read_id, sentences

from . import results
from .forms import UploadForm, file_bytes, new_draft
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
    except MisskeyError:
        me = None
    return _form_page(account, new_upload_form(me))


@pages.app_template_global()
def new_upload_form(me: Any) -> UploadForm:
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
        return _form_page(account, form), 422
    (file,) = form.file.data
    try:
        client, seconds = accounts.client(account), longest(form.file.data)
        work = partial(send, client, file, form.comment.data, form.sensitive.data)
        if not results.keep("file", account, form.draft.data, work, seconds):
            return _form_page(account, form, failure=_NOT_KNOWN), _NOT_KNOWN.status
    except MisskeyError as error:
        if refusal := words_of(error, file):
            form.file.errors = [refusal]
            return _form_page(account, form), 422
        failure, ask_for = failure_of(error), to_ask_for(error, account, "write:drive")
        return _form_page(account, form, failure=failure, ask_for=ask_for), failure.status
    return redirect(url_for("uploads.uploaded", draft=form.draft.data, account=account.public_id), 303)


@pages.get("/files/<draft>")
@answers_form
@login_required
def uploaded(account: Account, draft: str) -> ResponseReturnValue:
    """Show a file that was uploaded here a moment ago, and what was sent for it."""
    return _page("uploaded.html", account, file=results.find("file", account, draft))


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
        "known": bool(comment) and answer.get("comment") != comment,
    }


def drive_name(name: str) -> str:
    """Return a file's name as Misskey takes it: without a path, without two dots, and not too long."""
    own = re.split(r"[/\\]", clean_text(name, len(name)))[-1]
    return re.sub(r"\.{2,}", ".", own)[-MAX_NAME:] or "untitled"


def words_of(error: MisskeyError, file: FileStorage) -> str:
    """Return what to say beside a file that a server does not take, ``""`` when the file is not to blame."""
    name = drive_name(file.filename or "")
    if error.status == 413:  # Misskey's own answer, or a proxy's with no body or a page as its body
        return _("“%(name)s” is larger than your server takes. Make it smaller, or choose another one.", name=name)
    if isinstance(error, APIError) and error.code == "NO_FREE_SPACE":
        return _("“%(name)s” does not fit into your drive any more. Delete something there, then try again.", name=name)
    return ""


def failure_of(error: MisskeyError) -> Failure:
    """Return what a failed upload means for the visitor."""
    failure = failures.of_server(error)
    if not failure.maybe_done:
        return failure
    cut = type(error) is ServerUnreachable
    words = _("If the server goes on cutting the connection, the file may be too large for it.") if cut else ""
    return replace(failure, words=sentences(_MAYBE_UPLOADED, words))


def longest(files: Iterable[FileStorage]) -> float:
    """Return how many seconds it may take to upload ``files``."""
    return sum(WAIT_SECONDS + services.transport().max_upload_seconds(file_bytes(file)) for file in files)


def _form_page(account: Account, form: UploadForm, failure: Failure | None = None, **values: Any) -> str:
    if failure and failure.maybe_done:  # whoever presses again has been told, and decides anew
        form.draft.data = new_draft()
    return _page("upload_form.html", account, form=form, failure=failure, **values)


def _page(template: str, account: Account, **values: Any) -> str:
    """Return a part of the drive, alone for a script that asked for it, else under the heading of a page."""
    if not wants_fragment():
        values["part"], template = template, "upload_page.html"
    return page_or_fragment(template, _l("Upload a file"), account, **values)
