"""Everything that can happen between the release of a condition's lock and the return of `wait`."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest

from metaparticle_sync import Condition, ElectorRefused, ElectorUnavailable, Lock, LockLost, RLock
from metaparticle_sync._answers import Refused
from metaparticle_sync._farewells import Farewells
from metaparticle_sync._ticket import _Leaving
from tests.client.fake_elector import eventually
from tests.client.fake_waiting import FakeConditions, asked, waiting_in_thread
from tests.client.faults import drop, hang, refuses, says
from tests.client.in_threads import interrupted_when


@pytest.fixture
def conditions(elector):
    return FakeConditions(elector)


def test_notified_in_the_last_moment_is_notified(elector, conditions):
    """The elector decides at the withdrawal, not the clock of the waiter."""

    def notifies(handler):
        conditions.notify("q")
        with elector.changed:
            conditions.delete(handler, "q", elector.requests[-1].body)

    condition = Condition(name="q")
    elector.inject("DELETE", "/conditions", notifies)
    with condition:
        assert condition.wait(0.05) is True


def test_notified_in_the_last_moment_is_notified_even_if_the_answer_is_lost(elector, conditions):
    def notifies_and_drops(handler):
        with elector.changed:
            conditions.of("q").pop(elector.requests[-1].body["holder"])
        drop(handler)

    condition = Condition(name="q")
    elector.inject("DELETE", "/conditions", notifies_and_drops)
    with condition:
        assert condition.wait(0.05) is True


def test_a_notification_of_which_nobody_hears_goes_to_the_next(elector, conditions):
    """The elector told us, but its answer was lost, and then it was away for too long."""

    def notifies_and_breaks(handler):
        with elector.changed:
            conditions.of("q").pop(elector.requests[-1].body["holder"])
        elector.inject("DELETE", "/conditions", refuses(503, "store_unavailable"), times=100_000)
        drop(handler)

    condition = Condition(name="q")
    elector.inject("DELETE", "/conditions", notifies_and_breaks)
    with condition, pytest.raises(ElectorUnavailable):
        condition.wait(0.05)
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: conditions.waiting("q") == 1)
    elector.heal()
    assert waiting.result() == (True, True)


def test_a_long_wait_is_a_row_of_polls_of_one_ticket(elector, conditions):
    condition = Condition(name="q", unavailable_seconds=0.2)
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: asked(elector).count("wait") >= 4)
    conditions.notify("q")
    assert waiting.result() == (True, True)
    assert len({request.body["holder"] for request in elector.asked("PUT", "/conditions")}) == 1


@pytest.mark.parametrize("act", [drop, refuses(503, "elector_busy"), refuses(409, "unknown_client")])
def test_passing_trouble_is_not_seen(elector, conditions, act):
    condition = Condition(name="q")
    elector.inject("PUT", "/conditions", act, times=3)
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: conditions.waiting("q") == 1 and "wait" in asked(elector))
    elector.inject("POST", "/conditions", act, times=3)
    with condition:
        condition.notify()
    assert waiting.result() == (True, True)
    assert len({request.body["operation"] for request in elector.asked("POST", "/conditions")}) == 1


def test_an_elector_that_restarts_loses_no_wake_up(elector, conditions):
    condition = Condition(name="q")
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: "wait" in asked(elector))
    elector.kill()
    conditions.notify("q")
    elector.start()
    assert waiting.result() == (True, True)


def test_a_ticket_that_is_gone_wakes_its_waiter(elector, conditions):
    condition = Condition(name="q")
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: "wait" in asked(elector))
    with elector.changed:
        conditions.tickets.clear()
        elector.changed.notify_all()
    elector.kill()
    elector.start()
    assert waiting.result() == (True, True)


def test_a_wait_that_can_not_begin_keeps_the_lock(elector, conditions):
    condition = Condition(name="q")
    with condition:
        elector.inject("PUT", "/conditions", refuses(503, "store_unavailable"), times=100_000)
        with pytest.raises(ElectorUnavailable, match="store_unavailable"):
            condition.wait(0.1)
        assert condition._is_owned()
        assert "release" not in asked(elector)
        elector.heal()
        assert condition.wait(0.01) is False


def test_a_ticket_whose_answer_is_lost_is_taken_back(elector, conditions):
    def enqueues_and_hangs(handler):
        conditions.of("q")[elector.requests[-1].body["holder"]] = False
        hang(handler)

    condition = Condition(name="q")
    with condition:
        elector.inject("PUT", "/conditions", enqueues_and_hangs)
        elector.inject("PUT", "/conditions", refuses(503, "elector_busy"), times=100_000)
        with pytest.raises(ElectorUnavailable):
            condition.wait(0.1)
        assert condition._is_owned()
    assert eventually(lambda: conditions.of("q") == {})


def test_a_wait_that_fails_has_the_lock_again_and_passes_its_notification_on(elector, conditions):
    condition, failing = Condition(name="q"), Condition(name="q", unavailable_seconds=0.2)
    notified = []

    def fail(handler):
        if not notified:
            notified.append(conditions.notify("q"))
        handler.problem(503, "store_unavailable")

    with failing:
        elector.inject("PUT", "/conditions", lambda handler: conditions_put(conditions, handler, elector))
        elector.inject("PUT", "/conditions", fail, times=100_000)
        with pytest.raises(ElectorUnavailable, match="store_unavailable"):
            failing.wait(0.1)
        elector.heal()
        assert failing._is_owned()
    assert eventually(lambda: conditions.of("q") == {})
    assert elector.asked("DELETE", "/conditions")[-1].body["pass_on"] is True
    assert condition._lock.acquire(blocking=False)


def conditions_put(conditions, handler, elector):
    with elector.changed:
        conditions.put(handler, "q", elector.requests[-1].body)


def test_a_withdrawal_that_is_not_answered_is_no_false(elector, conditions):
    condition = Condition(name="q")
    with condition:
        elector.inject("DELETE", "/conditions", refuses(503, "store_unavailable"), times=100_000)
        before = time.monotonic()
        with pytest.raises(ElectorUnavailable, match="store_unavailable"):
            condition.wait(0.1)
        assert time.monotonic() - before < 11
        assert condition._is_owned()
        elector.heal()
    assert eventually(lambda: conditions.of("q") == {})


def test_an_interrupted_wait_has_the_lock_again_and_passes_its_notification_on(elector, conditions):
    condition = Condition(name="q")
    with condition:
        with pytest.raises(KeyboardInterrupt), interrupted_when(lambda: "wait" in asked(elector)):
            condition.wait()
        assert condition._is_owned()
    assert conditions.of("q") == {}
    [farewell] = elector.asked("DELETE", "/conditions")
    assert farewell.body["pass_on"] is True


def test_an_interrupted_wait_is_prompt_even_if_the_elector_hangs(elector, conditions):
    condition = Condition(name="q")
    with condition:
        elector.inject("DELETE", "/conditions", hang)
        before = time.monotonic()
        with pytest.raises(KeyboardInterrupt), interrupted_when(lambda: "wait" in asked(elector)):
            condition.wait()
        assert time.monotonic() - before < 5
    assert eventually(lambda: conditions.of("q") == {})


def test_a_lock_that_is_lost_while_it_waits_to_begin(elector, conditions):
    lock = RLock("x")
    condition = Condition(lock, name="q")

    def loses(handler):
        elector.lose("x")
        assert eventually(lambda: not lock.held)
        conditions_put(conditions, handler, elector)

    lock.acquire()
    elector.inject("PUT", "/conditions", loses)
    with pytest.raises(LockLost):
        condition.wait()
    assert conditions.of("q") == {}


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_a_lock_that_was_lost_is_more_than_un_acquired(elector, conditions, kind):
    condition = Condition(kind("x"), name="q")
    for act in (condition.wait, condition.notify, condition.notify_all):
        with pytest.raises(LockLost, match="because of the test"), condition:
            elector.lose("x")
            assert eventually(lambda: not condition._is_owned())
            act()
        with pytest.raises(RuntimeError, match="un-acquired"):
            act()


def test_a_ticket_that_an_elector_of_after_does_not_know_is_given_up_again_later():
    """As with locks: it may stand in the record, and this client may be known soon."""
    sidecar = SimpleNamespace(address=SimpleNamespace(url="http://x"))

    def refused(*_, **__):
        raise Refused(409, "unknown_client", "who?", "")

    sidecar.withdraw_ticket = refused
    farewells = Farewells()
    farewells.add(_Leaving("/conditions/x", "c", "h"))
    with pytest.raises(ElectorUnavailable):
        farewells.say_next(sidecar, 1.0)
    assert farewells


def test_a_lock_that_does_not_come_back_is_not_released(elector, conditions):
    """What the caller has to see is why, not "un-acquired lock"."""
    for kind in (Lock, RLock):
        condition = Condition(kind("x", unavailable_seconds=0.1), name="q")
        with pytest.raises(ElectorUnavailable, match="store_unavailable"), condition:
            elector.inject("DELETE", "/conditions", breaks_locks)
            condition.wait(0.01)
        elector.heal()
        assert elector.locks == {}
        assert condition._lock._entered == {}
        with pytest.raises(KeyError), condition:
            assert condition._is_owned()
            raise KeyError
        assert elector.locks == {}


def test_a_lock_that_does_not_come_back_is_released_by_none_of_those_who_had_it(elector, conditions):
    condition = Condition(RLock("x", unavailable_seconds=0.1), name="q")
    with pytest.raises(ElectorUnavailable, match="store_unavailable"), condition, condition:
        elector.inject("DELETE", "/conditions", breaks_locks)
        condition.wait(0.01)


def breaks_locks(handler):
    fake = handler.server.fake
    fake.inject("PUT", "/locks", refuses(503, "store_unavailable"), times=100_000)
    with fake.changed:
        fake.kinds["conditions"].delete(handler, "q", fake.requests[-1].body)


def test_a_lock_that_did_not_come_back_can_be_acquired_and_is_released_then(elector, conditions):
    condition = Condition(RLock("x", unavailable_seconds=0.1), name="q")
    with pytest.raises(KeyError), condition:
        elector.inject("DELETE", "/conditions", breaks_locks)
        with pytest.raises(ElectorUnavailable):
            condition.wait(0.01)
        elector.heal()
        assert condition.acquire()
        raise KeyError
    assert elector.locks == {}
    with pytest.raises(RuntimeError, match="un-acquired"), condition:
        elector.inject("DELETE", "/conditions", breaks_locks)
        with pytest.raises(ElectorUnavailable):
            condition.wait(0.01)
        elector.heal()


def test_a_refusal_for_good_is_raised_with_its_code(elector, conditions):
    condition = Condition(name="q")
    with condition:
        for method, act in (("PUT", condition.wait), ("POST", condition.notify)):
            elector.inject(method, "/conditions", refuses(400, "bad_body"))
            with pytest.raises(ElectorRefused, match="bad_body"):
                act()
        assert condition._is_owned()


@pytest.mark.parametrize(
    "body", [{}, [], {"state": "held"}, {"state": 1, "notified": "2"}, {"notified": True}, b"hello"]
)
def test_what_is_no_elector_is_not_believed(elector, conditions, body):
    condition = Condition(name="q", unavailable_seconds=0.1)
    with condition:
        for method, act in (("PUT", condition.wait), ("POST", condition.notify)):
            elector.inject(method, "/conditions", says(200, body), times=100_000)
            with pytest.raises(ElectorUnavailable, match="is no elector"):
                act()
            elector.heal()
        assert condition._is_owned()


def test_a_ticket_that_was_given_up_for_a_paused_process_is_drawn_anew(elector, conditions):
    """The elector had not heard of it for too long when the repeated request came."""
    elector.inject("PUT", "/conditions", refuses(409, "holder_dead"))
    condition = Condition(name="q")
    with condition:
        assert condition.wait(0.05) is False
    holders = [request.body["holder"] for request in elector.asked("PUT", "/conditions")]
    assert holders[0] not in holders[1:]
    assert conditions.waiting("q") == 0
