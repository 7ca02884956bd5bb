"""What people see: home, MiAuth's page, the controls, the list of apps; and nodeinfo, files and portraits."""

import re
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from flask import Blueprint, abort, current_app, make_response, redirect, render_template, request
from werkzeug.wrappers import Response

from sandbox.api import answer
from sandbox.endpoints import LONGEST_NAME
from sandbox.world import SHAPES, Json, Misbehaviour, World, picture

pages = Blueprint("pages", __name__)

KINDS = SHAPES["permissions"]
PERMISSIONS = {f"{may}:{kind}" for may in ("read", "write") for kind in KINDS["readAndWrite"]}
PERMISSIONS |= {f"write:{kind}" for kind in KINDS["writeOnly"]} | {f"read:{kind}" for kind in KINDS["readOnly"]}
# Misskey's page does not go to callbacks of these schemes.
BAD_SCHEMES = {"javascript", "data", "file", "mailto", "tel", "vbscript"}
NODEINFO = "http://nodeinfo.diaspora.software/ns/schema"


def current_world() -> World:
    """The world of the app that is answering."""
    world: World = current_app.extensions["sandbox"]
    return world


@pages.before_request
def own_forms_only() -> None:
    """Refuses forms that another site sent."""
    if request.method == "POST" and request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
        abort(403)


@pages.after_request
def protect(response: Response) -> Response:
    """Nothing from other sites, no frames; like Misskey, the app learns from Referer only the server."""
    # Without form-action, which would also stop the way back to the app.
    policy = "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'"
    response.headers["Content-Security-Policy"] = policy
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "origin"
    return response


@pages.get("/")
def home() -> str:
    """What this is and who lives here."""
    return render_template("home.html", world=current_world())


@pages.get("/miauth/<session>")
def ask(session: str) -> Response:
    """What an app asks for, and the choice."""
    response = make_response(render_template("miauth.html", wish=read_wish(), people=current_world().people.values()))
    response.headers["Cache-Control"] = "public, max-age=30"
    return response


@pages.post("/miauth/<session>")
def decide(session: str) -> Response | str:
    """A token, if the person allows it, and the way back to the app; it is not told of a no."""
    wish, world, outcome = read_wish(), current_world(), "failed"
    person = world.people.get(request.form.get("person", "")) or abort(400)
    too_long = max(len(session), len(wish["name"])) > LONGEST_NAME
    if request.form.get("decision") != "allow":
        outcome = "denied"
    elif not too_long and len(set(wish["permissions"])) == len(wish["permissions"]):
        world.approve(person, wish["permissions"], session, wish["name"])
        if address := callback_address(wish["callback"], session):
            return redirect(address, 303)
        outcome = "failed" if wish["callback"] else "allowed"
    return render_template("outcome.html", outcome=outcome, wish=wish)


def read_wish() -> Json:
    """What the query says, which Misskey's page decodes once more than the browser does."""
    wish = {name: decode(request.args.get(name, "")) for name in ("name", "icon", "callback", "permission")}
    return wish | {"permissions": [name for name in wish["permission"].split(",") if name in PERMISSIONS]}


def decode(text: str) -> str:
    """The text with its percent signs decoded; as it is where that makes no sense."""
    try:
        return text if re.search("%(?![0-9A-Fa-f]{2})", text) else unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


def callback_address(callback: str, session: str) -> str | None:
    """The callback with the session in its query; None where Misskey's page would not go."""
    parts = urlsplit(callback)
    if not parts.scheme or parts.scheme in BAD_SCHEMES:
        return None
    query = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if name != "session"]
    return parts._replace(query=urlencode([*query, ("session", session)])).geturl()


@pages.route("/sandbox", methods=["GET", "POST"])
def controls() -> Response | str:
    """The controls; sent, they hold from now on."""
    world, chosen = current_world(), request.form.get("misbehaviour", "")
    if request.method == "GET":
        return render_template("controls.html", world=world)
    if "revoke" in request.form:
        world.revoke_app_tokens()
    elif chosen in list(Misbehaviour):
        world.misbehaviour = Misbehaviour(chosen)
    else:
        abort(400)
    return redirect("/sandbox", 303)


@pages.route("/settings/connect", methods=["GET", "POST"])
@pages.get("/settings/api")
def apps() -> Response | str:
    """The apps that have a token; a person can remove one."""
    world = current_world()
    if request.method == "GET":
        return render_template("apps.html", tokens=[token for token in world.tokens.values() if not token.native])
    with world.lock:
        world.tokens = {value: token for value, token in world.tokens.items() if token.id != request.form.get("id")}
    return redirect("/settings/connect", 303)


@pages.get("/files/<key>")
def file(key: str) -> Response:
    """The content of a file."""
    kind, content = current_world().contents.get(key) or abort(404)
    return make_response(content, {"Content-Type": kind})


@pages.get("/identicon/<name>")
def portrait(name: str) -> Response:
    """The picture of somebody who has none."""
    return make_response(picture(name.partition("@")[0]), {"Content-Type": "image/png"})


@pages.get("/.well-known/nodeinfo")
def nodeinfo_links() -> Response:
    """Where it stands which software this is."""
    world = current_world()
    versions = ["2.0"] if world.misbehaviour == Misbehaviour.MASTODON else ["2.1", "2.0"]
    links = [{"rel": f"{NODEINFO}/{v}", "href": f"{world.origin}/nodeinfo/{v}"} for v in versions]
    return answer({"links": links}, 200, {"Cache-Control": None})


@pages.get("/nodeinfo/<any('2.0', '2.1'):version>")
def nodeinfo(version: str) -> Response:
    """Which software this is."""
    world, kind = current_world(), f'application/json; profile="{NODEINFO}/{version}#"; charset=utf-8'
    told = SHAPES["nodeinfoOfMastodon" if world.misbehaviour == Misbehaviour.MASTODON else "nodeinfo"]
    if version == "2.1":
        told = told | {"software": told["software"] | {"repository": SHAPES["meta"]["repositoryUrl"]}}
    return answer({"version": version} | told, 200, {"Cache-Control": "public, max-age=600", "Content-Type": kind})
