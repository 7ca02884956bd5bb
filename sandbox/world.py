"""Who lives on the sandbox and what they have made, as the JSON that Misskey shows; gone when the process ends."""

import hashlib
import itertools
import json
import secrets
import struct
import threading
import uuid
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any

Json = dict[str, Any]


def read_json(name: str) -> Any:
    """What is in a file beside this one."""
    return json.loads(Path(__file__).with_name(name).read_text(encoding="utf-8"))


# What Misskey says of everything of a kind, always.
SHAPES: dict[str, Json] = read_json("shapes.json")
# The magic numbers of the files whose type the sandbox knows; Misskey looks at the content too, never at the name.
MAGIC = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"GIF8": "image/gif", b"<svg": "image/svg+xml"}
# Misskey's ids sort by time: their first eight digits, of base 36, count the milliseconds since this moment.
FIRST_MOMENT = datetime(2000, 1, 1, tzinfo=UTC)


class Misbehaviour(StrEnum):
    """How the API may misbehave."""

    NONE = "none"
    SLOW = "slow"
    HANGING = "hanging"
    RATE_LIMITED = "rate-limited"
    FORBIDDEN = "forbidden"
    BROKEN = "broken"
    NOT_JSON = "not-json"
    MIAUTH_OFF = "miauth-off"
    MASTODON = "mastodon"


@dataclass(eq=False)
class Person:
    """Somebody with an account here; `shown` is how notes show them."""

    username: str
    shown: Json
    about: str
    suspended: bool = False
    notifications: list[Json] = field(default_factory=list)
    unread: int = 0


@dataclass(eq=False)
class Token:
    """What calls are signed with; without `permissions` a native one, which may do everything."""

    id: str
    value: str = field(repr=False)
    person: Person
    permissions: frozenset[str] | None = None
    session: str | None = None
    name: str | None = None
    fetched: bool = False

    @property
    def native(self) -> bool:
        """Whether it belongs to the server's own web client."""
        return self.permissions is None

    def allows(self, permission: str | None) -> bool:
        """Whether calls that need this permission may be made."""
        return permission is None or self.permissions is None or permission in self.permissions


