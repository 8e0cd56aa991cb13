"""What users write, as type checkers see it: mypy --strict and pyright accept every line, and `test_typing.py` runs it.

Nothing here asks an elector, but `main` does.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import multiprocessing.synchronize
import threading
from contextlib import AbstractContextManager, ExitStack
from typing import assert_type, cast

from metaparticle_sync import (
    Barrier,
    BarrierLike,
    BoundedSemaphore,
    Condition,
    ConditionLike,
    Election,
    Event,
    EventLike,
    Leader,
    Leadership,
    Lock,
    LockLike,
    LockLost,
    RLock,
    Semaphore,
    SemaphoreLike,
    current_leadership,
    leader_of,
    leader_only,
    set_loss_policy,
)

# What a function that takes "a lock" should say, and who satisfies it ------------------------------------------------


def with_a_lock(lock: LockLike) -> bool:
    if lock.acquire(False):
        lock.release()
    if lock.acquire(True, 1.0):
        lock.release()
    with lock as acquired:
        return acquired


def with_a_semaphore(semaphore: SemaphoreLike) -> bool:
    if semaphore.acquire(True, None):
        semaphore.release()
    with semaphore as acquired:
        return acquired


def with_an_event(event: EventLike) -> bool:
    event.set()
    was_set = event.wait(1.0) and event.is_set()
    event.clear()
    return was_set


def with_a_condition(condition: ConditionLike) -> bool:
    with condition:
        condition.notify()
        condition.notify_all()
        return condition.wait_for(lambda: True, 1.0) or condition.wait(1.0)


def with_a_barrier(barrier: BarrierLike) -> int:
    barrier.reset()
    assert not barrier.broken, barrier.n_waiting
    return barrier.wait() if barrier.parties == 1 else -1


def locks() -> list[LockLike]:
    return [
        threading.Lock(),
        threading.RLock(),
        multiprocessing.Lock(),
        multiprocessing.RLock(),
        Lock(),
        RLock(),
        Lock("name"),
        RLock("name, again"),
        Semaphore(1),
        Condition(),
    ]


def semaphores() -> list[SemaphoreLike]:
    return [
        threading.Semaphore(),
        threading.BoundedSemaphore(),
        multiprocessing.Semaphore(),
        multiprocessing.BoundedSemaphore(),
        Semaphore(1, name="plain"),
        BoundedSemaphore(1, name="bounded"),
    ]


def events() -> list[EventLike]:
    return [threading.Event(), multiprocessing.Event(), Event("name")]


def conditions() -> list[ConditionLike]:
    return [
        threading.Condition(),
        multiprocessing.Condition(),
        Condition(name="name"),
        Condition(Lock()),
        Condition(threading.Lock()),
    ]


def barriers() -> list[BarrierLike]:
    return [threading.Barrier(1), multiprocessing.Barrier(1), Barrier(1, name="name")]


# Where somebody else's parameter is annotated with a class of the standard library -----------------------------------


def of_threading(lock: threading.Lock, event: threading.Event) -> bool:
    with lock:
        return event.is_set()


def of_multiprocessing(lock: multiprocessing.synchronize.Lock) -> None:
    with lock:
        pass


def casts() -> None:
    of_threading(cast("threading.Lock", Lock()), cast("threading.Event", Event()))
    of_multiprocessing(cast("multiprocessing.synchronize.Lock", Lock()))


# What comes out ------------------------------------------------------------------------------------------------------


def results() -> None:
    lock, semaphore, event = Lock("results"), Semaphore(2, name="results"), Event("results")
    assert_type(lock.acquire(), bool)
    assert_type(lock.token, int)
    assert_type(lock.held, bool)
    assert_type(lock.locked(), bool)
    lock.release()
    assert_type(lock.acquire(timeout=1), bool)
    lock.release()
    assert_type(lock.acquire(block=False), bool)
    lock.release()
    with lock as acquired:
        assert_type(acquired, bool)
    assert_type(semaphore.acquire(), bool)
    assert_type(semaphore.held, int)
    assert_type(semaphore.get_value(), int)
    semaphore.release(1)
    assert_type(event.wait(0), bool)
    assert_type(event.is_set(), bool)
    with Condition(name="results") as owned:
        assert_type(owned, bool)
    barrier = Barrier(1, action=lambda: None, timeout=1.0, name="results")
    assert_type(barrier.wait(), int)
    assert_type(barrier.broken, bool)
    with ExitStack() as stack:
        assert_type(stack.enter_context(RLock("results, again")), bool)
    context: AbstractContextManager[bool] = lock
    with context:
        pass


def losses() -> None:
    def on_lost(loss: LockLost) -> None:
        assert_type(loss.name, str)
        assert_type(loss.kind, str)

    Lock("losses", on_lost=on_lost)
    Lock("losses", on_lost=lambda: None)
    Semaphore(1, name="losses", on_lost="raise")
    set_loss_policy(on_lost)
    set_loss_policy("exit")


# Leaders keep the signatures of what they decorate (more in tests/client/typed_leaders.py) ---------------------------


@leader_only("typing")
def lead(number: int, *, text: str = "") -> bytes:
    assert_type(current_leadership(), Leadership)
    return bytes(number) + text.encode()


@leader_only("typing", mode="skip", otherwise="somebody else leads")
async def lead_in_a_task(number: int) -> bytes:
    return bytes(number)


def leaders() -> None:
    assert_type(lead(1, text="x"), bytes)
    assert_type(asyncio.run(lead_in_a_task(1)), bytes | str)
    with leader_only("typing") as leadership:
        assert_type(leadership, Leadership)
        assert_type(leader_of("typing"), Leader | None)
    with leader_only("typing", mode="skip") as perhaps:
        assert_type(perhaps, Leadership | None)
    election = Election("typing", lambda: None, lambda loss: None)
    assert_type(election.is_leader, bool)


def main() -> None:
    """Everything above, over an elector: what type checkers accept is also true."""
    assert all(with_a_lock(lock) for lock in locks())
    assert all(with_a_semaphore(semaphore) for semaphore in semaphores())
    assert all(with_an_event(event) for event in events())
    assert all(with_a_condition(condition) for condition in conditions())
    assert [with_a_barrier(barrier) for barrier in barriers()] == [0, 0, 0]
    casts()
    results()
    losses()
    leaders()
    print("all of it is true")


if __name__ == "__main__":
    main()
