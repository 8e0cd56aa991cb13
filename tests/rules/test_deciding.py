"""What an elector writes next to a shared record: each operation once, and nobody stands there who is gone."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from elector_server.deciding import AdoptedElsewhere, OutcomeForgotten, Request, Wishes, decide
from elector_server.rules import barrier, condition, semaphore
from elector_server.rules.condition import Condition
from elector_server.rules.semaphore import NoPermit, Semaphore, Terms
from elector_server.rules.shared import OPERATIONS_REMEMBERED
from tests.rules.claimants import at, claimant

TWO = Terms(2, bounded=False)
QUIET: dict[str, Any] = {
    "requests": (),
    "leaving": (),
    "here": (),
    "told": (),
    "session": "s0",
    "epoch": 1,
    "in_grace": False,
    "is_awaited": False,
    "tidy": False,
}


def wishes(**wanted: Any) -> Wishes[Any]:
    return Wishes(**QUIET | wanted)


def acquire(holder: str, session: str = "s0", *, queues: bool = True) -> Request[Semaphore]:
    def change(record: Semaphore | None, where: Any) -> tuple[Semaphore, str]:
        who = claimant(holder, session)
        return semaphore.acquire(record, who, TWO, where, queues=queues, alone=False), "acquired"

    return Request(holder, change, lambda _: "again", 1)


def release(operation: str, *own: str) -> Request[Semaphore]:
    def change(record: Semaphore | None, where: Any) -> tuple[Semaphore, int]:
        changed = semaphore.release(record, claimant("u"), TWO, where, permits=1, own=own, alone=False)
        return changed, changed.value

    return Request(operation, change, lambda _: "again", 1)


def holding(*holders: str, session: str = "s1") -> Semaphore:
    record = decide(None, at(0), wishes(requests=[acquire(holder, session) for holder in holders])).record
    assert record is not None
    return record


def holders(record: Any) -> list[str]:
    return [one.hold.holder for one in record.claimants()]


def answers(decision: Any) -> list[Any]:
    return [answer for _, answer in decision.answers]


def test_nothing_wanted_nothing_written():
    for before in (None, holding("a")):
        decision = decide(before, at(), wishes())
        assert (decision.record, decision.changed, decision.answers) == (before, False, [])


def test_all_that_is_wanted_goes_into_one_write_in_its_order():
    requests = [acquire("a"), acquire("b"), acquire("c"), release("r", "a")]
    decision = decide(None, at(0), wishes(requests=requests, here="abc"))
    assert (holders(decision.record), decision.changed) == (["b", "c"], True)
    assert answers(decision) == ["acquired"] * 3 + [0]


@pytest.mark.parametrize(("sent", "sent_over", "expected"), [(None, None, "again"), ("sent", 1, "sent")])
def test_what_is_in_the_record_already_is_not_done_again(sent, sent_over, expected):
    before = decide(holding("a", "b"), at(), wishes(requests=[release("r", "a")])).record
    repeated = release("r", "a")
    repeated.sent, repeated.sent_over = sent, sent_over
    decision = decide(before, at(), wishes(requests=[repeated]))
    assert (decision.record, decision.changed, answers(decision)) == (before, False, [expected])


def test_a_write_of_more_operations_than_are_remembered_is_done_as_a_whole():
    before = holding(*(f"h{number}" for number in range(2 * OPERATIONS_REMEMBERED)))
    many = [release(f"r{number}", f"h{number}") for number in range(2 * OPERATIONS_REMEMBERED)]
    refused = acquire("c", queues=False)
    first = decide(before, at(), wishes(requests=[refused, *many]))
    first.note_sending(before)
    assert "r0" not in first.record.operations
    decision = decide(first.record, at(), wishes(requests=[refused, *many]))
    assert answers(decision) == answers(first)
    assert (decision.record, decision.changed) == (first.record, False)


def test_a_late_write_is_not_taken_for_the_later_one_that_carried_more():
    before = holding(*(f"h{number}" for number in range(2 * OPERATIONS_REMEMBERED)))
    early = [release(f"r{number}", f"h{number}") for number in range(OPERATIONS_REMEMBERED)]
    late = release("late", f"h{OPERATIONS_REMEMBERED}")
    first = decide(before, at(), wishes(requests=early))
    first.note_sending(before)
    decide(before, at(), wishes(requests=[*early, late])).note_sending(before)
    decision = decide(first.record, at(), wishes(requests=[*early, late]))
    assert decision.changed
    assert f"h{OPERATIONS_REMEMBERED}" not in holders(decision.record)


def test_what_may_be_repeated_is_repeated_when_nobody_can_know():
    before = holding("a", "b")
    sent = Request("r", release("r", "a").change, lambda _: "again", 1, is_remembered=False)
    sent.sent, sent.sent_over = 1, before.operations.count
    after = before
    for number in range(OPERATIONS_REMEMBERED + 1):
        after = after.remembering(f"{number}")
    assert holders(decide(after, at(), wishes(requests=[sent])).record) == ["b"]


def test_what_need_not_be_remembered_is_done_again():
    again = Request("r", release("r").change, lambda _: "again", 1, is_remembered=False)
    once = decide(holding("a", "b"), at(), wishes(requests=[again])).record
    assert "r" not in once.operations
    assert holders(decide(once, at(), wishes(requests=[again])).record) == []


def test_when_nobody_can_know_nothing_is_done():
    before = holding("a", "b")
    sent = release("r", "a")
    sent.sent, sent.sent_over = 1, before.operations.count
    after = before
    for number in range(OPERATIONS_REMEMBERED + 1):
        after = after.remembering(f"{number}")
    decision = decide(after, at(), wishes(requests=[sent]))
    assert isinstance(answers(decision)[0], OutcomeForgotten)
    assert (decision.record, decision.changed) == (after, False)


def test_what_is_refused_changes_nothing_and_does_not_stop_the_others():
    before = holding("a", "b")
    decision = decide(before, at(), wishes(requests=[acquire("c", queues=False)]))
    assert isinstance(answers(decision)[0], NoPermit)
    assert (decision.record, decision.changed) == (before, False)
    decision = decide(before, at(), wishes(requests=[acquire("c", queues=False), release("r", "a")]))
    assert [type(answer) for answer in answers(decision)] == [NoPermit, int]
    assert "c" not in decision.record.operations


@pytest.mark.parametrize(
    ("name", "wanted", "expected"),
    [
        ("nobody waits and nothing is to be tidied", {}, False),
        ("somebody waits", {"is_awaited": True}, True),
        ("it is to be tidied", {"tidy": True}, True),
        ("something else is written", {"requests": [acquire("c", "s2")], "here": ["c"]}, True),
    ],
)
def test_the_dead_leave_when_somebody_cares(name, wanted, expected):
    decision = decide(holding("a", "b"), at(ended="s1"), wishes(**wanted))
    assert decision.changed is expected
    assert not {"a", "b"} & set(holders(decision.record))


def test_a_permit_of_a_dead_elector_can_be_had_at_once():
    decision = decide(holding("a", "b"), at(ended="s1"), wishes(requests=[acquire("c", queues=False)], here=["c"]))
    assert (answers(decision), holders(decision.record)) == (["acquired"], ["c"])


@pytest.mark.parametrize(
    ("name", "epoch", "wanted", "stays"),
    [
        ("a member", 1, {"here": ["a"]}, True),
        ("one that was told", 1, {"told": ["a"]}, True),
        ("one that gave up", 1, {"leaving": ["a"], "here": ["a"]}, False),
        ("one that nobody here knows: a late write", 1, {}, False),
        ("one of another session", 1, {"session": "s2"}, True),
        ("of the process before, in grace", 1, {"epoch": 2, "in_grace": True}, True),
        ("of the process before, in grace, given up", 1, {"epoch": 2, "in_grace": True, "leaving": ["a"]}, False),
        ("of the process before, grace over", 1, {"epoch": 2}, False),
        ("of the process before, came back", 1, {"epoch": 2, "here": ["a"]}, True),
        ("one that nobody here knows, in grace", 2, {"epoch": 2, "in_grace": True}, False),
    ],
)
def test_who_of_our_session_stands_for_nobody_leaves(name, epoch, wanted, stays):
    before = semaphore.acquire(None, claimant("a", "s1", epoch), TWO, at(0), queues=True, alone=False)
    decision = decide(before, at(), wishes(**{"session": "s1"} | wanted))
    assert (holders(decision.record), decision.changed) == (["a"] * stays, not stays)


def test_a_newer_epoch_is_somebody_elses():
    before = semaphore.acquire(None, claimant("a", "s0", 2), TWO, at(0), queues=True, alone=False)
    with pytest.raises(AdoptedElsewhere):
        decide(before, at(), wishes(leaving=["a"]))


def waiting(*names: str) -> Condition:
    record: Condition | None = None
    for name in names:
        record = condition.enqueue(record, claimant(name))
    assert record is not None
    return record


@pytest.mark.parametrize(
    ("name", "wanted", "expected"),
    [
        ("nothing else is written", {}, ["a", "b", "c"]),
        ("it is to be tidied", {"tidy": True}, ["b", "c"]),
        ("something else is written", {"leaving": ["c"]}, ["b"]),
    ],
)
def test_who_was_told_goes_along_with_any_write_and_wakes_nobody(name, wanted, expected):
    before, _ = condition.notify(waiting("a", "b", "c"), at(), 1)
    decision = decide(before, at(), wishes(told=["a"], here=["b", "c"], **wanted))
    assert holders(decision.record) == expected
    assert [ticket.notified for ticket in decision.record.tickets if ticket.claimant.hold.holder != "a"] == [
        False for holder in expected if holder != "a"
    ]


def test_a_notification_of_one_that_gave_up_wakes_the_next():
    before, _ = condition.notify(waiting("a", "b"), at(), 1)
    decision = decide(before, at(), wishes(leaving=["a"], here=["b"]))
    assert [(ticket.claimant.hold.holder, ticket.notified) for ticket in decision.record.tickets] == [("b", True)]


def test_one_that_arrives_and_gives_up_in_the_same_write_breaks_the_barrier():
    def change(record: Any, where: Any) -> tuple[Any, Any]:
        return barrier.arrive(record, claimant("b"), 3, where, acts=False, alone=False)

    before, _ = barrier.arrive(None, claimant("a", "s1"), 3, at(0), acts=False, alone=False)
    decision = decide(before, at(), wishes(requests=[Request("b", change, partial(str), 1)], leaving=["b"]))
    assert decision.record.state is barrier.State.BROKEN
    assert holders(decision.record) == ["a"]
