"""The semaphore record: the number that `threading` keeps, and permits that come back once, whoever gives them back."""

from __future__ import annotations

import dataclasses

import pytest

from elector_server.rules import semaphore as rules
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.semaphore import NoPermit, Permit, Semaphore, SemaphoreFull, Terms
from elector_server.rules.shared import CLAIMANTS_MAX, RecordFull, TermsDiffer
from tests.rules.claimants import at, claimant

PLAIN = Terms(2, bounded=False)
BOUNDED = Terms(2, bounded=True)


def semaphore(*held: str, queue: tuple[str, ...] = (), terms: Terms = PLAIN, extra: int = 0) -> Semaphore:
    """Permits and tickets named by holder, each of a session of its own, with the tokens 1, 2, ..."""
    permits = tuple(Permit(claimant(h, f"s{h}"), "T", token) for token, h in enumerate(held, 1))
    tickets = tuple(claimant(h, f"s{h}") for h in queue)
    return Semaphore(terms, extra, permits, tickets, used_by=claimant("user", "suser"))


def shown(record: Semaphore) -> tuple[list[str], list[str], int]:
    """Who holds, who waits, and the value."""
    held = [permit.claimant.hold.holder for permit in record.permits]
    return held, [ticket.hold.holder for ticket in record.queue], record.value


def acquired(record: Semaphore | None, holder: str, *, queues: bool = True, ended: str = "") -> Semaphore:
    terms = PLAIN if record is None else record.terms
    return rules.acquire(record, claimant(holder), terms, at(ended=ended), queues=queues, alone=False)


def released(
    record: Semaphore | None, permits: int, *own: str, terms: Terms | None = None, ended: str = ""
) -> Semaphore:
    terms = terms or (PLAIN if record is None else record.terms)
    return rules.release(record, claimant("user"), terms, at(ended=ended), permits=permits, own=own, alone=False)


@pytest.mark.parametrize(
    "record",
    [
        Semaphore(PLAIN),
        semaphore("a", "b", queue=("c",), terms=BOUNDED),
        semaphore("a", extra=3).remembering("one"),
        Semaphore(PLAIN, permits=(Permit(claimant("a"), "T", None),)),
    ],
)
def test_the_stored_form_reads_back(record: Semaphore):
    assert Semaphore.from_spec(record.to_spec()) == record


def test_tokens_are_stored_as_decimal_text():
    assert semaphore("a").to_spec()["permits"][0]["token"] == "1"
    assert "token" not in Semaphore(PLAIN, permits=(Permit(claimant("a"), "T", None),)).to_spec()["permits"][0]


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        ("nothing", {}, Semaphore(Terms(0, bounded=False))),
        ("a limit", {"limit": 3}, Semaphore(Terms(3, bounded=False))),
        (
            "a permit with the fields without which it is none",
            {"limit": 1, "permits": [{"holder": "h", "session": "s", "epoch": 1, "lease_seconds": 20.0}]},
            Semaphore(
                Terms(1, bounded=False), permits=(Permit(Claimant(Hold("h", "s", 1), "", "", "", 20.0), "", None),)
            ),
        ),
        ("with what nobody knows", {"limit": 1, "color": "red"}, Semaphore(Terms(1, bounded=False))),
    ],
)
def test_a_record_that_a_person_made_can_be_read(name, spec, expected):
    assert Semaphore.from_spec(spec) == expected


@pytest.mark.parametrize(
    ("name", "before", "expected"),
    [
        ("no record", None, (["x"], [], 1)),
        ("one is left", semaphore("a"), (["a", "x"], [], 0)),
        ("none is left", semaphore("a", "b"), (["a", "b"], ["x"], 0)),
        ("others wait", semaphore("a", "b", queue=("c",)), (["a", "b"], ["c", "x"], 0)),
        ("one more than at the start", semaphore("a", "b", extra=1), (["a", "b", "x"], [], 0)),
        ("of none", semaphore(terms=Terms(0, bounded=False)), ([], ["x"], 0)),
        ("a permit too many by hand", semaphore("a", "b", "c"), (["a", "b", "c"], ["x"], -1)),
        ("one that was added by hand goes to who waits", semaphore("a", queue=("c",)), (["a", "c"], ["x"], 0)),
    ],
)
def test_acquire_takes_a_permit_or_a_place_behind_all_others(name, before, expected):
    assert shown(acquired(before, "x")) == expected


