"""`python -m sandbox --port 3000`: the sandbox, for people on this machine."""

import argparse
import os
import threading
from contextlib import suppress

from sandbox.server import serve

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A Misskey server to try things on.")
    parser.add_argument("--port", type=int, default=3000)
    port = parser.parse_args().port
    if os.environ.get("MIAUTH_PUBLIC_URL", "").strip().lower().startswith("https"):
        parser.exit(2, "MIAUTH_PUBLIC_URL begins with https: not in production, anybody could be alice or bob here.\n")
    try:
        with suppress(KeyboardInterrupt), serve(port) as server:
            print(f"A Misskey server to try things on: {server.origin} (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except (OSError, OverflowError) as error:
        parser.exit(2, f"Port {port} can't be used: {error}. Choose another one with --port.\n")
