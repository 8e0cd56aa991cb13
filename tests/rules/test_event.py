"""The event record: a flag, and a generation by which a waiter knows that it was set meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from elector_server.rules import event as rules
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.event import Event
from elector_server.rules.shared import NO_OPERATIONS, At


def at(wall: str = "T") -> At:
    return At(7, wall, "s0", lambda _: False)


SET_TWICE = Event(is_set=True, generation=2, changed_at="T", operations=NO_OPERATIONS.plus("a").plus("b"))
CLEARED = rules.put(SET_TWICE, at(), is_set=False)


@pytest.mark.parametrize("event", [Event(), SET_TWICE, CLEARED])
def test_the_stored_form_reads_back(event: Event):
    assert Event.from_spec(event.to_spec()) == event


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("nothing", {}, Event()),
        ("set by hand", {"is_set": True}, Event(is_set=True)),
        ("with what nobody knows", {"is_set": True, "generation": 3, "color": "red"}, Event(is_set=True, generation=3)),
    ],
)
def test_a_record_that_a_person_made_can_be_read(name, spec, expected):
    assert Event.from_spec(spec) == expected


@pytest.mark.parametrize(
    ("name", "before", "is_set", "expected"),
    [
        ("set without a record", None, True, (True, 1)),
        ("clear without a record", None, False, (False, 0)),
        ("set", CLEARED, True, (True, 3)),
        ("set what is set", SET_TWICE, True, (True, 3)),
        ("clear", SET_TWICE, False, (False, 2)),
        ("clear what is clear", CLEARED, False, (False, 2)),
    ],
)
def test_put_changes_the_flag_and_only_set_counts(name, before, is_set, expected):
    after = rules.put(before, at("now"), is_set=is_set)
    assert (after.is_set, after.generation) == expected
    assert (after.changed_at, after.operations) == ("now", (before or Event()).operations)


@pytest.mark.parametrize(
    ("name", "event", "since", "expected"),
    [
        ("no record", None, None, False),
        ("no record any more", None, 2, False),
        ("set, a wait begins", SET_TWICE, None, True),
        ("set, a wait goes on", SET_TWICE, 2, True),
        ("clear, a wait begins", CLEARED, None, False),
        ("clear since the wait began", CLEARED, 2, False),
        ("set and cleared since the wait began", CLEARED, 1, True),
        ("set and cleared, there was no record before", CLEARED, 0, True),
        ("the record was deleted, and set and cleared since", CLEARED, 5, True),
        ("the record was deleted, and cleared since: nobody set it", rules.put(None, at(), is_set=False), 5, False),
        ("the record was deleted, and set by hand", Event(is_set=True), 5, True),
    ],
)
def test_who_passes(name, event, since, expected):
    assert rules.is_passed(event, since) is expected


@pytest.mark.parametrize(("event", "expected"), [(None, 0), (SET_TWICE, 2), (CLEARED, 2)])
def test_how_often_it_was_set(event, expected):
    assert rules.generation_of(event) == expected


def test_nobody_is_in_it_so_nobody_leaves():
    hold = Hold("h", "s0", 1)
    adopted = Claimant(Hold("h", "s0", 2), "c", "o", "p", 20.0)
    assert list(SET_TWICE.claimants()) == []
    assert SET_TWICE.leave(hold, at()) == SET_TWICE.forget(hold) == SET_TWICE.confirm(adopted, 1, at()) == SET_TWICE
    assert SET_TWICE.written_over(9) == SET_TWICE
    assert SET_TWICE.depends_on("s0") == {}


def test_what_was_applied_is_remembered():
    assert "c" in SET_TWICE.remembering("c").operations
    assert "c" not in SET_TWICE.operations


class Generations(RuleBasedStateMachine):
    """Against a model that tells each waiter: it passes exactly if the flag was set at some moment of its wait."""

    def __init__(self) -> None:
        super().__init__()
        self.event: Event | None = None
        self.is_set = False
        self.count = 0
        self.waiters: list[tuple[int, int]] = []
        """Of each, the generation that it saw and how often the flag had been set by the model when its wait began."""
        self.times_set = 0

    @rule(is_set=st.booleans(), again=st.booleans())
    def put(self, is_set: bool, again: bool) -> None:  # noqa: FBT001 - drawn by Hypothesis
        """Set or clear; asked again, as after a lost answer, the operation is found in the record."""
        self.count += 1
        operation = f"{self.count:032x}"[::-1]
        for _ in range(1 + again):
            if self.event is None or operation not in self.event.operations:
                self.event = rules.put(self.event, at(), is_set=is_set).remembering(operation)
        self.is_set = is_set
        self.times_set += is_set

    @rule()
    def wait(self) -> None:
        """A wait that passes at once is over; the others go on."""
        assert rules.is_passed(self.event, None) is self.is_set
        if not self.is_set:
            self.waiters.append((rules.generation_of(self.event), self.times_set))

    @rule()
    def store(self) -> None:
        if self.event is not None:
            self.event = Event.from_spec(self.event.to_spec())

    @invariant()
    def each_passes_as_the_model_says(self) -> None:
        for since, times_set in self.waiters:
            assert rules.is_passed(self.event, since) is (self.times_set > times_set)


TestGenerations = Generations.TestCase
