"""Starts the app and the sandbox side by side: `make run`, and with `--dev` `make dev`. Ctrl-C stops both.

`make dev` serves the app with Flask's own server: it starts anew when a file changes, and has the debugger.
"""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

from web.config import SUGGESTED
from web.environment import SettingsError, environment

START_SECONDS = 60
#: What is chosen here, for both.
CHOSEN = ("PORT", "MIAUTH_PUBLIC_URL", "MIAUTH_PRIVATE_SERVERS", "MIAUTH_SUGGESTED_SERVERS")
STOP_SECONDS = 5

WELCOME = """
  The app      {app}
  The sandbox  http://{sandbox}  a Misskey server to try it with; alice and bob live there

  {next} Ctrl-C stops both.
"""


def read_settings() -> tuple[dict[str, str], str]:
    """Return the environment of both, and where the sandbox will be."""
    try:
        settings = environment()
    except SettingsError as error:
        sys.exit(str(error))
    port, sandbox_port = settings.get("PORT") or "8000", settings.get("SANDBOX_PORT") or "3000"
    refuse_wrong("PORT", port)
    refuse_wrong("SANDBOX_PORT", sandbox_port, taken=port)
    sandbox = f"127.0.0.1:{sandbox_port}"
    settings["PORT"] = port
    settings["MIAUTH_PUBLIC_URL"] = settings.get("MIAUTH_PUBLIC_URL") or f"http://localhost:{port}"
    settings["MIAUTH_PRIVATE_SERVERS"] = f"{settings.get('MIAUTH_PRIVATE_SERVERS', '')} http://{sandbox}"
    settings["MIAUTH_SUGGESTED_SERVERS"] = f"{sandbox} {settings.get('MIAUTH_SUGGESTED_SERVERS') or SUGGESTED}"
    return settings, sandbox_port


def main() -> None:
    """Run both until one of them ends or the person at the terminal has had enough."""
    settings, sandbox_port = read_settings()
    port = settings["PORT"]
    enough = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: enough.set())
    app: tuple[str, ...] = ("gunicorn", "-c", "web/gunicorn.conf.py", "--log-level", "warning", "app:create_app()")
    if sys.argv[1:] == ["--dev"]:
        app = ("flask", "--app", "app", "run", "--debug", "--port", port, "--extra-files", ".env")
    servers = {"app": start(settings, *app), "sandbox": start(settings, "sandbox", "--port", sandbox_port)}
    ready, deadline = False, time.monotonic() + START_SECONDS
    try:
        while not enough.wait(0.2):
            if ended := [name for name, server in servers.items() if server.poll() is not None]:
                sys.exit(f"The {ended[0]} has ended.")
            if not ready and time.monotonic() > deadline:
                sys.exit(f"No answer after {START_SECONDS} seconds.")
            if not ready and answers(port) and answers(sandbox_port):
                ready = True
                print(welcome(settings, f"127.0.0.1:{sandbox_port}"), flush=True)
    finally:
        # To gunicorn, SIGTERM means to wait until browsers close their connections, SIGQUIT means now.
        stop(servers["app"], signal.SIGQUIT)
        stop(servers["sandbox"], signal.SIGTERM)


def welcome(settings: dict[str, str], sandbox: str) -> str:
    """Return what to tell when both answer."""
    step = f"Open the app, sign in with {sandbox} and choose who you are."
    if (only := settings.get("MIAUTH_ONLY_SERVERS", "")) and sandbox not in only:
        step = f"People sign in at {only} only; to try it with the sandbox: MIAUTH_ONLY_SERVERS={sandbox}."
    return WELCOME.format(app=settings["MIAUTH_PUBLIC_URL"], sandbox=sandbox, next=step)


def refuse_wrong(name: str, port: str, taken: str = "") -> None:
    """Say in words why a port can't be used, and end."""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        sys.exit(f"{name} must be a number from 1 to 65535, not {port!r}.")
    if port == taken or any(is_open(address, int(port)) for address in ("127.0.0.1", "::1")):
        sys.exit(f"Port {port} is taken. {name} chooses another one: make run {name}={int(port) % 65535 + 1}")


def is_open(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), timeout=1):
            return True
    except OSError:
        return False


def start(settings: dict[str, str], module: str, *arguments: str) -> subprocess.Popen[bytes]:
    # What else stands in .env is for the app to read, again after a change; Flask would read it once.
    chosen = {name: settings[name] for name in CHOSEN} | {"FLASK_SKIP_DOTENV": "1"}
    # In a session of its own: Ctrl-C at the terminal then reaches this program only, which stops both in its way.
    return subprocess.Popen([sys.executable, "-m", module, *arguments], env=os.environ | chosen, start_new_session=True)


def answers(port: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def stop(server: subprocess.Popen[bytes], number: signal.Signals) -> None:
    if server.poll() is None:
        os.killpg(server.pid, number)  # Flask's own server is two processes
    try:
        server.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    main()
