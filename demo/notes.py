"""A note as pages show it, whatever the server sent: every field of the right kind, and nothing longer than bearable.

https://misskey-hub.net/docs/for-developers/api/endpoints/notes/show/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from misskey import Server
from web.template_filters import line, moment, read_id, text

from .picture_proxy import picture
from .template_filters import percent_of, web_address

MAX_TEXT = 10_000  # servers usually allow 3,000, some a few times that
MAX_REACTIONS = 30
REACTION_CHARACTERS = 260  # Misskey's own limit: the name of an emoji and its server
MAX_FILES = 16
MAX_CHOICES = 20
MAX_RENOTES = 2  # one within the other: a renote of a quote


@dataclass(frozen=True, slots=True)
class Author:
    """Somebody who wrote or did something; ``avatar`` is where this app shows the portrait, or ``""``."""

    id: str
    name: str
    address: str
    avatar: str


@dataclass(frozen=True, slots=True)
class File:
    """A file of a drive or a note: ``size`` in bytes, ``picture`` where this app shows a small one, or ``""``."""

    name: str
    description: str
    size: object
    url: str
    picture: str
    sensitive: bool


@dataclass(frozen=True, slots=True)
class Note:
    """A note: ``id`` is fit for an address and for HTML, ``at`` is ``None`` when the server gave no time.

    ``folded`` tells that its author wants it folded, also where the warning ``cw`` says nothing, ``renote_gone`` that
    the note which this one passes on was deleted, ``hidden`` that only others may see it.
    """

    id: str
    author: Author
    at: datetime | None
    url: str
    text: str
    cw: str
    folded: bool
    visibility: str
    local_only: bool
    is_reply: bool
    files: list[File]
    poll: list[tuple[str, int, int]]
    reactions: list[tuple[str, int]]
    renote: Note | None
    renote_gone: bool
    hidden: bool

    @property
    def passes_on(self) -> bool:
        """Whether this is somebody else's note and nothing more."""
        return self.renote is not None and not (self.text or self.folded or self.files or self.poll)


def read_notes(values: Iterable[object], server: Server) -> list[Note]:
    """Return the notes in a server's answer, without what is none."""
    return [note for value in values if (note := read_note(value, server))]


def read_note(value: object, server: Server, renotes: int = MAX_RENOTES) -> Note | None:
    """Return the note in a server's answer, with ``renotes`` one within the other; ``None`` for what is none."""
    fields = _fields(value)
    note_id, author = read_id(fields.get("id")), read_author(fields.get("user"), server)
    if not note_id or author is None:
        return None
    renote = read_note(fields.get("renote"), server, renotes - 1) if renotes else None
    return Note(
        id=note_id,
        author=author,
        at=moment(fields.get("createdAt")),
        url=server.url(f"/notes/{note_id}"),
        text=text(fields.get("text"), MAX_TEXT),
        cw=line(fields.get("cw"), 500),
        folded=isinstance(fields.get("cw"), str),
        visibility=line(fields.get("visibility"), 20),
        local_only=fields.get("localOnly") is True,
        is_reply=bool(read_id(fields.get("replyId"))),
        files=read_files(_items(fields.get("files"), MAX_FILES), server),
        poll=_read_poll(fields.get("poll")),
        reactions=_read_reactions(fields.get("reactions")),
        renote=renote,
        renote_gone=renotes > 0 and renote is None and bool(read_id(fields.get("renoteId"))),
        hidden=fields.get("isHidden") is True,
    )


def read_author(value: object, server: Server) -> Author | None:
    """Return the person in a server's answer, ``None`` for what is none; those without a host are the server's own."""
    fields = _fields(value)
    author_id, username = read_id(fields.get("id")), line(fields.get("username"), 128)
    if not author_id or not username:
        return None
    host = line(fields.get("host"), 255) or server.name
    name = line(fields.get("name")) or username
    return Author(author_id, name, f"@{username}@{host}", picture(fields.get("avatarUrl")))


def read_files(values: Iterable[object], server: Server) -> list[File]:
    """Return the files in a server's answer, without what is none."""
    return [
        File(
            name=line(fields.get("name"), 256) or fields["id"],
            description=line(fields.get("comment"), 512),
            size=fields.get("size"),
            url=web_address(fields.get("url"), server),
            picture=picture(fields.get("thumbnailUrl")),
            sensitive=fields.get("isSensitive") is True,
        )
        for fields in map(_fields, values)
        if read_id(fields.get("id"))
    ]


def _read_poll(value: object) -> list[tuple[str, int, int]]:
    """Return each choice with its votes, and how much of all votes these are in percent."""
    given = [choice for choice in _items(_fields(value).get("choices"), MAX_CHOICES) if isinstance(choice, dict)]
    choices = [(line(choice.get("text"), 200), _count(choice.get("votes"))) for choice in given]
    total = sum(votes for _, votes in choices)
    return [(words, votes, percent_of(votes, total)) for words, votes in choices]


def _read_reactions(value: object) -> list[tuple[str, int]]:
    """Return each reaction with how many gave it, the most frequent first."""
    counted = {read_reaction(name): _count(number) for name, number in _fields(value).items()}
    told = [(name, number) for name, number in counted.items() if name and number]
    return sorted(told, key=lambda pair: -pair[1])[:MAX_REACTIONS]


def read_reaction(value: object) -> str:
    """Return an emoji or the name of one, ``""`` for what is none; names of local emoji end in ``@.``."""
    return line(value, REACTION_CHARACTERS).replace("@.:", ":")


def _fields(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object, most: int) -> list[Any]:
    return value[:most] if isinstance(value, list) else []


def _count(value: object) -> int:
    return value if type(value) is int and 0 <= value < 10**12 else 0
