"""Threads and processes that do one call at a time on a primitive, on command: two worlds can be given the same calls.

A call is `(method, arguments)`; its outcome is a value, or an error. One that blocks has no outcome yet.
"""

from __future__ import annotations

import multiprocessing
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, NamedTuple

ANSWER_SECONDS_MAX = 30.0
"""How long what is certain to come may take, on a slow machine."""

Call = tuple[str, tuple[Any, ...]]


class Raised(NamedTuple):
    """A call that ended with an error: whoever catches the standard library's catches ours, which derive from them."""

    error: str

    @classmethod
    def of(cls, error: Exception) -> Raised:
        """The first of its classes that is not our own."""
        kinds = type(error).__mro__
        return cls(next(kind.__name__ for kind in kinds if not kind.__module__.startswith("metaparticle_sync")))


def perform(primitive: Any, call: Call) -> Any:
    """Do it."""
    method, arguments = call
    try:
        answer = getattr(primitive, method)
        return answer(*arguments) if callable(answer) else answer
    except Exception as error:  # noqa: BLE001 -- every error is an outcome to compare
        return Raised.of(error)


class ThreadActor:
    """A thread with a name of its own."""

    def __init__(self, primitive: Any) -> None:
        self._primitive = primitive
        self._calls: queue.SimpleQueue[tuple[Call, Future[Any]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def begin(self, call: Call) -> Future[Any]:
        """Start a call; the actor has no other under way."""
        outcome: Future[Any] = Future()
        self._calls.put((call, outcome))
        return outcome

    def _run(self) -> None:
        while (order := self._calls.get()) is not None:
            call, outcome = order
            outcome.set_result(perform(self._primitive, call))

    def end(self) -> None:
        """It has nothing under way any more."""
        self._calls.put(None)
        self._thread.join(ANSWER_SECONDS_MAX)
        assert not self._thread.is_alive()


class ProcessActor:
    """A process of its own. `make` gives it the primitive, there."""

    def __init__(self, context: Any, make: Callable[..., Any], *arguments: Any) -> None:
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()
        assert self._pipe.poll(ANSWER_SECONDS_MAX), "it does not start"
        self._pipe.recv()

    def begin(self, call: Call) -> Future[Any]:
        """As for a thread; a thread of ours waits for its answer."""
        outcome: Future[Any] = Future()
        self._pipe.send(call)
        threading.Thread(target=self._hear, args=(outcome,), daemon=True).start()
        return outcome

    def _hear(self, outcome: Future[Any]) -> None:
        try:
            outcome.set_result(self._pipe.recv())
        except EOFError:
            outcome.set_result(Raised("the process ended"))

    def end(self) -> None:
        """As for a thread."""
        self._pipe.send(None)
        self._process.join(ANSWER_SECONDS_MAX)
        assert self._process.exitcode == 0


def _serve(pipe: Any, make: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    primitive = make(*arguments)
    pipe.send("ready")
    while (call := pipe.recv()) is not None:
        pipe.send(perform(primitive, call))


SPAWN = multiprocessing.get_context("spawn")
