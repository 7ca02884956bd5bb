"""Start here: ``create_app`` is the table of contents; below it the sign-in journey in a visitor's order.

A visitor types a server; the app checks that it is a Misskey with MiAuth, makes a fresh session id, keeps it in the
signed cookie and sends the browser to the server's own page. When the browser comes back, the app compares the session
id with the cookie's, fetches the token with ``check``, puts it into the token store and shows the dashboard.

https://misskey-hub.net/docs/for-developers/api/token/
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping

from flask import Blueprint, Flask, redirect, request, session, url_for
from flask.typing import ResponseReturnValue

import demo
from misskey import (
    AuthenticationFailed,
    Grant,
    MiAuthMissing,
    MisskeyError,
    PermissionDenied,
    check_session,
    new_session_id,
    whoami,
)
from web import (
    account_page,
    accounts,
    config,
    dashboard,
    error_pages,
    failures,
    languages,
    pending_signins,
    public_pages,
    security,
    services,
    signin_pages,
    static_files,
    template_filters,
    token_store,
)
from web.forms import TOKEN_WORDS, SignInForm, TokenForm
from web.hosting import commands, compression, folders, health, metrics, request_log
from web.hosting.remote_calls import WatchedTransport
from web.rate_limits import RateLimitExceeded, limit

VERSION = "0.3.0"
# Misskey's media proxy refuses every program with "misskey/" in its name.
USER_AGENT = f"misskey-sign-in/{VERSION}"


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Return the app, set up by ``environ``; by default by the environment and ``.env``.

    Raises :class:`web.config.SettingsError`, which says in words what to mend.
    """
    settings = config.load(environ)
    tempfile.tempdir = folders.temporary_folder(settings.token_store)
    app = Flask(__name__, instance_path=folders.data_folder(settings.token_store, config.INSTANCE))
    app.url_map.strict_slashes = False  # people, and some proxies, add one
    app.extensions["settings"] = settings
    app.extensions["token_store"] = token_store.open_store(
        settings.token_store, [settings.secret_key, *settings.secret_key_fallbacks]
    )
    user_agent = f"{USER_AGENT} (+{settings.public_url})"
    app.extensions["transport"] = WatchedTransport(app, user_agent)
    for part in (static_files, compression, health):
        part.init_app(app)
    for part in (security, request_log, metrics):  # requests pass through the last one first
        part.init_app(app, settings)
    for part in (languages, template_filters, error_pages, commands, dashboard):
        part.init_app(app)
    app.register_blueprint(journey)
    for part in (public_pages, account_page, dashboard, languages, health):
        app.register_blueprint(part.pages)
    demo.init_app(app)  # `make own` takes this out; what you add goes here
    return app


journey = Blueprint("journey", __name__)


@journey.get("/")
def home() -> ResponseReturnValue:
    """Show what this is and the sign-in form; a visitor who is signed in goes to the dashboard."""
    if accounts.current():
        return redirect(url_for(accounts.FIRST_PAGE), 303)
    return signin_pages.first_page()


@journey.get("/signin")
def signin_form() -> ResponseReturnValue:
    """Show the sign-in form, also to a visitor who is signed in: for another account."""
    return signin_pages.first_page()


@journey.post("/signin")
@security.csrf_checked_by_form
@limit(lambda: services.settings().begin_limit)
def signin() -> ResponseReturnValue:
    """Begin a sign-in and send the browser to the server's own page, where the person allows or denies."""
    form = SignInForm()
    if not form.validate_on_submit():
        return signin_pages.sign_in_page(form), 422
    try:
        server = services.find_server(form.server)
    except MisskeyError as error:
        return signin_pages.refused(form, error)
    session_id = new_session_id()
    begun = pending_signins.begin(session_id, server, form.permissions())
    return redirect(begun.authorize_url, 303)


