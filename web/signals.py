"""Signals: what happens in the app that other parts of it, or an app of your own, may want to hear of.

They are Flask's, sent with the app as sender: https://flask.palletsprojects.com/en/stable/signals/
Connect functions of a module: what else is connected is forgotten, unless with ``weak=False``.
"""

from __future__ import annotations

from typing import Any

from blinker import Namespace, Signal
from flask import current_app

_signals = Namespace()

#: Somebody has signed in, once for each sign-in: ``account``, ``is_new`` (no sign-in of this person was in this browser
#: before) and ``begun``, the :class:`~web.pending_signins.Pending`, ``None`` for a token made by hand. An error raised
#: here makes the sign-in fail, and the token is forgotten. What tells people apart is ``account.owner``: server and id.
signed_in = _signals.signal("signed-in")

#: The token of ``account`` was forgotten in this browser: the person signed out, or signed in again in its place.
#: Or the host removed it at a shell, where there is no request.
signed_out = _signals.signal("signed-out")

#: ``account`` is still signed in in this browser, but another one is in use there from now on.
account_switched = _signals.signal("account-switched")

#: A sign-in has begun in this browser: ``begun`` is the :class:`~web.pending_signins.Pending`.
sign_in_begun = _signals.signal("sign-in-begun")

#: A call was made to a server: ``exchange`` is the :class:`misskey.Exchange`.
api_called = _signals.signal("api-called")

#: A request to a server, or a stream from it, has ended: ``call`` is the :class:`~web.hosting.remote_calls.Call`.
server_called = _signals.signal("server-called")

#: The answer to a request was sent, outside of its context: ``served`` is the :class:`~web.hosting.request_log.Served`.
request_served = _signals.signal("request-served")


def send(signal: Signal, **values: Any) -> None:
    """Send ``signal`` with these values, and this app as its sender."""
    app: Any = current_app
    signal.send(app._get_current_object(), **values)