@pytest.mark.parametrize(
    ("name", "before"),
    [
        ("all are held", semaphore("a", "b")),
        ("others wait", semaphore("a", "b", queue=("c",))),
        ("one that was added by hand is for who waits", semaphore("a", queue=("c",))),
    ],
)
def test_who_does_not_wait_is_refused_and_changes_nothing(name, before):
    stored = before.to_spec()
    with pytest.raises(NoPermit):
        acquired(before, "x", queues=False)
    assert before.to_spec() == stored


@pytest.mark.parametrize(("name", "holder", "queues"), [("it holds", "a", False), ("it waits", "c", True)])
def test_who_holds_or_waits_gets_no_second_permit_nor_place(name, holder, queues):
    before = semaphore("a", "b", queue=("c", "d"))
    assert shown(acquired(before, holder, queues=queues)) == shown(before)


def test_who_does_not_wait_takes_what_is_free():
    assert shown(acquired(semaphore("a"), "x", queues=False)) == (["a", "x"], [], 0)


@pytest.mark.parametrize(
    ("name", "before", "permits", "own", "ended", "expected"),
    [
        ("one's own, not the oldest", semaphore("a", "b"), 1, "b", "", (["a"], [], 1)),
        ("both of one's own", semaphore("a", "b"), 2, "a b", "", ([], [], 2)),
        ("by somebody who holds none: the oldest", semaphore("a", "b"), 1, "", "", (["b"], [], 1)),
        ("one's own and the oldest of the others", semaphore("a", "b", "c", extra=1), 2, "b", "", (["c"], [], 2)),
        ("one's own was given back before: the oldest", semaphore("a", "b"), 1, "gone", "", (["b"], [], 1)),
        ("none is held: the value grows", semaphore(), 1, "", "", ([], [], 3)),
        ("one is held, two are given back", semaphore("a"), 2, "", "", ([], [], 3)),
        ("no record: the value grows", None, 1, "", "", ([], [], 3)),
        ("somebody waits", semaphore("a", "b", queue=("c", "d")), 1, "a", "", (["b", "c"], ["d"], 0)),
        ("two wait", semaphore("a", "b", queue=("c", "d")), 2, "", "", (["c", "d"], [], 0)),
        ("more than wait", semaphore("a", "b", queue=("c",)), 3, "", "", (["c"], [], 2)),
        ("the dead are skipped", semaphore("a", "b", queue=("c", "d")), 1, "a", "sc", (["b", "d"], [], 0)),
        ("only dead ones wait", semaphore("a", "b", queue=("c",)), 1, "a", "sc", (["b"], [], 1)),
    ],
)
def test_release_gives_back_ones_own_then_anybodys_then_new_ones(name, before, permits, own, ended, expected):
    assert shown(released(before, permits, *own.split(), ended=ended)) == expected


def test_a_waiter_of_a_semaphore_of_none_gets_what_somebody_releases():
    none = Terms(0, bounded=False)
    waits = rules.acquire(None, claimant("x"), none, at(), queues=True, alone=False)
    assert shown(released(waits, 1)) == (["x"], [], 0)


@pytest.mark.parametrize(
    ("name", "before", "permits"),
    [
        ("no record", None, 1),
        ("none is held", semaphore(terms=BOUNDED), 1),
        ("one is held", semaphore("a", terms=BOUNDED), 2),
        ("all are held", semaphore("a", "b", queue=("c",), terms=BOUNDED), 3),
    ],
)
def test_a_bounded_one_takes_no_more_than_are_held_and_gives_none_back_then(name, before, permits):
    stored = None if before is None else before.to_spec()
    with pytest.raises(SemaphoreFull):
        released(before, permits, "a", terms=BOUNDED)
    assert before is None or before.to_spec() == stored


def test_a_bounded_one_takes_as_many_as_are_held():
    assert shown(released(semaphore("a", "b", terms=BOUNDED), 2, "a")) == ([], [], 2)


def test_a_permit_that_somebody_took_over_comes_back_once():
    taken_over = released(acquired(semaphore("a", "b"), "c"), 1)
    assert shown(taken_over) == (["b", "c"], [], 0)
    assert taken_over.leave(Hold("a", "sa", 1), at()) == taken_over


