"""What a signed-in visitor does with the token: posting a note."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from typing import Any

from flask import Blueprint, abort, redirect, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from misskey import Exchange, InvalidAnswer, MisskeyError

from . import accounts, error_pages
from .accounts import Account, login_required
from .dashboard import calls, page_or_fragment, to_ask_for
from .forms import NoteForm
from .once import RESULT_SECONDS, do_once
from .shown import line, text

pages = Blueprint("posting", __name__)


@pages.post("/notes")
@calls
@login_required
def post_note(account: Account) -> ResponseReturnValue:
    """Post a note and show it; a form that is sent twice posts one note."""
    form = NoteForm()
    if not form.validate_on_submit():
        return _note_page(account, form), 422
    try:
        name = _result(account, form.draft.data)
        if do_once(accounts.store(), name, lambda: _post(account, form), RESULT_SECONDS) is None:
            return _note_page(account, form, problem=_NOT_POSTED), _NOT_POSTED.status
    except MisskeyError as error:
        problem = error_pages.of_server(error)
        ask_for = to_ask_for(error, account, "write:notes")
        return _note_page(account, form, problem=problem, ask_for=ask_for), problem.status
    return redirect(url_for("posting.posted", draft=form.draft.data, account=account.public_id), 303)


@pages.get("/notes/<draft>")
@login_required
def posted(account: Account, draft: str) -> ResponseReturnValue:
    """Show a note that was posted here a moment ago, and what was sent for it."""
    note, sent = json.loads(accounts.store().get(_result(account, draft)) or abort(404))
    accounts.exchanges().extend(Exchange(**entry) for entry in sent)
    return page_or_fragment(
        "note_posted.html",
        _l("Posted"),
        account,
        note=note,
        note_url=account.server.url(f"/notes/{note['id']}"),
    )


_NOT_POSTED = error_pages.Problem(502, _l("The note was not posted"), _l("Something went wrong on the way. Try again."))


def _post(account: Account, form: NoteForm) -> str:
    answer = accounts.client(account).call("notes/create", form.params())
    note = answer.get("createdNote") if isinstance(answer, dict) else None
    if not isinstance(note, dict) or not re.fullmatch("[A-Za-z0-9_-]{1,64}", str(note.get("id"))):
        raise InvalidAnswer(account.server.host, "did not give the note back")
    kept = {"id": note["id"], "text": text(note.get("text")), "cw": line(note.get("cw"))}
    return json.dumps([kept, [asdict(entry) for entry in accounts.exchanges()]])


def _result(account: Account, draft: str) -> str:
    return f"note {account.key} {draft}"


def _note_page(account: Account, form: NoteForm, **values: Any) -> str:
    return page_or_fragment("note_form.html", _l("Post a note"), account, form=form, **values)
