"""What each endpoint answers. Permissions, parameters and errors are in `endpoints.json`."""

import time
from collections.abc import Iterable

from flask import request

from sandbox.world import NOBODY, SHAPES, Json, Misbehaviour, Person, Refusal, Token, digest, read_json, world

ENDPOINTS: dict[str, Json] = read_json("endpoints.json")
MEGABYTE = 1024 * 1024
MAX_FILE_NAME = 200


class Call:
    """One call of an endpoint; each endpoint is the method of its name."""

    def __init__(self, token: Token, params: Json) -> None:
        self.token, self.me, self.params = token, token.person, params

    def miauth_gen_token(self) -> Json:
        """A token for an app."""
        session, name = self.params["session"], self.params.get("name")
        return {"token": world.approve(self.me, self.params["permission"], session, name).value}

    def miauth_check(self) -> Json:
        """The token made for a session, once; of several only the first counts."""
        token = next((token for token in world.tokens.values() if token.session == self.params["session"]), None)
        if token is None or token.fetched:
            return {"ok": False}
        token.fetched = True
        return {"ok": True, "token": token.value, "user": profile(token.person, token)}

    def i(self) -> Json:
        return profile(self.me, self.token)

    def i_notifications(self) -> list[Json]:
        """What is under the bell; looking makes it read, unless asked not to."""
        if self.params.get("markAsRead", True):
            self.me.unread = 0
        return self.page(self.me.notifications)

    def i_revoke_token(self) -> None:
        """Removes one of one's own tokens; others, or none of that name, are passed over in silence."""
        token = world.tokens.get(self.params.get("token") or "")
        if token and token.person is self.me:
            del world.tokens[token.value]

    def users_show(self) -> Json:
        """A person, by id or name."""
        for person in world.people.values():
            if self.params.get("userId") == person.shown["id"] or self.params.get("username") == person.username:
                return profile(person, self.token)
        if not self.params.keys() & {"userId", "username"}:
            reason = "must have required property 'userId'"
            raise Refusal("INVALID_PARAM", {"param": "#/anyOf/0/required", "reason": reason})
        raise Refusal("NO_SUCH_USER")

    def users_followers(self) -> list[Json]:
        """Who follows a person: everybody else here."""
        followed = self.users_show()["id"]
        others = (person for person in world.people.values() if person.shown["id"] != followed)
        return self.page(following(person, followed, self.token) for person in others)

    def notes_timeline(self, public_only: bool = False) -> list[Json]:
        """The notes that whoever asks may see, on request only those with files."""
        notes = (note for note in world.notes.values() if note["visibility"] == "public" or not public_only)
        wanted = (note for note in notes if note["files"] or not self.params.get("withFiles"))
        return self.page(note for note in wanted if may_see(self.me, note))

    def notes_local_timeline(self) -> list[Json]:
        return self.notes_timeline(public_only=True)

    notes_hybrid_timeline, notes_global_timeline = notes_timeline, notes_local_timeline

    def notes_show(self, parameter: str = "noteId", otherwise: str = "NO_SUCH_NOTE") -> Json:
        """The note that a parameter names, if whoever asks may see it."""
        note = world.notes.get(self.params[parameter])
        if note is None or not may_see(self.me, note):
            raise Refusal(otherwise)
        return note

    def notes_create(self) -> Json:
        """A new note, or the one that the same parameters made within the last minute."""
        repeated = self.me.username, repr(self.params)
        known = world.notes.get(world.created.get(repeated, ""))
        if known and known["id"] > world.stamp(minutes_ago=1)["id"]:
            return {"createdNote": known}
        given = self.params.keys() & {"text", "cw", "visibility", "localOnly", "reactionAcceptance"}
        fields: Json = {name: self.params[name] for name in given}
        if fields.get("visibility") == "specified":
            fields["visibleUserIds"] = self.params.get("visibleUserIds", [])
        if self.params.get("renoteId"):
            fields["renote"] = self.notes_show("renoteId", "NO_SUCH_RENOTE_TARGET")
        files = {file["id"]: file for file in self.me.files.values()}
        if not files.keys() >= set(wanted := self.params.get("fileIds", [])):
            raise Refusal("NO_SUCH_FILE")
        note = world.post(self.me, [files[id_] for id_ in wanted], **fields)
        world.created[repeated] = note["id"]
        return {"createdNote": note}

    def notes_delete(self) -> None:
        """Removes one of one's own notes; the next one, a second later."""
        if (now := time.time()) < self.me.may_delete_at:
            reset = int(self.me.may_delete_at * 1000)
            raise Refusal("RATE_LIMIT_EXCEEDED", {"remaining": 0, "reset": reset // 1000, "resetMs": reset, "total": 1})
        self.me.may_delete_at = now + 1
        if self.notes_show()["user"] is not self.me.shown:
            raise Refusal("ACCESS_DENIED")
        del world.notes[self.params["noteId"]]

    def notes_reactions_create(self) -> None:
        """Adds a reaction to a note and tells its author."""
        note, reaction = self.notes_show(), self.params["reaction"]
        note["reactions"][reaction] = note["reactions"].get(reaction, 0) + 1
        note["reactionCount"] += 1
        if note["user"] is not self.me.shown:
            world.notify(world.people[note["user"]["username"]], "reaction", self.me, note=note, reaction=reaction)

    def drive(self) -> Json:
        """How much room there is, and how much of it is used."""
        used = sum(file["size"] for file in self.me.files.values())
        return {"capacity": SHAPES["policies"]["driveCapacityMb"] * MEGABYTE, "usage": used}

    def drive_files(self) -> list[Json]:
        return self.page(self.me.files.values())

    drive_stream = drive_files  # the files of all folders, of which there are none here

    def drive_files_create(self) -> Json:
        """A new file, or the one with the same content that is there already."""
        if self.params.get("folderId"):
            raise Refusal("FAILED_TO_CREATE_DRIVE_FILE", {"message": "folder-not-found", "code": "Error"})
        sent, sensitive = request.files["file"], self.params.get("isSensitive") == "true"
        content, name = sent.read(), self.params.get("name") or sent.filename or "untitled"
        if len(content) > SHAPES["policies"]["maxFileSizeMb"] * MEGABYTE:
            raise Refusal("MAX_FILE_SIZE_EXCEEDED")
        if len(name) > MAX_FILE_NAME or any(part in name for part in ("/", "\\", "..")):
            raise Refusal("INVALID_FILE_NAME")
        room = self.drive()
        if digest(content) not in self.me.files and room["usage"] + len(content) > room["capacity"]:
            raise Refusal("NO_FREE_SPACE")
        return world.upload(self.me, name, content, comment=self.params.get("comment"), isSensitive=sensitive)

    def meta(self) -> Json:
        """What the server says of itself; only in detail, whether it does MiAuth."""
        if self.token is NOBODY and world.misbehaviour == Misbehaviour.PRIVATE:
            raise Refusal("CREDENTIAL_REQUIRED")
        own = {"uri": world.origin, "mediaProxy": f"{world.origin}/proxy", "policies": SHAPES["policies"]}
        features = SHAPES["features"] | {"miauth": world.misbehaviour != Misbehaviour.MIAUTH_OFF}
        if world.misbehaviour == Misbehaviour.OLD:
            own["version"] = "12.26.0"
            del features["miauth"]
        more = SHAPES["metaDetailed"] | {"features": features} if self.params.get("detail", True) else {}
        return dict(SHAPES["meta"] | own | more)

    def ping(self) -> Json:
        return {"pong": int(time.time() * 1000)}

    def endpoints(self) -> list[str]:
        return sorted(ENDPOINTS)

    def endpoint(self) -> Json | None:
        """The parameters of an endpoint; nothing for one that isn't there."""
        if self.params["endpoint"] not in ENDPOINTS:
            return None
        known = ENDPOINTS[self.params["endpoint"]].get("properties", {})
        kinds = {name: rules["type"].split(",")[0].capitalize() for name, rules in known.items()}
        return {"params": [{"name": name, "type": kind} for name, kind in kinds.items()]}

    def page(self, things: Iterable[Json]) -> list[Json]:
        """The newest things within the bounds that the parameters set."""
        since, until = self.params.get("sinceId", ""), self.params.get("untilId", "~")
        inside = [thing for thing in things if since < thing["id"] < until]
        return sorted(inside, key=lambda thing: str(thing["id"]), reverse=True)[: self.params.get("limit", 10)]


def profile(person: Person, caller: Token) -> Json:
    """A person in the detail that they themselves, other people or nobody in particular may see."""
    notes, unread = sum(note["user"] is person.shown for note in world.notes.values()), person.unread
    shown: Json = SHAPES["userDetailed"] | person.shown | person.more
    shown |= {"notesCount": notes, "isSuspended": person.suspended}
    if person is not caller.person:
        return shown | (SHAPES["relation"] if caller is not NOBODY else {})
    shown |= {"unreadNotificationsCount": unread, "hasUnreadNotification": unread > 0, "policies": SHAPES["policies"]}
    return shown | dict(SHAPES["me"] | (SHAPES["nativeOnly"] if caller.native else {}))


def following(person: Person, followed: str, caller: Token) -> Json:
    """That a person follows another, with the person."""
    shown = profile(person, caller)
    ids = {"id": shown["id"], "followeeId": followed, "followerId": shown["id"]}
    return ids | {"createdAt": shown["createdAt"], "follower": shown}


def may_see(person: Person, note: Json) -> bool:
    """Whether a person, or nobody, may read a note; alice and bob follow each other."""
    if note["visibility"] == "specified":
        return person.shown["id"] in (note["userId"], *note["visibleUserIds"])
    return note["visibility"] != "followers" or person is not NOBODY.person
