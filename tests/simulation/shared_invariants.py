"""What must hold of semaphores, events, conditions and barriers, judged from the calls and the recorder's commits.

I7  no permit lost or made up, first come first served        semaphore_invariants
    no lost wake-up                                           event_invariants, condition_invariants
    no half barrier, one action                               barrier_invariants
    every operation happens once                              steps.operations_happen_once, in each of them
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation import barrier_invariants, condition_invariants, event_invariants, semaphore_invariants
from tests.simulation.history import History
from tests.simulation.recorder import Commit

FOREVER = float("inf")


def violations(history: History, commits: list[Commit]) -> Iterator[str]:
    """Every violation of every invariant."""
    for kind in (semaphore_invariants, event_invariants, condition_invariants, barrier_invariants):
        yield from kind.violations(history, commits)


def calls_done(history: History, *, before_faults: bool = False) -> int:
    """How many calls have returned with an outcome."""
    until = FOREVER
    if before_faults and history.first_fault_at is not None:
        until = history.first_fault_at
    return sum(call.outcome is not None and (call.ended or FOREVER) <= until for call in history.shared)
