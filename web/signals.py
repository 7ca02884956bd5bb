"""What happens in the app that other parts of it, or an app of your own, may want to hear of.

Flask's signals, sent with the app as sender: https://flask.palletsprojects.com/en/stable/signals/
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

#: Somebody has signed in, once for each sign-in: ``account``, ``is_new`` (no sign-in of this person was in this browser
#: before) and ``begun``, the :class:`~web.pending_signins.Pending`, ``None`` for a token made by hand. An error raised
#: here makes the sign-in fail.
signed_in = _signals.signal("signed-in")

#: The token of ``account`` was forgotten: the person signed out, or signed in again in its place.
signed_out = _signals.signal("signed-out")

#: ``account`` is still signed in in this browser, but another one is in use there from now on.
switched = _signals.signal("switched")

#: A call was made to a server: ``exchange`` is the :class:`misskey.Exchange`.
called = _signals.signal("called")
