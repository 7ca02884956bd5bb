"""Pictures from remote servers, fetched by the app: a page of this app loads nothing from another site.

So a server never learns who looks at what from which address, and what it sends is shown only if it is a picture.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from flask import Blueprint, Response, abort, request, url_for
from flask.typing import ResponseReturnValue
from itsdangerous import BadSignature, Signer

from misskey import InvalidAnswer, Server, ServerNameError
from web import accounts, services
from web.accounts import Account, login_required
from web.rate_limits import limit

pages = Blueprint("media", __name__)
MAX_URL = 2000
MAX_BYTES = 2 * 1024 * 1024  # small pictures have a tenth of it
#: How files begin that can be shown and hold no script; SVG can.
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", 0, "image/png"),
    (b"\xff\xd8\xff", 0, "image/jpeg"),
    (b"GIF8", 0, "image/gif"),
    (b"WEBP", 8, "image/webp"),
    (b"ftypavif", 4, "image/avif"),
)


def picture(url: object) -> str:
    """Return where this app shows the picture at ``url``, ``""`` for what is no address that it would go to."""
    account = accounts.of_request()
    if not account or not isinstance(url, str) or not _parse(url):
        return ""
    return url_for("media.show", account=account.public_id, of=_signer(account).sign(url).decode())


@pages.get("/media")  # the address goes into the query, which no log holds
@limit("600 per minute")
@login_required
def show(account: Account) -> ResponseReturnValue:
    """Fetch a picture that a page of this app shows; addresses that no page of it has signed lead nowhere."""
    try:
        url = _signer(account).unsign(request.args.get("of", "")).decode()
    except BadSignature:
        abort(404)
    server, path = _parse(url) or abort(404)
    if server.private and server.origin != account.origin:  # another server's notes can't make the app look at it
        abort(404)
    if "avatar=1" in path.partition("?")[2].split("&"):
        path += "&static=1"  # Misskey's proxy sends portraits that move otherwise, some too large to be shown at all
    headers = {"Accept": "image/*"}
    answer = services.transport().request("GET", server, path, headers=headers, max_answer_bytes=MAX_BYTES)
    if answer.status != 200:  # gone, or a server without portraits of its own, which leads elsewhere
        abort(404)
    kind = next((kind for start, at, kind in _KINDS if answer.body[at : at + len(start)] == start), None)
    if kind is None:
        raise InvalidAnswer(server.host, "has no picture there", status=answer.status)
    return Response(answer.body, content_type=kind)


def _parse(url: str) -> tuple[Server, str] | None:
    """Return the server and the path of an address; ``None`` where this app does not go."""
    if not 0 < len(url) <= MAX_URL or not url.isascii() or not url.isprintable():
        return None
    private = services.settings().private_servers
    try:
        parts = urlsplit(url)
        server = Server.parse(f"{parts.scheme}://{parts.netloc}", private)
    except (ServerNameError, ValueError):
        return None
    if " " in url or not url.startswith(server.origin + "/"):
        return None
    return server, url.removeprefix(server.origin).partition("#")[0]


def _signer(account: Account) -> Signer:
    """Return what signs addresses for the pages of one account; for another one's they are worth nothing."""
    return Signer(services.settings().signing_keys, salt=f"picture {account.public_id}")
