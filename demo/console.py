"""The console: any endpoint by hand, what came back, what was called before, and each call as code to copy."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from threading import Lock
from typing import Any
from uuid import UUID
from weakref import ref

from cachetools import TTLCache, cached
from flask import Blueprint, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l
from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import JsonLexer

from misskey import UPLOAD_ENDPOINT, InvalidAnswer, MisskeyError, mask_token
from web import accounts, failures, services
from web.accounts import Account, login_required
from web.htmx import answers_form, wants_fragment
from web.rate_limits import calls
from web.security import csrf_checked_by_form
from web.template_filters import line, sentences

from . import account_data, code_snippets, results, trace
from .forms import ENDPOINT_CHARACTERS, ConsoleForm, is_endpoint

pages = Blueprint("console", __name__)
#: Calls to begin with, and their parameters; the first one is filled in.
EXAMPLES = {
    "i": "{}",
    "meta": '{\n  "detail": false\n}',
    "notes/local-timeline": '{\n  "limit": 3\n}',
    "notes/create": '{\n  "text": "Hello from the console",\n  "visibility": "specified"\n}',
}
#: What to insert for a parameter, by the type that the server tells.
EMPTY_VALUES = {"String": '""', "Integer": "0", "Number": "0", "Boolean": "false", "Array": "[]", "Object": "{}"}

MAX_ANSWER_BYTES = 4 * 1024 * 1024  # thousands of emoji; what the dashboard asks for is smaller
MAX_CALLS, MAX_CALLS_BYTES, CALLS_SECONDS = 20, 100_000, 86_400  # that are remembered of an account
MAX_ENDPOINTS = 2000  # Misskey has some 400
MAX_PARAMETERS = 200  # Misskey's ``admin/update-meta`` has some 150
REMEMBERED_CHARACTERS = 10_000_000  # of all servers' endpoints and parameters
REMEMBERED_SECONDS = 600


@pages.get("/console")
@login_required
def page(account: Account) -> ResponseReturnValue:
    """Show the form at once, filled with an endpoint, an example, or a call of before."""
    endpoint = line(request.args.get("endpoint", next(iter(EXAMPLES))), ENDPOINT_CHARACTERS)
    example = {"endpoint": endpoint, "params": EXAMPLES.get(endpoint, "{}")}
    again = (call for call in _history(account) if call["draft"] == request.args.get("again"))
    return _console(account, _filled(next(again, example)))


@pages.post("/console")
@csrf_checked_by_form
@calls
@results.limit
@login_required
def send(account: Account) -> ResponseReturnValue:
    """Make a call and show what came of it; a form that is sent twice makes one call."""
    form = ConsoleForm()
    is_valid = form.validate_on_submit()
    if ("show" in request.form or "insert" in request.form) and not form.form_errors:
        return _show_parameters(account, form)
    if not is_valid:
        return _console(account, form), 422
    if not results.keep("console", account, form.draft.data, lambda: _call(account, form)):
        return _console(account, form, failure=_NOT_KNOWN), _NOT_KNOWN.status
    return redirect(url_for("console.answer", draft=form.draft.data, account=account.public_id), 303)


@pages.get("/console/<uuid:draft>")
@answers_form
@calls
@login_required
def answer(account: Account, draft: UUID) -> ResponseReturnValue:
    """Show what came of a call that was made a moment ago.

    A server that says no was asked and has answered, which is what the console is for: 200. Without an answer, 502 or
    504.
    """
    call = results.find("console", account, draft)
    exchange = trace.exchanges()[-1]
    codes = code_snippets.of_call(exchange.url, call["values"])
    shown = _console(account, _filled(call), call=call, exchange=exchange, codes=codes)
    return shown, 200 if exchange.status else call["failure"]["status"]


@pages.post("/console/clear")
@login_required
def clear(account: Account) -> ResponseReturnValue:
    """Forget which calls were made."""
    account_data.forget(account, "console")
    return redirect(url_for("console.page", account=account.public_id), 303)


@pages.get("/console/endpoints")
@calls
@login_required
def endpoints(account: Account) -> ResponseReturnValue:
    """Show the server's endpoints, as a fragment for completion or as a page of links."""
    template = "console/names.html" if wants_fragment() else "console/endpoints.html"
    return render_template(template, account=account, names=_endpoints(account))


@pages.get("/console/parameters")
@calls
@login_required
def parameters(account: Account) -> ResponseReturnValue:
    """Show an endpoint's parameters, as a fragment for completion or within the console."""
    form = _filled({"endpoint": line(request.args.get("endpoint"), ENDPOINT_CHARACTERS), "params": "{}"})
    if not wants_fragment():
        return _show_parameters(account, form)
    known = _parameters(account, form.endpoint.data)
    return render_template("console/parameters.html", account=account, form=form, parameters=known)


