"""The live channel: `/streaming`, a WebSocket on which channels are connected and disconnected."""

import json
import time
from contextlib import suppress

from flask import Blueprint, Response, current_app, request
from simple_websocket import ConnectionClosed, Server

from sandbox.endpoints import may_see
from sandbox.world import Json, Person, Token, World

streaming = Blueprint("streaming", __name__)
HOME, PUBLIC = {"homeTimeline", "hybridTimeline"}, {"localTimeline", "globalTimeline", "hybridTimeline"}
CHANNELS = HOME | PUBLIC | {"main"}
# A notification that is not looked at for so long is told once more, as unread.
UNREAD_SECONDS = 2.0


@streaming.get("/streaming", websocket=True)
def stream() -> Response:
    """A stream for whoever may read the account, or for nobody in particular; other tokens are refused."""
    world: World = current_app.extensions["sandbox"]
    given = request.args.get("i")
    token = world.tokens.get(given or "")
    if given is not None and not (token and token.allows("read:account")):
        reason = 'error="invalid_token", error_description="Failed to authenticate"'
        return Response(status=401, headers={"WWW-Authenticate": f'Bearer realm="Misskey", {reason}'})
    request.environ["sandbox.upgraded"] = True
    Stream(world, Server.accept(request.environ), token).run()
    return Response()


class Stream:
    """One open stream; it stays open when its token is revoked."""

    def __init__(self, world: World, socket: Server, token: Token | None) -> None:
        self.world, self.socket = world, socket
        self.person = token.person if token else None
        self.channels: dict[str, str] = {}
        self.notes: set[str] = set()
        self.unread: list[tuple[float, Json]] = []

    def run(self) -> None:
        """Listen in both directions until either side has enough."""
        self.world.listeners.append(self.hear)
        with suppress(ConnectionClosed):
            while not self.world.closing.is_set():
                frame = self.socket.receive(timeout=0.25)
                # Misskey passes over what it doesn't understand without a word.
                with suppress(ValueError, TypeError, KeyError):
                    message = json.loads(frame or "{}")
                    self.obey(message["type"], message["body"])
                self.remind()
        self.world.listeners.remove(self.hear)

    def obey(self, command: str, body: Json) -> None:
        """Connect or disconnect a channel, or begin or end to watch a note."""
        id_ = str(body["id"])
        if command == "connect" and body["channel"] in CHANNELS:
            self.channels[id_] = body["channel"]
            if body.get("pong"):
                self.send("connected", {"id": id_})
        elif command == "disconnect":
            self.channels.pop(id_, None)
        elif command in ("subNote", "s"):
            self.notes.add(id_)
        elif command in ("unsubNote", "un"):
            self.notes.discard(id_)

    def remind(self) -> None:
        """Tell once more of notifications that nobody has looked at."""
        while self.unread and self.unread[0][0] < time.monotonic():
            _, notification = self.unread.pop(0)
            if self.person and self.person.unread:
                self.send_to({"main"}, "unreadNotification", notification)

    def hear(self, event: str, person: Person, body: Json) -> None:
        """Pass an event on to the channels whose business it is."""
        if event == "note" and may_see(self.person, body):
            public = PUBLIC if body["visibility"] == "public" else set()
            self.send_to(public | (HOME if self.person else set()), "note", body | {"reactionAndUserPairCache": []})
        elif event == "reacted" and body["id"] in self.notes:
            reacted = {"reaction": body["reaction"], "emoji": None, "userId": person.shown["id"]}
            self.send("noteUpdated", {"id": body["id"], "type": "reacted", "body": reacted})
        elif event in ("mention", "notification") and person is self.person:
            self.send_to({"main"}, event, body)
            if event == "notification":
                self.unread.append((time.monotonic() + UNREAD_SECONDS, body))

    def send_to(self, names: set[str], kind: str, body: Json) -> None:
        """Send an event to each connected channel of these names."""
        for id_, name in list(self.channels.items()):
            # Misskey lets anybody connect to the home timeline; without a person nothing comes.
            if name in names and (self.person or name in PUBLIC - HOME):
                self.send("channel", {"id": id_, "type": kind, "body": body})

    def send(self, kind: str, body: Json) -> None:
        """Send a frame, unless the other side has gone."""
        with self.world.lock, suppress(ConnectionClosed, OSError):
            self.socket.send(json.dumps({"type": kind, "body": body}, ensure_ascii=False))
