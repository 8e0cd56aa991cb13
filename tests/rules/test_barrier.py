"""The barrier record: exactly one action, one outcome for all partiesa generation, and each index once."""

from __future__ import annotations

import dataclasses

import pytest

from elector_server.rules import barrier as rules
from elector_server.rules.barrier import Barrier, BarrierBroken, Outcome, Party, Place, State
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.shared import CLAIMANTS_MAX, RecordFull, TermsDiffer
from tests.rules.claimants import at, claimant


def arrived(*holders: str, parties: int = 3, acts: str = "", barrier: Barrier | None = None) -> Barrier:
    """The record after these have arrived, each from a session of its own; those named in `acts` have an action."""
    for holder in holders:
        who = claimant(holder, f"s{holder}")
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
    left = acting.leave(Hold("late 1", "slate 1", 1), at())
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


FILLING = arrived("a", "b")
ACTING = arrived("a", "b", "c", acts="c")
LATE = arrived("d", barrier=ACTING)
BROKEN = rules.abort(FILLING, 3)
OPENED = arrived("a", "b", "c")


def hold(holder: str) -> Hold:
    return Hold(holder, f"s{holder}", 1)


def shown(record: Barrier) -> tuple[str, int, list[str], list[str]]:
    """State, generation, who has arrived, and who has to be told that it broke."""
    standing = [party.claimant.hold.holder for party in record.arrived]
    return record.state.value, record.generation, standing, [one.hold.holder for one in record.broken]


@pytest.mark.parametrize(
    "record", [Barrier(3), FILLING, ACTING, LATE, BROKEN, OPENED, rules.reset(LATE, 3).remembering("one")]
)
def test_the_stored_form_reads_back(record: Barrier):
    assert Barrier.from_spec(record.to_spec()) == record


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("nothing", {}, Barrier(1)),
        ("a number of parties", {"parties": 3}, Barrier(3)),
        ("of nobody: there is always one", {"parties": 0}, Barrier(1)),
        (
            "a party with the fields without which it is none",
            {"parties": 3, "arrived": [{"holder": "h", "session": "s", "epoch": 1, "lease_seconds": 20.0}]},
            Barrier(3, arrived=(Party(Claimant(Hold("h", "s", 1), "", "", "", 20.0), acts=False),)),
        ),
        ("broken by hand", {"parties": 3, "state": "broken"}, Barrier(3, state=State.BROKEN)),
        ("with what nobody knows", {"parties": 3, "color": "red"}, Barrier(3)),
    ],
)
def test_a_record_that_a_person_made_can_be_read(name, spec, expected):
    assert Barrier.from_spec(spec) == expected


@pytest.mark.parametrize(
    ("name", "before", "acts", "expected", "place"),
    [
        ("the first", None, False, ("filling", 0, ["x"], []), Place(0, 0)),
        ("one of them", arrived("a"), True, ("filling", 0, ["a", "x"], []), Place(0, 1)),
        ("the last, without an action", FILLING, False, ("filling", 1, [], []), Place(0, 2)),
        ("the last, with an action", FILLING, True, ("acting", 0, ["a", "b", "x"], []), Place(0, 2)),
        ("while others act", ACTING, True, ("acting", 0, ["a", "b", "c", "x"], []), Place(1, 0)),
        ("the second while others act", LATE, False, ("acting", 0, ["a", "b", "c", "d", "x"], []), Place(1, 1)),
        ("the first of the next generation", OPENED, False, ("filling", 1, ["x"], []), Place(1, 0)),
        ("after a reset", rules.reset(BROKEN, 3), False, ("filling", 1, ["x"], ["a", "b"]), Place(1, 0)),
    ],
)
def test_arrive(name, before, acts, expected, place):
    after, found = rules.arrive(before, claimant("x"), 3, at(), acts=acts, alone=False)
    assert (shown(after), found) == (expected, place)
    assert after.used_by == claimant("x")


