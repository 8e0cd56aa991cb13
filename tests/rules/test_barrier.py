"""The barrier record: exactly one action, one outcome for all parties of a generation, and each index once."""

from __future__ import annotations

import pytest

from elector_server.rules import barrier as rules
from elector_server.rules.barrier import Barrier, BarrierBroken, Outcome, Place, State
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.shared import CLAIMANTS_MAX, At


def claimant(holder: str, session: str = "s0", epoch: int = 1) -> Claimant:
    return Claimant(Hold(holder, session, epoch), f"client of {holder}", f"pod of {session}", "p", 20.0)


def at(version: int = 7, *, ended: str = "") -> At:
    return At(version, "T", "s0", lambda session: session == ended)


def arrived(*holders: str, parties: int = 3, acts: str = "", barrier: Barrier | None = None) -> Barrier:
    """The record after these have arrived, each from a session of its own; those named in `acts` have an action."""
    for holder in holders:
        who = claimant(holder, f"s of {holder}")
        barrier, _ = rules.arrive(barrier, who, parties, at(), acts=holder in acts, alone=False)
    assert barrier is not None
    return barrier


def outcomes(barrier: Barrier | None, *places: tuple[str, int, int]) -> list[Outcome]:
    return [rules.outcome(barrier, holder, Place(generation, index)) for holder, generation, index in places]


def test_late_arrivals_fill_any_number_of_generations_at_once():
    late = [f"late {number}" for number in range(CLAIMANTS_MAX - 1)]
    opened = rules.open_(arrived("actor", *late, parties=1, acts="actor"), "actor")
    assert (opened.state, opened.generation, opened.arrived) == (State.FILLING, CLAIMANTS_MAX, ())


def test_a_broken_party_that_has_been_told_hears_the_same_when_it_asks_again_after_a_reset():
    broken = rules.reset(arrived("a", "b"), 3)
    for party in list(broken.claimants()):
        broken = broken.forget(party.hold)
    opened = arrived("d", "e", "f", barrier=broken)
    assert outcomes(opened, ("a", 0, 0), ("b", 0, 1)) == [Outcome.BROKEN] * 2
    assert outcomes(opened, ("d", 1, 0), ("e", 1, 1), ("f", 1, 2)) == [Outcome.PASSED] * 3


def test_no_place_of_a_late_arrival_is_given_out_again_after_a_reset():
    late = arrived("a", "b", "c", "late 1", "late 2", "late 3", "later", acts="c")
    assert rules.place_of(late, "late 2") == Place(1, 1)
    assert rules.place_of(late, "later") == Place(2, 0)
    again = arrived("d", "e", "f", barrier=rules.reset(rules.abort(late, 3), 3))
    assert again.generation == 4
    everybody = [("a", 0, 0), ("late 1", 1, 0), ("late 2", 1, 1), ("later", 2, 0)]
    assert outcomes(again, *everybody, ("d", 3, 0)) == [Outcome.BROKEN] * 4 + [Outcome.PASSED]


def test_a_late_arrival_that_goes_breaks_the_next_generation_and_not_the_one_that_acts():
    acting = arrived("a", "b", "c", "late 1", "late 2", acts="c")
    left = acting.leave(Hold("late 1", "s of late 1", 1), at())
    assert outcomes(left, ("a", 0, 0), ("c", 0, 2)) == [Outcome.WAITING, Outcome.ACTING]
    assert outcomes(left, ("late 1", 1, 0), ("late 2", 1, 1)) == [Outcome.BROKEN] * 2
    with pytest.raises(BarrierBroken):
        arrived("late 3", barrier=left)
    opened = rules.open_(left, "c")
    assert (opened.state, opened.arrived) == (State.BROKEN, ())
    assert outcomes(opened, ("a", 0, 0), ("b", 0, 1), ("c", 0, 2), ("late 2", 1, 1)) == [
        *[Outcome.PASSED] * 3,
        Outcome.BROKEN,
    ]
    assert arrived("d", barrier=rules.reset(opened, 3)).generation == 2


def test_of_generations_before_those_it_remembers_nobody_says_that_they_passed():
    barrier = arrived("a", "b", "c")
    for number in range(rules.GENERATIONS_REMEMBERED):
        barrier = rules.reset(arrived(f"broken {number}", barrier=barrier), 3)
        for party in list(barrier.claimants()):
            barrier = barrier.forget(party.hold)
    assert barrier.broken_generations == tuple(range(1, 33))
    assert outcomes(barrier, ("a", 0, 0), ("broken 0", 1, 0)) == [Outcome.BROKEN] * 2
    assert outcomes(arrived("x", "y", "z", barrier=barrier), ("x", 33, 0)) == [Outcome.PASSED]


def test_fewer_broken_generations_than_it_can_remember_cast_no_doubt_on_those_before():
    barrier = rules.reset(arrived("d", barrier=arrived("a", "b", "c")), 3)
    assert outcomes(barrier, ("a", 0, 0), ("d", 1, 0)) == [Outcome.PASSED, Outcome.BROKEN]
