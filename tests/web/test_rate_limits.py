"""Whom requests are counted for, and how."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from web.rate_limits import VISITORS_OF_NETWORK, RateLimitExceeded, limit, network_of, visitor_at
from web.storage import local_counters
from web.storage.local_counters import LocalCounters
from web.token_store import open_store


@pytest.mark.parametrize(
    ("address", "visitor"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("203.0.113.9:4711", "203.0.113.9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("[2001:db8:1:2::1]:443", "2001:db8:1:2::/64"),
        ("unix", "unix"),
        ("", ""),
        (None, ""),
    ],
)
def test_a_visitor_is_an_address_or_its_network(address: str | None, visitor: str) -> None:
    assert visitor_at(address) == visitor


@pytest.mark.parametrize(
    ("visitor", "network"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("unix", "unix"),
        ("", ""),
    ],
)
def test_a_visitors_network_may_be_one_strangers(visitor: str, network: str) -> None:
    assert network_of(visitor) == network


@pytest.fixture
def app(tmp_path: Path) -> Flask:
    app = Flask(__name__)
    app.extensions["token_store"] = open_store(f"sqlite:///{tmp_path / 'tokens.sqlite3'}", ["secret key"])
    return app


def ask(app: Flask, view: Callable[[], str], address: str = "203.0.113.9") -> bool:
    """Ask for a view; return whether it was allowed."""
    with app.test_request_context(environ_base={"REMOTE_ADDR": address}):
        try:
            return view() == "seen"
        except RateLimitExceeded:
            return False


def test_so_many_are_allowed_and_no_more(app: Flask) -> None:
    done = []

    @limit("2 per minute")
    def view() -> str:
        done.append("done")
        return "seen"

    assert [ask(app, view) for _ in range(3)] == [True, True, False]
    assert len(done) == 2  # what is refused is not done either
    assert ask(app, view, "203.0.113.10")


@pytest.mark.parametrize(("addresses", "last"), [("2001:db8:1:{}::1", False), ("203.0.113.{}", True)])
def test_an_ipv6_network_is_allowed_what_some_visitors_are(app: Flask, addresses: str, last: bool) -> None:
    view = limit("1 per minute")(lambda: "seen")
    visitors = [addresses.format(number) for number in range(VISITORS_OF_NETWORK + 1)]

    for _ in visitors:  # what one is refused counts for nobody else
        ask(app, view, visitors[0])
    assert [ask(app, view, visitor) for visitor in visitors[1:]] == [True] * (VISITORS_OF_NETWORK - 1) + [last]
    assert ask(app, view, "2001:db8:2::1")


def test_views_of_one_scope_are_counted_together(app: Flask) -> None:
    views = [limit("2 per minute", "both")(lambda: "seen") for _ in range(2)]
    app.add_url_rule("/one", "one", views[0])
    app.add_url_rule("/other", "other", views[1])

    answers = [app.test_client().get(path) for path in ("/one", "/other", "/one", "/other")]

    assert [answer.status_code for answer in answers] == [200, 200, 429, 429]


def test_a_counter_ends_by_itself_and_not_later_for_being_used(app: Flask) -> None:
    view = limit("1 per second")(lambda: "seen")
    assert ask(app, view)

    while not ask(app, view):
        time.sleep(0.01)


def test_counters_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_counters, "MAX_COUNTERS", 10)
    counters = LocalCounters()
    for number in range(100):
        counters.count(f"visitor {number}", 60)

    assert [number for number in range(99, 88, -1) if counters.count(f"visitor {number}", 60) == 1] == [89]


def test_of_several_limits_the_longest_that_is_reached_is_told(app: Flask) -> None:
    @limit("1 per minute; 1 per hour; 9 per day", "a view")
    def view() -> str:
        return "seen"

    with app.test_request_context():
        assert view() == "seen"
        with pytest.raises(RateLimitExceeded) as caught:
            view()

    assert caught.value.seconds == 3600
