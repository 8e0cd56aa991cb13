"""Records of every kind, as the rules write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from elector_server.rules import barrier, condition, event, lock, semaphore
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.shared import Operations
from elector_server.store import Spec
from metaparticle_sync.wire import LIMIT_MAX, PARTIES_MAX

WALL: Final = "2026-11-21T09:41:12.020Z"
OPERATIONS: Final = Operations(64, tuple(f"{number:016x}" for number in range(32)))


def claimant(number: int, *, owner: str = "pod-{}", process: str = "pod-{}:1 report.py") -> Claimant:
    """One process of a pod of that number."""
    hold = Hold(f"{number:032x}", f"s-{number}", 1 + number)
    return Claimant(hold, f"{number + 1:032x}", owner.format(number), process.format(number), 20.0)


def _lock(number: int) -> Spec:
    return lock.Lock(claimant(number), WALL, 5 + number, (claimant(1), claimant(2))).to_spec()


def _semaphore(number: int) -> Spec:
    permits = (semaphore.Permit(claimant(1), WALL, None), semaphore.Permit(claimant(2), WALL, 2**63 - 1))
    terms = semaphore.Terms(LIMIT_MAX - number, bounded=False)
    return semaphore.Semaphore(
        terms=terms,
        extra=1,
        permits=permits,
        queue=(claimant(3), claimant(4)),
        used_by=claimant(number),
        operations=OPERATIONS,
        taken_over=("a" * 16,),
    ).to_spec()


def _event(number: int) -> Spec:
    return event.Event(is_set=True, generation=number, changed_at=WALL, operations=OPERATIONS).to_spec()


def _condition(number: int) -> Spec:
    tickets = (condition.Ticket(claimant(number), notified=True), condition.Ticket(claimant(number + 1)))
    return condition.Condition(tickets, OPERATIONS).to_spec()


def _barrier(number: int) -> Spec:
    arrived = (barrier.Party(claimant(1), acts=True), barrier.Party(claimant(2), acts=False))
    return barrier.Barrier(
        parties=PARTIES_MAX,
        generation=number,
        state=barrier.State.FILLING,
        arrived=arrived,
        broken=(claimant(3), claimant(4)),
        broken_generations=(1, 2),
        used_by=claimant(number),
        operations=OPERATIONS,
    ).to_spec()


EVERYTHING: Final[Mapping[str, Callable[[int], Spec]]] = {
    lock.KIND: _lock,
    semaphore.KIND: _semaphore,
    event.KIND: _event,
    condition.KIND: _condition,
    barrier.KIND: _barrier,
}
"""By its kind, a record in which no field is missing; another one for another number."""

UNUSED: Final[Mapping[str, Spec]] = {
    semaphore.KIND: semaphore.Semaphore(semaphore.Terms(0, bounded=True)).to_spec(),
    event.KIND: event.Event().to_spec(),
    condition.KIND: condition.Condition().to_spec(),
    barrier.KIND: barrier.Barrier(1).to_spec(),
}
"""By its kind, a record that nobody uses."""
