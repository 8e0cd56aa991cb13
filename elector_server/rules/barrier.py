"""The rules of a barrier record: who has arrived, and what became of the generations before.

                 arrive, the last one, with an action
    filling ────────────────────────────────────────────> acting ── open ──> filling, generation + 1
       │ │                                                   │
       │ └── arrive, the last one, without ─> filling, generation + 1
       │                                                     │
       └── leave, abort, a session that ended ──> broken <───┘
                                                    │
    filling, generation + 1 <────────── reset ──────┘   (from any state; who had arrived is broken)

* A party's place is its generation and its index in it. It has passed when the generation is over and did not break.
  So the outcome of a generation is one write, for all parties alike.
* Only the last party to arrive acts, and only while it stands in the record: exactly one, or the barrier breaks.
* Parties of broken generations stay in `broken` until their electors have told them. Which generations broke is
  remembered besides: a party that asks again, or that its elector no longer knew, hears the same as the others. No
  place in them is given to anybody else: a reset goes on behind the last one.
* The parties that passed last are remembered in their order: one whose elector was restarted before it answered still
  hears its index.
* Who arrives while others act waits for the next generation. If it goes, that one breaks: the others have all come.

The states are those of CPython's `threading.Barrier`, without its draining: generations keep the parties apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from elector_server.rules.claimant import Claimant, Hold, claimant_from_spec, claimant_to_spec
from elector_server.rules.shared import (
    CLAIMANTS_MAX,
    NO_OPERATIONS,
    At,
    Operations,
    RecordFull,
    Refusal,
    TermsDiffer,
    confirmed,
    digest,
    foreign_sessions,
    is_same,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

KIND: Final = "barrier"


GENERATIONS_REMEMBERED: Final = 32
"""Broken ones. Of a generation before the oldest of them nobody knows any more that it passed."""


class BarrierBroken(Refusal):
    """The barrier is broken: nobody passes before a reset."""


class State(StrEnum):
    """Where the present generation stands."""

    FILLING = "filling"
    ACTING = "acting"
    BROKEN = "broken"


class Outcome(StrEnum):
    """What became of one party."""

    WAITING = "waiting"
    ACTING = "acting"
    PASSED = "passed"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a party stands: the index that it returns, in that generation."""

    generation: int
    index: int


@dataclass(frozen=True, slots=True)
class Party:
    """One that has arrived. `acts`: if it is the last one, it has an action to run."""

    claimant: Claimant
    acts: bool


@dataclass(frozen=True, slots=True)
class Barrier:
    """What a barrier record says. `used_by` is who arrived last."""

    parties: int
    generation: int = 0
    state: State = State.FILLING
    arrived: tuple[Party, ...] = ()
    broken: tuple[Claimant, ...] = ()
    broken_generations: tuple[int, ...] = ()
    passed: tuple[str, ...] = ()
    passed_generation: int = 0
    used_by: Claimant | None = None
    operations: Operations = NO_OPERATIONS

    @property
    def waiting(self) -> int:
        """How many stand before it; none once all have come."""
        return len(self.arrived) if self.state is State.FILLING else 0

    def to_spec(self) -> dict[str, Any]:
        """The stored form."""
        spec: dict[str, Any] = {"parties": self.parties, "generation": self.generation, "state": self.state.value}
        spec["arrived"] = [claimant_to_spec(party.claimant) | {"acts": party.acts} for party in self.arrived]
        spec["broken"] = [claimant_to_spec(claimant) for claimant in self.broken]
        spec["broken_generations"] = list(self.broken_generations)
        spec["passed"], spec["passed_generation"] = list(self.passed), self.passed_generation
        if self.used_by is not None:
            spec["used_by"] = claimant_to_spec(self.used_by)
        return spec | self.operations.to_spec()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Barrier:
        """Read the stored form."""
        used_by = spec.get("used_by")
        return cls(
            parties=max(1, spec.get("parties", 1)),
            generation=spec.get("generation", 0),
            state=State(spec.get("state", State.FILLING)),
            arrived=tuple(
                Party(claimant_from_spec(party), party.get("acts", False)) for party in spec.get("arrived", ())
            ),
            broken=tuple(claimant_from_spec(claimant) for claimant in spec.get("broken", ())),
            broken_generations=tuple(spec.get("broken_generations", ())),
            passed=tuple(spec.get("passed", ())),
            passed_generation=spec.get("passed_generation", 0),
            used_by=None if used_by is None else claimant_from_spec(used_by),
            operations=Operations.from_spec(spec),
        )

    def claimants(self) -> Iterable[Claimant]:
        """Those who have arrived, and those who have to be told that it broke."""
        return (*(party.claimant for party in self.arrived), *self.broken)

    def leave(self, hold: Hold, at: At) -> Barrier:  # noqa: ARG002 -- it breaks at any time
        """A party that goes before it has passed breaks its generation for the others, and those that come after."""
        standing = [index for index, party in enumerate(self.arrived) if party.claimant.hold == hold]
        if not standing:
            return self.forget(hold)
        is_late = self.state is State.ACTING and standing[0] >= self.parties
        return (_broken_behind(self) if is_late else _broken(self)).forget(hold)

    def advanced(self, at: At) -> Barrier:  # noqa: ARG002 -- nothing is ever due
        """As it is."""
        return self

    def forget(self, hold: Hold) -> Barrier:
        """It has been told that its generation broke."""
        return replace(self, broken=without(self.broken, hold))

    def confirm(self, claimant: Claimant, token: int | None, at: At) -> Barrier:  # noqa: ARG002 -- no tokens
        """The party under the new epoch."""
        arrived = tuple(
            replace(party, claimant=claimant) if is_same(party.claimant, claimant) else party for party in self.arrived
        )
        return replace(self, arrived=arrived, broken=confirmed(self.broken, claimant))

    def written_over(self, version: int) -> Barrier:  # noqa: ARG002 -- no tokens
        """As it is."""
        return self

    def depends_on(self, session: str) -> dict[str, float]:
        """Only the elector that arrived before us, round the circle: behind each dead one stands one that lives."""
        sessions = list(dict.fromkeys(party.claimant.hold.session for party in self.arrived))
        if session not in sessions:
            return {}
        before = sessions[sessions.index(session) - 1]
        return foreign_sessions(
            (party.claimant for party in self.arrived if party.claimant.hold.session == before), session
        )

    def remembering(self, operation: str) -> Barrier:
        """With one more operation that was applied."""
        return replace(self, operations=self.operations.plus(operation))


