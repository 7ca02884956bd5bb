"""Pages that are the same for everybody: how a sign-in works, privacy, what robots may read, and the app's picture."""

from __future__ import annotations

import textwrap

from flask import Blueprint, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

import misskey
from misskey import Server

from . import services
from .pending_signins import Pending

EXAMPLE_SERVER = Server.parse("misskey.io")
EXAMPLE_SESSION_ID = "c1f6d42b-468b-4fd2-8274-e58abdedef6f"
EXAMPLE_CODE = textwrap.dedent((misskey.__doc__ or "").partition("::\n\n")[2].partition("\n\nA web app")[0])
ROBOTS = """\
User-agent: *
Allow: /$
Allow: /dashboard$
Allow: /how-it-works
Allow: /privacy
Allow: /static/
Disallow: /
"""

pages = Blueprint("pages", __name__)


@pages.get("/how-it-works")
def how_it_works() -> ResponseReturnValue:
    """Show the sign-in step by step, with its real requests."""
    settings = services.settings()
    server = next((Server.parse(host, settings.private_servers) for host in settings.only_servers), EXAMPLE_SERVER)
    example = Pending(EXAMPLE_SESSION_ID, server, list(services.default_permissions()), started=0)
    callback = f"{services.public_url()}/callback"
    return render_template("how_it_works.html", begun=example, callback=callback, code=EXAMPLE_CODE, mask=misskey.MASK)


@pages.get("/privacy")
def privacy() -> ResponseReturnValue:
    """Tell what is kept, where, and for how long."""
    return render_template("privacy.html", settings=services.settings())


@pages.get("/robots.txt")
def robots() -> ResponseReturnValue:
    """Let search engines read the pages that are the same for everybody."""
    return ROBOTS, {"Content-Type": "text/plain; charset=utf-8"}


@pages.get("/favicon.ico")
@pages.get("/apple-touch-icon.png")
def picture() -> ResponseReturnValue:
    """Lead to the app's picture from where it is looked for by who has read no page that names it."""
    return redirect(url_for("static", filename="icon.png"))
