"""Each primitive, and how two sides find out that they have the same one.

A check does its own part here and has the other done `elsewhere`: in a thread, in another process, with whatever was
passed on. Nothing in it would come out so with two primitives that have nothing to do with each other.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from metaparticle_sync import Barrier, BoundedSemaphore, Condition, Event, Lock, RLock, Semaphore

PATIENCE_SECONDS = 60.0
"""Reaching it fails the test."""


class Result(Protocol):
    def result(self) -> Any:
        """What it came to, once it is over."""


Elsewhere = Callable[..., Result]
"""Has a function called with arguments."""

MAKERS: dict[str, Callable[[str | None], Any]] = {
    "Lock": Lock,
    "RLock": RLock,
    "Semaphore": lambda name: Semaphore(2, name=name),
    "BoundedSemaphore": lambda name: BoundedSemaphore(2, name=name),
    "Event": Event,
    "Condition": lambda name: Condition(name=name),
    "Barrier": lambda name: Barrier(2, name=name),
}
KINDS = list(MAKERS)
COLLECTIONS = ("locks", "semaphores", "events", "conditions", "barriers")


# Done elsewhere -----------------------------------------------------------------------------------------------------


def try_once(lock: Any) -> bool:
    """Whether it could be had at once; it is given back."""
    got = lock.acquire(blocking=False)
    if got:
        lock.release()
    return got


def count_free(semaphore: Any) -> tuple[int, int]:
    """How many permits it says are free, and how many could be had; they are given back."""
    said, had = semaphore.get_value(), 0
    while semaphore.acquire(blocking=False):
        had += 1
    if had:
        semaphore.release(had)
    return said, had


def await_set(event: Any) -> bool:
    return event.wait(PATIENCE_SECONDS)


def clear(event: Any) -> None:
    event.clear()


def notify(condition: Any) -> None:
    with condition:
        condition.notify()


def meet(barrier: Any) -> int:
    return barrier.wait(PATIENCE_SECONDS)


# Both sides ---------------------------------------------------------------------------------------------------------


def check_lock(lock: Any, elsewhere: Elsewhere) -> None:
    with lock:
        assert elsewhere(try_once, lock).result() is False
    assert elsewhere(try_once, lock).result() is True


def check_semaphore(semaphore: Any, elsewhere: Elsewhere) -> None:
    with semaphore:
        assert tuple(elsewhere(count_free, semaphore).result()) == (1, 1)
    assert tuple(elsewhere(count_free, semaphore).result()) == (2, 2)


def check_event(event: Any, elsewhere: Elsewhere) -> None:
    waiting = elsewhere(await_set, event)
    event.set()
    assert waiting.result() is True
    elsewhere(clear, event).result()
    assert event.is_set() is False


def check_condition(condition: Any, elsewhere: Elsewhere) -> None:
    with condition:
        notifying = elsewhere(notify, condition)  # It can not begin before the lock is released: while this one waits.
        assert condition.wait(PATIENCE_SECONDS)
    notifying.result()


def check_barrier(barrier: Any, elsewhere: Elsewhere) -> None:
    other = elsewhere(meet, barrier)
    assert {barrier.wait(PATIENCE_SECONDS), other.result()} == {0, 1}


_CHECKS = {
    "Lock": check_lock,
    "RLock": check_lock,
    "Semaphore": check_semaphore,
    "BoundedSemaphore": check_semaphore,
    "Event": check_event,
    "Condition": check_condition,
    "Barrier": check_barrier,
}


def check(kind: str, primitive: Any, elsewhere: Elsewhere) -> None:
    """See that it is the same primitive there as here."""
    _CHECKS[kind](primitive, elsewhere)
