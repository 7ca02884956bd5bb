"""The files in the drive, and how full it is."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l

from web.dashboard import Panel

PANEL = Panel(  # the files of all folders
    "drive", _l("Your drive"), "drive/stream", "read:drive", {"limit": 8}, list, {"drive": "drive", "me": "i"}
)
