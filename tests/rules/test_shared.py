"""What all records of shared primitives have: operations that are remembered, and claimants found by their hold."""

from __future__ import annotations

import pytest

from elector_server.rules import shared as rules
from elector_server.rules.claimant import Hold
from elector_server.rules.shared import NO_OPERATIONS, OBSERVED_MAX, OPERATIONS_REMEMBERED, Operations, TermsDiffer
from tests.rules.claimants import claimant


def applied(count: int) -> Operations:
    """So many operations, each with an id that differs in its first characters."""
    operations = NO_OPERATIONS
    for number in range(count):
        operations = operations.plus(operation(number))
    return operations


def operation(number: int) -> str:
    return f"{number:016x}{0:016x}"


@pytest.mark.parametrize("operations", [NO_OPERATIONS, applied(3), applied(OPERATIONS_REMEMBERED + 3)])
def test_the_stored_form_reads_back(operations: Operations):
    assert Operations.from_spec(operations.to_spec()) == operations


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("nothing", {}, NO_OPERATIONS),
        ("ids without a count", {"operations": ["a"]}, Operations(0, ("a",))),
        ("a count without ids", {"operation_count": 7}, Operations(7, ())),
    ],
)
def test_a_record_that_a_person_made_can_be_read(name, spec, expected):
    assert Operations.from_spec(spec) == expected


def test_the_last_ones_are_remembered_and_all_are_counted():
    operations = applied(OPERATIONS_REMEMBERED + 1)
    assert operations.count == OPERATIONS_REMEMBERED + 1
    assert operation(0) not in operations
    assert all(operation(number) in operations for number in range(1, OPERATIONS_REMEMBERED + 1))
    assert len(operations.to_spec()["operations"]) == OPERATIONS_REMEMBERED


def test_another_id_is_not_remembered():
    assert operation(3) not in applied(3)


@pytest.mark.parametrize(
    ("name", "count", "since", "expected"),
    [
        ("nothing happened since", 5, 5, False),
        ("as many as are remembered", 5 + OPERATIONS_REMEMBERED, 5, False),
        ("one more", 6 + OPERATIONS_REMEMBERED, 5, True),
        ("the record was deleted and made anew since", 4, 5, True),
    ],
)
def test_when_nobody_knows_any_more(name, count, since, expected):
    assert applied(count).may_have_forgotten(since) is expected


def test_what_was_applied_right_after_a_moment_is_remembered_as_long_as_it_says():
    for later in range(2 * OPERATIONS_REMEMBERED):
        operations = applied(5)
        for number in range(later):
            operations = operations.plus(operation(5 + number))
        if later:
            assert operations.may_have_forgotten(5) is (operation(5) not in operations)


def test_without_and_confirmed_change_one_claimant_only():
    both = (claimant("a"), claimant("b"))
    assert rules.without(both, Hold("a", "s0", 1)) == both[1:]
    assert rules.without(both, Hold("a", "s0", 2)) == rules.without(both, Hold("a", "s1", 1)) == both
    assert rules.confirmed(both, claimant("b", epoch=2)) == (both[0], claimant("b", epoch=2))
    assert rules.confirmed(both, claimant("b", "s1", 2)) == both


@pytest.mark.parametrize(
    ("name", "other", "expected"),
    [
        ("under another epoch", claimant("a", epoch=9), True),
        ("of another session", claimant("a", "s1"), False),
        ("another one", claimant("b"), False),
    ],
)
def test_one_acquisition_is_the_same_under_two_epochs(name, other, expected):
    assert rules.is_same(claimant("a"), other) is expected


QUEUE = (claimant("a", "s1"), claimant("b", "s1"), claimant("c", "s2"), claimant("d", "s3"), claimant("e", "s1"))
HOLDING = (claimant("h", "s8"), claimant("i", "s9"))


@pytest.mark.parametrize(
    ("name", "session", "expected"),
    [
        ("the first elector", "s1", {"s8": 20, "s9": 20}),
        ("the second elector, whose ticket is the third", "s2", {"s8": 20, "s9": 20}),
        ("the third elector", "s3", {"s1": 20}),
        ("one that does not wait", "s7", {"s8": 20, "s9": 20}),
        ("one that holds", "s8", {"s9": 20}),
    ],
)
def test_whom_to_observe_in_a_queue(name, session, expected):
    assert rules.placed_behind(QUEUE, HOLDING, session) == expected


def test_nobody_observes_without_a_bound_nor_itself():
    everybody = [claimant("x", f"s{number}") for number in range(OBSERVED_MAX + 5)]
    observed = rules.foreign_sessions(everybody, "s0")
    assert list(observed) == [f"s{number}" for number in range(1, OBSERVED_MAX + 1)]


def test_those_who_disagree_are_told_both_and_who_used_it_last():
    differ = TermsDiffer("ours", "theirs", claimant("a"))
    assert (differ.ours, differ.theirs, differ.used_by) == ("ours", "theirs", claimant("a"))
