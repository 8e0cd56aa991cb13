"""What a `Condition` is, and how its waits end as they should."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
import re
import threading
import time

import pytest

from metaparticle_sync import Condition, Lock, RLock
from tests.client.fake_elector import eventually
from tests.client.fake_waiting import FakeConditions, asked, waiting_in_thread
from tests.client.in_threads import InThread


@pytest.fixture
def conditions(elector):
    return FakeConditions(elector)


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


@pytest.mark.parametrize("kind", [multiprocessing.Lock, multiprocessing.RLock])
def test_a_lock_of_multiprocessing_carries_it(elector, conditions, kind):
    condition = Condition(kind(), name="q")
    with condition:
        assert condition.wait(0.05) is False
        assert condition._is_owned()
    waiting = waiting_in_thread(condition)
    assert eventually(lambda: conditions.waiting("q") == 1)
    with condition:
        condition.notify()
    assert waiting.result() == (True, True)
    assert condition.acquire(False)
    condition.release()


@pytest.mark.parametrize("kind", [multiprocessing.Lock, multiprocessing.RLock])
def test_a_lock_of_multiprocessing_belongs_to_a_thread(elector, conditions, kind):
    condition = Condition(kind(), name="q")
    with condition, pytest.raises(RuntimeError, match=r"^cannot notify on un-acquired lock$"):
        InThread(condition.notify).result()
    with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
        condition.wait()


def test_wait_releases_all_that_a_thread_has_acquired_of_multiprocessing(elector, conditions):
    lock = multiprocessing.RLock()
    condition = Condition(lock, name="q")

    def wait():
        with condition, condition:
            return condition.wait(), lock._semlock._count()

    waiting = InThread(wait)
    assert eventually(lambda: conditions.waiting("q") == 1 and lock.acquire(False))
    lock.release()
    conditions.notify("q")
    assert waiting.result() == (True, 2)
    assert lock.acquire(False)
    lock.release()


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


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_wait_for_no_time_waits_once(elector, conditions, timeout):
    condition, answers = Condition(name="q"), [[], "it"]
    with condition:
        assert condition.wait_for(lambda: answers.pop(0), timeout) == "it"
    assert asked(elector) == ["acquire", "enqueue", "release", "wait", "withdraw", "acquire", "release"]
    with condition:
        assert condition.wait_for(lambda: 0, timeout) == 0


@pytest.mark.parametrize("make", [Condition, threading.Condition])
@pytest.mark.parametrize("timeout", [0, -1, 0.1, None])
def test_wait_for_without_the_lock(elector, conditions, make, timeout):
    condition = make()
    assert condition.wait_for(lambda: 7, timeout) == 7
    with pytest.raises(RuntimeError, match=r"^cannot wait on un-acquired lock$"):
        condition.wait_for(lambda: False, timeout)


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


@pytest.mark.parametrize("characters", [503, 512, 513])
def test_a_name_leaves_room_for_that_of_the_lock(elector, conditions, characters):
    said = rf"^the name of a condition has at most 502 characters, this one has {characters} "
    with pytest.raises(ValueError, match=said):
        Condition(name="q" * characters)


def test_the_longest_names(elector, conditions):
    for condition in (Condition(name="q" * 502), Condition(Lock("x"), name="q" * 512)):
        with condition:
            condition.notify()
        assert pickle.loads(pickle.dumps(condition)).name == condition.name
    with pytest.raises(ValueError, match=r"at most 512 characters, this one has 513$"):
        Condition(Lock("x"), name="q" * 513)


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
