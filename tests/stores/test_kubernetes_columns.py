"""What objects say for people: derived from the record, whatever it says, and no part of it."""

from __future__ import annotations

from typing import Any

import pytest

from elector_server.rules import barrier, condition, event, lock, semaphore
from elector_server.store import Spec
from elector_server.store.kubernetes_columns import ABOUT, COUNTS, for_people
from elector_server.store.kubernetes_objects import PLURALS, to_object, to_record
from tests.stores.kinds import EVERYTHING, UNUSED, WALL, claimant

ONE, TWO, THREE = claimant(1), claimant(2), claimant(3)
WHO_ONE, WHO_TWO, WHO_THREE = (f"pod-{number}:1 report.py at pod-{number}" for number in (1, 2, 3))


def semaphores(*permits: semaphore.Claimant, queue: tuple[semaphore.Claimant, ...] = (), extra: int = 0) -> Spec:
    held = tuple(semaphore.Permit(one, WALL, None) for one in permits)
    return semaphore.Semaphore(semaphore.Terms(2, bounded=False), extra, held, queue).to_spec()


def conditions(*notified: bool) -> Spec:
    tickets = zip((ONE, TWO, THREE), notified, strict=False)
    return condition.Condition(tuple(condition.Ticket(one, notified=told) for one, told in tickets)).to_spec()


def barriers(count: int, state: barrier.State = barrier.State.FILLING) -> Spec:
    arrived = tuple(barrier.Party(one, acts=True) for one in (ONE, TWO, THREE)[:count])
    return barrier.Barrier(2, 0, state, arrived).to_spec()


@pytest.mark.parametrize(
    ("kind", "spec", "counts", "about"),
    [
        ("lock", lock.claim(ONE, WALL).to_spec(), (0,), f"held by {WHO_ONE} since {WALL}; nobody waits"),
        ("semaphore", semaphores(), (2, 0, 0), "2 of 2 free; nobody holds one; nobody waits"),
        ("semaphore", semaphores(ONE), (1, 1, 0), f"1 of 2 free; held by {WHO_ONE} since {WALL}; nobody waits"),
        (
            "semaphore",
            semaphores(ONE, TWO, THREE, queue=(THREE, ONE), extra=1),
            (0, 3, 2),
            f"0 of 3 free; held by {WHO_ONE} since {WALL}, and 2 more; next is {WHO_THREE}, then 1 more",
        ),
        ("event", event.Event().to_spec(), (), "not set; set 0 times in all"),
        ("event", event.Event(True, 1, WALL).to_spec(), (), f"set since {WALL}; set 1 time in all"),
        ("event", event.Event(False, 2, WALL).to_spec(), (), f"not set since {WALL}; set 2 times in all"),
        ("condition", conditions(), (0, 0), "nobody waits"),
        ("condition", conditions(False), (1, 0), f"next is {WHO_ONE}"),
        ("condition", conditions(True, False, False), (2, 1), f"next is {WHO_TWO}, then 1 more; 1 is notified"),
        ("condition", conditions(True, True), (0, 2), "nobody waits; 2 are notified"),
        ("barrier", barriers(0), (0,), "0 of 2 have arrived"),
        ("barrier", barriers(1), (1,), f"1 of 2 have arrived; the first is {WHO_ONE}"),
        ("barrier", barriers(3, barrier.State.ACTING), (0,), f"all 2 have arrived; {WHO_TWO} runs the action"),
        ("barrier", barriers(0, barrier.State.BROKEN), (0,), "broken: nobody passes before a reset"),
    ],
)
def test_counts_and_sentence(kind: str, spec: Spec, counts: tuple[int, ...], about: str) -> None:
    assert for_people(kind, spec) == {ABOUT: about} | dict(zip(COUNTS[kind], counts, strict=True))


@pytest.mark.parametrize("kind", PLURALS)
def test_none_of_it_is_part_of_the_record(kind: str) -> None:
    for spec in (EVERYTHING.get(kind, lambda _: {"owner": "o"})(3), UNUSED.get(kind, {"owner": "o"})):
        assert read(kind, to_object(kind, "a", "s", spec, 7)) == spec


@pytest.mark.parametrize("kind", UNUSED)
def test_a_record_of_which_nothing_is_written_yet_has_a_sentence(kind: str) -> None:
    """Each rule reads a record without any field, so each may write one."""
    assert isinstance(for_people(kind, {})[ABOUT], str)


RULES: dict[str, Any] = {
    "semaphore": semaphore.Semaphore,
    "event": event.Event,
    "condition": condition.Condition,
    "barrier": barrier.Barrier,
}


@pytest.mark.parametrize(
    ("kind", "required"), [("semaphore", {"limit": 3}), ("event", {}), ("condition", {}), ("barrier", {"parties": 3})]
)
def test_an_object_made_by_hand_is_a_record_that_the_rules_read(kind: str, required: Spec) -> None:
    """Nothing but what the definition requires, and neither a name in it nor a label."""
    stored = {"metadata": {"name": "a", "resourceVersion": "7"}, "spec": dict(required)}
    found = RULES[kind].from_spec(read(kind, stored))
    assert list(found.claimants()) == []
    assert RULES[kind].from_spec(found.to_spec()) == found
    assert all(found.to_spec()[field] == value for field, value in required.items())


def read(kind: str, stored: dict[str, Any]) -> Spec:
    record = to_record(kind, stored)
    assert record is not None
    return record.spec
