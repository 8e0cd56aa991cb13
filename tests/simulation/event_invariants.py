"""What must hold of events: each `set` counts once, and nobody who waits misses one."""

from __future__ import annotations

from collections.abc import Iterator

from elector_server.rules.event import KIND
from tests.simulation.faulty_store import STALE_SECONDS_MAX
from tests.simulation.history import History, SharedCall
from tests.simulation.recorder import Commit
from tests.simulation.steps import Step, calls_by_id, done_calls_were_written, operations_happen_once, steps_of

FOREVER = float("inf")
AT_ONCE_SECONDS = 1.0
HEALED_SECONDS = 30.0
"""After so long in a world that is well, everybody has seen what the store shows: a poll, a long poll, a restart."""


def violations(history: History, commits: list[Commit]) -> Iterator[str]:
    """Every violation of every invariant of events."""
    steps, calls = steps_of(commits, KIND), calls_by_id(history, KIND)
    yield from operations_happen_once(steps)
    changes = [call for call in calls.values() if call.what in ("set", "clear") and call.outcome is not None]
    yield from done_calls_were_written(steps, changes)
    for name, writes in steps.items():
        for step in filter(lambda step: step.is_whole, writes):
            yield from _counts(name, step, calls)
    for call in history.shared:
        if call.kind == KIND and call.what == "wait":
            yield from _wait_is_right(history, steps.get(call.name, []), call)


def _counts(name: str, step: Step, calls: dict[str, SharedCall]) -> Iterator[str]:
    is_set, generation = (False, 0) if step.before is None else (step.before["is_set"], step.before["generation"])
    for operation in step.operations:
        is_set = calls[operation].what == "set"
        generation += is_set
    if (step.after["is_set"], step.after["generation"]) != (is_set, generation):
        yield f"event {name} at {step.at:.3f}: {step.before} became {step.after}, not {is_set} {generation}"


def _wait_is_right(history: History, steps: list[Step], call: SharedCall) -> Iterator[str]:
    who = f"the wait of {call.client} for {call.name} from {call.began:.3f} to {call.ended}"
    if call.outcome is True and call.ended is not None:
        earliest = call.began - (STALE_SECONDS_MAX if history.faults["stale"] else 0.0)
        if not _was_set(steps, earliest, call.ended):
            yield f"{who} passed, and it was not set"
    looked = call.details.get("looked")
    if looked is None or call.outcome is True:
        return
    ended = history.ended_at if call.ended is None else call.ended
    missed = next((step.at for step in steps if step.at > looked and _is_setting(step)), None)
    if call.ended is None and call.client in history.dead:
        return
    if missed is not None and ended > _seen_by(history, missed):
        yield f"{who} ended with {call.outcome}, and it was set at {missed:.3f}"


def _is_setting(step: Step) -> bool:
    return bool(step.after["generation"] > (0 if step.before is None else step.before["generation"]))


def _was_set(steps: list[Step], begins: float, ends: float) -> bool:
    """Whether it was set at any moment of that time."""
    for step, next_at in zip(steps, [*(step.at for step in steps[1:]), FOREVER], strict=True):
        if step.after["is_set"] and step.at <= ends and next_at >= begins:
            return True
        if _is_setting(step) and begins <= step.at <= ends:
            return True
    return False


def _seen_by(history: History, at: float) -> float:
    """When at the latest a waiter must have noticed what was written at that moment."""
    if at + AT_ONCE_SECONDS < (history.first_fault_at or 0.0):
        return at + AT_ONCE_SECONDS
    return max(at, history.healed_at or FOREVER) + HEALED_SECONDS
