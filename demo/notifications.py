"""Notifications, read from a server's answer and put into words.

https://misskey-hub.net/docs/for-developers/api/endpoints/i/notifications/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flask_babel import gettext as _
from flask_babel import lazy_gettext as _l

from misskey import Server
from web.template_filters import line, moment

from .notes import Author, Note, read_author, read_note, read_reaction

#: What happened, by the notification's type; ``who`` is a name.
_WORDS = {
    "achievementEarned": _l("You earned an achievement"),
    "chatRoomInvitationReceived": _l("%(who)s invited you to a chat room"),
    "createToken": _l("An access token was made for your account"),
    "edited": _l("%(who)s edited a note"),  # Sharkey's
    "exportCompleted": _l("Your export is ready"),
    "follow": _l("%(who)s follows you"),
    "followRequestAccepted": _l("%(who)s accepted your follow request"),
    "groupInvited": _l("%(who)s invited you to a group"),
    "importCompleted": _l("Your import is done"),  # Sharkey's
    "login": _l("Somebody signed in to your account"),
    "mention": _l("%(who)s mentioned you"),
    "note": _l("%(who)s posted"),
    "pollEnded": _l("A poll has ended"),
    "pollVote": _l("%(who)s voted in your poll"),
    "quote": _l("%(who)s quoted you"),
    "reaction": _l("%(who)s reacted with %(reaction)s"),
    "receiveFollowRequest": _l("%(who)s asks to follow you"),
    "renote": _l("%(who)s renoted your note"),
    "reply": _l("%(who)s replied to you"),
    "roleAssigned": _l("You were given a role"),
    "scheduledNoteFailed": _l("A scheduled note could not be posted"),  # Sharkey's
    "scheduledNotePosted": _l("A scheduled note was posted"),
    "scheduledNotePostFailed": _l("A scheduled note could not be posted"),
    "test": _l("A test"),
}


@dataclass(frozen=True, slots=True)
class Notification:
    """Something that happened: ``words`` say what; ``by`` and ``note`` are ``None`` where there is none."""

    words: str
    at: datetime | None
    by: Author | None
    note: Note | None


def read_notifications(values: Iterable[object], server: Server) -> list[Notification]:
    """Return the notifications in a server's answer, without what is none."""
    return [_read(value, server) for value in values if isinstance(value, dict)]


def _read(fields: dict[str, Any], server: Server) -> Notification:
    by, note = read_author(fields.get("user"), server), read_note(fields.get("note"), server)
    if note and note.passes_on:  # a renote says nothing itself; what was renoted does
        note = note.renote
    return Notification(_words(fields, by), moment(fields.get("createdAt")), by, note)


def _words(fields: dict[str, Any], by: Author | None) -> str:
    kind, who = line(fields.get("type"), 60), by.name if by else _("Somebody")
    if kind == "app":  # sent by another app, in its own words
        words = (line(fields.get("header")), line(fields.get("body"), 300))
        return ": ".join(filter(None, words)) or _("An app has something to say")
    if kind not in _WORDS:
        return _("Something new: %(kind)s", kind=kind) if kind else _("Something new")
    reaction = read_reaction(fields.get("reaction"))
    if kind == "reaction" and not reaction:
        return _("%(who)s reacted", who=who)
    return str(_WORDS[kind]) % {"who": who, "reaction": reaction}
