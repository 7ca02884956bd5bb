"""What the tests of panels share: servers that page in odd ways, and reasons why nothing comes."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable

from tests import hostile
from tests.cast import Visitor
from tests.hostile import Behaviour, Caller, answers, http, says

FRAGMENT = {"HX-Request": "true"}
PERSON = {"id": "9bob", "username": "bob"}


def entry(number: int) -> dict[str, object]:
    """Something for a list of any kind; the higher its number, the older."""
    return {"id": f"e{number}", "type": "test", "name": f"{number}.txt", "text": str(number), "user": PERSON}


def pages_of(numbers: Callable[[str], list[int]]) -> Behaviour:
    """Answer with the entries of these numbers, by what the next ones come after."""

    def behaviour(caller: Caller) -> None:
        while request := caller.request():
            sent = json.loads(request.body)
            answer: object = [entry(number) for number in numbers(sent.get("untilId", ""))]
            caller.send(http(200, json.dumps(answer if "limit" in sent else {}).encode()))

    return behaviour


def follow(alice: Visitor, panel: str, ids: str, most: int = 30) -> list[list[str]]:
    """Press “Older” until it is gone; return what each page has."""
    pages: list[list[str]] = []
    path, page = f"/dashboard/{panel}", ""
    while path and len(pages) < most:
        page = alice.get(path, headers=FRAGMENT).text.partition('<details class="sent">')[0]
        pages.append(re.findall(ids, page))
        more = re.search(r'class="older"><a [^>]*href="([^"]+)"', page)
        path = html.unescape(more[1]) if more else ""
    assert "That was all." in page
    return pages


#: How a server may page, by what it is like: its numbers after an id.
PAGINGS: dict[str, Callable[[str], list[int]]] = {
    "fewer than asked for": lambda until: list(range(after(until), min(after(until) + 2, 25))),
    "the last again, first": lambda until: list(range(max(after(until) - 1, 0), min(after(until) + 5, 25))),
    "the last again, at the end": lambda until: (
        [*range(after(until), min(after(until) + 5, 25)), max(after(until) - 1, 0)]
    ),
    "one more than asked for": lambda until: list(range(after(until), min(after(until) + 11, 25))),
    "each twice": lambda until: [number for number in range(after(until), min(after(until) + 4, 25)) for _ in "12"],
}
#: And how one may never come to an end.
ENDLESS: dict[str, Callable[[str], list[int]]] = {
    "always the same": lambda until: list(range(8)),
    "always one": lambda until: [3],
    "turned around": lambda until: [*range(after(until), 8), *range(after(until))],
    "two in turn": lambda until: list(range(4)) if after(until) != 4 else list(range(4, 8)),
    "backwards": lambda until: list(range(8))[::-1],
}


def after(until: str) -> int:
    return int(until.removeprefix("e")) + 1 if until else 0


REASONS: dict[str, Behaviour] = {
    "a removed token": says({"error": {"code": "AUTHENTICATION_FAILED"}}, 401),
    "a removed token, elsewhere": says({"error": {"code": "AUTHENTICATION_FAILED"}}, 403),
    "a suspended person": says({"error": {"code": "YOUR_ACCOUNT_SUSPENDED"}}, 403),
    "too many requests": says({"error": {"code": "RATE_LIMIT_EXCEEDED"}}, 429),
    "a gateway": answers(502, b"<h1>Bad gateway</h1>"),
    "an empty 504": answers(504),
    "a server out of order": says({"error": {"code": "INTERNAL_ERROR"}}, 500),
    "maintenance": answers(200, b"<h1>Back soon</h1>"),
    "a firewall": answers(403, b"<h1>Blocked</h1>"),
    "a cut connection": hostile.hangs_up,
}
