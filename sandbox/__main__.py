"""`python -m sandbox --port 3000`: the sandbox, for people on this machine."""

import argparse
import logging
import os
import sys
import threading

from sandbox.server import serve


def main() -> int:
    """Serve until interrupted; 2 when it must not or can't start."""
    parser = argparse.ArgumentParser(prog="python -m sandbox", description="A Misskey server to try things on.")
    parser.add_argument("--port", type=int, default=3000)
    port = parser.parse_args().port
    if os.environ.get("MIAUTH_PUBLIC_URL", "").strip().lower().startswith("https"):
        print("MIAUTH_PUBLIC_URL begins with https, so this is production, where the sandbox", file=sys.stderr)
        print("does not start: it lets anybody sign in as alice or bob.", file=sys.stderr)
        return 2
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        with serve(port) as server:
            print(f"A Misskey server to try things on: {server.origin} (Ctrl-C ends it)", flush=True)
            threading.Event().wait()
    except (OSError, OverflowError) as error:
        print(f"Port {port} can't be used: {error}. Choose another one with --port.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
