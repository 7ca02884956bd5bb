"""Which browser a request comes from, as people call it."""

from __future__ import annotations

from flask import request
from ua_parser import parse_os, parse_user_agent

from misskey import clean_text

AGENT_CHARACTERS = 500  # of what a browser says of itself; real ones say less


def browser_and_system() -> tuple[str, str]:
    """Return the browser that asks and the system that it runs on, such as Firefox and Windows, or ``""``."""
    agent = request.user_agent.string[:AGENT_CHARACTERS]
    browser, system = parse_user_agent(agent), parse_os(agent)
    return clean_text(browser.family, 40) if browser else "", clean_text(system.family, 40) if system else ""
