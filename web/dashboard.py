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

from misskey import AuthenticationFailed, Exchange, InvalidAnswer, MisskeyError, PermissionDenied

from . import accounts, error_pages
from .accounts import Account, login_required
from .forms import NoteForm
from .once import do_once

pages = Blueprint("dashboard", __name__)

RESULT_SECONDS = 600


@dataclass(frozen=True, slots=True)
class Panel:
    """One part of the dashboard: what it calls, and the template ``panels/<name>.html`` that shows the answer.

    ``permission`` is the one that the endpoint needs, ``""`` when any token will do.
    """

    name: str
    title: Any
    endpoint: str
    permission: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)


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
@login_required
def panel(account: Account, name: str) -> ResponseReturnValue:
    """Show one panel, as a fragment for the dashboard or as a page of its own."""
    shown = PANELS.get(name) or abort(404)
    client = accounts.client(account)
    try:
        answer = client.call(shown.endpoint, shown.params)
        if not isinstance(answer, dict):
            raise InvalidAnswer(account.server.host, "answered with something else than was asked for")
    except MisskeyError as error:
        return error_pages.answer(_panel_problem(error, account, shown))
    return _page_or_fragment("panels/panel.html", shown.title, panel=shown, answer=answer)


@pages.post("/notes")
@login_required
def post_note(account: Account) -> ResponseReturnValue:
    """Post a note and show it; a form that is sent twice posts one note."""
    form = NoteForm()
    if not form.validate_on_submit():
        return _note_page(account, form), 422
    try:
        do_once(accounts.store(), _result(account, form.draft.data), lambda: _post(account, form), RESULT_SECONDS)
    except MisskeyError as error:
        problem = error_pages.of_server(error)
        return _note_page(account, form, problem), problem.status
    return redirect(url_for("dashboard.posted", draft=form.draft.data), 303)


@pages.get("/notes/<draft>")
@login_required
def posted(account: Account, draft: str) -> ResponseReturnValue:
    """Show a note that was posted here a moment ago, and what was sent for it."""
    note, sent = json.loads(accounts.store().get(_result(account, draft)) or abort(404))
    accounts.exchanges().extend(Exchange(**entry) for entry in sent)
    return _page_or_fragment(
        "note_posted.html",
        _l("Posted"),
        note=note,
        note_url=account.server.url(f"/notes/{note['id']}"),
        form=NoteForm(formdata=None),
    )


def _panel_problem(error: MisskeyError, account: Account, panel: Panel) -> error_pages.Problem:
    context: dict[str, Any] = {"panel": panel, "account": account, "exchanges": accounts.exchanges()}
    if isinstance(error, PermissionDenied):
        context["permissions"] = sorted({*(account.permissions or ()), panel.permission})
    elif isinstance(error, AuthenticationFailed):
        context["permissions"] = account.permissions or accounts.settings().permissions
    return replace(error_pages.of_server(error), context=context)


def _post(account: Account, form: NoteForm) -> str:
    answer = accounts.client(account).call("notes/create", form.params())
    note = answer.get("createdNote") if isinstance(answer, dict) else None
    if not isinstance(note, dict) or not re.fullmatch("[A-Za-z0-9_-]{1,64}", str(note.get("id"))):
        raise InvalidAnswer(account.server.host, "did not give the note back")
    return json.dumps([note, [asdict(entry) for entry in accounts.exchanges()]])


def _result(account: Account, draft: str) -> str:
    return f"note {account.key} {draft}"


def _note_page(account: Account, form: NoteForm, problem: error_pages.Problem | None = None) -> str:
    return _page_or_fragment("note_form.html", _l("Post a note"), account=account, form=form, problem=problem)


def _page_or_fragment(template: str, title: Any, **values: Any) -> str:
    """Return one file, alone for a script that asked for a part of the page, else within the page."""
    values |= {"title": title, "exchanges": accounts.exchanges(), "account": accounts.current()}
    if "HX-Request" in request.headers:
        return render_template(template, **values)
    return render_template("dashboard_page.html", fragment=template, **values)
