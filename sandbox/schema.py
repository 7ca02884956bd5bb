"""Checks parameters as Misskey's validator does: the first rule that is broken, and its words."""

import re
from typing import Any

TYPES: dict[str, Any] = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}
# By keyword, in the validator's order: what it refuses, and how it says so.
RULES = (
    ("maximum", lambda value, most: value > most, "must be <= {}"),
    ("minimum", lambda value, least: value < least, "must be >= {}"),
    ("maxLength", lambda value, most: len(value) > most, "must NOT have more than {} characters"),
    ("minLength", lambda value, least: len(value) < least, "must NOT have fewer than {} characters"),
    ("pattern", lambda value, pattern: not re.search(pattern, value), 'must match pattern "{}"'),
    ("format", lambda value, _: not re.fullmatch("[a-zA-Z0-9]+", value), 'must match format "{}"'),
    ("enum", lambda value, allowed: value not in allowed, "must be equal to one of the allowed values"),
    ("maxItems", lambda value, most: len(value) > most, "must NOT have more than {} items"),
    ("minItems", lambda value, least: len(value) < least, "must NOT have fewer than {} items"),
    ("uniqueItems", lambda value, _: any(value.count(item) > 1 for item in value), "must NOT have duplicate items"),
)


def broken_rule(params: dict[str, Any], schema: dict[str, Any], path: str = "#") -> dict[str, str] | None:
    """The `info` of INVALID_PARAM: which rule is broken, and how; None when all is well."""
    either = schema.get("anyOf", [])
    if either and not params.keys() & set(either):
        return _broken(f"{path}/anyOf/0/required", f"must have required property '{either[0]}'")
    for name in schema.get("required", []):
        if name not in params:
            return _broken(f"{path}/required", f"must have required property '{name}'")
    for name, rules in schema.get("properties", {}).items():
        if name in params and (wrong := _wrong(params[name], rules, f"{path}/properties/{name}")):
            return wrong
    # Endpoints that need a text only where there is nothing else.
    if "then" in schema and all(params.get(name) is None for name in schema["unless"]):
        return broken_rule(params, schema["then"], f"{path}/then")
    return None


def _wrong(value: Any, rules: dict[str, Any], path: str) -> dict[str, str] | None:
    nullable = rules.get("nullable", False)
    if value is None and nullable:
        return None
    # JSON's true is not a number; Python's is.
    if not isinstance(value, TYPES[rules["type"]]) or (isinstance(value, bool) and rules["type"] != "boolean"):
        return _broken(f"{path}/type", f"must be {rules['type']}{',null' if nullable else ''}")
    for keyword, refuses, words in RULES:
        if keyword in rules and refuses(value, rules[keyword]):
            return _broken(f"{path}/{keyword}", words.format(rules[keyword]))
    if isinstance(value, dict):
        return broken_rule(value, rules, path)
    items = value if isinstance(value, list) else []
    return next(filter(None, (_wrong(item, rules["items"], f"{path}/items") for item in items)), None)


def _broken(param: str, reason: str) -> dict[str, str]:
    return {"param": param, "reason": reason}
