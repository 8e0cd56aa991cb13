"""Any sequence of legal writes to a semaphore, beside a model that keeps `threading`'s number and a queue."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from elector_server.rules import semaphore as rules
from elector_server.rules.claimant import Claimant
from elector_server.rules.semaphore import NoPermit, Semaphore, SemaphoreFull, Terms
from elector_server.rules.shared import At
from tests.rules.claimants import claimant

Who = tuple[str, str]
"""A holder and its session."""


class Permits(RuleBasedStateMachine):
    """The value is limit - acquired + released; who holds and who waits stand in the order in which they came."""

    def __init__(self) -> None:
        super().__init__()
        self.record: Semaphore | None = None
        self.version = 100
        self.newest_token = 0
        self.tokens: dict[str, int] = {}
        self.count = 0
        self.epochs = dict.fromkeys(["s0", "s1", "s2"], 1)
        self.sessions_begun = len(self.epochs)
        self.ended: set[str] = set()
        self.value = 0
        self.acquired = self.released = 0
        self.held: list[Who] = []
        self.waiting: list[Who] = []
        self.over: list[Who] = []

    @initialize(limit=st.integers(0, 3), bounded=st.booleans())
    def make(self, limit: int, bounded: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        self.terms = Terms(limit, bounded)
        self.value = limit

    # The elector's part: one write after the other, each operation once -----------------------------------------------

    def _at(self) -> At:
        return At(self.version if self.record is not None else 0, "T", "s0", self.ended.__contains__)

    def _id(self) -> str:
        self.count += 1
        return f"{self.count:032x}"[::-1]

    def _claimant(self, who: Who) -> Claimant:
        holder, session = who
        return claimant(holder, session, self.epochs.get(session, 1))

    def _write(self, record: Semaphore, jump: int = 1) -> None:
        """Each permit keeps its token; a new one has a token above all those that were given before."""
        new = record if self.record is None else record.written_over(self.version)
        self.version += jump
        self.record = new
        given = {permit.claimant.hold.holder: permit.token or self.version for permit in new.permits}
        for holder, token in given.items():
            assert token <= self.version
            if holder in self.tokens:
                assert token == self.tokens[holder]
            else:
                assert token > self.newest_token
        self.tokens |= given
        self.newest_token = max(self.newest_token, *given.values(), 0)

    def _is_applied(self, operation: str) -> bool:
        return self.record is not None and operation in self.record.operations

    # The model --------------------------------------------------------------------------------------------------------

    def _give_back(self, permits: int) -> None:
        self.value += permits
        self.released += permits
        while self.value > 0 and self.waiting:
            first = self.waiting.pop(0)
            if first[1] not in self.ended:
                self._take(first)

    def _take(self, who: Who) -> None:
        self.value -= 1
        self.acquired += 1
        self.held.append(who)

    def _leave(self, who: Who) -> None:
        if who in self.waiting:
            self.waiting.remove(who)
        elif who in self.held:
            self.held.remove(who)
            self._give_back(1)
        self.over.append(who)

    # What may happen --------------------------------------------------------------------------------------------------

    @rule(data=st.data(), queues=st.booleans(), again=st.booleans())
    def acquire(self, data: st.DataObject, queues: bool, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        who = (self._id(), data.draw(st.sampled_from(sorted(self.epochs))))
        for _ in range(1 + again):
            if self._is_applied(who[0]):
                continue
            try:
                changed = rules.acquire(
                    self.record, self._claimant(who), self.terms, self._at(), queues=queues, alone=False
                )
            except NoPermit:
                assert not queues
                assert self.value <= 0
                return
            self._write(changed.remembering(who[0]))
        if self.value > 0:
            self._take(who)
        else:
            self.waiting.append(who)

    @rule(data=st.data(), anonymous=st.integers(0, 3), again=st.booleans())
    def release(self, data: st.DataObject, anonymous: int, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """Of some who hold, of some whose permit is gone (which count as anybody's), and of anybody."""
        own = [who for who in self.held if data.draw(st.booleans())][:3]
        gone = self.over[-1:] if data.draw(st.booleans()) else []
        permits, operation = max(1, len(own) + len(gone) + anonymous), self._id()
        is_too_often = self.terms.bounded and permits > len(self.held)
        for _ in range(1 + again):
            if self._is_applied(operation):
                continue
            try:
                changed = rules.release(
                    self.record,
                    claimant("user"),
                    self.terms,
                    self._at(),
                    permits=permits,
                    own=[holder for holder, _ in own + gone],
                    alone=False,
                )
            except SemaphoreFull:
                assert is_too_often
                return
            self._write(changed.remembering(operation))
        assert not is_too_often
        given_back = own + [who for who in self.held if who not in own][: permits - len(own)]
        self.held = [who for who in self.held if who not in given_back]
        self.over += given_back
        self._give_back(permits)

    @precondition(lambda self: self.held or self.waiting or self.over)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Of one whose permit is gone nothing follows: it does not come back twice."""
        who = data.draw(st.sampled_from(self.held + self.waiting + self.over))
        if self.record is not None:
            self._write(self.record.leave(self._claimant(who).hold, self._at()))
        self._leave(who)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def forget(self, data: st.DataObject) -> None:
        who = data.draw(st.sampled_from(self.waiting))
        self._write(self.record.forget(self._claimant(who).hold))
        self.waiting.remove(who)

    @precondition(lambda self: self.record is not None)
    @rule(data=st.data())
    def end_session(self, data: st.DataObject) -> None:
        session = data.draw(st.sampled_from(sorted(self.epochs)))
        self.ended.add(session)
        for one in list(self.record.claimants()):
            if one.hold.session == session:
                self._write(self.record.leave(one.hold, self._at()))
                self._leave((one.hold.holder, session))
        del self.epochs[session]
        self.sessions_begun += 1
        self.epochs[f"s{self.sessions_begun}"] = 1

    @precondition(lambda self: self.record is not None)
    @rule(data=st.data(), presents=st.booleans())
    def adopt(self, data: st.DataObject, presents: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        session = data.draw(st.sampled_from(sorted(self.epochs)))
        self.epochs[session] += 1
        for one in list(self.record.claimants()):
            if one.hold.session == session:
                token = self.tokens.get(one.hold.holder) if presents else None
                adopted = self._claimant((one.hold.holder, session))
                self._write(self.record.confirm(adopted, token, self._at()))

    @rule(jump=st.integers(2, 9))
    def others_write(self, jump: int) -> None:
        """Elsewhere in the store: only what is not yet written depends on the version of this record."""
        if self.record is not None:
            self._write(self.record, jump)
        else:
            self.version += jump

    @rule()
    def store(self) -> None:
        if self.record is not None:
            self.record = Semaphore.from_spec(self.record.to_spec())

    # What must hold ---------------------------------------------------------------------------------------------------

    @invariant()
    def the_record_shows_what_the_model_says(self) -> None:
        if self.record is not None:
            assert [permit.claimant.hold.holder for permit in self.record.permits] == [
                holder for holder, _ in self.held
            ]
            assert [ticket.hold.holder for ticket in self.record.queue] == [holder for holder, _ in self.waiting]
            assert all(one.hold.epoch == self.epochs[one.hold.session] for one in self.record.claimants())

    @invariant()
    def the_value_is_the_number_that_threading_keeps(self) -> None:
        if self.record is not None:
            assert self.record.value == self.value == self.terms.limit - self.acquired + self.released
            assert self.value >= 0
            assert not (self.terms.bounded and self.record.extra)

    @invariant()
    def nobody_waits_while_a_permit_is_free(self) -> None:
        if self.record is not None:
            assert self.record.value == 0 or not self.record.queue


TestPermits = Permits.TestCase
