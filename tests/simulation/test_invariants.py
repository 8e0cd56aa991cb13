"""Each invariant finds the violation that it is for, and finds nothing in a history without one."""

from __future__ import annotations

from typing import Any

from elector_server.store import Record
from tests.simulation import invariants
from tests.simulation.history import Attempt, Belief, Call, Check, History
from tests.simulation.recorder import Commit, Operation


def belief(client: str, token: int, began: float, ended: float) -> Belief:
    return Belief("a", client, f"holder of {client}", token, began, ended)


def lock_commit(at: float, version: int, holder: str | None, before: Record | None = None, **spec: Any) -> Commit:
    content = {"holder": holder, "session": "s", "epoch": 1} | spec
    record = None if holder is None else Record("lock", "a", version, "s", content)
    return Commit(at, version, Operation("e0", "create", "lock", "a"), record, before)


def session_commit(version: int, before: dict[str, Any], after: dict[str, Any]) -> Commit:
    basis = {"state": "live", "epoch": 1, "seq": 1, "lease_seconds": 20.0}
    records = [Record("session", "s", version, "", basis | spec) for spec in (before, after)]
    return Commit(1.0, version, Operation("e0", "replace", "session", "s"), records[1], records[0])


def test_beliefs_one_after_the_other_are_fine() -> None:
    rows = [belief("one", 1, 0.0, 5.0), belief("two", 2, 5.0, 9.0)]
    assert not list(invariants.beliefs_are_disjoint(rows))


def test_two_beliefs_at_once_are_found() -> None:
    rows = [belief("one", 1, 0.0, 5.0), belief("two", 2, 4.9, 9.0)]
    assert "two believe at 4.900" in "".join(invariants.beliefs_are_disjoint(rows))


def test_a_long_belief_under_short_ones_is_found() -> None:
    rows = [belief("one", 1, 0.0, 9.0), belief("two", 2, 1.0, 2.0), belief("three", 3, 3.0, 4.0)]
    assert len(list(invariants.beliefs_are_disjoint(rows))) == 2


def test_tokens_that_fall_are_found() -> None:
    rows = [belief("one", 2, 0.0, 5.0), belief("two", 1, 6.0, 9.0)]
    assert "tokens do not rise" in "".join(invariants.beliefs_are_disjoint(rows))


def test_an_old_token_at_a_resource_is_found() -> None:
    checks = [Check(1.0, "a", "one", "h", 5, True), Check(2.0, "a", "two", "i", 4, True)]
    assert len(list(invariants.tokens_rise(checks))) == 1
    assert not list(invariants.tokens_rise([checks[0], Check(2.0, "a", "two", "i", 4, False)]))


def test_a_belief_outlives_its_tenure() -> None:
    held = invariants.tenures([lock_commit(1.0, 7, "holder of one"), lock_commit(3.0, 8, None)])
    assert not list(invariants.beliefs_lie_within_their_tenure([belief("one", 7, 1.0, 3.0)], held))
    assert list(invariants.beliefs_lie_within_their_tenure([belief("one", 7, 1.0, 3.1)], held))
    assert list(invariants.beliefs_lie_within_their_tenure([belief("one", 7, 0.9, 2.0)], held))


def test_a_token_that_the_store_never_showed_is_found() -> None:
    held = invariants.tenures([lock_commit(1.0, 7, "holder of one")])
    assert "never showed" in "".join(invariants.beliefs_lie_within_their_tenure([belief("one", 6, 1.0, 2.0)], held))


def test_a_token_that_changes_within_a_tenure_is_found() -> None:
    first = lock_commit(1.0, 7, "h")
    same = lock_commit(2.0, 8, "h", first.record, token="7")
    other = lock_commit(2.0, 8, "h", first.record, token="8")
    assert not list(invariants.tenures_have_one_rising_token([first, same]))
    assert list(invariants.tenures_have_one_rising_token([first, other]))


def test_a_token_that_does_not_rise_between_tenures_is_found() -> None:
    first = lock_commit(1.0, 7, "h")
    assert list(invariants.tenures_have_one_rising_token([first, lock_commit(2.0, 8, "i", first.record, token="7")]))


def test_a_holder_with_two_tokens_is_found() -> None:
    assert list(invariants.one_token_per_holder([belief("one", 1, 0.0, 1.0), belief("one", 2, 2.0, 3.0)]))


def test_sessions_that_go_back_are_found() -> None:
    assert not list(invariants.sessions_never_go_back([session_commit(2, {}, {"seq": 2})]))
    assert not list(invariants.sessions_never_go_back([session_commit(2, {}, {"state": "ended"})]))
    for before, after in (
        ({"state": "ended"}, {"state": "live"}),
        ({"seq": 3}, {"seq": 2}),
        ({"epoch": 2}, {"epoch": 1}),
        ({}, {"lease_seconds": 10.0}),
    ):
        assert list(invariants.sessions_never_go_back([session_commit(2, before, after)]))


def test_versions_that_fall_are_found() -> None:
    assert list(invariants.versions_rise([lock_commit(1.0, 7, "h"), lock_commit(2.0, 7, None)]))


def test_a_call_that_takes_too_long_is_found() -> None:
    calls = [Call("acquire a", "one", 1.0, 5.9, 5.0, None), Call("acquire a", "two", 1.0, 6.1, 5.0, None)]
    assert [line for line in invariants.calls_return_in_time(calls) if "two" in line]
    assert len(list(invariants.calls_return_in_time(calls))) == 1


def test_a_free_lock_with_a_waiter_is_found_in_quiet_times_only() -> None:
    held = invariants.tenures([lock_commit(9.0, 7, "h")])
    history = History(attempts=[Attempt("a", "one", 1.0, 9.1, True)], first_fault_at=20.0)
    assert list(invariants.nobody_waits_for_a_free_lock(history, held))
    history.first_fault_at = 5.0
    assert not list(invariants.nobody_waits_for_a_free_lock(history, held))


def test_a_grant_that_its_holder_hears_of_late_is_found() -> None:
    held = invariants.tenures([lock_commit(1.0, 7, "holder of one")])
    history = History(beliefs=[belief("one", 7, 3.0, 4.0)], first_fault_at=20.0)
    assert list(invariants.nobody_waits_for_a_free_lock(history, held))