@pytest.mark.parametrize(
    ("name", "hold", "ended", "expected"),
    [
        ("one that holds: its permit goes to the next", Hold("a", "sa", 1), "", (["b", "c"], ["d"], 0)),
        ("one that holds, and the next is dead", Hold("a", "sa", 1), "sa sc", (["b", "d"], [], 0)),
        ("one that waits", Hold("c", "sc", 1), "", (["a", "b"], ["d"], 0)),
        ("of another epoch", Hold("a", "sa", 2), "", (["a", "b"], ["c", "d"], 0)),
        ("of another session", Hold("a", "sb", 1), "", (["a", "b"], ["c", "d"], 0)),
    ],
)
def test_one_that_leaves_gives_back_what_it_has(name, hold, ended, expected):
    assert shown(semaphore("a", "b", queue=("c", "d")).leave(hold, at(ended=ended))) == expected


def test_a_ticket_can_be_forgotten_but_not_a_permit():
    record = semaphore("a", "b", queue=("c",))
    assert shown(record.forget(Hold("c", "sc", 1))) == (["a", "b"], [], 0)
    assert record.forget(Hold("a", "sa", 1)) == record


@pytest.mark.parametrize(
    ("name", "before", "session", "alone", "ended"),
    [
        ("whoever used it last has ended", semaphore(), "s0", False, "suser"),
        ("it was the asking process", semaphore(), "suser", True, ""),
        ("nobody did", dataclasses.replace(semaphore(), used_by=None), "s0", False, ""),
    ],
)
def test_other_terms_are_taken_when_nobody_can_mind(name, before, session, alone, ended):
    where = at(session=session, ended=ended)
    after = rules.acquire(before, claimant("x"), Terms(5, bounded=True), where, queues=True, alone=alone)
    assert (after.terms, after.value) == (Terms(5, bounded=True), 4)


@pytest.mark.parametrize(
    ("name", "before", "terms", "session", "alone", "ended"),
    [
        ("another limit", semaphore(), Terms(3, bounded=False), "s0", False, ""),
        ("the same limit, but bounded", semaphore(), Terms(2, bounded=True), "s0", False, ""),
        ("another process of this elector uses it, too", semaphore(), Terms(3, bounded=False), "suser", False, ""),
        ("somebody holds", semaphore("a"), Terms(3, bounded=False), "suser", True, "suser"),
        ("somebody waits", semaphore(queue=("a",)), Terms(3, bounded=False), "suser", True, "suser"),
        ("its value has grown", semaphore(extra=1), Terms(3, bounded=False), "suser", True, "suser"),
        ("this process is alone here, but another one used it", semaphore(), Terms(3, bounded=False), "s0", True, ""),
    ],
)
def test_other_terms_are_refused_and_both_are_named(name, before, terms, session, alone, ended):
    stored, where = before.to_spec(), at(session=session, ended=ended)
    with pytest.raises(TermsDiffer) as acquiring:
        rules.acquire(before, claimant("x"), terms, where, queues=True, alone=alone)
    with pytest.raises(TermsDiffer):
        rules.release(before, claimant("x"), terms, where, permits=1, own=(), alone=alone)
    assert (acquiring.value.ours, acquiring.value.theirs) == (str(terms), str(before.terms))
    assert acquiring.value.used_by == before.used_by
    assert before.to_spec() == stored


def test_terms_as_people_read_them():
    assert str(PLAIN) == "a semaphore of 2"
    assert str(BOUNDED) == "a bounded semaphore of 2"


def test_whoever_acquires_or_releases_has_used_it():
    assert acquired(semaphore("a", "b"), "x").used_by == claimant("x")
    assert released(semaphore("a"), 1).used_by == claimant("user")


@pytest.mark.parametrize(("version", "token"), [(0, None), (7, 8)])
def test_a_permit_has_the_token_of_the_write_that_gave_it(version, token):
    after = rules.acquire(None, claimant("x"), PLAIN, at(version), queues=True, alone=False)
    assert after.permits[0].token == token


def test_whoever_replaces_what_a_create_wrote_writes_its_token_down():
    created = rules.acquire(None, claimant("x"), PLAIN, at(0), queues=True, alone=False)
    both = acquired(created, "y").written_over(7)
    assert [permit.token for permit in both.permits] == [7, 8]
    assert both.written_over(9) == both


