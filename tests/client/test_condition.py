"""A `Condition` and everything that can happen between the release of its lock and the return of `wait`."""

from __future__ import annotations

import copy
import os
import pickle
import re
import threading
import time

import pytest

from metaparticle_sync import Condition, ElectorRefused, ElectorUnavailable, Lock, LockLost, RLock
from tests.client.fake_elector import eventually
from tests.client.fake_waiting import FakeConditions
from tests.client.faults import drop, hang, refuses, says
from tests.client.in_threads import InThread, interrupted_when


@pytest.fixture
def conditions(elector):
    return FakeConditions(elector)


def asked(elector):
    """What was asked of the lock and the condition, in order."""
    words = {"PUT": "enqueue", "POST": "notify", "DELETE": "withdraw"}
    lock_words = {"PUT": "acquire", "DELETE": "release"}
    steps = []
    for request in elector.requests:
        if request.path.startswith("/locks"):
            steps.append(lock_words[request.method])
        elif request.path.startswith("/conditions"):
            is_wait = request.method == "PUT" and request.body["enqueued"]
            steps.append("wait" if is_wait else words[request.method])
    return steps


def waiting_in_thread(condition, timeout=None):
    def wait():
        with condition:
            return condition.wait(timeout), condition._is_owned()

    return InThread(wait)


def test_wait_and_notify(elector, conditions):
    condition = Condition(name="q")
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: asked(elector) == ["acquire", "enqueue", "release", "wait"])
    assert elector.locks == {}
    with condition:
        assert condition.notify() is None
        assert not waiting.is_over()
    assert waiting.result() == (True, True)
    assert elector.locks == {}
    assert conditions.of("q") == {}


def test_notify_wakes_the_oldest_and_notify_all_the_rest(elector, conditions):
    condition = Condition(name="q")
    waiting = []
    for number in range(5):
        waiting.append(waiting_in_thread(condition))
        assert eventually(lambda number=number: conditions.waiting("q") == number + 1)
    with condition:
        condition.notify(2)
    assert [waiter.result() for waiter in waiting[:2]] == [(True, True)] * 2
    assert not any(waiter.is_over() for waiter in waiting[2:])
    with condition:
        condition.notify_all()
    assert [waiter.result() for waiter in waiting[2:]] == [(True, True)] * 3


def test_notify_of_nobody_is_not_kept(elector, conditions):
    condition = Condition(name="q")
    with condition:
        condition.notify()
        condition.notify_all()
        assert condition.wait(0.05) is False


def test_notify_of_none_asks_nobody(elector, conditions):
    condition = Condition(name="q")
    with condition:
        condition.notify(0)
        condition.notify(-3)
    assert elector.asked("POST", "/conditions") == []
    with condition, pytest.raises(TypeError):
        condition.notify("1")
    with condition:
        condition.notify(True)
        condition.notify(10**30)
    assert [request.body["waiters"] for request in elector.asked("POST", "/conditions")] == [1, 2**31 - 1]


@pytest.mark.parametrize("lock", [None, "Lock", "RLock", "threading.Lock", "threading.RLock"])
def test_un_acquired(elector, conditions, lock):
    kinds = {"Lock": Lock, "RLock": RLock, "threading.Lock": threading.Lock, "threading.RLock": threading.RLock}
    condition = Condition(kinds[lock]() if lock else None)
    with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
        condition.wait()
    for act in (condition.notify, condition.notify_all, lambda: condition.notify(0)):
        with pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
            act()
    assert [request for request in elector.requests if request.path.startswith("/conditions")] == []


def test_a_lock_that_another_process_holds_is_not_acquired(elector, conditions):
    elector.take("x")
    with pytest.raises(RuntimeError, match="un-acquired"):
        Condition(Lock("x")).notify()


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_our_locks_carry_it(elector, conditions, kind):
    lock = kind("x")
    condition = Condition(lock)
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: conditions.waiting(condition.name) == 1 and not elector.locks)
    with lock:
        condition.notify()
    assert waiting.result() == (True, True)
    assert elector.locks == {}


def test_a_lock_of_threading_carries_it(elector, conditions):
    lock = threading.Lock()
    condition = Condition(lock, name="q")
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: conditions.waiting("q") == 1 and not lock.locked())
    with condition:
        assert lock.locked()
        condition.notify()
    assert waiting.result() == (True, True)
    assert not lock.locked()
    assert elector.asked("PUT", "/locks") == []


def test_wait_releases_all_that_a_thread_has_acquired(elector, conditions):
    condition = Condition(name="q")

    def wait():
        with condition, condition:
            condition.wait()
            return condition._lock._recursion_count()

    waiting = InThread(wait)
    assert eventually(lambda: conditions.waiting("q") == 1 and not elector.locks)
    conditions.notify("q")
    assert waiting.result() == 2
    assert elector.locks == {}


def test_the_lock_by_hand(elector, conditions):
    condition = Condition(name="q")
    assert condition.acquire() is True
    assert condition.acquire(blocking=False) is True
    assert condition.locked()
    assert list(elector.locks) == ["condition:q"]
    condition.release()
    assert condition._is_owned()
    condition.release()
    assert not condition._is_owned()
    with pytest.raises(RuntimeError):
        condition.release()


