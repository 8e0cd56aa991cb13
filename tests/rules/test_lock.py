"""The lock record: claim, hand_on, enqueue, leave, confirm; tokens that only rise."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from elector_server.rules import lock as rules
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.lock import Lock, QueueFull


def claimant(holder: str, session: str = "s0", epoch: int = 1) -> Claimant:
    return Claimant(Hold(holder, session, epoch), f"client of {holder}", f"pod of {session}", "p", 20.0)


def nobody_ended(_: str) -> bool:
    return False


HELD = rules.claim(claimant("a"), "T0")
QUEUED = rules.enqueue(rules.enqueue(HELD, 5, claimant("b", "s1")), 6, claimant("c", "s2"))


@pytest.mark.parametrize("lock", [HELD, QUEUED])
def test_the_stored_form_reads_back(lock: Lock):
    assert Lock.from_spec(lock.to_spec()) == lock


def test_tokens_are_stored_as_decimal_text():
    assert QUEUED.to_spec()["token"] == "5"
    assert "token" not in HELD.to_spec()


def test_a_created_hold_has_its_versions_token_until_somebody_replaces_the_record():
    assert rules.token_of(HELD, 5) == 5
    assert rules.token_of(QUEUED, 7) == 5


def test_hand_on_of_an_empty_queue_frees_the_lock():
    assert rules.hand_on(HELD, 5, "T", ended=nobody_ended, local=None, session="s0") is None


def test_hand_on_makes_the_first_ticket_the_holder_and_its_token_the_next_version():
    heir = rules.hand_on(QUEUED, 7, "T", ended=nobody_ended, local=None, session="s0")
    assert heir is not None
    assert (heir.hold.holder, heir.token) == ("b", 8)
    assert [ticket.hold.holder for ticket in heir.queue] == ["c"]


def test_hand_on_requeues_the_releasers_own_waiter_at_the_tail():
    heir = rules.hand_on(QUEUED, 7, "T", ended=nobody_ended, local=claimant("a2"), session="s0")
    assert heir is not None
    assert [ticket.hold.holder for ticket in heir.queue] == ["c", "a2"]


def test_hand_on_to_the_releasers_own_waiter_if_nobody_else_waits():
    heir = rules.hand_on(HELD, 5, "T", ended=nobody_ended, local=claimant("a2"), session="s0")
    assert heir is not None
    assert (heir.hold.holder, heir.token, heir.queue) == ("a2", 6, ())


def test_hand_on_drops_tickets_of_ended_sessions():
    heir = rules.hand_on(QUEUED, 7, "T", ended=lambda session: session == "s1", local=None, session="s0")
    assert heir is not None
    assert heir.hold.holder == "c"


def test_an_observer_that_takes_over_keeps_its_place_and_everybody_elses():
    heir = rules.hand_on(QUEUED, 7, "T", ended=lambda s: s == "s0", local=claimant("c", "s2"), session="s2")
    assert heir is not None
    assert [heir.hold.holder, *(ticket.hold.holder for ticket in heir.queue)] == ["b", "c"]


def test_enqueue_again_replaces_the_ticket_in_its_place():
    again = rules.enqueue(QUEUED, 8, claimant("b2", "s1"))
    assert [ticket.hold.holder for ticket in again.queue] == ["b2", "c"]


def test_leave_removes_this_sessions_tickets_only():
    assert [ticket.hold.holder for ticket in rules.leave(QUEUED, 8, "s1").queue] == ["c"]


def test_leave_and_enqueue_keep_the_hold_and_its_token():
    for after in (rules.leave(QUEUED, 8, "s1"), rules.enqueue(QUEUED, 8, claimant("d", "s3"))):
        assert (after.hold, rules.token_of(after, 9)) == (QUEUED.hold, 5)


@pytest.mark.parametrize(
    ("name", "lock", "version", "presented", "expected"),
    [
        ("the client's token of a created hold", HELD, 9, 5, 5),
        ("no token presented", HELD, 9, None, 9),
        ("a token above the record's version cannot be right", HELD, 9, 10, 9),
        ("zero is no token", HELD, 9, 0, 9),
        ("a written token alone counts", QUEUED, 9, 3, 5),
    ],
)
def test_confirm_takes_the_presented_token_if_it_can_be_right(name, lock, version, presented, expected):
    after = rules.confirm(lock, version, claimant("a", "s0", 2), presented)
    assert rules.token_of(after, version + 1) == expected
    assert after.hold == Hold("a", "s0", 2)


def test_the_queue_has_a_bound():
    lock = HELD
    for number in range(rules.QUEUE_TICKETS_MAX):
        lock = rules.enqueue(lock, 5, claimant("x", f"session {number}"))
    with pytest.raises(QueueFull, match="1000"):
        rules.enqueue(lock, 5, claimant("y", "one too many"))


def test_the_queue_has_a_bound_for_metadata():
    said = dataclasses.replace(claimant("x"), metadata="ö" * 4096)  # 8 KiB in UTF-8.
    lock = HELD
    for number in range(rules.QUEUE_METADATA_BYTES_MAX // 8192):
        lock = rules.enqueue(lock, 5, dataclasses.replace(said, hold=Hold("x", f"session {number}", 1)))
    with pytest.raises(QueueFull, match="64 electors wait already"):
        rules.enqueue(lock, 5, dataclasses.replace(said, hold=Hold("y", "one too many", 1)))
    rules.enqueue(lock, 5, claimant("y", "one that says nothing"))
    rules.enqueue(lock, 5, dataclasses.replace(said, hold=Hold("z", "session 7", 1)))  # In the place of its own.
    assert len(rules.leave(lock, 5, "session 7").queue) == 63


def test_a_hand_off_keeps_what_the_next_holder_says_about_itself():
    says = dataclasses.replace(claimant("b", "s1"), metadata='{"a":1}')
    heir = rules.hand_on(rules.enqueue(HELD, 5, says), 6, "T", ended=nobody_ended, local=None, session="s0")
    assert heir is not None
    assert heir.claimant.metadata == '{"a":1}'
    assert Lock.from_spec(heir.to_spec()) == heir
    assert heir.to_spec()["metadata"] == '{"a":1}'
    assert "metadata" not in HELD.to_spec()
    confirmed = rules.confirm(heir, 7, dataclasses.replace(heir.claimant, hold=Hold("b", "s1", 2)), None)
    assert confirmed.claimant.metadata == '{"a":1}'


class Tenures(RuleBasedStateMachine):
    """Any sequence of legal writes: tokens rise by tenure, and never exceed the version that carries them."""

    def __init__(self) -> None:
        super().__init__()
        self.version = 0
        self.lock: Lock | None = None
        self.holders = 0
        self.last_token = 0

    def _write(self, lock: Lock | None, jump: int) -> None:
        self.version += jump
        before, self.lock = self.lock, lock
        if lock is not None and (before is None or before.hold.holder != lock.hold.holder):
            token = rules.token_of(lock, self.version)
            assert self.last_token < token <= self.version
            self.last_token = token

    def _fresh(self, session: int) -> Claimant:
        self.holders += 1
        return claimant(f"h{self.holders}", f"s{session}")

    @precondition(lambda self: self.lock is None)
    @rule(session=st.integers(0, 3), jump=st.integers(1, 9))
    def create(self, session: int, jump: int) -> None:
        self._write(rules.claim(self._fresh(session), "T"), jump)

    @precondition(lambda self: self.lock is not None)
    @rule(session=st.integers(0, 3), jump=st.integers(1, 9))
    def enqueue(self, session: int, jump: int) -> None:
        self._write(rules.enqueue(self.lock, self.version, self._fresh(session)), jump)

    @precondition(lambda self: self.lock is not None)
    @rule(session=st.integers(0, 3), jump=st.integers(1, 9))
    def leave(self, session: int, jump: int) -> None:
        self._write(rules.leave(self.lock, self.version, f"s{session}"), jump)

    @precondition(lambda self: self.lock is not None)
    @rule(session=st.integers(0, 3), has_waiter=st.booleans(), jump=st.integers(1, 9))
    def hand_on(self, session: int, has_waiter: bool, jump: int) -> None:  # noqa: FBT001 - drawn by Hypothesis
        local = self._fresh(session) if has_waiter else None
        self._write(
            rules.hand_on(self.lock, self.version, "T", ended=nobody_ended, local=local, session=f"s{session}"), jump
        )

    @precondition(lambda self: self.lock is not None)
    @rule(jump=st.integers(1, 9))
    def foreign_write(self, jump: int) -> None:
        """A label: the version grows, and a created hold's token is overstated from here on, but still rises."""
        self.version += jump
        self.last_token = max(self.last_token, rules.token_of(self.lock, self.version))

    @invariant()
    def one_ticket_per_session(self) -> None:
        if self.lock is not None:
            sessions = [ticket.hold.session for ticket in self.lock.queue]
            assert len(sessions) == len(set(sessions))


TestTenures = Tenures.TestCase
