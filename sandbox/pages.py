"""What people see: MiAuth's page and the sandbox's own; and nodeinfo, files and portraits."""

from contextlib import suppress
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from flask import Blueprint, abort, redirect, render_template, request
from werkzeug.wrappers import Response

from sandbox.api import answer
from sandbox.world import SHAPES, Json, Misbehaviour, Refusal, world

pages = Blueprint("pages", __name__)
# Misskey's page does not go to callbacks of these schemes, nor to those without any.
BAD_SCHEMES = {"", "javascript", "data", "file", "mailto", "tel", "vbscript"}
# Without form-action, which would also stop the way back to the app; like Misskey's, Referer names only the server.
POLICY = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
PROTECTION = {"Content-Security-Policy": POLICY, "Referrer-Policy": "origin", "X-Content-Type-Options": "nosniff"}
NODEINFO = "http://nodeinfo.diaspora.software/ns/schema"


@pages.before_request
def own_forms_only() -> None:
    """Refuse the forms of other sites."""
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        abort(403)


@pages.after_request
def protect(response: Response) -> Response:
    """Tell browsers what these pages need, and no more."""
    response.headers.update(PROTECTION)
    return response


@pages.get("/")
@pages.get("/settings/<any(api, apps, connect):_page>")
@pages.route("/sandbox", methods=["GET", "POST"])
def home(_page: str = "") -> Response | str:
    """What this is and who lives here; the controls, which hold from now on; and where apps are removed."""
    if request.method == "GET":
        return render_template("home.html", world=world)
    if "revoke" in request.form:
        world.revoke_app_tokens()
    elif (chosen := request.form.get("misbehaviour", "")) in list(Misbehaviour):
        world.misbehaviour = Misbehaviour(chosen)
    else:
        abort(400)
    return redirect("/sandbox", 303)


@pages.route("/miauth/<session>", methods=["GET", "POST"])
def miauth(session: str) -> Response | str | tuple[str, dict[str, str]]:
    """What an app asks for, and the choice; then, if it was Allow, a token for the app and the way back to it."""
    # Misskey's page decodes its query once more than the browser did.
    wish: Json = {name: unquote(request.args.get(name, "")) for name in ("name", "icon", "callback", "permission")}
    wish["permissions"] = [name for name in wish["permission"].split(",") if name in SHAPES["permissions"]]
    if request.method == "GET":
        page = render_template("miauth.html", wish=wish, people=world.people.values())
        return page, {"Cache-Control": "public, max-age=30"}
    outcome = "denied"
    if request.form.get("decision") == "allow":
        outcome, person = "failed", world.people.get(request.form.get("person", "")) or abort(400)
        with suppress(Refusal, ValueError):  # of the server; of a callback that is no URL
            world.approve(person, wish["permissions"], session, wish["name"])
            if address := callback_address(wish["callback"], session):
                return redirect(address, 303)
            outcome = "failed" if wish["callback"] else "allowed"
    return render_template("outcome.html", outcome=outcome, wish=wish)


def callback_address(callback: str, session: str) -> str | None:
    """The callback with the session in its query; None where Misskey's page would not go."""
    parts = urlsplit(callback)
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "session"]
    address = parts._replace(query=urlencode([*query, ("session", session)])).geturl()
    return None if parts.scheme in BAD_SCHEMES else address


@pages.get("/notes/<id_>")
def note(id_: str) -> str:
    """A note that everybody may read."""
    found = world.notes.get(id_, {})
    if found.get("visibility") not in ("public", "home"):
        abort(404)
    return render_template("note.html", note=found)


@pages.get("/<any(files, identicon):_kind>/<key>")
def file(_kind: str, key: str) -> Response:
    """The content of a file, or somebody's portrait."""
    kind, content = world.contents.get(key) or abort(404)
    return Response(content, content_type=kind)


@pages.get("/proxy/<name>")
def media_proxy(name: str) -> Response:
    """A picture that is a file here, but for no program with `misskey/` in its name, as at the flagship."""
    if "misskey/" in request.headers.get("User-Agent", "").lower():
        abort(403)
    return file("files", request.args.get("url", "").removeprefix(f"{world.origin}/files/"))


@pages.get("/.well-known/nodeinfo")
@pages.get("/nodeinfo/<any('2.0', '2.1'):version>")
def nodeinfo(version: str = "") -> Response:
    """Which software this is, or where that stands."""
    known = SHAPES["nodeinfoOfMastodon" if world.misbehaviour == Misbehaviour.MASTODON else "nodeinfo"]
    if not version:
        links = [{"rel": f"{NODEINFO}/{v}", "href": f"{world.origin}/nodeinfo/{v}"} for v in known]
        return answer({"links": links}, headers={"Access-Control-Allow-Origin": "*"})
    kind = f'application/json; profile="{NODEINFO}/{version}#"; charset=utf-8'
    headers = {"Cache-Control": "public, max-age=600", "Access-Control-Allow-Origin": "*", "Content-Type": kind}
    return answer(known[version], headers=headers)