@pytest.mark.parametrize("acts", ["a", "b"])
def test_only_the_last_to_arrive_acts(acts):
    assert shown(arrived("a", "b", "c", acts=acts)) == ("filling", 1, [], [])


def test_a_barrier_of_one_opens_for_each_that_comes():
    assert shown(arrived("a", "b", parties=1)) == ("filling", 2, [], [])
    assert shown(arrived("a", parties=1, acts="a")) == ("acting", 0, ["a"], [])


def test_nobody_arrives_at_a_broken_one():
    stored = BROKEN.to_spec()
    with pytest.raises(BarrierBroken):
        arrived("x", barrier=BROKEN)
    assert BROKEN.to_spec() == stored


@pytest.mark.parametrize(
    ("name", "record", "holder", "place", "expected"),
    [
        ("no record any more", None, "a", Place(0, 0), Outcome.BROKEN),
        ("it stands there", FILLING, "a", Place(0, 0), Outcome.WAITING),
        ("it is the one that acts", ACTING, "c", Place(0, 2), Outcome.ACTING),
        ("another one acts", ACTING, "a", Place(0, 0), Outcome.WAITING),
        ("others act, and it is late", LATE, "d", Place(1, 0), Outcome.WAITING),
        ("all have come", OPENED, "a", Place(0, 0), Outcome.PASSED),
        ("long ago", dataclasses.replace(OPENED, generation=99), "a", Place(0, 0), Outcome.PASSED),
        ("it has to be told", BROKEN, "a", Place(0, 0), Outcome.BROKEN),
        ("it left no trace in a generation that is not over", FILLING, "x", Place(0, 2), Outcome.BROKEN),
        ("nor in one that comes", FILLING, "x", Place(1, 0), Outcome.BROKEN),
    ],
)
def test_what_became_of_a_party(name, record, holder, place, expected):
    assert rules.outcome(record, holder, place) is expected


def test_a_party_has_passed_even_if_another_number_of_parties_counts_now():
    record = dataclasses.replace(arrived("a", "b", "c", "d", "e", parties=5), parties=2)
    assert outcomes(record, ("d", 0, 3)) == [Outcome.PASSED]


def test_where_a_party_stands():
    assert rules.place_of(LATE, "b") == Place(0, 1)
    assert rules.place_of(LATE, "d") == Place(1, 0)
    assert rules.place_of(LATE, "x") is None


def test_open_by_the_one_that_acts_lets_everybody_pass_and_the_late_wait_on():
    opened = rules.open_(LATE, "c")
    assert shown(opened) == ("filling", 1, ["d"], [])
    assert outcomes(opened, ("a", 0, 0), ("c", 0, 2), ("d", 1, 0)) == [Outcome.PASSED, Outcome.PASSED, Outcome.WAITING]


def test_open_goes_on_to_the_next_generation_that_has_an_action():
    late = arrived("d", "e", "f", "g", "h", "i", "j", barrier=ACTING, acts="d i")
    opened = rules.open_(late, "c")
    assert shown(opened) == ("acting", 2, ["g", "h", "i", "j"], [])
    assert rules.outcome(opened, "i", Place(2, 2)) is Outcome.ACTING


@pytest.mark.parametrize(
    ("name", "record", "holder"),
    [
        ("no record", None, "c"),
        ("not all have come", FILLING, "b"),
        ("it is broken", rules.abort(ACTING, 3), "c"),
        ("it was opened", rules.open_(ACTING, "c"), "c"),
        ("another one acts", ACTING, "b"),
        ("it acts in the next generation", LATE, "d"),
        ("a person took the parties away", dataclasses.replace(ACTING, arrived=ACTING.arrived[:1]), "c"),
    ],
)
def test_nobody_else_opens_and_nothing_changes(name, record, holder):
    stored = None if record is None else record.to_spec()
    with pytest.raises(BarrierBroken):
        rules.open_(record, holder)
    assert record is None or record.to_spec() == stored


