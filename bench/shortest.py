"""The shortest Flask app that signs in with Misskey: no checks, no limits, no store. To compare with, not to copy."""

import uuid

import requests
from flask import Flask, redirect, request, session
from werkzeug.wrappers import Response


def create_app(origin: str) -> Flask:
    """Return an app that signs in at ``origin``."""
    app = Flask(__name__)
    app.secret_key = "for measuring"

    @app.get("/")
    def home() -> str:
        return '<form method="post" action="/signin"><button>Sign in</button></form>'

    @app.post("/signin")
    def signin() -> Response:
        session["id"] = str(uuid.uuid4())
        return redirect(f"{origin}/miauth/{session['id']}?callback=http://localhost/callback")

    @app.get("/callback")
    def callback() -> Response:
        answer = requests.post(f"{origin}/api/miauth/{request.args['session']}/check", json={}, timeout=10).json()
        session["token"] = answer["token"]
        return redirect("/")

    return app
