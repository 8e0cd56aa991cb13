"""What must hold of conditions: a notification reaches the one that waits longest, and is never lost on its way."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from elector_server.rules.condition import KIND
from tests.simulation.history import History, SharedCall
from tests.simulation.recorder import Commit
from tests.simulation.steps import (
    Spec,
    Step,
    calls_by_id,
    done_calls_were_written,
    holders,
    operations_happen_once,
    steps_of,
)

FOREVER = float("inf")
AT_ONCE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Marks:
    """What one write did to notifications.

    Attributes:
        new: the tickets that were marked, as far as they still stand after it.
        ordered: how many marks its `notify` operations account for.
        gone: notified tickets that left.
        is_anyone_left: whether a ticket of a live session that stood there before still waits for a notification.
    """

    new: list[str]
    ordered: int
    gone: list[str]
    is_anyone_left: bool


def violations(history: History, commits: list[Commit]) -> Iterator[str]:
    """Every violation of every invariant of conditions."""
    steps, calls = steps_of(commits, KIND), calls_by_id(history, KIND)
    yield from operations_happen_once(steps)
    notifies = [call for call in calls.values() if call.what == "notify" and call.outcome is not None]
    yield from done_calls_were_written(steps, notifies)
    told = told_holders(history)
    for name, writes in steps.items():
        for step in filter(lambda step: step.is_whole, writes):
            yield from _nothing_lost(name, step, marks_of(step, calls), told, calls)
            yield from _oldest_first(name, step)
    marked_at = {
        ticket["holder"]: step.at
        for writes in reversed(list(steps.values()))
        for step in reversed(writes)
        for ticket in step.after["tickets"]
        if ticket.get("notified")
    }
    for call in calls.values():
        if call.what == "wait":
            yield from _wait_is_right(history, call, marked_at)


def told_holders(history: History) -> set[str]:
    """The waiters to whom an elector has said that they are notified."""
    return {
        call.what.rpartition(" ")[2]
        for call in history.calls
        if f" {KIND} " in call.what and (call.outcome is True or call.outcome == "notified")
    }


def marks_of(step: Step, calls: dict[str, SharedCall]) -> Marks:
    """The notifications of one write."""
    before = step.before["tickets"] if step.before is not None else []
    after = step.after["tickets"]
    notified_before = set(_notified(before))
    waiting = [holder for holder in holders(before) if holder not in notified_before]
    there, ordered = set(holders(after)), 0
    waiting = [holder for holder in waiting if holder in there or not _is_dead(before, holder, step)]
    for operation in step.operations:
        call = calls.get(operation)
        if call is None or call.what == "wait":
            waiting += [operation] if call is not None else []
            continue
        wanted = call.details["waiters"]
        count = len(waiting) if wanted is None else min(wanted, len(waiting))
        waiting, ordered = waiting[count:], ordered + count
    notified_after = _notified(after)
    return Marks(
        new=[holder for holder in notified_after if holder not in notified_before],
        ordered=ordered,
        gone=[holder for holder in notified_before if holder not in there],
        is_anyone_left=any(
            not each.get("notified") and each["session"] not in step.ended
            for each in after
            if each["holder"] in holders(before)
        ),
    )


def _is_dead(tickets: list[Spec], holder: str, step: Step) -> bool:
    return any(ticket["holder"] == holder and ticket["session"] in step.ended for ticket in tickets)


def _notified(tickets: list[Spec]) -> list[str]:
    return [ticket["holder"] for ticket in tickets if ticket.get("notified")]


def _nothing_lost(name: str, step: Step, marks: Marks, told: set[str], calls: dict[str, SharedCall]) -> Iterator[str]:
    """Each notification is told, or passed on; one that its waiter could not take any more is passed on late."""
    untold = [holder for holder in marks.gone if holder not in told]
    late = [operation for operation in step.operations if operation not in calls]
    passed_on = len(marks.new) - marks.ordered
    where = f"condition {name}, version {step.version} at {step.at:.3f}"
    if passed_on < len(untold) and marks.is_anyone_left:
        yield f"{where}: {len(untold)} notifications were not told, {passed_on} passed on: {step.before} {step.after}"
    if passed_on > len(marks.gone) + len(late):
        yield f"{where}: {passed_on} passed on of {len(marks.gone)}: {step.before} {step.after}"


def _oldest_first(name: str, step: Step) -> Iterator[str]:
    before = set(_notified(step.before["tickets"])) if step.before is not None else set()
    passed_over: str | None = None
    for ticket in step.after["tickets"]:
        is_new = ticket.get("notified") and ticket["holder"] not in before
        if is_new and passed_over is not None:
            yield f"condition {name} at {step.at:.3f}: {ticket['holder'][:8]} was notified before {passed_over[:8]}"
        if not ticket.get("notified") and ticket["session"] not in step.ended:
            passed_over = passed_over or ticket["holder"]


def _wait_is_right(history: History, call: SharedCall, marked_at: dict[str, float]) -> Iterator[str]:
    who = f"the wait of {call.client} for {call.name} from {call.began:.3f} to {call.ended}"
    marked = marked_at.get(call.id)
    quiet_until = history.first_fault_at or 0.0
    if call.ended is not None and call.ended < quiet_until:
        if call.outcome is True and (marked is None or marked > call.ended):
            yield f"{who} returned True without a notification"
        if call.outcome is False and marked is not None:
            yield f"{who} returned False, and it was notified at {marked:.3f}"
        gave_up_after = call.details["seconds"] + AT_ONCE_SECONDS
        if call.ended - call.details.get("enqueued", call.began) > gave_up_after:
            yield f"{who} took too long"
    is_over = call.ended is not None or call.client in history.dead or "passes_on" in call.details
    if marked is not None and marked + AT_ONCE_SECONDS < quiet_until and not is_over:
        yield f"{who} was notified at {marked:.3f} and did not hear of it"
