"""What must hold of semaphores, events, conditions and barriers, judged from the calls and the recorder's commits."""

from __future__ import annotations

from tests.simulation.history import History

FOREVER = float("inf")


def calls_done(history: History, *, before_faults: bool = False) -> int:
    """How many calls have returned with an outcome."""
    until = FOREVER
    if before_faults and history.first_fault_at is not None:
        until = history.first_fault_at
    return sum(call.outcome is not None and (call.ended or FOREVER) <= until for call in history.shared)