def test_wait_for(elector, conditions):
    condition, items = Condition(name="q"), []

    def consume():
        with condition:
            return condition.wait_for(lambda: items and items.pop())

    consuming = InThread(consume)
    assert eventually(lambda: conditions.waiting("q") == 1)
    conditions.notify("q")
    assert eventually(lambda: asked(elector).count("enqueue") == 2)
    with condition:
        items.append("it")
        condition.notify()
    assert consuming.result() == "it"
    with condition:
        before = time.monotonic()
        assert condition.wait_for(lambda: items, timeout=0.1) == []
        assert time.monotonic() - before >= 0.1
        assert condition.wait_for(lambda: 7, timeout=0) == 7


def test_old_spelling(elector, conditions):
    condition = Condition(name="q")
    with condition, pytest.warns(DeprecationWarning, match="use notify_all"):
        condition.notifyAll()
    assert elector.asked("POST", "/conditions")[0].body["waiters"] is None


def test_a_wait_ends_with_its_time_and_not_before(elector, conditions):
    condition = Condition(name="q")
    with condition:
        for seconds in (0.1, 0.2):
            before = time.monotonic()
            assert condition.wait(seconds) is False
            assert seconds <= time.monotonic() - before < 10 * seconds + 2
            assert condition._is_owned()
            assert conditions.of("q") == {}


@pytest.mark.parametrize("timeout", [0, -1, float("nan")])
def test_no_time_is_one_look(elector, conditions, timeout):
    condition = Condition(name="q")
    with condition:
        assert condition.wait(timeout) is False
    assert asked(elector) == ["acquire", "enqueue", "release", "wait", "withdraw", "acquire", "release"]


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


def test_an_elector_that_restarts_wakes_nobody_for_ever_and_loses_no_wake_up(elector, conditions):
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


def test_construction_and_repr_do_no_io(elector, conditions):
    condition = Condition(name="q")
    lock = r"<unlocked metaparticle_sync\.RLock object name='condition:q' at 0x[0-9a-f]+>"
    assert re.fullmatch(rf"<Condition\({lock}, 0\)>", repr(condition))
    assert elector.requests == []
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: conditions.waiting("q") == 1)
    assert repr(Condition(name="q")).endswith(", 1)>")
    conditions.notify("q")
    waiting.result()
    assert repr(condition).endswith(", 0)>")


def test_names(elector, conditions):
    assert Condition(name="q").name == "q"
    unnamed = Condition()
    assert re.fullmatch(rf"unnamed-{unnamed._keeper.client}-[0-9a-f]{{32}}", unnamed.name)
    assert re.fullmatch(r"unnamed-[0-9a-f]{32}", unnamed._lock.name)
    assert Condition().name != unnamed.name


def test_its_elector_is_that_of_the_lock(elector, monkeypatch):
    monkeypatch.setenv("METAPARTICLE_SYNC_URL", "http://127.0.0.1:9")
    assert Condition(Lock("x", elector.url))._keeper.address.url == elector.url
    assert Condition(name="q", base_uri=elector.url)._lock._base_uri == elector.url
    assert Condition(name="q")._keeper.address.port == 9


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("q",), TypeError, "name="),
        ((None, ""), ValueError, "name"),
        ((None, 3), TypeError, "name"),
        ((None, "q", "ftp://x"), ValueError, "base_uri"),
    ],
)
def test_impossible_arguments(arguments, error, match):
    with pytest.raises(error, match=match):
        Condition(*arguments)


def test_impossible_settings():
    with pytest.raises(ValueError, match="unavailable_seconds"):
        Condition(unavailable_seconds=-1)
    with pytest.raises(ValueError, match="on_lost"):
        Condition(on_lost="explode")
    with pytest.raises(TypeError, match="on_lost belongs to the lock"):
        Condition(RLock(), on_lost="exit")


@pytest.mark.parametrize(("timeout", "error"), [("1", TypeError), (threading.TIMEOUT_MAX * 2, OverflowError)])
def test_impossible_timeouts_keep_the_lock(elector, conditions, timeout, error):
    condition = Condition(name="q")
    with condition:
        with pytest.raises(error):
            condition.wait(timeout)
        assert condition._is_owned()


def test_pickle_and_copies_are_the_same_condition(elector, conditions):
    for original in (Condition(name="q", unavailable_seconds=7), Condition(), Condition(Lock("x"), name="r")):
        with original:
            for same in (pickle.loads(pickle.dumps(original)), copy.copy(original), copy.deepcopy(original)):
                assert same.name == original.name
                assert same._lock.name == original._lock.name
                assert same._unavailable_seconds == original._unavailable_seconds
                assert same._is_owned()
    with pytest.raises(TypeError):
        pickle.dumps(Condition(threading.Lock()))


def test_a_forked_child_notifies_the_parent_s_waiter(elector, conditions):
    condition = Condition()
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: conditions.waiting(condition.name) == 1 and not elector.locks)
    child = os.fork()
    if child == 0:
        code = 1
        try:
            assert repr(condition).endswith(", 0)>")
            with condition:
                condition.notify()
            code = 0
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert waiting.result() == (True, True)


def test_at_fork_reinit_frees_its_lock(elector, conditions):
    condition = Condition(name="q")
    InThread(condition.acquire).result()
    condition._shared.tickets.add("of a thread of the parent")
    condition._at_fork_reinit()
    assert repr(condition).endswith(", 0)>")
    assert elector.locks == {}
    assert condition.acquire(blocking=False)


def test_the_methods_of_its_lock_for_the_standard_library(elector, conditions):
    condition = Condition()
    condition.acquire()
    condition.acquire()
    state = condition._release_save()
    assert not condition._is_owned()
    condition._acquire_restore(state)
    assert condition._lock._recursion_count() == 2