class World:
    """Everything the server knows. Set `misbehaviour` to make the API misbehave from the next request on."""

    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.misbehaviour = Misbehaviour.NONE
        self.slow_seconds = 5.0
        self.closing = threading.Event()
        self.lock = threading.RLock()
        self.people: dict[str, Person] = {}
        self.tokens: dict[str, Token] = {}
        self.notes: dict[str, Json] = {}
        self.files: dict[str, tuple[Person, Json]] = {}
        self.contents: dict[str, tuple[str, bytes]] = {}
        self.reactions: dict[tuple[str, str], str] = {}
        self.created: dict[tuple[str, str], str] = {}
        self.last_calls: dict[tuple[str, str], float] = {}
        self.listeners: list[Callable[[str, Person, Json], None]] = []
        self._counter = itertools.count()
        self._settle()

    def new_id(self, minutes_ago: float = 0) -> str:
        """An id that sorts after all those of earlier moments."""
        since = datetime.now(UTC) - timedelta(minutes=minutes_ago) - FIRST_MOMENT
        return _base36(since // timedelta(milliseconds=1), 8) + "sand" + _base36(next(self._counter), 4)

    def approve(self, person: Person, permissions: Sequence[str], session: str | None, name: str | None) -> Token:
        """Make a token for an app and tell the person so."""
        token = Token(self.new_id(), secrets.token_hex(16), person, frozenset(permissions), session, name)
        with self.lock:
            self.tokens[token.value] = token
            self.notify(person, type="createToken")
        return token

    def fetch(self, session: str) -> Token | None:
        """The token made for this session, once; of several made for one session only the first counts."""
        with self.lock:
            token = next((token for token in self.tokens.values() if token.session == session), None)
            if token is None or token.fetched:
                return None
            token.fetched = True
            return token

    def revoke_app_tokens(self) -> None:
        """Make the token of every app worthless."""
        with self.lock:
            self.tokens = {value: token for value, token in self.tokens.items() if token.permissions is None}

    def post(self, author: Person, text: str | None = None, *, minutes_ago: float = 0, **fields: Any) -> Json:
        """Add a note and tell those who listen and those it mentions."""
        note = SHAPES["note"] | stamped(self.new_id(minutes_ago)) | {"userId": author.shown["id"], "user": author.shown}
        note |= {"text": text, "reactions": {}} | fields
        words = {*(text or "").split(), *fields.get("visibleUserIds", [])}
        named = [person for person in self.people.values() if words & {f"@{person.username}", person.shown["id"]}]
        if named:
            note["mentions"] = [person.shown["id"] for person in named]
        with self.lock:
            self.notes[note["id"]] = note
            for inner, count in (("renote", "renoteCount"), ("reply", "repliesCount")):
                if inner in note:
                    note[inner][count] += 1
            self.tell("note", author, note)
            for person in named:
                if person is not author:
                    self.tell("mention", person, note)
                    self.notify(person, type="mention", userId=author.shown["id"], user=author.shown, note=note)
        return note

    def react(self, person: Person, note: Json, reaction: str) -> None:
        """Add a person's reaction to a note and tell those who follow the note, and its author."""
        with self.lock:
            self.reactions[note["id"], person.username] = reaction
            note["reactions"][reaction] = note["reactions"].get(reaction, 0) + 1
            note["reactionCount"] += 1
            author = self.people[note["user"]["username"]]
            self.tell("reacted", person, note | {"reaction": reaction})
            if author is not person:
                whom = {"userId": person.shown["id"], "user": person.shown}
                self.notify(author, type="reaction", **whom, note=note, reaction=reaction)

    def upload(self, owner: Person, name: str, content: bytes, **fields: Any) -> Json:
        """Put a file into a person's drive; the same content again is the same file."""
        md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
        for holder, known in self.files.values():
            if holder is owner and known["md5"] == md5:
                return known
        kind = next((kind for magic, kind in MAGIC.items() if content.startswith(magic)), "application/octet-stream")
        key, image = str(uuid.uuid4()), kind.startswith("image/")
        file = SHAPES["file"] | stamped(self.new_id()) | {"name": name, "type": kind, "md5": md5, "size": len(content)}
        file |= {"url": f"{self.origin}/files/{key}", "properties": {}} | fields
        if image:
            file |= {"thumbnailUrl": f"{self.origin}/files/thumbnail-{key}", "blurhash": "LEHV6nWB2yk8pyo0adR*.7kCMdnj"}
        if kind == "image/png":
            width, height = struct.unpack(">II", content[16:24].ljust(8))
            file["properties"] = {"width": width, "height": height}
        self.contents[key] = self.contents[f"thumbnail-{key}"] = kind, content
        self.files[file["id"]] = owner, file
        return file

    def notify(self, person: Person, **fields: Any) -> None:
        """Add to what a person finds under the bell."""
        person.notifications.append(stamped(self.new_id()) | fields)
        person.unread += 1
        self.tell("notification", person, person.notifications[-1])

    def tell(self, event: str, person: Person, body: Json) -> None:
        """Hand an event to every open stream."""
        for listener in list(self.listeners):
            listener(event, person, body)

    def _settle(self) -> None:
        host = self.origin.partition("://")[2]
        about_alice, about_bob = "Lives in the sandbox. 砂場の住人です。", "Writes short notes and gives no name."
        for username, name, about in (("alice", "Alice", about_alice), ("bob", None, about_bob)):
            user = {"id": self.new_id(90 * 24 * 60), "name": name, "username": username}
            user |= {"avatarUrl": f"{self.origin}/identicon/{username}@{host}"} | SHAPES["userLite"]
            self.people[username] = Person(username, user, about)
        alice, bob = self.people.values()
        for person, token in ((alice, "aliceNativeToken"), (bob, "bobbyNativeToken")):
            self.tokens[token] = Token(self.new_id(), token, person)
        sky = self.upload(alice, "夕焼け.png", picture("sky"), comment="A sky that turns from one colour to another")
        self.upload(alice, "sun.svg", b'<svg xmlns="http://www.w3.org/2000/svg"><circle cx="50" cy="50" r="40"/></svg>')
        self.upload(bob, "shopping.txt", "milk, bread, 牛乳\n".encode())
        for start in read_json("notes.json"):
            author, reactions = self.people[start.pop("author")], start.pop("reactions", {})
            if start.pop("picture", False):
                start |= {"fileIds": [sky["id"]], "files": [sky | {"userId": author.shown["id"]}]}
            if start.pop("renote_previous", False):
                renoted = list(self.notes.values())[-1]
                start |= {"renote": renoted, "renoteId": renoted["id"]}
            note = self.post(author, **start)
            for username, reaction in reactions.items():
                self.react(self.people[username], note, reaction)


def stamped(id_: str) -> Json:
    """An id and the moment that is in it."""
    made = FIRST_MOMENT + timedelta(milliseconds=int(id_[:8], 36))
    return {"id": id_, "createdAt": made.isoformat(timespec="milliseconds").replace("+00:00", "Z")}


def picture(seed: str, size: int = 64) -> bytes:
    """A small PNG that fades from one colour to another; the same seed gives the same two."""
    top, bottom = (hashlib.sha256(f"{seed}{end}".encode()).digest()[:3] for end in ("top", "bottom"))
    rows = (bytes((a * (size - y) + b * y) // size for a, b in zip(top, bottom, strict=True)) for y in range(size))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(b"".join(b"\0" + row * size for row in rows))),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def _base36(number: int, digits: int) -> str:
    text = ""
    while number or len(text) < digits:
        number, digit = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text
