"""Limits of what one visitor may have under way at once, in this process: requests, turns, calls to servers.

A visitor's requests take turns: one computes while the others wait for a server, or for their turn. So nobody, with
however many requests, gets more of the processor than one thread, and threads are interrupted for others. Since Python
computes one thing at a time anyway, many people behind one address lose nothing by it.

What is bounded here is a process's own: threads, processor, memory. So each process, on whichever machine, counts for
itself; how often somebody may do something is for :mod:`web.rate_limits`, which all machines share.

Calls to servers give up their turn by themselves; a view that waits for something else does it in ``with waiting():``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from threading import BoundedSemaphore, Lock
from typing import TYPE_CHECKING, TypeVar

from flask import Response
from werkzeug.exceptions import TooManyRequests

from web.rate_limits import network_of

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

MAX_REQUESTS = 100  # a browser asks six at once, and many people can share one address
MAX_REQUESTS_OF_NETWORK = 250  # half of a worker's threads
MAX_CALLS = 12  # to remote servers: what these send takes memory until it is read
WAIT_SECONDS = 30
REFUSAL = """\
Too much from your network is under way here. Close pages that you don’t need, then try again.

同じネットワークからのアクセスが多すぎます。使っていないページを閉じてから、もう一度お試しください。
"""
Result = TypeVar("Result")


class Visitor:
    """What one visitor has under way; ``leave`` gives a place back, ``is_alone`` tells whether nobody else is here."""

    def __init__(self, leave: Callable[[], None], is_alone: Callable[[], bool] = lambda: True) -> None:
        self.leave = leave
        self.is_alone = is_alone
        self.rests_until = 0.0
        self.requests = 0
        self.turn = Lock()
        self.calls = BoundedSemaphore(MAX_CALLS)
        self.places: dict[str, BoundedSemaphore] = {}  # for what else a part of the app limits, by its name


_counting = Lock()
_current: ContextVar[Visitor | None] = ContextVar("visitor", default=None)


class PerVisitor:
    """WSGI middleware: refuses what is too much for one visitor, and lets requests of the same visitor take turns."""

    def __init__(self, wsgi_app: WSGIApplication, name: Callable[[WSGIEnvironment], str]) -> None:
        self._wsgi_app = wsgi_app
        self._name = name
        self._visitors: dict[str, Visitor] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        visitor = self._enter(self._name(environ))
        if visitor is None:
            response = Response(REFUSAL, 429, {"Retry-After": str(WAIT_SECONDS)}, mimetype="text/plain")
            return response(environ, start_response)
        try:
            with take_turn(visitor):
                return self._wsgi_app(environ, start_response)
        finally:
            visitor.leave()

    def _enter(self, name: str) -> Visitor | None:
        with _counting:
            visitor = self._visitors.get(name) or Visitor(partial(self._leave, name), self._is_alone)
            network = network_of(name)
            of_network = sum(each.requests for other, each in self._visitors.items() if network_of(other) == network)
            if visitor.requests >= MAX_REQUESTS or of_network >= MAX_REQUESTS_OF_NETWORK:
                return None
            self._visitors[name] = visitor
            visitor.requests += 1
            return visitor

    def _is_alone(self) -> bool:
        return len(self._visitors) < 2

    def _leave(self, name: str) -> None:
        with _counting:
            visitor = self._visitors[name]
            visitor.requests -= 1
            if not visitor.requests:
                del self._visitors[name]


def current() -> Visitor | None:
    """Return whose turn it is in this thread, ``None`` outside of requests."""
    return _current.get()


def keep_place(response: Response) -> Visitor | None:
    """Keep this request's place until ``response``, which is a stream, has come to its end; return whose it is."""
    if visitor := _current.get():
        with _counting:
            visitor.requests += 1
        response.call_on_close(visitor.leave)
    return visitor


@contextmanager
def take_turn(visitor: Visitor | None) -> Iterator[None]:
    """Wait until no other request of ``visitor`` computes, and keep others waiting meanwhile.

    While somebody else is here, a visitor who has computed rests for as long before the next turn.
    """
    if visitor is None:
        yield
        return
    with visitor.turn:
        if (rest := visitor.rests_until - time.monotonic()) > 0 and not visitor.is_alone():
            time.sleep(rest)
        token, began = _current.set(visitor), time.thread_time()
        try:
            yield
        finally:
            visitor.rests_until = time.monotonic() + time.thread_time() - began
            _current.reset(token)


@contextmanager
def waiting() -> Iterator[None]:
    """Let others have the turn while this request only waits."""
    visitor = _current.get()
    if visitor is None:
        yield
        return
    token = _current.set(None)
    visitor.turn.release()
    try:
        yield
    finally:
        visitor.turn.acquire()
        _current.reset(token)


@contextmanager
def remote_call() -> Iterator[None]:
    """Take one of the visitor's places for calls to remote servers, as soon as one is free.

    Raises :class:`werkzeug.exceptions.TooManyRequests`.
    """
    visitor = _current.get()
    if visitor is None:
        yield
        return
    with waiting():
        is_free = visitor.calls.acquire(timeout=WAIT_SECONDS)
    if not is_free:
        raise TooManyRequests
    try:
        yield
    finally:
        visitor.calls.release()


def in_parallel(jobs: Iterable[Callable[[], Result]]) -> list[Result]:
    """Return what ``jobs`` return: they wait for servers at the same moment, each in a thread, and compute in turns."""
    visitor, (first, *others) = _current.get(), jobs
    if not others:
        return [first()]

    def do(job: Callable[[], Result]) -> Result:
        with take_turn(visitor):
            return job()

    with waiting(), ThreadPoolExecutor(len(others)) as pool:
        rest = [pool.submit(copy_context().run, do, job) for job in others]
        return [do(first), *(job.result() for job in rest)]
