"""Doing something once, however often it is asked for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from web.idempotency import do_once
from web.token_store import TokenStore, open_store


@pytest.fixture
def store(tmp_path: Path) -> TokenStore:
    return open_store(f"sqlite:///{tmp_path / 'tokens.sqlite3'}", ["a secret key"])


def test_the_second_gets_what_the_first_did(store: TokenStore) -> None:
    assert do_once(store, "name", lambda: "first", 60) == "first"
    assert do_once(store, "name", lambda: "second", 60) == "first"


def test_the_result_is_its_owners(store: TokenStore) -> None:
    do_once(store, "name", lambda: "first", 60, owner="alice")
    store.delete_owned_by("alice")

    assert do_once(store, "name", lambda: "second", 60, owner="alice") == "second"


def test_who_comes_in_the_middle_waits_for_the_result(store: TokenStore) -> None:
    at_it, go_on = threading.Event(), threading.Event()

    def work() -> str:
        at_it.set()
        go_on.wait()
        return "done"

    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(do_once, store, "name", work, 60)
        at_it.wait()
        second = pool.submit(do_once, store, "name", lambda: "twice", 60)
        go_on.set()

        assert (first.result(), second.result()) == ("done", "done")


def test_of_two_who_come_at_the_same_moment_one_does_it(store: TokenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever looked first and then began would find that nobody had begun, as the other one does."""
    get, together, done = store.get, threading.Barrier(2), []

    def look(key: str) -> str | None:
        found = get(key)
        if found is None:
            together.wait()
        return found

    def work() -> str:
        done.append("done")
        return "done"

    monkeypatch.setattr(store, "get", look)
    with ThreadPoolExecutor(2) as pool:
        both = [pool.submit(do_once, store, "name", work, 60) for _ in range(2)]

    assert [one.result() for one in both] == ["done", "done"]
    assert done == ["done"]


def test_what_came_to_nothing_can_be_tried_again(store: TokenStore) -> None:
    assert do_once(store, "name", lambda: None, 60) is None
    assert do_once(store, "name", lambda: "done", 60) == "done"


def test_what_failed_can_be_tried_again(store: TokenStore) -> None:
    def fail() -> str:
        raise RuntimeError

    with pytest.raises(RuntimeError):
        do_once(store, "name", fail, 60)
    assert do_once(store, "name", lambda: "done", 60) == "done"


def test_a_worker_that_was_killed_is_not_waited_for_without_end(store: TokenStore) -> None:
    store.put("name", "", 1)

    assert do_once(store, "name", lambda: "not this time", 60) is None
    assert do_once(store, "name", lambda: "done", 60) == "done"
