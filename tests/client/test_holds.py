"""What a process believes, with time as an argument: the rules of validity, one by one."""

from __future__ import annotations

import math

import pytest

from metaparticle_sync._answers import Granted, Lost
from metaparticle_sync._holds import Holds

CLIENT = "c" * 32


class Beliefs:
    """Holds, with the lock `x` and the losses that were told."""

    def __init__(self):
        self.holds = Holds()
        self.x = self.holds.shared("x")
        self.told = []

    def granted(self, until, *, incarnation="one", holder="a", token=1, at=0.0, shared=None):
        grant = Granted(holder, token, incarnation, until)
        return self.holds.admit(shared or self.x, CLIENT, grant, self.told.append, at)

    def hold(self, until, at=0.0, **options):
        hold = self.granted(until, at=at, **options)
        assert self.holds.deliver(hold, at)
        return hold


@pytest.fixture
def beliefs():
    beliefs = Beliefs()
    beliefs.holds.extend("one", 10.0, 0.0)
    return beliefs


def test_valid_before_the_deadline_and_not_at_it(beliefs):
    hold = beliefs.hold(10.0)
    assert hold.is_valid(9.999)
    assert not hold.is_valid(10.0)


def test_every_answer_under_the_same_incarnation_extends(beliefs):
    hold = beliefs.hold(5.0)
    assert hold.is_valid(9.0)
    beliefs.holds.extend("one", 20.0, 8.0)
    assert hold.is_valid(19.0)


def test_an_older_answer_that_comes_later_shortens_nothing(beliefs):
    hold = beliefs.hold(10.0)
    beliefs.holds.extend("one", 4.0, 3.0)
    assert hold.is_valid(9.0)


def test_a_useless_grant_is_covered_by_heartbeats(beliefs):
    beliefs.holds.extend("one", 40.0, 9.0)
    hold = beliefs.granted(until=11.0, at=25.0)
    assert beliefs.holds.is_certain(hold, 25.0)
    assert beliefs.holds.deliver(hold, 25.0)


def test_another_incarnation_extends_nothing_until_confirmed(beliefs):
    hold = beliefs.hold(10.0)
    beliefs.holds.extend("two", 30.0, 5.0)
    assert beliefs.holds.has_unconfirmed()
    assert hold.is_valid(9.9)
    assert not hold.is_valid(10.0)
    beliefs.holds.confirm(["a"])
    assert not beliefs.holds.has_unconfirmed()
    assert hold.is_valid(29.0)


def test_confirmation_never_shortens(beliefs):
    hold = beliefs.hold(10.0)
    beliefs.holds.extend("two", 7.0, 5.0)
    beliefs.holds.confirm(["a"])
    assert hold.is_valid(9.0)
    assert beliefs.holds.has_unconfirmed()


def test_unconfirmed_come_first(beliefs):
    beliefs.hold(10.0)
    beliefs.holds.extend("two", 30.0, 5.0)
    beliefs.hold(30.0, incarnation="two", holder="b", shared=beliefs.holds.shared("y"), at=5.0)
    beliefs.holds.confirm(["b"])
    assert [hold.holder for hold in beliefs.holds.unconfirmed_first()] == ["a", "b"]


def test_a_lapsed_term_is_never_revived(beliefs):
    hold = beliefs.hold(10.0)
    beliefs.holds.extend("one", 30.0, 10.0)
    assert not hold.is_valid(10.0)
    assert beliefs.holds.expire(10.0) == [hold]
    beliefs.holds.confirm(["a"])
    assert not hold.is_valid(11.0)
    assert [loss.token for loss in beliefs.told] == [1]


def test_a_grant_under_another_incarnation_is_not_certain(beliefs):
    hold = beliefs.granted(until=20.0, incarnation="two")
    assert not beliefs.holds.is_certain(hold, 0.0)
    beliefs.holds.extend("two", 30.0, 1.0)
    beliefs.holds.confirm(["a"])
    assert beliefs.holds.is_certain(hold, 1.0)


