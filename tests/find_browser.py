"""Finds the browser that the tests drive. Run as a program: prints its path, installing one first if there is none."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

#: The first is Chromium without the windows around its pages, which makes half of a test's time.
NAMES = (
    "chromium-headless-shell",
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "microsoft-edge",
)

USUAL_PLACES = (
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge",
    r"C:\Program Files\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Google\Chrome\Application\chrome.exe",
    r"C:\Program Files (x86)\Microsoft\Edge\Application\msedge.exe",
)

INSTALL_SECONDS = 600

HELP = """\
The tests drive a real browser, and none was found. Any of these helps:
  - install Chromium, Google Chrome or Microsoft Edge as you usually install programs
    (Debian: sudo apt install chromium);
  - .venv/bin/python -m playwright install --with-deps chromium;
  - point CHROMIUM at a browser that is somewhere else: CHROMIUM=/path/to/chromium make test"""

NO_DRIVER = """\
Playwright, with which the tests drive the browser, does not start; its words are above.
If it misses libatomic.so.1: sudo apt install libatomic1"""


def find() -> str | None:
    """The path of a browser that starts; None if there is none, or if CHROMIUM names something else."""
    if chosen := os.environ.get("CHROMIUM"):
        path = shutil.which(chosen)
        return path if path and _starts(path) else None
    candidates = (*NAMES, *USUAL_PLACES)
    for candidate in candidates:
        if (path := shutil.which(candidate)) and _starts(path):
            return path
    path = _playwrights_own()
    return path if path and _starts(path) else None


def install() -> None:
    """Tries to install what is missing, in the ways that this machine allows."""
    root_on_linux = sys.platform == "linux" and os.geteuid() == 0
    debian = root_on_linux and shutil.which("apt-get") is not None
    if debian and not _driver_starts():
        _apt_install("libatomic1")  # Playwright's Node.js needs it, and the smallest Debian systems lack it
    if find() is None:
        system_libraries = ["--with-deps"] if root_on_linux else []
        _try([sys.executable, "-m", "playwright", "install", *system_libraries, "chromium"])
    if debian and find() is None:
        _apt_install("chromium")


def _starts(path: str) -> bool:
    # Ubuntu has a `chromium-browser` that only says to install a snap; a browser may also lack system libraries.
    # On Windows `--version` opens a window.
    if sys.platform == "win32":
        return True
    try:
        return subprocess.run([path, "--version"], capture_output=True, timeout=30, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def _playwrights_own() -> str | None:
    # Asked in a process of its own: Playwright's synchronous side refuses to start where an event loop is running.
    question = (
        "from playwright.sync_api import sync_playwright as start\n"
        "with start() as playwright: print(playwright.chromium.executable_path)"
    )
    answer = subprocess.run([sys.executable, "-c", question], capture_output=True, text=True, check=False)
    path = answer.stdout.strip()
    return path if path and Path(path).is_file() else None


def _driver_starts() -> bool:
    command = [sys.executable, "-m", "playwright", "--version"]
    return subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode == 0


def _apt_install(package: str) -> None:
    _try(["apt-get", "update", "-qq"])
    _try(["apt-get", "install", "-qq", "--yes", "--no-install-recommends", package])


def _try(command: list[str]) -> None:
    print("Installing for the tests:", *command, file=sys.stderr)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        subprocess.run(command, stdout=sys.stderr, timeout=INSTALL_SECONDS, check=False, env=environment)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(error, file=sys.stderr)


def main() -> None:
    path = find()
    if path is None and "CHROMIUM" in os.environ:
        sys.exit(f"CHROMIUM is set to {os.environ['CHROMIUM']!r}, which does not start as a browser.")
    if path is None or not _driver_starts():
        install()
        path = find()
    if path is None:
        sys.exit(HELP)
    if not _driver_starts():
        sys.exit(NO_DRIVER)
    print(path)


if __name__ == "__main__":
    main()
