"""How a call to `/api` is answered: who asks, may they, does it fit; and how Misskey says no."""

import json
import re
import time
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, request

from sandbox.endpoints import ENDPOINTS, Call
from sandbox.world import NOBODY, Json, Misbehaviour, Refusal, Token, read_json, world

api = Blueprint("api", __name__)
ERRORS = read_json("errors.json")  # those without an id come from the framework below, in a shape of its own
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
USUAL = {"Cache-Control": "private, max-age=0, must-revalidate", "Access-Control-Allow-Origin": "*"}
PAGES = {
    Misbehaviour.FORBIDDEN: (403, "Sorry, you have been blocked"),
    Misbehaviour.NOT_JSON: (200, "We will be back soon"),
    Misbehaviour.MASTODON: (404, "The page you are looking for isn't here."),
}
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "null": type(None)}
# By keyword, what fits, and what Misskey's validator says of the rest.
RULES: dict[str, tuple[Any, str]] = {
    "type": (lambda value, names: type(value) in [TYPES[name] for name in names.split(",")], "must be {}"),
    "maximum": (lambda value, most: value <= most, "must be <= {}"),
    "minimum": (lambda value, least: value >= least, "must be >= {}"),
    "maxLength": (lambda value, most: len(value) <= most, "must NOT have more than {} characters"),
    "minLength": (lambda value, least: len(value) >= least, "must NOT have fewer than {} characters"),
    "pattern": (lambda value, pattern: re.search(pattern, value), 'must match pattern "{}"'),
    "format": (lambda value, _: re.fullmatch("[a-zA-Z0-9]+", value), 'must match format "{}"'),
    "enum": (lambda value, allowed: value in allowed, "must be equal to one of the allowed values"),
    "items": (lambda value, name: all(type(item) is TYPES[name] for item in value), "must be {}"),
    "uniqueItems": (lambda value, _: len(set(value)) == len(value), "must NOT have duplicate items"),
}


@api.before_request
def misbehave() -> Response | None:
    """What comes instead of an answer; nothing while all is well."""
    if world.misbehaviour == Misbehaviour.SLOW:
        world.closing.wait(world.slow_seconds)
    while world.misbehaviour == Misbehaviour.HANGING and not world.closing.wait(0.1):
        pass
    if world.misbehaviour == Misbehaviour.RATE_LIMITED:
        reset = int(time.time()) + 30
        raise Refusal("RATE_LIMIT_EXCEEDED", {"remaining": 0, "reset": reset, "resetMs": reset * 1000, "total": 60})
    if world.misbehaviour == Misbehaviour.BROKEN:
        raise Refusal("INTERNAL_ERROR", {"message": "connect ECONNREFUSED", "code": "Error", "id": world.stamp()["id"]})
    if world.misbehaviour == Misbehaviour.MASTODON and "json" in request.headers.get("Accept", ""):
        return answer({"error": "Not Found"}, 404, {})
    status, words = PAGES.get(world.misbehaviour, (0, ""))
    page = f"<!doctype html><html lang=en><title>{words}</title><h1>{words}</h1></html>"
    return Response(page, status) if words else None


@api.route("/api/<path:name>", methods=METHODS, provide_automatic_options=False)
def respond(name: str) -> Response:
    """What Misskey answers."""
    session = re.fullmatch("miauth/(.*)/check", name) if world.misbehaviour != Misbehaviour.OLD else None
    endpoint = {} if session else ENDPOINTS.get(name)
    if request.method == "OPTIONS":
        return answer(None)
    if request.method == "GET" and (session or endpoint is None):
        raise Refusal("UNKNOWN_API_ENDPOINT")
    if request.method == "GET" and endpoint is not None and "get" not in endpoint:
        return answer(None, 405)
    if endpoint is None or request.method not in ("GET", "POST"):
        message = f"Route {request.method}:{request.path} not found"
        return answer({"message": message, "error": "Not Found", "statusCode": 404}, 404, {})
    params = read_params(endpoint)
    with world.lock:
        token = admit(params, endpoint)
        check_params(params, endpoint)
        call = Call(token, params | {"session": session[1]} if session else params)
        result = getattr(call, "miauth_check" if session else re.sub("[/-]", "_", name))()
    if world.misbehaviour == Misbehaviour.GATEWAY:
        return Response("<html><h1>502 Bad Gateway</h1></html>", 502)
    kept = {"Cache-Control": "public, max-age=60"} if request.method == "GET" else {}
    return answer(result, headers=USUAL | kept)


