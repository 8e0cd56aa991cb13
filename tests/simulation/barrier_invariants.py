"""What must hold of barriers: all parties of a generation pass or none, each at its own index, after one action."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator

from elector_server.rules.barrier import KIND, Place
from tests.simulation.barrier_user import BROKEN, RAN
from tests.simulation.history import History, SharedCall
from tests.simulation.recorder import Commit
from tests.simulation.steps import (
    Step,
    calls_by_id,
    digest_of_end,
    digest_of_holder,
    holders,
    operations_happen_once,
    steps_of,
)

FOREVER = float("inf")
AT_ONCE_SECONDS = 1.0


def violations(history: History, commits: list[Commit]) -> Iterator[str]:
    """Every violation of every invariant of barriers."""
    steps, calls = steps_of(commits, KIND), calls_by_id(history, KIND)
    waits = [call for call in calls.values() if call.what == "wait"]
    # One whose elector crashed before it answered may arrive anew, once the record has forgotten that it did.
    yield from operations_happen_once(steps, {digest_of_holder(call.id) for call in waits})
    for name, writes in steps.items():
        passed = generations_passed(writes, calls)
        for call in waits:
            if call.name == name:
                yield from _outcome_is_right(history, call, passed)
        yield from _one_action_each(history, name, passed, waits)
        yield from _nobody_passes_twice(name, writes, passed)


def generations_passed(steps: list[Step], calls: dict[str, SharedCall]) -> dict[int, tuple[float, list[str]]]:
    """By generation: when it was opened, and its parties in the order of their coming."""
    found: dict[int, tuple[float, list[str]]] = {}
    for step in steps:
        generation = step.before["generation"] if step.before is not None else 0
        parties, broken = step.after["parties"], step.after["broken_generations"]
        arrived = _standing_in_time(step)
        arrived += [calls[operation].id for operation in step.operations if _is_arrival(calls, operation)]
        arrived = [holder for holder in arrived if not _was_broken(step, holder)]
        is_broken = step.before is not None and step.before["state"] == "broken"
        while generation < step.after["generation"]:
            if not is_broken and generation not in broken and len(arrived) >= parties:
                found[generation] = (step.at, arrived[:parties])
                arrived = arrived[parties:]
            generation, is_broken = generation + 1, False
    return found


def _standing_in_time(step: Step) -> list[str]:
    """Who stood there before, of generations that this write did not break."""
    if step.before is None:
        return []
    first, parties = step.before["generation"], step.before["parties"]
    return [
        holder
        for index, holder in enumerate(holders(step.before["arrived"]))
        if first + index // parties not in step.after["broken_generations"]
    ]


def _was_broken(step: Step, holder: str) -> bool:
    """Whether it has to be told of a break, or broke it itself by going."""
    return holder in holders(step.after["broken"]) or digest_of_end(holder) in step.operations


def _is_arrival(calls: dict[str, SharedCall], operation: str) -> bool:
    return operation in calls and calls[operation].what == "wait"


def _outcome_is_right(history: History, call: SharedCall, passed: dict[int, tuple[float, list[str]]]) -> Iterator[str]:
    who = f"{call.client} at barrier {call.name} from {call.began:.3f} to {call.ended} ({call.id[:8]})"
    place: Place | None = call.details.get("place")
    at, index, generation = FOREVER, -1, -1
    for number, (opened_at, parties) in passed.items():
        if call.id in parties:
            at, index, generation = opened_at, parties.index(call.id), number
    if isinstance(call.outcome, int):
        if call.outcome != index or place != Place(generation, index):
            yield f"{who} passed as {place}, and the store says {generation}, {index}"
        if call.ended is not None and call.ended < at:
            yield f"{who} passed before it was opened at {at:.3f}"
    elif call.outcome == BROKEN and index >= 0 and not _is_nobodys(call, generation, passed):
        yield f"{who} found it broken, and it passed as {generation}, {index} at {at:.3f}"
    quiet_until = history.first_fault_at or 0.0
    if at + AT_ONCE_SECONDS < quiet_until and (call.ended is None or call.ended > at + AT_ONCE_SECONDS):
        yield f"{who} did not hear that it passed at {at:.3f}"


def _is_nobodys(call: SharedCall, generation: int, passed: dict[int, tuple[float, list[str]]]) -> bool:
    """Its elector crashed before it said at which place, and since then others have passed, whose places are kept."""
    ended = FOREVER if call.ended is None else call.ended
    is_told = call.details.get("place") is not None
    return not is_told and any(number > generation and at <= ended for number, (at, _) in passed.items())


def _nobody_passes_twice(name: str, steps: list[Step], passed: dict[int, tuple[float, list[str]]]) -> Iterator[str]:
    through = Counter(holder for _, parties in passed.values() for holder in parties)
    arrivals = Counter(operation for step in steps for operation in step.operations)
    for holder, times in through.items():
        if times > max(1, arrivals[digest_of_holder(holder)]):
            yield f"barrier {name}: {holder[:8]} passed {times} times"


def _one_action_each(
    history: History, name: str, passed: dict[int, tuple[float, list[str]]], waits: list[SharedCall]
) -> Iterator[str]:
    acts = {call.id: call.details["acts"] for call in waits}
    actions: dict[str, list[SharedCall]] = defaultdict(list)
    for call in history.shared:
        if (call.kind, call.name, call.what) == (KIND, name, "action"):
            actions[call.id].append(call)
    for generation, (at, parties) in passed.items():
        ran = [call for holder in parties for call in actions[holder] if call.outcome == RAN]
        wanted = int(acts[parties[-1]])
        if len(ran) != wanted or any(call.id != parties[-1] or (call.ended or FOREVER) > at for call in ran):
            yield f"barrier {name}, generation {generation}, opened at {at:.3f}: {len(ran)} actions ran, not {wanted}"
    for holder, calls in actions.items():
        if len(calls) > 1:
            yield f"barrier {name}: {holder[:8]} ran its action {len(calls)} times"
