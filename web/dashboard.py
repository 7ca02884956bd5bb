"""What a signed-in visitor does with the token: panels, and posting a note."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from flask import Blueprint, abort, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from misskey import AuthenticationFailed, Exchange, InvalidAnswer, MisskeyError, PermissionDenied, parse_permissions

from . import accounts, error_pages
from .accounts import Account, login_required
from .forms import NoteForm
from .once import do_once
from .security import limiter
from .shown import line, text

pages = Blueprint("dashboard", __name__)
#: A page makes a handful of calls; this keeps one visitor from wearing out a server, or this one.
calls = limiter.shared_limit("300 per minute", scope="calls")

RESULT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Panel:
    """One part of the dashboard: what it calls, and the template ``panels/<name>.html`` that shows the answer.

    ``permission`` is the one that the endpoint needs, ``""`` when any token will do; ``kind`` is what it answers with,
    an object (``dict``) or a ``list``.
    """

    name: str
    title: Any
    endpoint: str
    permission: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    kind: type = dict


PANELS = {
    panel.name: panel
    for panel in (
        Panel("profile", _l("Your profile"), "i", "read:account"),
        Panel("server", _l("Your server"), "meta", params={"detail": True}),
    )
}


@pages.get("/dashboard")
@login_required
def shell(account: Account) -> ResponseReturnValue:
    """Show the dashboard's frame at once; each panel comes on its own."""
    return render_template("dashboard.html", account=account, panels=PANELS.values(), form=NoteForm())


@pages.get("/dashboard/<name>")
@calls
@login_required
def panel(account: Account, name: str) -> ResponseReturnValue:
    """Show one panel, as a fragment for the dashboard or as a page of its own."""
    shown = PANELS.get(name) or abort(404)
    client = accounts.client(account)
    try:
        answer = client.call(shown.endpoint, shown.params)
        if not isinstance(answer, shown.kind):
            raise InvalidAnswer(account.server.host, "answered with something else than was asked for")
    except MisskeyError as error:
        context = {"panel": shown, "account": account, "exchanges": accounts.exchanges()}
        context["ask_for"] = _to_ask_for(error, account, shown.permission)
        return error_pages.answer(replace(error_pages.of_server(error), context=context))
    return _page_or_fragment("panels/panel.html", shown.title, account, panel=shown, answer=answer)


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
        ask_for = _to_ask_for(error, account, "write:notes")
        return _note_page(account, form, problem=problem, ask_for=ask_for), problem.status
    return redirect(url_for("dashboard.posted", draft=form.draft.data, account=account.public_id), 303)


@pages.get("/notes/<draft>")
@login_required
def posted(account: Account, draft: str) -> ResponseReturnValue:
    """Show a note that was posted here a moment ago, and what was sent for it."""
    note, sent = json.loads(accounts.store().get(_result(account, draft)) or abort(404))
    accounts.exchanges().extend(Exchange(**entry) for entry in sent)
    return _page_or_fragment(
        "note_posted.html",
        _l("Posted"),
        account,
        note=note,
        note_url=account.server.url(f"/notes/{note['id']}"),
    )


_NOT_POSTED = error_pages.Problem(502, _l("The note was not posted"), _l("Something went wrong on the way. Try again."))


def _to_ask_for(error: MisskeyError, account: Account, permission: str) -> tuple[str, ...]:
    """Return what to ask for in a new sign-in, if that helps: what was asked for before, and what was missing."""
    before = accounts.settings().permissions if account.permissions is None else account.permissions
    if isinstance(error, PermissionDenied):
        return parse_permissions({*before, permission})
    return tuple(before) if isinstance(error, AuthenticationFailed) else ()


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
    return _page_or_fragment("note_form.html", _l("Post a note"), account, form=form, **values)


def _page_or_fragment(template: str, title: Any, account: Account, **values: Any) -> str:
    """Return one file, alone for a script that asked for a part of the page, else within the page."""
    values |= {"title": title, "account": account, "exchanges": accounts.exchanges()}
    if "HX-Request" in request.headers:
        return render_template(template, **values)
    return render_template("dashboard_page.html", fragment=template, **values)
