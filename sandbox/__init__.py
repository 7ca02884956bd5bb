"""A small server that answers as Misskey does: for trying, developing and testing. It keeps nothing.

`python -m sandbox` starts it for people, `with serve() as server:` for tests. `server.world` (for an app alone,
`app.extensions["sandbox"]`) is what it knows; `server.world.misbehaviour = Misbehaviour.SLOW` makes it misbehave.
"""

from sandbox.server import Running, create_app, serve
from sandbox.world import Misbehaviour, World

__all__ = ["Misbehaviour", "Running", "World", "create_app", "serve"]
