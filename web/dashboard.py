"""What a signed-in visitor sees with the token: the dashboard and its panels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from flask import Blueprint, abort, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

from misskey import AuthenticationFailed, Client, InvalidAnswer, MisskeyError, PermissionDenied, parse_permissions

from . import accounts, error_pages, problems
from .accounts import Account, login_required
from .concurrency import side_by_side
from .forms import NoteForm
from .media import picture
from .notes import read_files, read_notes
from .notifications import read_notifications
from .parts import wants_part
from .security import limiter
from .shown import read_id

pages = Blueprint("dashboard", __name__)
pages.add_app_template_filter(read_notes, "notes")
pages.add_app_template_filter(read_files, "files")
pages.add_app_template_filter(read_notifications, "notifications")
pages.add_app_template_filter(picture)
#: A page makes a handful of calls; this keeps one visitor from wearing out a server, or this one.
calls = limiter.shared_limit("300 per minute", scope="calls")
#: What is done here is kept for ten minutes, so that it can be looked at and is not done twice.
results = limiter.shared_limit("60 per minute", scope="results")


@dataclass(frozen=True, slots=True)
class Panel:
    """One part of the dashboard: what it calls, and the template ``panels/<name>.html`` that shows the answer.

    ``permission`` is the one that the endpoint needs, ``""`` when any token will do; ``kind`` is what it answers with,
    an object (``dict``) or a ``list``, which goes on with “Older”. ``also`` are endpoints asked at the same moment, by
    what the template calls their answers (``None`` for one that failed). ``choices`` are other endpoints to choose
    from, by what the address calls them, with their labels; the first is the panel's own. With ``gaps`` fewer than were
    asked for need not be the last: the server leaves out what the person may not see.
    """

    name: str
    title: Any
    endpoint: str
    permission: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    kind: type = dict
    also: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[Any, str]] = field(default_factory=dict)
    wide: bool = False
    gaps: bool = False

    def url(self, account: Account, **query: str) -> str:
        """Return the address of this panel as a page of its own."""
        values = {key: value for key, value in query.items() if value}
        return url_for("dashboard.panel", name=self.name, account=account.public_id, _external=False, **values)

    def asked_for(self, account: Account) -> bool:
        """Tell whether its permission was asked for, as far as anybody knows; the server has the last word."""
        return not self.permission or account.permissions is None or self.permission in account.permissions


TIMELINES = {
    "home": (_l("Home"), "notes/timeline"),
    "local": (_l("Local"), "notes/local-timeline"),
    "social": (_l("Social"), "notes/hybrid-timeline"),
    "global": (_l("Global"), "notes/global-timeline"),
}
PANELS = {
    panel.name: panel
    for panel in (
        Panel(
            "timeline",
            _l("Timeline"),
            "notes/timeline",
            "read:account",
            {"limit": 10},
            list,
            choices=TIMELINES,
            wide=True,
        ),
        Panel("profile", _l("Your profile"), "i", "read:account"),
        Panel(  # looking here should not make anything read over there
            "notifications",
            _l("Notifications"),
            "i/notifications",
            "read:notifications",
            {"limit": 10, "markAsRead": False},
            list,
            gaps=True,
        ),
        Panel(  # the files of all folders
            "drive", _l("Your drive"), "drive/stream", "read:drive", {"limit": 8}, list, {"drive": "drive", "me": "i"}
        ),
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
    """Show one panel, as a fragment for the dashboard or as a page of its own; ``until`` asks for what is older."""
    shown = PANELS.get(name) or abort(404)
    which, until = request.args.get("which", next(iter(shown.choices), "")), request.args.get("until", "")
    if (shown.choices and which not in shown.choices) or until != read_id(until):
        abort(404)
    view: dict[str, Any] = {"panel": shown, "account": account, "which": which, "until": until}
    endpoint = shown.choices[which][1] if shown.choices else shown.endpoint
    try:
        answer, also = _ask(account, shown, endpoint, until)
    except MisskeyError as error:
        ask_for = to_ask_for(error, account, shown.permission)
        context = view | {"exchanges": accounts.exchanges(), "ask_for": ask_for}
        return error_pages.answer(replace(problems.of_server(error), context=context))
    values = view | also | {"answer": answer, "older": _older(shown, answer)}
    return page_or_fragment("panels/panel.html", shown.title, **values)


def _ask(account: Account, panel: Panel, endpoint: str, until: str) -> tuple[Any, dict[str, Any]]:
    """Return what the panel's endpoint answers, and what those beside it do, all asked at the same moment."""
    client = accounts.client(account)
    params = {**panel.params, **({"untilId": until} if until else {})}
    also = {} if until else panel.also
    if also:
        jobs = [
            partial(client.call, endpoint, params),
            *(partial(_answer_or_none, client, other) for other in also.values()),
        ]
        answer, *beside = side_by_side(jobs)
    else:
        answer, beside = client.call(endpoint, params), []
    if not isinstance(answer, panel.kind):
        raise InvalidAnswer(account.server.host, "answered with something else than was asked for")
    if isinstance(answer, list):  # whatever was asked for: drawing what fits into 4 MiB would hold everybody up
        answer = answer[: panel.params["limit"]]
    return answer, dict(zip(also, beside, strict=True))


def _answer_or_none(client: Client, endpoint: str) -> Any:
    try:
        answer = client.call(endpoint)
    except MisskeyError:
        return None
    return answer if isinstance(answer, dict) else None


def _older(panel: Panel, answer: Any) -> str:
    """Return the id that what is older comes after, ``""`` when this was all."""
    if panel.kind is not list or len(answer) < (1 if panel.gaps else panel.params["limit"]):
        return ""
    last = answer[-1]
    return read_id(last.get("id")) if isinstance(last, dict) else ""


def to_ask_for(error: MisskeyError, account: Account, *permissions: str) -> tuple[str, ...]:
    """Return what to ask for in a new sign-in, if that helps: what was asked for before, and what was missing."""
    before = accounts.settings().permissions if account.permissions is None else account.permissions
    if isinstance(error, PermissionDenied):
        return parse_permissions({*before, *filter(None, permissions)})
    return tuple(before) if isinstance(error, AuthenticationFailed) else ()


def page_or_fragment(template: str, title: Any, account: Account, **values: Any) -> str:
    """Return one file, alone for a script that asked for a part of the page, else within the page."""
    values |= {"title": title, "account": account, "exchanges": accounts.exchanges()}
    if wants_part():
        return render_template(template, **values)
    return render_template("dashboard_page.html", fragment=template, **values)