@pytest.mark.parametrize(
    ("name", "before", "expected"),
    [
        ("no record", None, ("broken", 0, [], [])),
        ("nobody has come", Barrier(3), ("broken", 0, [], [])),
        ("some have come", FILLING, ("broken", 0, [], ["a", "b"])),
        ("one acts", LATE, ("broken", 1, [], ["a", "b", "c", "d"])),
        ("it is broken", BROKEN, ("broken", 0, [], ["a", "b"])),
    ],
)
def test_abort_breaks_it_for_all(name, before, expected):
    assert shown(rules.abort(before, 3)) == expected


@pytest.mark.parametrize(
    ("name", "before", "expected"),
    [
        ("no record", None, ("filling", 0, [], [])),
        ("nobody has come", OPENED, ("filling", 1, [], [])),
        ("some have come", FILLING, ("filling", 1, [], ["a", "b"])),
        ("one acts", LATE, ("filling", 2, [], ["a", "b", "c", "d"])),
        ("it is broken", BROKEN, ("filling", 1, [], ["a", "b"])),
        ("broken, and nobody had come", rules.abort(None, 3), ("filling", 1, [], [])),
    ],
)
def test_reset_empties_it(name, before, expected):
    assert shown(rules.reset(before, 3)) == expected


@pytest.mark.parametrize("change", [rules.abort, rules.reset])
def test_a_barrier_in_which_somebody_stands_is_not_broken_by_one_of_other_parties(change):
    with pytest.raises(TermsDiffer) as refused:
        change(FILLING, 4)
    assert (refused.value.ours, refused.value.theirs) == ("a barrier of 4", "a barrier of 3")
    assert change(OPENED, 4).parties == 3


def test_a_reset_of_an_empty_one_changes_nothing():
    assert rules.reset(OPENED, 3) == OPENED


@pytest.mark.parametrize(
    ("name", "before", "leaves", "expected"),
    [
        ("one that waits breaks it", FILLING, "a", ("broken", 0, [], ["b"])),
        ("the one that acts", LATE, "c", ("broken", 1, [], ["a", "b", "d"])),
        ("one that waits for the one that acts", LATE, "a", ("broken", 1, [], ["b", "c", "d"])),
        ("a late one breaks only what comes", LATE, "d", ("acting", 0, ["a", "b", "c"], [])),
        ("one that has passed", OPENED, "a", ("filling", 1, [], [])),
        ("one that it broke for", BROKEN, "a", ("broken", 0, [], ["b"])),
        ("one that was never there", FILLING, "x", ("filling", 0, ["a", "b"], [])),
    ],
)
def test_one_that_leaves_before_it_has_passed(name, before, leaves, expected):
    assert shown(before.leave(hold(leaves), at())) == expected


def test_a_party_is_known_by_holder_session_and_epoch():
    for other in (Hold("a", "sa", 2), Hold("a", "sb", 1), Hold("b", "sa", 1)):
        assert FILLING.leave(other, at()) == FILLING
        assert BROKEN.forget(other) == BROKEN


def test_forget_removes_only_who_was_told_that_it_broke():
    assert shown(BROKEN.forget(hold("a"))) == ("broken", 0, [], ["b"])
    assert FILLING.forget(hold("a")) == FILLING


def test_an_adopted_party_keeps_its_place():
    after = FILLING.confirm(claimant("a", "sa", 2), None, at())
    assert [party.claimant.hold.epoch for party in after.arrived] == [2, 1]
    assert rules.place_of(after, "a") == Place(0, 0)
    broken = BROKEN.confirm(claimant("b", "sb", 2), None, at())
    assert [one.hold.epoch for one in broken.broken] == [1, 2]
    assert FILLING.confirm(claimant("a", "sb", 2), None, at()) == FILLING


