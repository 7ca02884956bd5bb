"""How a call to `/api` is answered: who asks, may they, does it fit; and how Misskey says no."""

import json
import re
import time
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, current_app, request

from sandbox.endpoints import ANSWERS, ENDPOINTS, Call, Refusal
from sandbox.schema import broken_rule
from sandbox.world import Json, Misbehaviour, Token, World, read_json

api = Blueprint("api", __name__)
api.register_error_handler(413, lambda _: answer(None, 413))

# Those without an id come from the web framework below the endpoints, in a shape of their own.
ERRORS = read_json("errors.json")
CHECK = re.compile("miauth/(.*)/check")
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
PAGES = {
    Misbehaviour.FORBIDDEN: (403, "Sorry, you have been blocked"),
    Misbehaviour.NOT_JSON: (200, "We will be back soon"),
    Misbehaviour.MASTODON: (404, "The page you are looking for isn't here."),
}


@api.before_request
def misbehave() -> Response | None:
    """What comes instead of an answer; nothing while all is well."""
    world: World = current_app.extensions["sandbox"]
    if world.misbehaviour == Misbehaviour.SLOW:
        world.closing.wait(world.slow_seconds)
    while world.misbehaviour == Misbehaviour.HANGING and not world.closing.wait(0.1):
        pass
    if world.misbehaviour == Misbehaviour.RATE_LIMITED:
        raise rate_limit(seconds=30, total=60)
    if world.misbehaviour == Misbehaviour.BROKEN:
        raise Refusal("INTERNAL_ERROR", {"message": "connect ECONNREFUSED", "code": "Error", "id": world.new_id()})
    if world.misbehaviour == Misbehaviour.MASTODON and "json" in request.headers.get("Accept", ""):
        return Response('{"error":"Not Found"}', 404, content_type="application/json; charset=utf-8")
    if world.misbehaviour in PAGES:
        status, words = PAGES[world.misbehaviour]
        return Response(f"<!doctype html><html lang=en><title>{words}</title><h1>{words}</h1></html>", status)
    return None


@api.route("/api/<path:name>", methods=METHODS, provide_automatic_options=False)
def call(name: str) -> Response:
    """What Misskey answers."""
    session = CHECK.fullmatch(name)
    name = "miauth/{session}/check" if session else name
    endpoint: Json | None = ENDPOINTS.get(name)
    if request.method == "OPTIONS":
        return answer(None)
    if request.method == "GET" and not (endpoint and endpoint.get("get")):
        return answer(None, 405) if endpoint and not session else refuse(Refusal("UNKNOWN_API_ENDPOINT"))
    if endpoint is None or request.method not in ("GET", "POST"):
        message = f"Route {request.method}:{request.path} not found"
        below = {"Cache-Control": None, "Access-Control-Allow-Origin": None}
        return answer({"message": message, "error": "Not Found", "statusCode": 404}, 404, below)
    params = read_params(endpoint)
    world: World = current_app.extensions["sandbox"]
    with world.lock:
        token = find_token(world, params)
        admit(world, token, name, endpoint)
        if info := broken_rule(params, endpoint):
            raise Refusal("INVALID_PARAM", info)
        result = ANSWERS[name](Call(world, token, params | ({"session": session[1]} if session else {})))
        return answer(result, 200, {"Cache-Control": "public, max-age=60"} if request.method == "GET" else {})


def read_params(endpoint: Json) -> Json:
    """The parameters, from wherever they may be in a request."""
    multipart = request.mimetype == "multipart/form-data"
    if endpoint.get("upload") and not (multipart and request.files):
        raise Refusal("NO_FILE" if multipart else "NOT_MULTIPART")
    if multipart:
        return request.form.to_dict()
    body = request.get_data()
    if request.mimetype == "text/plain" or not (request.mimetype or body):
        return request.args.to_dict()
    if request.mimetype != "application/json":
        raise Refusal("FST_ERR_CTP_INVALID_MEDIA_TYPE")
    try:
        params = json.loads(body)
    except ValueError as error:
        raise Refusal("FST_ERR_CTP_INVALID_JSON_BODY" if body else "FST_ERR_CTP_EMPTY_JSON_BODY") from error
    return params if isinstance(params, dict) else {}


def find_token(world: World, params: Json) -> Token | None:
    """The token that came along, in the header or among the parameters."""
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    among_params = params.pop("i", None)
    given = value if scheme == "Bearer" else among_params
    if given is None:
        return None
    if not isinstance(given, str) or given not in world.tokens:
        raise Refusal("AUTHENTICATION_FAILED")
    return world.tokens[given]


def admit(world: World, token: Token | None, name: str, endpoint: Json) -> None:
    """Turn away who may not call this endpoint now; Misskey looks in this order."""
    permission = endpoint.get("permission")
    if endpoint.get("native") and not (token and token.native):
        raise Refusal("ACCESS_DENIED")
    if token and "secondsBetween" in endpoint:
        last, now = world.last_calls.get((name, token.person.username), 0), time.monotonic()
        if last and now < last + endpoint["secondsBetween"]:
            raise rate_limit(last + endpoint["secondsBetween"] - now, total=1)
        world.last_calls[name, token.person.username] = now
    if permission and not token:
        raise Refusal("CREDENTIAL_REQUIRED")
    if permission and token and token.person.suspended:
        raise Refusal("YOUR_ACCOUNT_SUSPENDED")
    if token and not token.allows(permission):
        raise Refusal("PERMISSION_DENIED")


def rate_limit(seconds: float, total: int) -> Refusal:
    """Too many calls: so many were allowed, the next one comes after so many seconds."""
    reset = int((time.time() + seconds) * 1000)
    return Refusal("RATE_LIMIT_EXCEEDED", {"remaining": 0, "reset": reset // 1000, "resetMs": reset, "total": total})


@api.errorhandler(Refusal)
def refuse(refusal: Refusal) -> Response:
    """An error in the shape of its layer, with the challenge that Misskey sends along."""
    own = ENDPOINTS.get((request.view_args or {})["name"], {}).get("errors", {})
    error = own.get(refusal.code) or ERRORS[refusal.code]
    status, code, message = error["status"], error.get("code", refusal.code), error["message"]
    if "id" not in error:
        below = {"statusCode": status, "code": code, "error": HTTPStatus(status).phrase, "message": message}
        return answer(below, status, {"Access-Control-Allow-Origin": None})
    headers: dict[str, str | None] = {}
    challenge = error.get("challenge", "invalid_request")
    if challenge is not None:
        reason = f', error="{challenge}", error_description="{message}"' if challenge else ""
        headers["WWW-Authenticate"] = f'Bearer realm="Misskey"{reason}'
    if status == 429 and refusal.info:
        headers["Retry-After"] = str(max(1, round(refusal.info["resetMs"] / 1000 - time.time())))
    body = {"message": message, "code": code, "id": error["id"], "kind": error.get("kind", "client")}
    return answer({"error": body | ({"info": refusal.info} if refusal.info else {})}, status, headers)


def answer(data: Any, status: int = 200, headers: dict[str, Any] | None = None) -> Response:
    """JSON with the headers of every answer; None is no body, and 204 rather than 200."""
    response = Response(status=204 if data is None and status == 200 else status)
    response.headers.remove("Content-Type")
    if data is not None:
        response.set_data(json.dumps(data, ensure_ascii=False))
        response.headers["Content-Type"] = "application/json; charset=utf-8"
    usual = {"Cache-Control": "private, max-age=0, must-revalidate", "Access-Control-Allow-Origin": "*"}
    for name, value in (usual | (headers or {})).items():
        if value is not None:
            response.headers[name] = value
    return response