@pytest.mark.parametrize(
    ("name", "token", "presented", "expected"),
    [
        ("the client's token of a created permit", None, 5, 5),
        ("no token presented", None, None, None),
        ("a token above the record's version cannot be right", None, 8, None),
        ("zero is no token", None, 0, None),
        ("a written token alone counts", 3, 5, 3),
    ],
)
def test_confirm_takes_the_presented_token_if_it_can_be_right(name, token, presented, expected):
    record = Semaphore(PLAIN, permits=(Permit(claimant("a"), "then", token), Permit(claimant("b"), "then", 2)))
    after = record.confirm(claimant("a", epoch=2), presented, at(7))
    assert after.permits == (Permit(claimant("a", epoch=2), "then", expected), record.permits[1])


def test_an_adopted_ticket_keeps_its_place():
    after = semaphore("a", "b", queue=("c", "d")).confirm(claimant("c", "sc", 2), None, at())
    assert [ticket.hold for ticket in after.queue] == [Hold("c", "sc", 2), Hold("d", "sd", 1)]


def test_a_permit_of_another_session_is_not_confirmed():
    record = semaphore("a", queue=("c",))
    assert record.confirm(claimant("a", "sb", 2), None, at()) == record
    assert record.confirm(claimant("c", "sb", 2), None, at()) == record


def test_it_has_room_for_so_many_and_one_that_is_refused_changes_nothing():
    wide = Terms(CLAIMANTS_MAX + 1, bounded=False)
    names = tuple(f"{number}" for number in range(CLAIMANTS_MAX))
    for full, message in [
        (semaphore(*names, terms=wide), "1000 permits are held already"),
        (semaphore("a", "b", queue=names), "1000 wait already"),
    ]:
        stored = full.to_spec()
        with pytest.raises(RecordFull, match=message):
            acquired(full, "one too many")
        assert full.to_spec() == stored


def test_the_last_that_there_is_room_for():
    wide = Terms(CLAIMANTS_MAX + 1, bounded=False)
    names = tuple(f"{number}" for number in range(CLAIMANTS_MAX - 1))
    assert len(acquired(semaphore(*names, terms=wide), "last").permits) == CLAIMANTS_MAX
    assert len(acquired(semaphore("a", "b", queue=names), "last").queue) == CLAIMANTS_MAX


def test_who_is_in_it_and_whose_permit_is_whose():
    record = semaphore("a", "b", queue=("c",))
    assert [one.hold.holder for one in record.claimants()] == ["a", "b", "c"]
    assert record.permit_of("b") == record.standing("b") == record.permits[1]
    assert record.permit_of("c") is None
    assert record.standing("c") == record.queue[0]
    assert record.permit_of("x") is record.standing("x") is None


def test_who_stands_in_it_is_found_anew_after_each_change():
    record = semaphore("a", "b", queue=("c",))
    assert record.standing("c") == record.queue[0]
    after = record.leave(Hold("a", "sa", 1), at())
    assert (after.standing("a"), after.standing("c")) == (None, after.permits[1])


@pytest.mark.parametrize(
    ("name", "session", "expected"),
    [
        ("the first that waits looks at those who hold", "sc", {"sa": 20, "sb": 20}),
        ("so does the second", "sd", {"sa": 20, "sb": 20}),
        ("the others look at the first", "se", {"sc": 20}),
        ("who does not wait looks at those who hold", "elsewhere", {"sa": 20, "sb": 20}),
        ("nobody looks at itself", "sa", {"sb": 20}),
    ],
)
def test_whom_to_observe(name, session, expected):
    assert semaphore("a", "b", queue=("c", "d", "e")).depends_on(session) == expected


@pytest.mark.parametrize(
    ("name", "before", "expected"),
    [
        ("it holds: its permit goes to the next", semaphore("a", "b", queue=("c",)), (["b", "c"], [], 0)),
        ("somebody released its permit: that counts for itself", semaphore("b"), (["b"], [], 2)),
        ("the same, and somebody waits", semaphore("b", "d", queue=("c",)), (["b", "d", "c"], [], 0)),
        ("the same of a bounded one", semaphore("b", terms=BOUNDED), (["b"], [], 1)),
    ],
)
def test_one_that_is_withdrawn_is_as_if_it_had_never_been(name, before, expected):
    assert shown(rules.withdraw(before, Hold("a", "sa", 1), at(), has_joined=True)) == expected


@pytest.mark.parametrize("before", [semaphore("b"), semaphore("b").remembering("a")])
def test_one_that_joined_in_a_process_before_may_have_given_its_permit_back_itself(before):
    assert rules.withdraw(before, Hold("a", "sa", 1), at(), has_joined=False) == before
