"""The barrier record: exactly one action, one outcome for all parties of a generation, and each index once."""

from __future__ import annotations

from elector_server.rules import barrier as rules
from elector_server.rules.barrier import Barrier, Outcome, Place, State
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
