"""The dashboard: panels, each of which shows what an endpoint answers."""

from __future__ import annotations

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from typing import Any, cast

from flask import Blueprint, Flask, abort, current_app, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import lazy_gettext as _l

import misskey

from . import accounts, error_pages
from .accounts import Account, login_required
from .hosting.concurrency import in_parallel
from .htmx import page_or_fragment, wants_fragment
from .languages import Text
from .rate_limits import calls
from .template_filters import read_id

pages = Blueprint("dashboard", __name__)


MARK_CHARACTERS = 5  # 30 bits: of a thousand entries, two look alike once in two thousand lists
MAX_ENTRIES = 100  # of a list that was asked for without a limit
MAX_SEEN = 500  # entries that an address remembers: servers take one of 4,000 characters
_SEEN = re.compile(f"(?:[A-Za-z0-9_-]{{{MARK_CHARACTERS}}}){{0,{MAX_SEEN}}}")


@dataclass(frozen=True, slots=True)
class Panel:
    """One part of the dashboard: what it calls, and the template ``panels/<name>.html`` that shows the answer.

    ``permission`` is the one that the endpoint needs, ``""`` when it needs no token; ``params`` are the parameters, or
    a function of the account that returns them; ``kind`` is what it answers with, an object (``dict``) or a ``list``,
    which goes on with “Older”. ``also`` are endpoints asked at the same moment, by what the template calls their
    answers (``None`` for one that failed). ``choices`` are other endpoints to choose from, by what the address calls
    them, with their labels; the first is the panel's own. A ``wide`` one has the wide column, on large screens.

    The template has ``answer``, ``account``, ``panel``, ``until`` (the id that older entries come after) and what is
    in ``also``. What a server sent goes through a filter of :mod:`web.template_filters`: ``line``, ``text``, ``count``.
    """

    name: str
    title: Text
    endpoint: str
    permission: str = ""
    params: Mapping[str, Any] | Callable[[Account], Mapping[str, Any]] = field(default_factory=dict)
    kind: type = dict
    also: Mapping[str, str] = field(default_factory=dict)
    choices: Mapping[str, tuple[Text, str]] = field(default_factory=dict)
    wide: bool = False
    max_answer_bytes: int | None = None

    def url(self, account: Account, **query: str) -> str:
        """Return the address of this panel as a page of its own."""
        values = {key: value for key, value in query.items() if value}
        return url_for("dashboard.panel", name=self.name, account=account.public_id, _external=False, **values)

    def asked_for(self, account: Account) -> bool:
        """Return whether its permission was asked for, as far as anybody knows; the server has the last word."""
        return not self.permission or not account.lacks(self.permission)

    def params_for(self, account: Account) -> Mapping[str, Any]:
        """Return the parameters of the call."""
        return self.params(account) if callable(self.params) else self.params


PROFILE = Panel("profile", _l("Your profile"), "i", "read:account", wide=True)
SERVER = Panel("server", _l("Your server"), "meta", params={"detail": True}, max_answer_bytes=misskey.META_BYTES)
#: What the dashboard shows, in this order. A panel of your own is an entry here and a template.
PANELS = (PROFILE, SERVER)
#: What the app needs beside what its panels do: by default, a sign-in asks for all of it.
PERMISSIONS: tuple[str, ...] = ()


def init_app(app: Flask, panels: Iterable[Panel] = PANELS, permissions: Iterable[str] = ()) -> None:
    """Give ``app`` a dashboard of these panels; ``permissions`` are what else this part of the app needs by default."""
    app.extensions["panels"] = shown = {panel.name: panel for panel in panels}
    of_panels = {panel.permission for panel in shown.values() if panel.permission}
    app.extensions["permissions"] = misskey.parse_permissions({*PERMISSIONS, *permissions, *of_panels})


def panels() -> dict[str, Panel]:
    """Return the panels of the dashboard by their names."""
    return cast(dict[str, Panel], current_app.extensions["panels"])


@pages.get("/dashboard")
@login_required
def shell(account: Account) -> ResponseReturnValue:
    """Show the dashboard's frame at once; each panel comes on its own."""
    return render_template("dashboard.html", account=account, panels=panels().values())