def test_a_grant_whose_time_is_over_is_not_delivered(beliefs):
    hold = beliefs.granted(until=10.0, at=10.0)
    assert not beliefs.holds.deliver(hold, 10.0)
    assert beliefs.x.hold is None
    assert beliefs.told == []
    assert len(beliefs.holds) == 0


def test_expiry_is_told_once_and_says_why(beliefs):
    hold = beliefs.hold(10.0)
    assert beliefs.holds.next_deadline() == 10.0
    assert beliefs.holds.expire(9.9) == []
    beliefs.holds.expire(10.0)
    beliefs.holds.expire(11.0)
    assert len(beliefs.told) == 1
    assert "'x' (token 1): its time ran out" in str(beliefs.told[0])
    assert beliefs.x.hold is None
    assert beliefs.x.lost is hold
    assert beliefs.holds.next_deadline() == math.inf


def test_reported_losses_are_told_once(beliefs):
    beliefs.hold(10.0)
    beliefs.holds.lose_reported([Lost("a", "because"), Lost("unknown", "because")])
    beliefs.holds.lose_reported([Lost("a", "because")])
    assert [loss.reason for loss in beliefs.told] == ["because"]


def test_a_loss_that_overtakes_its_grant(beliefs):
    beliefs.holds.expect("a")
    beliefs.holds.lose_reported([Lost("a", "because")])
    assert not beliefs.holds.deliver(beliefs.granted(10.0), 0.0)
    assert beliefs.told == []


def test_a_loss_between_grant_and_delivery(beliefs):
    hold = beliefs.granted(10.0)
    beliefs.holds.lose_reported([Lost("a", "because")])
    assert not beliefs.holds.deliver(hold, 0.0)
    assert beliefs.told == []


def test_a_released_hold_can_not_be_lost(beliefs):
    beliefs.hold(10.0)
    assert beliefs.holds.drop(beliefs.x, 5.0) is not None
    beliefs.holds.lose_reported([Lost("a", "because")])
    beliefs.holds.expire(20.0)
    assert beliefs.told == []
    assert beliefs.holds.drop(beliefs.x, 5.0) is None


def test_release_after_the_deadline_is_a_loss(beliefs):
    beliefs.hold(10.0)
    assert beliefs.holds.drop(beliefs.x, 10.0) is None
    assert len(beliefs.told) == 1


def test_a_new_grant_proves_that_the_hold_before_was_lost(beliefs):
    beliefs.hold(10.0)
    newer = beliefs.hold(10.0, holder="b", token=2)
    assert [loss.token for loss in beliefs.told] == [1]
    assert beliefs.x.hold is newer
    assert newer.is_valid(5.0)


def test_a_loss_waits_for_the_thread_that_held(beliefs):
    hold = beliefs.hold(10.0)
    beliefs.holds.lose_reported([Lost("a", "because")])
    newer = beliefs.hold(10.0, holder="b", token=2)
    assert beliefs.x.lost is None  # It acquired again itself.
    hold.thread = newer.thread + 1
    beliefs.x.lost = hold
    assert beliefs.x.take_loss() is None  # The newer hold is this thread's, and can be released.
    beliefs.holds.drop(beliefs.x, 1.0)
    assert beliefs.x.take_loss() is hold
    assert beliefs.x.take_loss() is None


def test_discarded_is_forgotten_without_a_word(beliefs):
    beliefs.hold(10.0)
    beliefs.holds.discard("a")
    assert beliefs.x.hold is None
    beliefs.holds.expire(20.0)
    assert beliefs.told == []


def test_forget_all_frees_in_place(beliefs):
    hold = beliefs.hold(10.0)
    beliefs.holds.forget_all()
    assert beliefs.x.hold is None
    assert beliefs.holds.shared("x") is beliefs.x
    beliefs.holds.lose(hold, "too late")
    assert beliefs.told == []