def arrive(
    barrier: Barrier | None, claimant: Claimant, parties: int, at: At, *, acts: bool, alone: bool
) -> tuple[Barrier, Place]:
    """The record with one more party, and its place. The last one opens the barrier, unless it has an action to run.

    A party that stands there already keeps its place.

    Raises:
        TermsDiffer: somebody else counts another number of parties.
        BarrierBroken: it is broken.
        RecordFull: there is no room for it.
    """
    barrier = _agreed(barrier, parties, at, alone=alone)
    standing = place_of(barrier, claimant.hold.holder)
    if standing is not None:
        return barrier, standing
    if barrier.state is State.BROKEN or barrier.generation + 1 in barrier.broken_generations:
        raise BarrierBroken
    if len(barrier.arrived) >= max(CLAIMANTS_MAX, parties):
        raise RecordFull(f"{len(barrier.arrived)} have arrived already")
    place = Place(barrier.generation + len(barrier.arrived) // parties, len(barrier.arrived) % parties)
    arrived = replace(barrier, arrived=(*barrier.arrived, Party(claimant, acts)), used_by=claimant)
    return _opened_while_full(arrived), place


def outcome(barrier: Barrier | None, holder: str, place: Place) -> Outcome:
    """What became of the party that arrived at `place`. One that left no trace in a generation not over is broken.

    It costs the same however many have arrived: all who wait ask with each change.
    """
    if barrier is None or _may_have_broken(barrier, place.generation):
        return Outcome.BROKEN
    if place.generation < barrier.generation:
        return Outcome.PASSED
    index = (place.generation - barrier.generation) * barrier.parties + place.index
    if [party.claimant.hold.holder for party in barrier.arrived[index : index + 1]] != [holder]:
        return Outcome.BROKEN
    return Outcome.ACTING if barrier.state is State.ACTING and index == barrier.parties - 1 else Outcome.WAITING


def place_of(barrier: Barrier, holder: str) -> Place | None:
    """Where a party stands, or stood if it was among the last that passed; None of another one."""
    for index, party in enumerate(barrier.arrived):
        if party.claimant.hold.holder == holder:
            return Place(barrier.generation + index // barrier.parties, index % barrier.parties)
    if digest(holder) in barrier.passed:
        return Place(barrier.passed_generation, barrier.passed.index(digest(holder)))
    return None


def acting_in(barrier: Barrier) -> Claimant | None:
    """Who runs the action now."""
    actor = barrier.arrived[barrier.parties - 1 : barrier.parties] if barrier.state is State.ACTING else ()
    return next((party.claimant for party in actor), None)


def open_(barrier: Barrier | None, holder: str) -> Barrier:
    """The acting party has run its action: everybody passes.

    Raises:
        BarrierBroken: it is not acting (any more).
    """
    if barrier is None:
        raise BarrierBroken
    acting = acting_in(barrier)
    if acting is None or acting.hold.holder != holder:
        raise BarrierBroken
    return _opened_while_full(_next(barrier))


def was_opened_by(barrier: Barrier | None, holder: str) -> bool:
    """Whether this party acted in the generation that passed last, and so has opened it."""
    return barrier is not None and barrier.passed[-1:] == (digest(holder),)


def abort(barrier: Barrier | None, parties: int) -> Barrier:
    """Everybody who waits, and who comes, finds it broken, until a reset.

    Raises:
        TermsDiffer: those who wait say that it is another one.
    """
    return _broken(_meant(barrier, parties))


def reset(barrier: Barrier | None, parties: int) -> Barrier:
    """Empty again. Who has arrived finds it broken.

    Raises:
        TermsDiffer: as for `abort`.
    """
    barrier = _meant(barrier, parties)
    if barrier.state is State.FILLING and not barrier.arrived:
        return barrier
    broken = _broken(barrier)
    return replace(broken, state=State.FILLING, generation=broken.generation + 1)


def _meant(barrier: Barrier | None, parties: int) -> Barrier:
    """The barrier, unless somebody of another one would break it."""
    barrier = barrier or Barrier(parties)
    if barrier.arrived and barrier.parties != parties:
        raise _differ(barrier, parties)
    return barrier


def _differ(barrier: Barrier, parties: int) -> TermsDiffer:
    return TermsDiffer(f"a barrier of {parties}", f"a barrier of {barrier.parties}", barrier.used_by)


def _agreed(barrier: Barrier | None, parties: int, at: At, *, alone: bool) -> Barrier:
    if barrier is None:
        return Barrier(parties)
    if barrier.parties == parties:
        return barrier
    used_by = barrier.used_by
    is_ours = used_by is not None and used_by.hold.session == at.session
    if not barrier.arrived and (used_by is None or (alone if is_ours else at.ended(used_by.hold.session))):
        return replace(barrier, parties=parties)
    raise _differ(barrier, parties)


def _opened_while_full(barrier: Barrier) -> Barrier:
    """Everybody passes whose generation is complete, up to the first one that has an action to run before."""
    while barrier.state is State.FILLING and len(barrier.arrived) >= barrier.parties:
        if barrier.arrived[barrier.parties - 1].acts:
            return replace(barrier, state=State.ACTING)
        barrier = _next(barrier)
    return barrier


def _next(barrier: Barrier) -> Barrier:
    generation = barrier.generation + 1
    left = barrier.arrived[barrier.parties :]
    through = tuple(digest(party.claimant.hold.holder) for party in barrier.arrived[: barrier.parties])
    barrier = replace(barrier, passed=through, passed_generation=barrier.generation)
    if generation in barrier.broken_generations:
        return _broken(replace(barrier, generation=generation, arrived=left))
    return replace(barrier, state=State.FILLING, generation=generation, arrived=left)


def _may_have_broken(barrier: Barrier, generation: int) -> bool:
    broken = barrier.broken_generations
    return generation in broken or (len(broken) == GENERATIONS_REMEMBERED and generation < broken[0])


def _broken(barrier: Barrier) -> Barrier:
    """All who have arrived find it broken, and all who come. It stands at the last generation that they were of."""
    broken = _with_broken(barrier, 0)
    last = max((barrier.generation, *broken.broken_generations))
    return replace(broken, state=State.BROKEN, generation=last)


def _broken_behind(barrier: Barrier) -> Barrier:
    """While others act: the generations behind theirs break, so that it is broken once these have passed."""
    return _with_broken(barrier, barrier.parties)


def _with_broken(barrier: Barrier, first: int) -> Barrier:
    """Without those who arrived at index `first` or behind; their generations are remembered as broken."""
    told = tuple(party.claimant for party in barrier.arrived[first:])
    generations = {barrier.generation + index // barrier.parties for index in range(first, len(barrier.arrived))}
    remembered = sorted(generations.union(barrier.broken_generations))[-GENERATIONS_REMEMBERED:]
    return replace(
        barrier,
        arrived=barrier.arrived[:first],
        broken=(*barrier.broken, *told),
        broken_generations=tuple(remembered),
    )
