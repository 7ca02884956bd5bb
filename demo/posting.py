"""Views that post a note with its files, and delete one."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from flask import Blueprint, abort, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from misskey import APIError, InvalidAnswer, MisskeyError
from web import accounts, error_pages, failures
from web.accounts import Account, login_required
from web.dashboard import to_ask_for
from web.failures import Failure
from web.htmx import answers_form, page_or_fragment
from web.rate_limits import calls
from web.security import csrf_checked_by_form
from web.template_filters import line, read_id, text

from . import results, uploads
from .forms import NoteForm, new_draft
from .upload_limits import takes_files

pages = Blueprint("posting", __name__)


@pages.post("/notes")
@takes_files
@csrf_checked_by_form
@calls
@results.limit
@login_required
def post_note(account: Account) -> ResponseReturnValue:
    """Post a note, with its files, and show it; a form that is sent twice posts one note."""
    form = NoteForm()
    if not form.validate_on_submit():
        return _note_page(account, form), 422
    try:
        if not results.keep(
            "note", account, form.draft.data, lambda: _post(account, form), uploads.longest(form.files.data)
        ):
            return _note_page(account, form, failure=_NOT_KNOWN), _NOT_KNOWN.status
    except MisskeyError as error:
        return _failed(account, form, error)
    return redirect(url_for("posting.posted", draft=form.draft.data, account=account.public_id), 303)


@pages.get("/notes/<draft>")
@answers_form
@login_required
def posted(account: Account, draft: str) -> ResponseReturnValue:
    """Show a note that was posted here a moment ago, and what was sent for it."""
    note = results.find("note", account, draft)
    note_url = account.server.url(f"/notes/{note['id']}")
    return page_or_fragment("note_posted.html", _l("Posted"), account, note=note, note_url=note_url)


@pages.post("/notes/<note_id>/delete")
@calls
@login_required
def delete_note(account: Account, note_id: str) -> ResponseReturnValue:
    """Delete a note at the server, and say so; one that is gone already is no error."""
    if not read_id(note_id):
        abort(404)
    try:
        accounts.client(account).call("notes/delete", {"noteId": note_id})
    except MisskeyError as error:
        if not _says(error, "NO_SUCH_NOTE"):
            return error_pages.answer(_not_deleted(account, error))
        return page_or_fragment("note_deleted.html", _l("Deleted"), account, gone_before=True)
    return page_or_fragment("note_deleted.html", _l("Deleted"), account)


_MAYBE_POSTED = _l("The note may have been posted all the same. Look at your timeline before you post it again.")
_NOT_KNOWN = Failure(502, _l("It is not known whether the note was posted"), _MAYBE_POSTED, maybe_done=True)
_NOT_YOURS = Failure(403, _l("This note is somebody else’s"), _l("Only whoever wrote a note can delete it."))


def _post(account: Account, form: NoteForm) -> dict[str, Any]:
    """Upload the files that were chosen, one after the other, and post the note.

    In the form, each file moves from those that were chosen to those that are uploaded, so that it knows after a
    failure how far this came.
    """
    client = accounts.client(account)
    while form.files.data:
        file = uploads.send(client, form.files.data[0])
        if file["id"] not in dict(form.file_id.data):  # files with the same content are one in the drive
            form.file_id.data.append((file["id"], file["name"]))
        del form.files.data[0]
    answer = client.call("notes/create", form.params())
    note = answer.get("createdNote") if isinstance(answer, dict) else None
    if not isinstance(note, dict) or not read_id(note.get("id")):
        raise InvalidAnswer(account.server.host, "did not give the note back")
    names = [name for _, name in form.file_id.data]
    cw = line(note["cw"]) if isinstance(note.get("cw"), str) else None
    return {"id": note["id"], "text": text(note.get("text")), "cw": cw, "files": names}


def _failed(account: Account, form: NoteForm, error: MisskeyError) -> ResponseReturnValue:
    """Show the form again, with all that was typed and uploaded, and what went wrong."""
    if not form.files.data:  # all were uploaded; it was the note that failed
        if words := _too_long(error):
            form.text.errors = [words]
            return _note_page(account, form), 422
        failure, ask_for = _failure_of(error), to_ask_for(error, account, "write:notes")
    elif refusal := uploads.words_of(error, form.files.data[0]):
        form.files.errors = [refusal]
        return _note_page(account, form), 422
    else:
        failure, ask_for = uploads.failure_of(error), to_ask_for(error, account, "write:notes", "write:drive")
    return _note_page(account, form, failure=failure, ask_for=ask_for), failure.status


def _failure_of(error: MisskeyError) -> Failure:
    failure = failures.of_server(error)
    return replace(failure, words=_MAYBE_POSTED) if failure.maybe_done else failure


def _too_long(error: MisskeyError) -> str:
    """Return what to say beside a text that is longer than the server takes, ``""`` when that is not the matter."""
    if not isinstance(error, APIError):
        return ""
    name, reason = failures.refused_parameter(error)
    if name == "text" and (most := re.search("more than ([0-9]+) characters", reason)):
        return _("Your server takes notes of up to %(num)s characters.", num=most[1])
    return _("This is longer than your server takes.") if error.code == "MAX_LENGTH" else ""


def _not_deleted(account: Account, error: MisskeyError) -> Failure:
    if _says(error, "ACCESS_DENIED"):
        return _NOT_YOURS
    ask_for = to_ask_for(error, account, "write:notes")
    context = {"account": account, "ask_for": ask_for}
    return replace(failures.of_server(error), context=context)


def _says(error: MisskeyError, code: str) -> bool:
    return isinstance(error, APIError) and error.code == code


def _note_page(account: Account, form: NoteForm, failure: Failure | None = None, **values: Any) -> str:
    if failure and failure.maybe_done:  # whoever presses again has been told, and decides anew
        form.draft.data = new_draft()
    values["failure"] = failure
    return page_or_fragment("note_form.html", _l("Post a note"), account, form=form, **values)
