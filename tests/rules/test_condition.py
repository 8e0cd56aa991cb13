"""The condition record: tickets in order, and no notification lost while anybody waits for one."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elector_server.rules import condition as rules
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.condition import Condition, Ticket
from elector_server.rules.shared import CLAIMANTS_MAX, OBSERVED_MAX, At, RecordFull
from tests.rules.claimants import at, claimant


def condition(*tickets: str) -> Condition:
    """Tickets named by holder, each of a session of its own; `a!` has been notified."""
    return Condition(tuple(Ticket(claimant(t.rstrip("!"), f"s{t.rstrip('!')}"), t.endswith("!")) for t in tickets))


def shown(record: Condition) -> list[str]:
    """The other way round."""
    return [ticket.claimant.hold.holder + "!" * ticket.notified for ticket in record.tickets]


@pytest.mark.parametrize(
    "record", [Condition(), condition("a"), condition("a!", "b").remembering("one").remembering("two")]
)
def test_the_stored_form_reads_back(record: Condition):
    assert Condition.from_spec(record.to_spec()) == record


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("nothing", {}, Condition()),
        ("tickets, and nothing of what was applied", {"tickets": condition("a").to_spec()["tickets"]}, condition("a")),
        (
            "a ticket with the fields without which it is none",
            {"tickets": [{"holder": "h", "session": "s", "epoch": 1, "lease_seconds": 20.0}]},
            Condition((Ticket(Claimant(Hold("h", "s", 1), "", "", "", 20.0)),)),
        ),
        ("with what nobody knows", {"color": "red"}, Condition()),
    ],
)
def test_a_record_that_a_person_made_can_be_read(name, spec, expected):
    assert Condition.from_spec(spec) == expected


@pytest.mark.parametrize(
    ("name", "before", "waiters", "ended", "after", "notified"),
    [
        ("no record", None, 1, "", [], 0),
        ("nobody waits", condition(), 1, "", [], 0),
        ("the oldest", condition("a", "b"), 1, "", ["a!", "b"], 1),
        ("the oldest that has not been notified", condition("a!", "b", "c"), 1, "", ["a!", "b!", "c"], 1),
        ("two", condition("a", "b", "c"), 2, "", ["a!", "b!", "c"], 2),
        ("more than wait", condition("a", "b"), 9, "", ["a!", "b!"], 2),
        ("all", condition("a", "b!", "c"), None, "", ["a!", "b!", "c!"], 2),
        ("all, and nobody waits", None, None, "", [], 0),
        ("all have been notified", condition("a!"), 1, "", ["a!"], 0),
        ("a dead one is skipped", condition("a", "b"), 1, "sa", ["a", "b!"], 1),
        ("only dead ones wait", condition("a", "b"), 1, "sa sb", ["a", "b"], 0),
        ("all that live", condition("a", "b", "c"), None, "sb", ["a!", "b", "c!"], 2),
    ],
)
def test_notify_marks_the_oldest_that_live(name, before, waiters, ended, after, notified):
    record, count = rules.notify(before, at(ended=ended), waiters)
    assert (shown(record), count) == (after, notified)


@pytest.mark.parametrize(
    ("name", "before", "holder", "ended", "after"),
    [
        ("one that waits", condition("a", "b"), "a", "", ["b"]),
        ("one that was notified: the oldest is next", condition("a", "b!", "c"), "b", "", ["a!", "c"]),
        ("one that was notified, and nobody else waits", condition("a!", "b!"), "a", "", ["b!"]),
        ("one that was notified: dead ones are skipped", condition("a!", "b", "c"), "a", "sa sb", ["b", "c!"]),
        ("one that is not there", condition("a!", "b"), "x", "", ["a!", "b"]),
    ],
)
def test_a_notification_of_one_that_leaves_is_passed_on(name, before, holder, ended, after):
    left = before.leave(Hold(holder, f"s{holder}", 1), at(ended=ended))
    assert shown(left) == after


def test_one_that_leaves_is_known_by_holder_session_and_epoch():
    record = condition("a!", "b")
    for hold in (Hold("a", "sa", 2), Hold("a", "sb", 1), Hold("b", "sa", 1)):
        assert record.leave(hold, at()) == record
        assert record.forget(hold) == record


def test_one_that_was_told_goes_and_nobody_else_is_notified():
    assert shown(condition("a!", "b").forget(Hold("a", "sa", 1))) == ["b"]


def test_enqueue_puts_the_ticket_at_the_end():
    assert shown(rules.enqueue(None, claimant("a"))) == ["a"]
    assert shown(rules.enqueue(condition("a!", "b"), claimant("c"))) == ["a!", "b", "c"]


@pytest.mark.parametrize("holder", ["a", "b"])
def test_who_has_a_ticket_gets_no_second_one(holder):
    record = condition("a!", "b", "c")
    assert rules.enqueue(record, claimant(holder, f"s{holder}")) == record


def test_it_has_room_for_so_many_and_one_that_is_refused_changes_nothing():
    record = condition(*(f"{number}" for number in range(CLAIMANTS_MAX - 1)))
    full = rules.enqueue(record, claimant("last"))
    before = full.to_spec()
    with pytest.raises(RecordFull, match="1000 wait already"):
        rules.enqueue(full, claimant("one too many"))
    assert full.to_spec() == before


def test_an_adopted_ticket_keeps_its_place_and_its_notification():
    record = condition("a", "b!", "c").confirm(claimant("b", "sb", 2), None, at())
    assert shown(record) == ["a", "b!", "c"]
    assert [ticket.claimant.hold.epoch for ticket in record.tickets] == [1, 2, 1]
    assert record.confirm(claimant("b", "sc", 3), None, at()) == record


def test_who_waits_and_whose_ticket_is_whose():
    record = condition("a!", "b", "c")
    assert record.waiters == 2
    assert [one.hold.holder for one in record.claimants()] == ["a", "b", "c"]
    assert record.ticket_of("b") == record.tickets[1]
    assert record.ticket_of("x") is None
    assert record.forget(Hold("b", "sb", 1)).ticket_of("b") is None
    assert record.written_over(9) == record


@pytest.mark.parametrize(
    ("name", "record", "session", "expected"),
    [
        ("nobody was notified", condition("a", "b"), "sa", {}),
        ("the first two that wait look at those notified", condition("a!", "b!", "c", "d"), "sd", {"sa": 20, "sb": 20}),
        ("the others look at the first that waits", condition("a!", "b", "c", "d"), "sd", {"sb": 20}),
        ("nobody looks at itself", condition("a!", "b"), "sa", {}),
        ("who does not wait looks at those notified", condition("a!", "b", "c"), "elsewhere", {"sa": 20}),
    ],
)
def test_whom_to_observe(name, record, session, expected):
    assert record.depends_on(session) == expected


def test_nobody_observes_without_a_bound():
    record = condition(*(f"{number}!" for number in range(OBSERVED_MAX + 1)), "w")
    assert len(record.depends_on("sw")) == OBSERVED_MAX


class Notifications(RuleBasedStateMachine):
    """Against a list of those who wait and one of those notified; and no notification gets lost while anybody waits."""

    def __init__(self) -> None:
        super().__init__()
        self.record: Condition | None = None
        self.epochs = dict.fromkeys(["s0", "s1", "s2"], 1)
        self.sessions_begun = len(self.epochs)
        self.ended: set[str] = set()
        self.waiting: list[tuple[str, str]] = []
        self.notified: list[tuple[str, str]] = []
        self.count = 0
        self.given = self.told = self.left_over = 0

    def _at(self) -> At:
        return At(7, "T", "s0", self.ended.__contains__)

    def _id(self) -> str:
        self.count += 1
        return f"{self.count:032x}"[::-1]

    def _claimant(self, holder: str, session: str) -> Claimant:
        return claimant(holder, session, self.epochs[session])

    def _live(self) -> list[tuple[str, str]]:
        return [one for one in self.waiting if one[1] not in self.ended]

    def _model_notify(self, waiters: int) -> None:
        """So many are given to the oldest that live; with nobody left to have them, they are left over."""
        chosen = self._live()[:waiters]
        self.waiting = [one for one in self.waiting if one not in chosen]
        self.notified += chosen

    def _model_leave(self, one: tuple[str, str]) -> None:
        if one in self.waiting:
            self.waiting.remove(one)
            return
        self.notified.remove(one)
        self.left_over += not self._live()
        self._model_notify(1)

    @rule(data=st.data(), again=st.booleans())
    def enqueue(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        holder, session = self._id(), data.draw(st.sampled_from(sorted(self.epochs)))
        for _ in range(1 + again):
            if self.record is None or holder not in self.record.operations:
                self.record = rules.enqueue(self.record, self._claimant(holder, session)).remembering(holder)
        self.waiting.append((holder, session))

    @rule(waiters=st.one_of(st.none(), st.integers(1, 3)), again=st.booleans())
    def notify(self, waiters: int | None, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        operation = self._id()
        expected = len(self._live()) if waiters is None else min(waiters, len(self._live()))
        for _ in range(1 + again):
            if self.record is None or operation not in self.record.operations:
                record, notified = rules.notify(self.record, self._at(), waiters)
                self.record = record.remembering(operation)
                assert notified == expected
        self.given += expected
        self._model_notify(expected)

    @precondition(lambda self: self.notified)
    @rule(data=st.data())
    def tell(self, data: st.DataObject) -> None:
        holder, session = data.draw(st.sampled_from(self.notified))
        self.notified.remove((holder, session))
        self.told += 1
        self.record = self.record.forget(self._claimant(holder, session).hold)

    @precondition(lambda self: self.waiting or self.notified)
    @rule(data=st.data(), again=st.booleans())
    def leave(self, data: st.DataObject, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        holder, session = data.draw(st.sampled_from(self.waiting + self.notified))
        self._model_leave((holder, session))
        for _ in range(1 + again):
            self.record = self.record.leave(self._claimant(holder, session).hold, self._at())

    @precondition(lambda self: self.record is not None)
    @rule(data=st.data())
    def end_session(self, data: st.DataObject) -> None:
        """It has ended: all that were its claimants leave, one after the other; another session begins."""
        session = data.draw(st.sampled_from(sorted(self.epochs)))
        self.ended.add(session)
        for one in list(self.record.claimants()):
            if one.hold.session == session:
                self._model_leave((one.hold.holder, session))
                self.record = self.record.leave(one.hold, self._at())
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
                self.record = self.record.confirm(self._claimant(one.hold.holder, session), None, self._at())

    @rule()
    def store(self) -> None:
        if self.record is not None:
            self.record = Condition.from_spec(self.record.to_spec())

    @invariant()
    def the_record_shows_what_the_model_says(self) -> None:
        tickets = () if self.record is None else self.record.tickets
        found = [(ticket.claimant.hold.holder, ticket.notified) for ticket in tickets]
        assert [holder for holder, notified in found if not notified] == [holder for holder, _ in self.waiting]
        assert {holder for holder, notified in found if notified} == {holder for holder, _ in self.notified}
        assert all(ticket.claimant.hold.epoch == self.epochs[ticket.claimant.hold.session] for ticket in tickets)

    @invariant()
    def no_notification_is_lost_or_made_up(self) -> None:
        standing = 0 if self.record is None else len(self.record.tickets) - self.record.waiters
        assert self.given == self.told + standing + self.left_over


TestNotifications = Notifications.TestCase
