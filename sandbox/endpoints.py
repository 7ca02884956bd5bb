"""What each endpoint answers. Permissions, parameters and errors are in `endpoints.json`."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from flask import request

from sandbox.world import SHAPES, Json, Misbehaviour, Person, Token, World, read_json, stamped

# The same note from the same person, so soon, is the same note.
REPEAT_MINUTES = 1
# In Misskey's database; what is longer breaks `miauth/gen-token`.
LONGEST_NAME = 128
MEGABYTE = 1024 * 1024
DRIVE_SIZE = SHAPES["policies"]["driveCapacityMb"] * MEGABYTE

ENDPOINTS = read_json("endpoints.json")
ID = {"type": "string", "format": "misskey:id"}
PAGE = {"limit": {"type": "integer", "minimum": 1, "maximum": 100}, "sinceId": ID, "untilId": ID}
for _endpoint in ENDPOINTS.values():
    _endpoint["properties"] = (PAGE if _endpoint.get("paged") else {}) | _endpoint.get("properties", {})


class Refusal(Exception):
    """Misskey says no, with the error of this code."""

    def __init__(self, code: str, info: Json | None = None) -> None:
        super().__init__(code)
        self.code, self.info = code, info


@dataclass
class Call:
    """One call of an endpoint."""

    world: World
    token: Token | None
    params: Json

    @property
    def viewer(self) -> Person | None:
        """Who asks; nobody without a token."""
        return self.token.person if self.token else None

    @property
    def me(self) -> Person:
        """Who asks, where only people with an account may."""
        if self.token is None:
            raise Refusal("CREDENTIAL_REQUIRED")
        return self.token.person


def make_token(call: Call) -> Json:
    """A token for an app."""
    session, name = call.params["session"], call.params.get("name")
    if max(len(session or ""), len(name or "")) > LONGEST_NAME:
        message = f"value too long for type character varying({LONGEST_NAME})"
        raise Refusal("INTERNAL_ERROR", {"message": message, "code": "QueryFailedError", "id": call.world.new_id()})
    return {"token": call.world.approve(call.me, call.params["permission"], session, name).value}


def check_session(call: Call) -> Json:
    """The token that was made for a session, and whose it is."""
    token = call.world.fetch(call.params["session"])
    return {"ok": True, "token": token.value, "user": me(call.world, token.person)} if token else {"ok": False}


def revoke_token(call: Call) -> None:
    """Removes one of one's own tokens; others, or none of that name, are passed over in silence."""
    for token in list(call.world.tokens.values()):
        named = token.value == call.params.get("token") or token.id == call.params.get("tokenId")
        if named and token.person is call.me:
            del call.world.tokens[token.value]


def list_apps(call: Call) -> list[Json]:
    """The apps that have a token of this person."""
    tokens = [token for token in call.world.tokens.values() if token.person is call.me and not token.native]
    return [stamped(token.id) | {"name": token.name, "permission": sorted(token.permissions or ())} for token in tokens]


def list_notifications(call: Call) -> list[Json]:
    """What is under the bell; looking makes it read."""
    if call.params.get("markAsRead", True):
        call.me.unread = 0
    return page(call.me.notifications, call.params)


def show_user(call: Call) -> Json:
    """A person, by id or name; signed in, also how one stands to them."""
    for person in call.world.people.values():
        if call.params.get("userId") == person.shown["id"] or call.params.get("username") == person.username:
            if person is call.viewer:
                return me(call.world, person)
            return detailed(call.world, person) | (SHAPES["relation"] if call.viewer else {})
    raise Refusal("NO_SUCH_USER")


