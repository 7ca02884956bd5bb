"""The panels that the demonstration adds to the dashboard; templates/demo/panels shows what they are answered."""

from __future__ import annotations

from dataclasses import replace

from flask_babel import lazy_gettext as _l

from web import dashboard
from web.dashboard import PROFILE, SERVER, Panel
from web.failures import WORDS_BY_CODE

TIMELINE = Panel(
    "timeline",
    _l("Timeline"),
    "notes/timeline",
    "read:account",
    {"limit": 10},
    list,
    choices={
        "home": (_l("Home"), "notes/timeline"),
        "local": (_l("Local"), "notes/local-timeline"),
        "social": (_l("Social"), "notes/hybrid-timeline"),
        "global": (_l("Global"), "notes/global-timeline"),
    },
    wide=True,
)
WORDS_BY_CODE |= {
    code: (
        _l("%(host)s does not offer this timeline"),
        _l("It is switched off there, for everybody or for your account. Choose another one."),
    )
    for code in ("LTL_DISABLED", "STL_DISABLED", "GTL_DISABLED")
}
NOTIFICATIONS = Panel(  # looking here should not make anything read over there
    "notifications",
    _l("Notifications"),
    "i/notifications",
    "read:notifications",
    {"limit": 10, "markAsRead": False},
    list,
)
DRIVE = Panel(  # the files of all folders
    "drive", _l("Your drive"), "drive/stream", "read:drive", {"limit": 8}, list, {"drive": "drive", "me": "i"}
)
_YOURS = tuple(panel for panel in dashboard.PANELS if panel not in (PROFILE, SERVER))
PANELS = (TIMELINE, replace(PROFILE, wide=False), NOTIFICATIONS, DRIVE, SERVER, *_YOURS)
