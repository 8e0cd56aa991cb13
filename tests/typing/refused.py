"""What type checkers refuse: mypy --strict and pyright report each line with the comment `# refused`, and no other.

Nobody runs this.
"""

from __future__ import annotations

import threading

from metaparticle_sync import (
    Barrier,
    Condition,
    Event,
    EventLike,
    Lock,
    LockLike,
    RLock,
    Semaphore,
    SemaphoreLike,
    leader_only,
    set_loss_policy,
)


def of_threading(lock: threading.Lock) -> None:
    """Somebody else's function, which says more than it needs."""


def with_a_lock(lock: LockLike) -> None:
    """What it should say."""
    lock.acquire(True, "soon")  # refused
    print(lock.held)  # refused


def with_a_semaphore(semaphore: SemaphoreLike) -> None:
    """What it should say."""


def with_an_event(event: EventLike) -> None:
    """What it should say."""


@leader_only("x")
def lead(number: int) -> bytes:
    """Keeps its signature."""
    return bytes(number)


of_threading(Lock("x"))  # refused
of_threading(RLock("x"))  # refused
with_a_lock(Event("x"))  # refused
with_a_lock(Barrier(2))  # refused
with_a_lock("x")  # refused
with_a_lock(Lock)  # refused
with_a_semaphore(Lock("x"))
with_a_semaphore(threading.Lock())  # refused
with_an_event(Lock("x"))  # refused

Lock(3)  # refused
Lock("x", on_lost=3)  # refused
Lock("x").acquire(timeout="soon")  # refused
Lock("x").release(1)  # refused
Lock("x").token = 3  # refused
Semaphore("x")  # refused
Semaphore(3, "x")  # refused
Semaphore(3, name="x").release("all")  # refused
Event(name="x").wait("soon")  # refused
Event("x").set(True)  # refused
Condition("x", "y", "z", "raise")  # refused
Condition(name="x").notify("all")  # refused
Barrier()  # refused
Barrier(2, 3)  # refused
Barrier(2, name="x").parties = 3  # refused
set_loss_policy(None)  # refused
lead("one")  # refused
lead(1, 2)  # refused
leader_only("x", mode="later")  # refused

number: int = lead(1)  # refused
