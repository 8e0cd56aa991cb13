"""What is promised of a takeover between pods, in figures and as assertions."""

from __future__ import annotations

from typing import Final

from tests.cluster.pods import PodMachine
from tests.processes.electors import SHORT
from tests.processes.history import Event, now_ns, seconds_between
from tests.processes.running import GENEROUS
from tests.processes.workers import WorkerProcess

TOLD_SECONDS: Final = SHORT.validity_seconds

TAKEOVER_SECONDS: Final = SHORT.observation_seconds + SHORT.lease_seconds / 5

BETWEEN_SECONDS: Final = SHORT.observation_seconds - SHORT.validity_seconds
"""Between the last belief of a holder whose session is not renewed and the first of the next one, whatever happens:
both are counted from one renewal, the first from before it was sent, the other from after it was seen."""


def seconds_since(moment: int) -> float:
    return seconds_between(moment, now_ns())


def assert_undisturbed(*workers: WorkerProcess) -> None:
    """None of them was told anything, or had a call fail."""
    disturbed = [event for worker in workers for kind in ("told", "doubt", "fail") for event in worker.events(kind)]
    assert not disturbed


def assert_told_in_time(pods: PodMachine, what: str, since: int, told: Event) -> None:
    """Within H of the fault, because the last renewal was before it."""
    took = pods.measure(f"{what}: the holder is told", seconds_between(since, told.at), TOLD_SECONDS)
    assert took < TOLD_SECONDS + 1.0 * GENEROUS


def assert_taken_over(
    pods: PodMachine,
    what: str,
    since: int,
    holder: WorkerProcess,
    next_hold: Event,
    promised: float = TAKEOVER_SECONDS,
) -> None:
    """After the lease, and so long after the last belief that no difference of clocks can matter."""
    last_belief = max(event.asked for event in holder.events("belief", name=next_hold.name))
    assert seconds_between(last_belief, next_hold.at) >= BETWEEN_SECONDS
    took = pods.measure(f"{what}: another pod holds", seconds_between(since, next_hold.at), promised)
    assert took < promised + 1.0 * GENEROUS