@journey.get("/callback")
@limit(
    lambda: services.settings().signin_limit,
    exempt_when=lambda: pending_signins.find(request.args.get("session", "")) is None,  # another site's link is no try
)
def callback() -> ResponseReturnValue:
    """Finish the sign-in that this browser began, with the session id that the server sent it back with."""
    session_id = request.args.get("session", "")
    key = pending_signins.account_key(session_id)
    if key and key in session.get("accounts", []) and accounts.load(key):  # a reload, or the back button
        return redirect(url_for(accounts.FIRST_PAGE), 303)
    if begun := pending_signins.find(session_id):
        return _finish(begun)
    unfinished = pending_signins.unfinished()
    if unfinished and not pending_signins.SESSION_ID.fullmatch(session_id):  # some servers lose it on the way back
        return error_pages.answer(signin_pages.nameless(unfinished[0]))
    return error_pages.answer(signin_pages.OTHER_BROWSER if key is None else signin_pages.OVER_ELSEWHERE)


@journey.post("/signin/resume")
@limit(lambda: services.settings().signin_limit)
def resume() -> ResponseReturnValue:
    """Check a sign-in again whose callback got lost: “I have allowed it”."""
    begun = pending_signins.find(request.form.get("session", ""))
    return _finish(begun, resumed=True) if begun else error_pages.answer(signin_pages.SIGN_IN_OVER)


@journey.post("/signin/cancel")
def cancel() -> ResponseReturnValue:
    """Forget a sign-in that is under way."""
    if begun := pending_signins.find(request.form.get("session", "")):
        pending_signins.drop(begun.session_id)
    return redirect(url_for("journey.home"), 303)


@journey.route("/signin/token", methods=["GET", "POST"])
@security.csrf_checked_by_form
@limit(lambda: services.settings().begin_limit, exempt_when=lambda: request.method != "POST")
def token() -> ResponseReturnValue:
    """Sign in with a token that the person made by hand in the server's settings."""
    form = TokenForm()
    if not form.validate_on_submit():
        return signin_pages.token_page(form), 422 if form.is_submitted() else 200
    try:
        server = services.find_server_for_token(form.server)
        user = whoami(services.client(server, form.token.data))
    except (AuthenticationFailed, PermissionDenied) as error:
        form.token.errors = [TOKEN_WORDS[type(error)]]
        return signin_pages.token_page(form), 422
    except MisskeyError as error:
        return signin_pages.refused(form, error)
    accounts.sign_in(accounts.save(Grant(user, form.token.data), None))
    return redirect(url_for(accounts.FIRST_PAGE), 303)


@journey.errorhandler(RateLimitExceeded)
def too_often(error: RateLimitExceeded) -> ResponseReturnValue:
    """Ask a visitor to wait; what was typed stays in its form."""
    failure = failures.too_many(error)
    if request.endpoint == "journey.signin":
        page = signin_pages.sign_in_page(SignInForm(), failure)
    elif request.endpoint == "journey.token":
        page = signin_pages.token_page(TokenForm(), failure)
    else:
        return error_pages.answer(failure)
    return page, failure.status, {"Retry-After": str(failure.retry_after)}


def _finish(begun: pending_signins.Pending, *, resumed: bool = False) -> ResponseReturnValue:
    """Fetch the token, once, and show the dashboard. What fails at the server gets a page, and can be tried again."""
    if begun.expired and not begun.finished:
        pending_signins.drop(begun.session_id)
        return error_pages.answer(signin_pages.SIGN_IN_EXPIRED)
    try:
        key = pending_signins.finish_once(begun.session_id, lambda: _fetch(begun))
    except MiAuthMissing as error:
        pending_signins.drop(begun.session_id)
        return signin_pages.refused(SignInForm(host=begun.server.host), error)
    if key is None:
        return error_pages.answer(signin_pages.not_allowed_yet(begun))
    account = accounts.load(key)
    if not account:
        pending_signins.drop(begun.session_id)
        return error_pages.answer(signin_pages.SIGN_IN_OVER)
    former = accounts.current()
    if former and former.public_id != begun.account and not resumed:  # any site can link to a callback that it knows
        return account_page.add(account)
    accounts.sign_in(account)
    return redirect(url_for(accounts.FIRST_PAGE), 303)


def _fetch(begun: pending_signins.Pending) -> str | None:
    grant = check_session(services.client(begun.server), begun.session_id)
    return accounts.save(grant, begun.permissions, begun).key if grant else None


if __name__ == "__main__":
    raise SystemExit("This only builds the app. To start it: make run")
