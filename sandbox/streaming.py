"""The live channel: `/streaming`, a WebSocket on which channels are connected and disconnected."""

import json
from contextlib import suppress

from flask import Blueprint, Response, request
from simple_websocket import ConnectionClosed, Server

from sandbox.endpoints import may_see
from sandbox.world import NOBODY, Json, Person, world

streaming = Blueprint("streaming", __name__)
streaming.register_error_handler(OSError, lambda _: Response(status=400))  # gone before the handshake was over
HOME, PUBLIC = {"homeTimeline", "hybridTimeline"}, {"localTimeline", "globalTimeline"}
REFUSAL = 'Bearer realm="Misskey", error="invalid_token", error_description="Failed to authenticate"'


@streaming.get("/streaming", websocket=True)
def stream() -> Response:
    """A stream for whoever may read the account, or for nobody in particular; other tokens are refused."""
    given = request.args.get("i")
    token = NOBODY if given is None else world.tokens.get(given)
    if token is None or (token is not NOBODY and not token.allows("read:account")):
        return Response(status=401, headers={"WWW-Authenticate": REFUSAL})
    if token.person.suspended:
        return Response(status=403)
    stream = Stream(Server.accept(request.environ), token.person)
    world.streams.append(stream)
    with suppress(ConnectionClosed):
        while True:
            # Misskey passes over what it doesn't understand without a word.
            with suppress(ValueError, TypeError, KeyError):
                message = json.loads(stream.socket.receive())
                stream.obey(message["type"], message["body"])
    world.streams.remove(stream)
    stream.socket.thread.join()
    return Response(status=101)


class Stream:
    """One open stream; it stays open when its token is revoked."""

    def __init__(self, socket: Server, me: Person) -> None:
        self.socket, self.me, self.channels = socket, me, list[tuple[str, str]]()

    def obey(self, command: str, body: Json) -> None:
        """Connect or disconnect a channel."""
        if command == "connect" and body["channel"] in {*HOME, *PUBLIC, "main"}:
            self.channels.append((str(body["id"]), body["channel"]))  # ids may repeat
            if body.get("pong"):
                self.send("connected", {"id": body["id"]})
        elif command == "disconnect":
            self.channels = [(id_, name) for id_, name in self.channels if id_ != str(body["id"])]

    def hear(self, event: str, person: Person, body: Json) -> None:
        """Pass an event on to the channels whose business it is."""
        names = {"main"} if person is self.me else set()
        if event == "note":
            # Misskey lets anybody connect to the home timeline; without a person nothing comes.
            names = HOME if self.me is not NOBODY.person and may_see(self.me, body) else set()
            names = names | (PUBLIC if body["visibility"] == "public" else set())
            body = body | {"reactionAndUserPairCache": []}
        for id_ in [id_ for id_, name in self.channels if name in names]:
            self.send("channel", {"id": id_, "type": event, "body": body})

    def send(self, kind: str, body: Json) -> None:
        """Send a frame, unless the other side has gone."""
        with suppress(ConnectionClosed, OSError):
            self.socket.send(json.dumps({"type": kind, "body": body}, ensure_ascii=False))