def read_params(endpoint: Json) -> Json:
    """The parameters, from wherever they may be in a request."""
    multipart, body = request.mimetype == "multipart/form-data", request.get_data(parse_form_data=True)
    if endpoint.get("upload") and not (multipart and request.files):
        raise Refusal("NO_FILE" if multipart else "NOT_MULTIPART")
    if multipart or request.mimetype == "text/plain" or not (request.mimetype or body):
        return (request.form if multipart else request.args).to_dict()
    if request.mimetype != "application/json":
        raise Refusal("FST_ERR_CTP_INVALID_MEDIA_TYPE")
    try:
        params = json.loads(body)
    except ValueError as error:
        raise Refusal("FST_ERR_CTP_INVALID_JSON_BODY" if body else "FST_ERR_CTP_EMPTY_JSON_BODY") from error
    return params if isinstance(params, dict) else {}


def admit(params: Json, endpoint: Json) -> Token:
    """The token that came along, in the header or among the parameters, if it may call this endpoint."""
    among_params, header, needed = params.pop("i", None), request.authorization, endpoint.get("permission")
    given = header.token if header and header.type == "bearer" else among_params
    token = NOBODY if given is None else world.tokens.get(str(given))
    if token is None:
        raise Refusal("AUTHENTICATION_FAILED")
    refusals = {
        "ACCESS_DENIED": "native" in endpoint and not token.native,
        "CREDENTIAL_REQUIRED": needed and token is NOBODY,
        "YOUR_ACCOUNT_SUSPENDED": needed and token.person.suspended,
        "PERMISSION_DENIED": needed and not token.allows(needed),
    }
    for code in [code for code, holds in refusals.items() if holds]:
        raise Refusal(code)
    return token


def check_params(params: Json, rules: Json, path: str = "#") -> None:
    """Refuse parameters that break a rule."""
    for name in rules.get("required", []):
        if name not in params:
            reason = f"must have required property '{name}'"
            raise Refusal("INVALID_PARAM", {"param": f"{path}/required", "reason": reason})
    for name, limits in [(name, limits) for name, limits in rules.get("properties", {}).items() if name in params]:
        for keyword, limit in limits.items():
            fits, words = RULES[keyword]
            if not fits(params[name], limit):
                info = {"param": f"{path}/properties/{name}/{keyword}", "reason": words.format(limit)}
                raise Refusal("INVALID_PARAM", info)
            if params[name] is None:
                break
    if "then" in rules and all(params.get(name) is None for name in rules["unless"]):
        check_params(params, rules["then"], f"{path}/then")


@api.errorhandler(Refusal)
def refuse(refusal: Refusal) -> Response:
    """An error in the shape of its layer, with the challenge that Misskey sends along."""
    code, *info = refusal.args
    errors = ERRORS | ENDPOINTS.get((request.view_args or {})["name"], {}).get("errors", {})
    error = errors[code]
    status, message, headers = error["status"], error["message"], USUAL | error.get("headers", {})
    if "id" not in error:
        below = {"statusCode": status, "code": code, "error": HTTPStatus(status).phrase, "message": message}
        return answer(below, status, {"Cache-Control": USUAL["Cache-Control"]})
    challenge = error.get("challenge", "invalid_request")
    if challenge is not None:
        reason = f', error="{challenge}", error_description="{message}"' if challenge else ""
        headers["WWW-Authenticate"] = f'Bearer realm="Misskey"{reason}'
    body = {"message": message, "code": error.get("code", code), "id": error["id"], "kind": error.get("kind", "client")}
    return answer({"error": body | ({"info": info[0]} if info else {})}, status, headers)


def answer(data: Any, status: int = 200, headers: dict[str, str] = USUAL) -> Response:
    """JSON; None is no body, and 204 rather than 200."""
    if data is not None:
        content = json.dumps(data, ensure_ascii=False)
        return Response(content, status, {"Content-Type": "application/json; charset=utf-8"} | headers)
    response = Response(status=204 if status == 200 else status, headers=headers)
    del response.headers["Content-Type"]
    return response
