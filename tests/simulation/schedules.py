"""The registry of directed schedules: what chance finds too seldom, written out step by step.

Each schedule is a coroutine over a fresh `World`. It fails by an assertion of its own, or by the invariants that are
checked on its history afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from elector_server.durations import Durations
from tests.simulation import invariants
from tests.simulation.client import SimulatedClient
from tests.simulation.faulty_store import StoreHandle
from tests.simulation.pod import ElectorProcess, Pod
from tests.simulation.recorder import Commit, Operation
from tests.simulation.world import World, run_world

Schedule = Callable[[World], Coroutine[Any, Any, None]]

SCHEDULES: dict[str, Schedule] = {}

D = 20.0


def schedule(function: Schedule) -> Schedule:
    """Register a directed schedule under its own name."""
    SCHEDULES[function.__name__] = function
    return function


def run_schedule(name: str, seed: int = 0) -> World:
    """Run one directed schedule and check every invariant.

    Raises:
        AssertionError: the schedule or an invariant is broken.
    """
    world, _ = run_world(f"{name} {seed}", SCHEDULES[name])
    invariants.check(world)
    return world


def lease(seconds: float, client_ttl_seconds: float = 60.0) -> Durations:
    """The durations of a pod. The client's time is long unless a schedule is about it."""
    return Durations(lease_seconds=seconds, client_ttl_seconds=client_ttl_seconds)


async def two_pods(
    world: World, first: Durations | None = None, second: Durations | None = None
) -> tuple[Pod, Pod, SimulatedClient, SimulatedClient]:
    """Two pods with a client each: E0 is going to hold, E1 to wait."""
    e0, e1 = world.add_pod("e0", first or lease(D)), world.add_pod("e1", second or lease(D))
    await world.until_ready()
    return e0, e1, world.add_client(e0), world.add_client(e1)


def elector_of(pod: Pod) -> ElectorProcess:
    """The elector that runs on a pod now."""
    assert pod.current is not None, f"{pod.name} has no elector"
    return pod.current


def store_of(pod: Pod) -> StoreHandle:
    """The store connection of the elector that runs on a pod now."""
    return elector_of(pod).store


def session_of(world: World, pod: Pod) -> str:
    """The id of the session of the pod's current elector."""
    session = elector_of(pod).elector.session
    assert session is not None, f"{pod.name} has no session"
    return session.id


def commits_of(world: World, kind: str, name: str) -> list[Commit]:
    """Every write of one record."""
    return [c for c in world.shared.commits if (c.operation.kind, c.operation.name) == (kind, name)]


async def until_renewed(world: World, session_id: str, times: int = 1) -> float:
    """Wait for the next renewal of a session, and say when it was committed."""
    count = len(commits_of(world, "session", session_id))
    await world.until(lambda: len(commits_of(world, "session", session_id)) >= count + times)
    return commits_of(world, "session", session_id)[-1].at


def queue_of(world: World, name: str) -> list[str]:
    """The holder ids that wait in a lock's record."""
    record = world.shared.record("lock", name)
    return [ticket["holder"] for ticket in record.spec.get("queue", ())] if record is not None else []


def renewal_of(session_id: str) -> Callable[[Operation], bool]:
    """Whether an operation is a renewal of that session."""

    def matches(operation: Operation) -> bool:
        return operation.verb == "replace" and operation.kind == "session" and operation.name == session_id

    return matches
