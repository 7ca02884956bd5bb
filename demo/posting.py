"""Views that post a note with its files, and delete one."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import Any

from flask import Blueprint, abort, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from misskey import APIError, InvalidAnswer, MisskeyError
from web import accounts, error_pages, failures
from web.accounts import Account, login_required
from web.failures import Failure
from web.htmx import answers_form, page_or_fragment
from web.rate_limits import calls
from web.security import csrf_checked_by_form
from web.template_filters import line, read_id, sentences, text

from . import results, uploads
from .forms import NoteForm
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
        return _form_again(account, form)
    work, seconds = partial(_post, account, form), uploads.max_seconds(form.files.data)
    try:
        if not results.keep("note", account, form.draft.data, work, seconds):
            return _form_again(account, form, _NOT_KNOWN)
    except MisskeyError as error:
        return _form_again(account, form, _failure_of(error, account, form))
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
    gone_before = False
    try:
        accounts.client(account).call("notes/delete", {"noteId": note_id})
    except APIError as error:
        gone_before = error.code == "NO_SUCH_NOTE"
        if error.code == "ACCESS_DENIED":
            return error_pages.answer(_NOT_YOURS)
        if not gone_before:
            return error_pages.answer(error_pages.failure_of(error, account, "write:notes"))
    return page_or_fragment("note_deleted.html", _l("Deleted"), account, gone_before=gone_before)


_form_again = partial(results.form_again, "note_form.html", _l("Post a note"))
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


def _failure_of(error: MisskeyError, account: Account, form: NoteForm) -> Failure | None:
    """Return what went wrong, ``None`` when that is said beside a field."""
    if form.files.data:  # one of them could not be uploaded
        return uploads.failure_of(error, account, form.files, "write:notes", "write:drive")
    field, words = _refused(error)
    if words:
        form[field].errors = [words]
        return None
    failure = error_pages.failure_of(error, account, "write:notes")
    if isinstance(error, InvalidAnswer) and error.status == 403:
        blocked = _("If other notes get through, it is something in this one that the firewall does not like.")
        return replace(failure, words=sentences(failure.words, blocked))
    return replace(failure, words=_MAYBE_POSTED) if failure.maybe_done else failure


def _refused(error: MisskeyError) -> tuple[str, str]:
    """Return the field of which a server does not take the content, and what to say beside it; ``""`` for no field."""
    if not isinstance(error, APIError):
        return "", ""
    name, reason = failures.refused_parameter(error)
    most = re.search("more than ([0-9]+) characters", reason)
    if most and name == "text":
        return name, _("Your server takes notes of up to %(num)s characters.", num=most[1])
    if most and name == "cw":
        return name, _("Your server takes content warnings of up to %(num)s characters.", num=most[1])
    return "text", str(_REFUSED_TEXTS.get(error.code, ""))


#: What to say beside a text that a server refuses, by its code.
_REFUSED_TEXTS = {
    "MAX_LENGTH": _l("This is longer than your server takes."),
    "CONTAINS_PROHIBITED_WORDS": _l("There are words in it that your server does not let anybody post."),
    "CONTAINS_TOO_MANY_MENTIONS": _l("It mentions more people than your server lets you."),
}
