"""The timelines: home, local, social, global."""

from __future__ import annotations

from flask_babel import lazy_gettext as _l

from web.dashboard import Panel
from web.failures import WORDS_BY_CODE

TIMELINES = {
    "home": (_l("Home"), "notes/timeline"),
    "local": (_l("Local"), "notes/local-timeline"),
    "social": (_l("Social"), "notes/hybrid-timeline"),
    "global": (_l("Global"), "notes/global-timeline"),
}
PANEL = Panel(
    "timeline",
    _l("Timeline"),
    "notes/timeline",
    "read:account",
    {"limit": 10},
    list,
    choices=TIMELINES,
    wide=True,
)
WORDS_BY_CODE |= {
    code: (
        _l("%(host)s does not offer this timeline"),
        _l("It is switched off there, for everybody or for your account. Choose another one."),
    )
    for code in ("LTL_DISABLED", "STL_DISABLED", "GTL_DISABLED")
}
