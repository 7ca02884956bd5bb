"""Work that is done once, however often and wherever it is asked for: double clicks, reloads, workers, machines."""

from __future__ import annotations

import time
from collections.abc import Callable

from misskey import TOTAL_SECONDS

from .hosting.concurrency import WAIT_SECONDS, waiting
from .storage.store_backend import NotKept, StoreUnavailable
from .token_store import TokenStore

WORKING_SECONDS = int(WAIT_SECONDS + TOTAL_SECONDS) + 15  # a worker that was killed is waited for no longer than this
LOOK_AGAIN_SECONDS = 0.1


def do_once(
    store: TokenStore,
    name: str,
    work: Callable[[], str | None],
    seconds: int,
    *,
    working_seconds: int = WORKING_SECONDS,
    owner: str = "",
) -> str | None:
    """Return what ``work`` returns, or what it returned when somebody did ``name`` in the last ``seconds``.

    While somebody else is at it, this waits, ``working_seconds`` at most. When ``work`` raises or returns ``None``,
    nothing was done and the next one tries again. The result is forgotten sooner when all of ``owner`` is. Raises
    :class:`~web.storage.store_backend.NotKept` when it was done and can't be kept.
    """
    if not store.put(name, "", working_seconds, only_if_new=True):
        return _result_of_other(store, name)
    result = None
    try:
        result = work()
    finally:
        if result is None:
            store.delete(name)
    try:
        if result is not None:
            store.put(name, result, seconds, owner=owner)
    except StoreUnavailable as error:
        raise NotKept(str(error)) from error
    return result


def _result_of_other(store: TokenStore, name: str) -> str | None:
    while (result := store.get(name)) == "":
        with waiting():
            time.sleep(LOOK_AGAIN_SECONDS)
    return result
