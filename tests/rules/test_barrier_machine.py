"""Any sequence of legal writes to a barrier, beside a model that keeps each generation as one object."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from elector_server.rules import barrier as rules
from elector_server.rules.barrier import Barrier, BarrierBroken, Outcome, Place, State
from elector_server.rules.claimant import Claimant
from elector_server.rules.shared import At
from tests.rules.claimants import claimant


@dataclass(eq=False)
class Arrival:
    """One party, and the place that the rules gave it."""

    holder: str
    session: str
    acts: bool
    place: Place


@dataclass(eq=False)
class Generation:
    """Those who pass or break together."""

    arrivals: list[Arrival] = field(default_factory=list)
    outcome: Outcome = Outcome.WAITING


class Generations(RuleBasedStateMachine):
    """Each generation passes or breaks as a whole, each index is given once in it, and only its last party acts."""

    def __init__(self) -> None:
        super().__init__()
        self.record: Barrier | None = None
        self.count = 0
        self.epochs = dict.fromkeys(["s0", "s1", "s2", "s3"], 1)
        self.sessions_begun = len(self.epochs)
        self.ended: set[str] = set()
        self.over: list[Generation] = []
        self.filling: list[Generation] = []
        """The present generation, and those behind it while it acts."""
        self.is_broken = False
        self.is_broken_behind = False
        self.actions: list[Generation] = []

    @initialize(parties=st.integers(2, 4))
    def make(self, parties: int) -> None:
        self.parties = parties

    # The elector's part -----------------------------------------------------------------------------------------------

    def _at(self) -> At:
        return At(7, "T", "s0", self.ended.__contains__)

    def _id(self) -> str:
        self.count += 1
        return f"{self.count:032x}"[::-1]

    def _claimant(self, arrival: Arrival) -> Claimant:
        return claimant(arrival.holder, arrival.session, self.epochs.get(arrival.session, 1))

    def _is_applied(self, operation: str) -> bool:
        return self.record is not None and operation in self.record.operations

    def _all(self) -> list[Arrival]:
        return [arrival for generation in self.over + self.filling for arrival in generation.arrivals]

    # The model --------------------------------------------------------------------------------------------------------

    def _is_acting(self) -> bool:
        first = self.filling[:1]
        return bool(first) and len(first[0].arrivals) == self.parties

    def _model_open(self) -> None:
        """The first generation passes, and so does each full one behind it, up to one whose last party acts."""
        while self._is_acting():
            first = self.filling.pop(0)
            first.outcome = Outcome.PASSED
            self.over.append(first)
            if self._is_acting() and self.filling[0].arrivals[-1].acts:
                self.actions.append(self.filling[0])
                return
        if self.is_broken_behind:
            self.is_broken, self.is_broken_behind = True, False

    def _model_break(self, first: int = 0) -> None:
        broken = self.filling[first:]
        for generation in broken:
            generation.outcome = Outcome.BROKEN
        self.over += broken
        self.filling = self.filling[:first]
        if first:
            self.is_broken_behind = True
        else:
            self.is_broken, self.is_broken_behind = True, False

    # What may happen --------------------------------------------------------------------------------------------------

    @rule(data=st.data(), acts=st.booleans(), again=st.booleans())
    def arrive(self, data: st.DataObject, acts: bool, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        holder, session = self._id(), data.draw(st.sampled_from(sorted(self.epochs)))
        place = None
        for _ in range(1 + again):
            if self._is_applied(holder):
                continue
            who = claimant(holder, session, self.epochs[session])
            try:
                changed, place = rules.arrive(self.record, who, self.parties, self._at(), acts=acts, alone=False)
            except BarrierBroken:
                assert self.is_broken or self.is_broken_behind
                return
            self.record = changed.remembering(holder)
        assert place is not None
        self._model_arrive(Arrival(holder, session, acts, place))

    def _model_arrive(self, arrival: Arrival) -> None:
        assert not (self.is_broken or self.is_broken_behind)
        was_acting = self._is_acting()
        if not self.filling or len(self.filling[-1].arrivals) == self.parties:
            self.filling.append(Generation())
        arrivals = self.filling[-1].arrivals
        assert arrival.place.index == len(arrivals)
        arrivals.append(arrival)
        if self._is_acting() and not was_acting:
            if arrival.acts:
                self.actions.append(self.filling[0])
            else:
                self._model_open()

    @precondition(lambda self: self.record is not None)
    @rule(data=st.data(), again=st.booleans())
    def open(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """Asked by anybody: only the one that acts may."""
        anybody = data.draw(st.sampled_from(self._all())) if self._all() and data.draw(st.booleans()) else None
        actor = self.filling[0].arrivals[-1] if self._is_acting() else None
        by, operation = anybody or actor, self._id()
        for _ in range(1 + again):
            if self._is_applied(operation):
                continue
            try:
                changed = rules.open_(self.record, by.holder if by else "nobody")
            except BarrierBroken:
                assert actor is None or by is not actor
                return
            self.record = changed.remembering(operation)
        assert actor is not None
        assert by is actor
        self._model_open()

    @rule(again=st.booleans())
    def abort(self, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        operation = self._id()
        for _ in range(1 + again):
            if not self._is_applied(operation):
                self.record = rules.abort(self.record, self.parties).remembering(operation)
        self._model_break()

    @rule(again=st.booleans())
    def reset(self, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        operation = self._id()
        for _ in range(1 + again):
            if not self._is_applied(operation):
                self.record = rules.reset(self.record, self.parties).remembering(operation)
        self._model_break()
        self.is_broken = False

    @precondition(lambda self: self.over or self.filling)
    @rule(data=st.data(), again=st.booleans())
    def leave(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """Of one whose generation is over nothing follows."""
        arrival = data.draw(st.sampled_from(self._all()))
        for _ in range(1 + again):
            self.record = self.record.leave(self._claimant(arrival).hold, self._at())
        self._model_leave(arrival)

    def _model_leave(self, arrival: Arrival) -> None:
        for number, generation in enumerate(self.filling):
            if arrival in generation.arrivals:
                self._model_break(1 if number and self._is_acting() else 0)
                return

    @precondition(lambda self: self.record is not None and self.record.broken)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        self.record = self.record.forget(data.draw(st.sampled_from(self.record.broken)).hold)

    @precondition(lambda self: self.record is not None)
    @rule(data=st.data())
    def end_session(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.epochs)))
        self.ended.add(session)
        for one in list(self.record.claimants()):
            if one.hold.session == session:
                self.record = self.record.leave(one.hold, self._at())
                self._model_leave(next(arrival for arrival in self._all() if arrival.holder == one.hold.holder))
        del self.epochs[session]
        self.sessions_begun += 1
        self.epochs[f"s{self.sessions_begun}"] = 1

    @precondition(lambda self: self.record is not None)
    @rule(data=st.data())
    def adopt(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.epochs)))
        self.epochs[session] += 1
        for one in list(self.record.claimants()):
            if one.hold.session == session:
                adopted = claimant(one.hold.holder, session, self.epochs[session])
                self.record = self.record.confirm(adopted, None, self._at())

    @rule()
    def store(self) -> None:
        if self.record is not None:
            self.record = Barrier.from_spec(self.record.to_spec())

    # What must hold ---------------------------------------------------------------------------------------------------

    @invariant()
    def all_parties_of_a_generation_share_its_outcome(self) -> None:
        for generation in self.over + self.filling:
            found = [rules.outcome(self.record, arrival.holder, arrival.place) for arrival in generation.arrivals]
            expected = [generation.outcome] * len(found)
            if self._is_acting() and generation is self.filling[0]:
                expected[-1] = Outcome.ACTING
            assert found == expected

    @invariant()
    def each_index_is_given_once_in_a_generation_and_no_generation_twice(self) -> None:
        numbers = []
        for generation in self.over + self.filling:
            assert [arrival.place.index for arrival in generation.arrivals] == [*range(len(generation.arrivals))]
            assert len({arrival.place.generation for arrival in generation.arrivals}) == 1
            numbers.append(generation.arrivals[0].place.generation)
            assert generation.outcome is not Outcome.PASSED or len(generation.arrivals) == self.parties
        assert len(set(numbers)) == len(numbers)

    @invariant()
    def those_who_stand_stand_where_they_arrived(self) -> None:
        for generation in self.filling:
            for arrival in generation.arrivals:
                assert rules.place_of(self.record, arrival.holder) == arrival.place

    @invariant()
    def exactly_one_acts_and_only_in_a_full_generation(self) -> None:
        assert len(set(map(id, self.actions))) == len(self.actions)
        acting = self.record is not None and self.record.state is State.ACTING
        assert acting == self._is_acting()
        assert not acting or self.actions[-1] is self.filling[0]

    @invariant()
    def people_see_who_waits_and_whether_it_is_broken(self) -> None:
        if self.record is not None:
            assert (self.record.state is State.BROKEN) == self.is_broken
            waiting = 0 if self._is_acting() else sum(len(generation.arrivals) for generation in self.filling)
            assert self.record.waiting == waiting
            standing = {arrival.holder for generation in self.filling for arrival in generation.arrivals}
            assert standing <= {one.hold.holder for one in self.record.claimants()}


TestGenerations = Generations.TestCase