def coloured(text: str) -> Markup:
    """Return JSON as markup with a class for each kind of value; other text comes out as text too."""
    lexer = JsonLexer(stripnl=False, ensurenl=False)
    return Markup(highlight(text, lexer, HtmlFormatter(nowrap=True)))  # noqa: S704 - Pygments escapes what it is given


_NOT_KNOWN = failures.Failure(
    502,
    _l("The result of this call is not known"),
    _l("Something went wrong on the way. Check at the server whether it was done before you send it again."),
)


def _console(account: Account, form: ConsoleForm, **values: Any) -> str:
    if form.endpoint.data == UPLOAD_ENDPOINT:
        url = account.server.url(f"/api/{UPLOAD_ENDPOINT}")
        values["codes"] = code_snippets.of_upload(url, mask_token(getattr(form, "values", {}), account.token))
    return render_template(
        "console/part.html" if wants_fragment() else "console/console.html",
        account=account,
        form=form,
        history=_history(account),
        examples=EXAMPLES,
        granted=accounts.permissions_of(account),
        **values,
    )


def _filled(call: dict[str, Any]) -> ConsoleForm:
    """Return a fresh form with what was sent before."""
    return ConsoleForm(formdata=None, endpoint=call["endpoint"], params=call["params"])


def _show_parameters(account: Account, form: ConsoleForm) -> ResponseReturnValue:
    """Show the parameters without scripts, and insert the one that was pressed."""
    try:
        known = _parameters(account, form.endpoint.data)
    except MisskeyError as error:
        failure = failures.of_server(error)
        return _console(account, form, failure=failure), failure.status
    name = request.form.get("insert")
    if name is not None:
        if not form.validate_on_submit():
            return _console(account, form, parameters=known), 422
        empty = EMPTY_VALUES.get(dict(known or ()).get(name, ""), "null")
        form.params.data = code_snippets.as_json({name: json.loads(empty)} | form.values)
    return _console(account, form, parameters=known)


def _call(account: Account, form: ConsoleForm) -> dict[str, Any]:
    """Make a call; return what its page will show beside what was sent."""
    failure = None
    try:
        accounts.client(account).call(form.endpoint.data, form.values, max_answer_bytes=MAX_ANSWER_BYTES)
    except MisskeyError as error:
        told = failures.of_server(error)
        mistyped = _("The endpoint’s name may be mistyped.") if error.status == 404 else ""
        words = sentences(told.words, mistyped, _("It may have been done all the same.") if told.maybe_done else "")
        failure = {"kind": type(error).__name__, "title": told.title, "words": words.unescape(), "status": told.status}
    exchange = trace.exchanges()[-1]
    typed = mask_token(form.params.data or "{}", account.token)
    call = {"draft": form.draft.data, "endpoint": form.endpoint.data, "params": typed}
    _add_to_history(account, call | {"time": time.time(), "status": exchange.status, "ms": exchange.milliseconds})
    values = mask_token(form.values, account.token)
    return call | {"values": values, "failure": failure}


def _history(account: Account) -> list[dict[str, Any]]:
    """Return the last calls, the newest first."""
    return list(json.loads(account_data.load(account, "console") or "[]"))


def _add_to_history(account: Account, call: dict[str, Any]) -> None:
    history = [call, *_history(account)][:MAX_CALLS]
    while len((text := json.dumps(history, ensure_ascii=False)).encode()) > MAX_CALLS_BYTES:
        history.pop()
    account_data.save(account, "console", text, CALLS_SECONDS)


#: Remembers what a server told: everybody shares it, so it is asked without a token.
_remembered = cached(
    TTLCache(REMEMBERED_CHARACTERS, REMEMBERED_SECONDS, getsizeof=lambda told: len(str(told))),
    key=lambda account, *endpoint: (ref(services.token_store()), account.origin, *endpoint),
    lock=Lock(),
)


@_remembered
def _endpoints(account: Account) -> list[str]:
    answer = replace(accounts.client(account), token=None).call("endpoints", idempotent=True)
    if not isinstance(answer, list):
        raise InvalidAnswer(account.server.host, "did not list its endpoints")
    return sorted({name for name in answer if isinstance(name, str) and is_endpoint(name)})[:MAX_ENDPOINTS]


@_remembered
def _parameters(account: Account, endpoint: str) -> list[tuple[str, str]] | None:
    """Return the names and types of an endpoint's parameters, ``None`` when the server has no such endpoint."""
    if not is_endpoint(endpoint or ""):
        return None
    answer = replace(accounts.client(account), token=None).call("endpoint", {"endpoint": endpoint}, idempotent=True)
    if answer is None:
        return None
    found = answer.get("params") if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise InvalidAnswer(account.server.host, "did not list the parameters")
    told = [(line(entry.get("name")), line(entry.get("type"), 20)) for entry in found if isinstance(entry, dict)]
    return [(name, kind) for name, kind in told if name][:MAX_PARAMETERS]