def create_note(call: Call) -> Json:
    """A new note, or the one that the same parameters made a moment ago."""
    given, repeated = call.params, (call.me.username, repr(call.params))
    known = call.world.notes.get(call.world.created.get(repeated, ""))
    if known and known["id"] > call.world.new_id(minutes_ago=REPEAT_MINUTES):
        return {"createdNote": known}
    as_given = given.keys() & {"visibility", "cw", "localOnly", "reactionAcceptance"}
    fields: Json = {name: given[name] for name in as_given}
    if given.get("visibility") == "specified":
        fields["visibleUserIds"] = given.get("visibleUserIds", [])
    for inner in ("renote", "reply"):
        if id_ := given.get(f"{inner}Id"):
            fields |= {inner: find_note(call, id_, f"NO_SUCH_{inner.upper()}_TARGET"), f"{inner}Id": id_}
    if "reply" in fields:
        fields["replyUserId"] = fields["reply"]["userId"]
    if ids := given.get("fileIds"):
        fields |= {"fileIds": ids, "files": [find_file(call, id_) | {"userId": call.me.shown["id"]} for id_ in ids]}
    if asked := given.get("poll"):
        choices = [{"text": text, "votes": 0, "isVoted": False} for text in asked["choices"]]
        fields["poll"] = {"multiple": asked.get("multiple", False), "expiresAt": None, "choices": choices}
    note = call.world.post(call.me, given.get("text"), **fields)
    call.world.created[repeated] = note["id"]
    return {"createdNote": note}


def show_note(call: Call) -> Json:
    """A note, with the reaction of whoever asks."""
    note = find_note(call, call.params["noteId"])
    mine = call.world.reactions.get((note["id"], call.viewer.username)) if call.viewer else None
    return note | ({"myReaction": mine} if mine else {})


def delete_note(call: Call) -> None:
    """Removes one of one's own notes."""
    note = find_note(call, call.params["noteId"])
    if note["userId"] != call.me.shown["id"]:
        raise Refusal("ACCESS_DENIED")
    del call.world.notes[note["id"]]


def create_reaction(call: Call) -> None:
    """Adds a reaction, one for each person and note."""
    note = find_note(call, call.params["noteId"])
    if (note["id"], call.me.username) in call.world.reactions:
        raise Refusal("ALREADY_REACTED")
    call.world.react(call.me, note, call.params["reaction"])


def upload_file(call: Call) -> Json:
    """A new file, or the one with the same content that is there already."""
    if call.params.get("folderId"):
        raise Refusal("FAILED_TO_CREATE_DRIVE_FILE", {"message": "folder-not-found", "code": "Error"})
    sent, most = request.files["file"], SHAPES["policies"]["maxFileSizeMb"] * MEGABYTE
    content = sent.stream.read(most + 1)
    if len(content) > most:
        raise Refusal("MAX_FILE_SIZE_EXCEEDED")
    name = call.params.get("name") or sent.filename or "untitled"
    sensitive = call.params.get("isSensitive") == "true"
    return call.world.upload(call.me, name, content, comment=call.params.get("comment"), isSensitive=sensitive)


def describe_server(call: Call) -> Json:
    """What the server says of itself; only in detail, whether it does MiAuth."""
    origin, miauth = call.world.origin, call.world.misbehaviour != Misbehaviour.MIAUTH_OFF
    more = SHAPES["metaDetailed"] | {"features": SHAPES["features"] | {"miauth": miauth}}
    own = {"uri": origin, "mediaProxy": f"{origin}/proxy", "policies": SHAPES["policies"]}
    return SHAPES["meta"] | own | (more if call.params.get("detail", True) else {})


def count_everything(call: Call) -> Json:
    """How much there is."""
    notes, people = len(call.world.notes), len(call.world.people)
    used = sum(file["size"] for _, file in call.world.files.values())
    counts = {"notesCount": notes, "originalNotesCount": notes, "usersCount": people, "originalUsersCount": people}
    return counts | {"reactionsCount": 0, "instances": 0, "driveUsageLocal": used, "driveUsageRemote": 0}


