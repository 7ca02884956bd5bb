"""Whom requests are counted for, and how."""

from __future__ import annotations

import time

import pytest
from flask import Flask
from limits import RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.strategies import FixedWindowRateLimiter

from web.rate_limits import RateLimitExceeded, limit, visitor_at
from web.storage import local_counters
from web.storage.local_counters import LocalCounters


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


def test_so_many_are_allowed_and_no_more() -> None:
    limiter, limit = FixedWindowRateLimiter(counters := LocalCounters()), RateLimitItemPerMinute(2)

    assert [limiter.hit(limit, "alice") for _ in range(3)] == [True, True, False]
    assert limiter.hit(limit, "bob")
    resets, remaining = limiter.get_window_stats(limit, "alice")
    assert remaining == 0
    assert 0 < resets - time.time() <= 60
    limiter.clear(limit, "alice")
    assert limiter.test(limit, "alice")
    assert counters.check()


def test_a_counter_ends_by_itself_and_not_later_for_being_used() -> None:
    limiter, limit = FixedWindowRateLimiter(LocalCounters()), RateLimitItemPerSecond(1)
    assert limiter.hit(limit, "alice")

    while not limiter.hit(limit, "alice"):
        time.sleep(0.01)


def test_counters_have_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_counters, "MAX_COUNTERS", 10)
    counters = LocalCounters()
    for number in range(100):
        counters.incr(f"visitor {number}", 60)

    assert sum(counters.get(f"visitor {number}") for number in range(100)) == 10


def test_of_several_limits_the_longest_that_is_reached_is_told() -> None:
    app = Flask(__name__)
    app.extensions["rate_limits"] = FixedWindowRateLimiter(LocalCounters())

    @limit("1 per minute; 1 per day; 9 per month", "a view")
    def view() -> str:
        return "seen"

    with app.test_request_context():
        assert view() == "seen"
        with pytest.raises(RateLimitExceeded) as caught:
            view()

    assert caught.value.rate.get_expiry() == 86400
