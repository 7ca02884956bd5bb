"""The shortest Flask app for the same journey: no checks, no limits, no store. To compare with, not to copy."""

import os
import uuid

import requests
from flask import Flask, redirect, render_template_string, request, session, url_for
from werkzeug.wrappers import Response

HOME = """<!doctype html>
<title>Sign in with Misskey</title>
<form method="post" action="{{ url_for('signin') }}"><input name="host"><button>Sign in</button></form>"""
PROFILE = """<!doctype html>
<title>{{ user.name }}</title>
<h1>{{ user.name }}</h1><img src="{{ user.avatarUrl }}" alt=""><p>@{{ user.username }}: {{ user.description }}</p>"""


def create_app() -> Flask:
    """Return the app. Its visitors type the whole address of their server."""
    app = Flask(__name__)
    app.secret_key = os.environ["MIAUTH_SECRET_KEY"]

    @app.get("/")
    def home() -> str:
        return render_template_string(HOME)

    @app.post("/signin")
    def signin() -> Response:
        session["id"], session["server"] = str(uuid.uuid4()), request.form["host"]
        callback = url_for("callback", _external=True)
        return redirect(f"{session['server']}/miauth/{session['id']}?callback={callback}&permission=read:account")

    @app.get("/callback")
    def callback() -> Response:
        answer = requests.post(f"{session['server']}/api/miauth/{session['id']}/check", json={}, timeout=10).json()
        session["token"] = answer["token"]
        return redirect(url_for("profile"))

    @app.get("/dashboard/profile")
    def profile() -> str:
        user = requests.post(f"{session['server']}/api/i", json={"i": session["token"]}, timeout=10).json()
        return render_template_string(PROFILE, user=user)

    @app.get("/healthz")
    def healthz() -> str:
        return "ok\n"

    return app