def describe_endpoint(call: Call) -> Json | None:
    """The parameters of an endpoint; nothing for one that isn't there."""
    known = ENDPOINTS.get(call.params["endpoint"], {}).get("properties")
    return known and {"params": [{"name": name, "type": rules["type"].capitalize()} for name, rules in known.items()]}


def detailed(world: World, person: Person) -> Json:
    """A person as everybody sees them."""
    notes = sum(note["userId"] == person.shown["id"] for note in world.notes.values())
    about = {"description": person.about, "notesCount": notes, "isSuspended": person.suspended}
    return person.shown | stamped(person.shown["id"]) | SHAPES["userDetailed"] | about


def me(world: World, person: Person) -> Json:
    """A person as they see themselves."""
    unread = {"hasUnreadNotification": person.unread > 0, "unreadNotificationsCount": person.unread}
    return detailed(world, person) | SHAPES["me"] | unread | {"policies": SHAPES["policies"]}


def page(things: Iterable[Json], params: Json) -> list[Json]:
    """The newest things within these bounds; with a lower bound only, the oldest."""
    since, until = params.get("sinceId", ""), params.get("untilId", "~")
    inside = sorted((thing for thing in things if since < thing["id"] < until), key=lambda thing: str(thing["id"]))
    return (inside if since and until == "~" else inside[::-1])[: params.get("limit", 10)]


def timeline(call: Call, *, public_only: bool = False) -> list[Json]:
    """The notes that whoever asks may see; alice and bob follow each other."""
    notes = (note for note in call.world.notes.values() if may_see(call.viewer, note))
    wanted = (note for note in notes if note["files"] or not call.params.get("withFiles"))
    return page((note for note in wanted if note["visibility"] == "public" or not public_only), call.params)


def may_see(person: Person | None, note: Json) -> bool:
    """Whether a person, or somebody signed out, may read a note."""
    if note["visibility"] in ("public", "home"):
        return True
    if person is None or note["visibility"] == "followers":
        return person is not None
    return person.shown["id"] in (note["userId"], *note["visibleUserIds"])


def find_note(call: Call, id_: str, otherwise: str = "NO_SUCH_NOTE") -> Json:
    """The note of this id, if whoever asks may see it."""
    note = call.world.notes.get(id_)
    if note is None or not may_see(call.viewer, note):
        raise Refusal(otherwise)
    return note


def drive(call: Call) -> list[Json]:
    """The files of whoever asks."""
    return [file for owner, file in call.world.files.values() if owner is call.me]


def find_file(call: Call, id_: str) -> Json:
    """The file of this id, if it belongs to whoever asks."""
    for file in drive(call):
        if file["id"] == id_:
            return file
    raise Refusal("NO_SUCH_FILE")


ANSWERS: dict[str, Callable[[Call], Any]] = {
    "miauth/gen-token": make_token,
    "miauth/{session}/check": check_session,
    "i": lambda call: me(call.world, call.me) | (SHAPES["nativeOnly"] if call.token and call.token.native else {}),
    "i/notifications": list_notifications,
    "i/revoke-token": revoke_token,
    "i/apps": list_apps,
    "i/authorized-apps": lambda call: [],
    "users/show": show_user,
    "notes/timeline": timeline,
    "notes/hybrid-timeline": timeline,
    "notes/local-timeline": partial(timeline, public_only=True),
    "notes/global-timeline": partial(timeline, public_only=True),
    "notes/show": show_note,
    "notes/create": create_note,
    "notes/delete": delete_note,
    "notes/reactions/create": create_reaction,
    "drive": lambda call: {"capacity": DRIVE_SIZE, "usage": sum(file["size"] for file in drive(call))},
    "drive/files": lambda call: page(drive(call), call.params),
    "drive/files/create": upload_file,
    "meta": describe_server,
    "stats": count_everything,
    "ping": lambda call: {"pong": int(time.time() * 1000)},
    "endpoints": lambda call: sorted(name for name in ENDPOINTS if "{" not in name),
    "endpoint": describe_endpoint,
}
