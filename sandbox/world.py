"""Who lives on the sandbox and what they have made, as the JSON that Misskey shows; gone when the process ends."""

import hashlib
import itertools
import json
import secrets
import struct
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlencode

from flask import current_app
from werkzeug.local import LocalProxy

if TYPE_CHECKING:
    from sandbox.streaming import Stream

Json = dict[str, Any]
# The world of the app that is answering.
world = cast("World", LocalProxy(lambda: current_app.extensions["sandbox"]))
# How the API may misbehave.
Misbehaviour = StrEnum(
    "Misbehaviour",
    "NONE SLOW HANGING RATE_LIMITED FORBIDDEN BROKEN GATEWAY NOT_JSON PRIVATE MIAUTH_OFF OLD MASTODON",
)


def read_json(name: str) -> Any:
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


FILES = Path(__file__).with_name("files")
SHAPES = read_json("shapes.json")  # what Misskey says of everything of a kind, always
MAX_NAME = 128  # in Misskey's database
# Misskey looks at how a file begins, never at its name.
MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"<svg": "image/svg+xml"}


def digest(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


class Refusal(Exception):
    """Misskey says no: the code of the error and, for some, its `info`."""


@dataclass(eq=False)
class Person:
    """Somebody with an account here: `shown` is how notes show them, `more` what their own page adds."""

    username: str
    shown: Json
    more: Json
    suspended: bool = False
    unread: int = 0
    may_delete_at: float = 0
    notifications: list[Json] = field(default_factory=list)
    files: dict[str, Json] = field(default_factory=dict)


@dataclass(eq=False)
class Token:
    """What calls are signed with; without `permissions` a native one, which may do everything."""

    value: str = field(repr=False)
    person: Person
    permissions: frozenset[str] | None = None
    session: str | None = None
    fetched: bool = False

    @property
    def native(self) -> bool:
        return self.permissions is None

    def allows(self, permission: str) -> bool:
        return self.permissions is None or permission in self.permissions


NOBODY = Token("", Person("", {"id": ""}, {}), frozenset())  # what calls without a token are signed with


class World:
    """Everything the server knows. Set `misbehaviour` to make the API misbehave from the next request on."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.misbehaviour, self.slow_seconds = Misbehaviour.NONE, 5.0
        self.closing, self.lock = threading.Event(), threading.RLock()
        self.people: dict[str, Person] = {}
        self.tokens: dict[str, Token] = {}
        self.notes: dict[str, Json] = {}
        self.created: dict[tuple[str, str], str] = {}  # by whom and with which parameters, the note it made
        self.contents: dict[str, tuple[str, bytes]] = {}
        self.streams: list[Stream] = []
        self._counter = itertools.count()
        start = read_json("start.json")
        for person in start["people"]:
            self._settle(**person)
        for note in start["notes"]:
            author, names = self.people[note.pop("author")], note.pop("files", [])
            if note.pop("renotes_previous", False):
                note["renote"] = list(self.notes.values())[-1]
            self.post(author, [file for file in author.files.values() if file["name"] in names], **note)

    def stamp(self, minutes_ago: float = 0) -> Json:
        """A new id and the moment it was made; like Misskey's, ids sort by time."""
        made = datetime.now(UTC) - timedelta(minutes=minutes_ago)
        shown = made.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        return {"id": f"{int(made.timestamp() * 1000):012x}{next(self._counter):04x}", "createdAt": shown}

    def approve(self, person: Person, permissions: Sequence[str], session: str | None, name: str | None) -> Token:
        """Make a token for an app and tell the person so."""
        if max(len(session or ""), len(name or "")) > MAX_NAME:
            message = f"value too long for type character varying({MAX_NAME})"
            raise Refusal("INTERNAL_ERROR", {"message": message, "code": "QueryFailedError", "id": self.stamp()["id"]})
        if len(set(permissions)) < len(permissions):
            raise Refusal("INVALID_PARAM")
        token = Token(secrets.token_hex(16), person, frozenset(permissions), session)
        with self.lock:
            self.tokens[token.value] = token
            self.notify(person, "createToken")
        return token

    def revoke_app_tokens(self) -> None:
        """Make the token of every app worthless."""
        self.tokens = {value: token for value, token in list(self.tokens.items()) if token.native}

    def post(self, author: Person, files: Sequence[Json] = (), minutes_ago: float = 0, **fields: Any) -> Json:
        """Add a note and tell those who listen and those it mentions."""
        whose = {"userId": author.shown["id"], "user": author.shown, "fileIds": [file["id"] for file in files]}
        note: Json = SHAPES["note"] | self.stamp(minutes_ago) | {"reactions": {}} | whose | fields
        note["files"] = [file | {"userId": author.shown["id"]} for file in files]
        if "renote" in note:
            note["renoteId"] = note["renote"]["id"]
            note["renote"]["renoteCount"] += 1
        words = {*(note["text"] or "").split(), *note.get("visibleUserIds", [])}
        named = [person for person in self.people.values() if words & {f"@{person.username}", person.shown["id"]}]
        if named:
            note["mentions"] = [person.shown["id"] for person in named]
        self.notes[note["id"]] = note
        self.tell("note", author, note)
        for person in [person for person in named if person is not author]:
            self.tell("mention", person, note)
            self.notify(person, "mention", author, note=note)
        return note

    def upload(self, owner: Person, name: str, content: bytes, **fields: Any) -> Json:
        """Put a file into a person's drive; the same content again is the same file."""
        md5 = digest(content)
        if md5 in owner.files:
            return owner.files[md5]
        kind = next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), "application/octet-stream")
        file: Json = SHAPES["file"] | {"name": name, "type": kind, "md5": md5, "size": len(content), "properties": {}}
        file |= self.stamp() | {"url": f"{self.origin}/files/{md5}"} | fields
        if kind.startswith("image/") and kind != "image/svg+xml":  # Misskey would draw those; this server can't draw
            file |= {"thumbnailUrl": self.proxied(file["url"], "static"), "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj"}
        if kind == "image/png":
            file["properties"]["width"], file["properties"]["height"] = struct.unpack(">II", content[16:24].ljust(8))
        self.contents[md5], owner.files[md5] = (kind, content), file
        return file

    def proxied(self, url: str, purpose: str) -> str:
        """The address of a picture as Misskey shows it: through its media proxy, small or as a portrait."""
        return f"{self.origin}/proxy/{purpose}.webp?{urlencode({'url': url, purpose: 1})}"

    def notify(self, person: Person, kind: str, by: Person | None = None, **fields: Any) -> None:
        """Add to what a person finds under the bell."""
        whom = {"userId": by.shown["id"], "user": by.shown} if by else {}
        person.notifications.append(self.stamp() | {"type": kind} | whom | fields)
        person.unread += 1
        self.tell("notification", person, person.notifications[-1])

    def tell(self, event: str, person: Person, body: Json) -> None:
        """Hand an event to every open stream."""
        for stream in list(self.streams):
            stream.hear(event, person, body)

    def _settle(self, username: str, name: str | None, about: str, token: str, portrait: bool = False) -> None:
        stamp, key = self.stamp(minutes_ago=90 * 24 * 60), f"{username}@{self.origin.partition('://')[2]}"
        drawn, uploaded = f"{self.origin}/identicon/{key}", self.proxied(f"{self.origin}/files/{key}", "avatar")
        shown = {"name": name, "username": username, "avatarUrl": uploaded if portrait else drawn}
        shown |= SHAPES["userLite"] | {"id": stamp["id"]}
        self.people[username] = person = Person(username, shown, stamp | {"description": about})
        self.tokens[token] = Token(token, person)
        for path in sorted((FILES / username).iterdir()):
            self.upload(person, path.name, path.read_bytes())
        self.contents[key] = "image/png", FILES.joinpath(f"{username}.png").read_bytes()