def test_one_that_acts_still_acts_after_an_adoption():
    assert ACTING.confirm(claimant("c", "sc", 2), None, at()).arrived[2].acts


@pytest.mark.parametrize(
    ("name", "session", "alone", "ended"),
    [
        ("whoever arrived last has ended", "s0", False, "sc"),
        ("it was the asking process", "sc", True, ""),
    ],
)
def test_another_number_is_taken_when_nobody_can_mind(name, session, alone, ended):
    where = at(session=session, ended=ended)
    after, place = rules.arrive(OPENED, claimant("x"), 5, where, acts=False, alone=alone)
    assert (after.parties, place) == (5, Place(1, 0))


def test_another_number_is_taken_if_nobody_ever_arrived():
    after, _ = rules.arrive(rules.reset(None, 3), claimant("x"), 5, at(), acts=False, alone=False)
    assert after.parties == 5


@pytest.mark.parametrize(
    ("name", "before", "session", "alone", "ended"),
    [
        ("somebody else counts another number", OPENED, "s0", False, ""),
        ("this process is alone here, but another one arrived", OPENED, "s0", True, ""),
        ("another processthis elector uses it, too", OPENED, "sc", False, ""),
        ("somebody stands there", FILLING, "sb", True, "sb"),
    ],
)
def test_another_number_is_refused_and_both_are_named(name, before, session, alone, ended):
    stored = before.to_spec()
    with pytest.raises(TermsDiffer) as refused:
        rules.arrive(before, claimant("x"), 5, at(session=session, ended=ended), acts=False, alone=alone)
    assert (refused.value.ours, refused.value.theirs) == ("a barrier of 5", "a barrier of 3")
    assert refused.value.used_by == before.used_by
    assert before.to_spec() == stored


def test_it_has_room_for_so_many_late_arrivals_and_one_that_is_refused_changes_nothing():
    record = ACTING
    for number in range(CLAIMANTS_MAX - 3):
        record = arrived(f"{number}", barrier=record)
    stored = record.to_spec()
    with pytest.raises(RecordFull, match="1000 have arrived already"):
        arrived("one too many", barrier=record)
    assert record.to_spec() == stored


def test_a_barrier_of_more_parties_has_room_for_all_of_them():
    record = Barrier(CLAIMANTS_MAX + 1)
    for number in range(CLAIMANTS_MAX + 1):
        record = arrived(f"{number}", parties=CLAIMANTS_MAX + 1, barrier=record)
    assert shown(record) == ("filling", 1, [], [])


@pytest.mark.parametrize(("record", "expected"), [(FILLING, 2), (ACTING, 0), (LATE, 0), (BROKEN, 0), (OPENED, 0)])
def test_how_many_stand_before_it(record, expected):
    assert record.waiting == expected


@pytest.mark.parametrize(
    ("name", "record", "session", "expected"),
    [
        ("the one before", FILLING, "sb", {"sa": 20}),
        ("the first looks at the last", LATE, "sa", {"sd": 20}),
        ("alone", arrived("a"), "sa", {}),
        ("who does not stand there looks at nobody", FILLING, "elsewhere", {}),
        ("nobody waits for the broken", BROKEN, "sa", {}),
    ],
)
def test_whom_to_observe(name, record, session, expected):
    assert record.depends_on(session) == expected


def test_who_is_in_it():
    record = arrived("x", barrier=rules.reset(FILLING, 3))
    assert [one.hold.holder for one in record.claimants()] == ["x", "a", "b"]
    assert record.written_over(9) == record


@pytest.mark.parametrize(("name", "before", "place"), [("b", FILLING, Place(0, 1)), ("d", LATE, Place(1, 0))])
def test_who_stands_there_already_does_not_arrive_twice(name, before, place):
    after, found = rules.arrive(before, claimant(name, f"s{name}"), 3, at(), acts=False, alone=False)
    assert (after, found) == (before, place)