@pages.get("/dashboard/<name>")
@calls
@login_required
def panel(account: Account, name: str) -> ResponseReturnValue:
    """Show one panel, as a fragment for the dashboard or as a page of its own.

    ``until`` asks for what is older, ``seen`` says what was shown before.
    """
    shown = panels().get(name) or abort(404)
    which, until = request.args.get("which", next(iter(shown.choices), "")), request.args.get("until", "")
    seen = request.args.get("seen", "")
    if (shown.choices and which not in shown.choices) or until != read_id(until) or not _SEEN.fullmatch(seen):
        abort(404)
    view: dict[str, Any] = {"panel": shown, "account": account, "which": which, "until": until, "seen": seen}
    endpoint = shown.choices[which][1] if shown.choices else shown.endpoint
    try:
        answer, also = _ask(account, shown, endpoint, until)
    except misskey.MisskeyError as error:
        failure = error_pages.failure_of(error, account, shown.permission)
        told_once = wants_fragment() and not until and _is_of_all(error)
        return error_pages.answer(replace(failure, context=view | failure.context | {"told_once": told_once}))
    answer, older = _unseen(answer, until, seen) if isinstance(answer, list) else (answer, {})
    values = view | also | {"answer": answer, "older": older}
    return page_or_fragment("panels/panel.html", shown.title, **values)


def _ask(account: Account, panel: Panel, endpoint: str, until: str) -> tuple[Any, dict[str, Any]]:
    """Return what the panel's endpoint answers, and what those beside it do, all asked at the same moment."""
    client = accounts.client(account)
    params = {**panel.params_for(account), **({"untilId": until} if until else {})}
    also = {} if until else panel.also
    others = [partial(_answer_or_none, client, other) for other in also.values()]
    answer, *beside = in_parallel([partial(_read, client, panel, endpoint, params), *others])
    return answer, dict(zip(also, beside, strict=True))


def _read(client: misskey.Client, panel: Panel, endpoint: str, params: Mapping[str, Any]) -> Any:
    """Call a panel's endpoint, without the token where that is enough: it may be gone, and the server still there."""
    options: dict[str, Any] = {"idempotent": True, "max_answer_bytes": panel.max_answer_bytes}
    first = client if panel.permission else replace(client, token=None)
    try:
        answer = first.call(endpoint, params, **options)
    except misskey.APIError as error:
        if panel.permission or error.status not in (401, 403):
            raise
        answer = client.call(endpoint, params, **options)  # some servers tell nothing without one
    if not isinstance(answer, panel.kind):
        raise misskey.InvalidAnswer(client.server.host, "answered with something else than was asked for")
    # Whatever was asked for: drawing all that a server can send would take long.
    return answer[: params.get("limit", MAX_ENTRIES)] if isinstance(answer, list) else answer


def _is_of_all(error: misskey.MisskeyError) -> bool:
    """Return whether all panels fail for this reason: the token was removed, or something is wrong with the server."""
    if isinstance(error, misskey.APIError):
        kinds = (misskey.AuthenticationFailed, misskey.RateLimited)
        return isinstance(error, kinds) or error.status >= 500 or error.code == "YOUR_ACCOUNT_SUSPENDED"
    if isinstance(error, misskey.InvalidAnswer):  # a page in its place, unless the page is that there is none
        return error.status is not None and error.status != 404
    return not isinstance(error, misskey.AnswerTooLarge)


def _answer_or_none(client: misskey.Client, endpoint: str) -> dict[str, Any] | None:
    try:
        answer = client.call(endpoint, idempotent=True)
    except misskey.MisskeyError:
        return None
    return answer if isinstance(answer, dict) else None


def _unseen(answer: list[Any], until: str, seen: str) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the entries that were not shown before, and what asks for the next ones; nothing when this was all.

    A server may send fewer than were asked for although there are more, and send some again. So this goes on until
    nothing new comes, and the address remembers what was there.
    """
    marks = [seen[at : at + MARK_CHARACTERS] for at in range(0, len(seen), MARK_CHARACTERS)] or [_mark(until)]
    entries = []
    for entry in answer:
        entry_id = read_id(entry.get("id")) if isinstance(entry, dict) else ""
        if entry_id and _mark(entry_id) not in marks:
            marks.append(_mark(entry_id))
            entries.append(entry)
    if not entries:
        return [], {}
    return entries, {"until": entries[-1]["id"], "seen": "".join(marks[-MAX_SEEN:])}


def _mark(entry_id: str) -> str:
    """Return a few characters that tell one entry from others."""
    return urlsafe_b64encode(sha256(entry_id.encode()).digest()).decode()[:MARK_CHARACTERS]
