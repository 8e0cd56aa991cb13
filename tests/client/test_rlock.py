"""What an `RLock` is beyond a `Lock`: an owner, a count, and what a loss means for both."""

from __future__ import annotations

import copy
import os
import pickle
import re
import threading

import pytest

from metaparticle_sync import Lock, LockLost, NotHeld, RLock
from metaparticle_sync._clock import now
from tests.client.fake_elector import eventually
from tests.client.faults import refuses
from tests.client.in_threads import InThread, interrupted_when


def asked(elector):
    return len([request for request in elector.requests if request.path.startswith("/locks")])


def test_acquiring_again_costs_nothing(elector):
    lock = RLock("x")
    assert lock.acquire() is True
    before = asked(elector)
    assert lock.acquire() is True
    assert lock.acquire(blocking=False) is True
    assert lock.acquire(timeout=5) is True
    assert lock._recursion_count() == 4
    for count in (3, 2, 1):
        lock.release()
        assert lock._recursion_count() == count
        assert lock.held
    assert asked(elector) == before
    lock.release()
    assert elector.locks == {}
    assert lock._recursion_count() == 0


def test_two_objects_of_one_name_are_one_lock(elector):
    one, other = RLock("x"), RLock("x")
    with one, other:
        assert one._recursion_count() == other._recursion_count() == 2
        assert one.token == other.token == elector.locks["x"][2]
    assert elector.locks == {}


def test_a_lock_of_its_name_is_the_same_lock(elector):
    recursive, plain = RLock("x"), Lock("x")
    with recursive:
        assert plain.held
        assert plain.acquire(blocking=False) is False
    with plain:
        assert recursive.held
        assert not recursive._is_owned()
        assert recursive.acquire(blocking=False) is False
        with pytest.raises(NotHeld):
            recursive.release()
        assert plain.held


def test_another_thread_is_not_the_owner(elector):
    lock = RLock("x")
    lock.acquire()

    def as_another():
        assert not lock._is_owned()
        assert lock._recursion_count() == 0
        assert lock.acquire(blocking=False) is False
        with pytest.raises(RuntimeError, match=r"^cannot release un-acquired lock$"):
            lock.release()
        with pytest.raises(RuntimeError, match=r"^cannot release un-acquired lock$"):
            lock._release_save()
        assert lock.held
        return lock.locked()

    assert InThread(as_another).result() is True
    assert lock._is_owned()


def test_another_thread_waits_for_the_last_release(elector):
    lock = RLock("x")
    lock.acquire()
    lock.acquire()
    waiting = InThread(lambda: (lock.acquire(), lock._recursion_count()))
    assert eventually(lambda: elector.queues.get("x"))
    lock.release()
    assert elector.queues["x"]
    lock.release()
    assert waiting.result() == (True, 1)
    assert not lock._is_owned()


def test_a_later_thread_does_not_inherit_what_an_ended_one_owned(elector):
    lock = RLock("x")
    ended = InThread(lambda: (lock.acquire(), threading.get_ident()))
    identity = ended.result()[1]
    identities = []
    for _ in range(50):
        identities.append(InThread(lambda: (threading.get_ident(), lock._is_owned())).result())
        if identities[-1][0] == identity:
            break
    assert not any(owned for _, owned in identities)


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"blocking": False, "timeout": 1}, ValueError),
        ({"timeout": -2}, ValueError),
        ({"timeout": "1"}, TypeError),
        ({"timeout": threading.TIMEOUT_MAX + 1}, OverflowError),
    ],
)
def test_impossible_arguments_are_refused_to_the_owner_too(elector, arguments, error):
    lock = RLock("x")
    with pytest.raises(error):
        lock.acquire(**arguments)
    with lock, pytest.raises(error):
        lock.acquire(**arguments)
    assert elector.locks == {}


def test_spellings(elector):
    lock = RLock("x")
    assert lock.acquire_lock(block=True)
    assert lock.locked_lock()
    assert InThread(lambda: lock.acquire(block=False)).result() is False
    lock.release_lock()
    assert not lock.locked()


def test_repr_shows_owner_and_count(elector):
    lock = RLock("x")
    assert re.fullmatch(r"<unlocked metaparticle_sync\.RLock object name='x' at 0x[0-9a-f]+>", repr(lock))
    with lock, lock:
        before = asked(elector)
        owner = threading.get_ident()
        assert repr(lock).startswith(
            f"<locked metaparticle_sync.RLock object name='x' owner={owner} count=2 token={lock.token} at 0x"
        )
        assert asked(elector) == before


def lost(elector, lock, times=1):
    for _ in range(times):
        lock.acquire()
    elector.lose("x")
    assert eventually(lambda: not lock.held)


def test_a_lost_hold_is_not_acquired_again_before_it_is_released(elector):
    lock = RLock("x")
    lost(elector, lock, times=2)
    assert lock._recursion_count() == 0
    assert not lock._is_owned()
    for _ in range(2):
        with pytest.raises(LockLost):
            lock.acquire()
        with pytest.raises(LockLost):
            _ = lock.token
    for _ in range(2):
        with pytest.raises(LockLost, match="because of the test"):
            lock.release()
    with pytest.raises(NotHeld):
        lock.release()
    assert lock.acquire(blocking=False)
    assert lock._recursion_count() == 1


def test_a_loss_passes_through_all_that_surrounds_it(elector):
    lock = RLock("x")
    with pytest.raises(LockLost), lock, lock, lock:
        elector.lose("x")
        assert eventually(lambda: not lock.held)
    assert lock.acquire(blocking=False)


def test_an_error_of_the_body_is_not_replaced_by_a_loss(elector):
    lock = RLock("x")
    with pytest.raises(KeyError), lock, lock:
        elector.lose("x")
        assert eventually(lambda: not lock.held)
        raise KeyError
    assert lock.acquire(blocking=False)


def test_a_loss_is_the_owner_s_only(elector):
    lock = RLock("x")
    lost(elector, lock)
    assert InThread(lambda: (lock.acquire(), lock.release())).result() == (True, None)
    with pytest.raises(LockLost):
        lock.release()


def test_release_after_a_loss_leaves_another_thread_s_hold_alone(elector):
    lock = RLock("x")
    lost(elector, lock)
    proceed = threading.Event()
    other = InThread(lambda: (lock.acquire(), proceed.wait(20), lock._recursion_count()))
    assert eventually(lambda: lock.held)
    for act in (lock.acquire, lock.release):
        with pytest.raises(LockLost):
            act()
    assert lock.held
    proceed.set()
    assert other.result()[2] == 1


def test_time_that_runs_out_is_a_loss_for_nested_use(elector):
    elector.valid_seconds = 0.3
    lock = RLock("x")
    lock.acquire()
    lock.acquire()
    elector.kill()
    assert eventually(lambda: not lock.held)
    for act in (lock.acquire, lock.release, lock.release):
        with pytest.raises(LockLost):
            act()
    elector.start()


def test_a_loss_that_nobody_has_noticed_yet_is_one(elector):
    """The clock decides, not the keeper's thread, which may be late."""
    lock = RLock("x")
    for act in (lock.acquire, lock.release, lock._release_save):
        lock.acquire()
        lock._shared.hold.term.deadline = now()
        with pytest.raises(LockLost):
            act()
        if act == lock.acquire:
            with pytest.raises(LockLost):
                lock.release()


def test_release_of_what_the_elector_has_forgotten(elector):
    lock = RLock("x")
    lock.acquire()
    elector.inject("DELETE", "/locks/x", refuses(409, "not_held"))
    with pytest.raises(LockLost):
        lock.release()
    assert lock._recursion_count() == 0


def test_an_interrupted_acquire_counts_nothing(elector):
    elector.take("x")
    lock = RLock("x")
    with pytest.raises(KeyboardInterrupt), interrupted_when(lambda: elector.queues.get("x")):
        lock.acquire()
    assert elector.queues["x"] == []
    assert lock._recursion_count() == 0
    elector.free("x")
    assert lock.acquire(blocking=False)
    assert lock._recursion_count() == 1


def test_a_forked_child_owns_nothing(elector):
    lock = RLock("x")
    with lock, lock:
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            answer = b"?"
            try:
                with pytest.raises(NotHeld):
                    lock.release()
                facts = lock.held, lock._is_owned(), lock._recursion_count(), lock.acquire(blocking=False)
                answer = repr(facts).encode()
            finally:
                os.write(writing, answer)
                os._exit(0)
        os.waitpid(child, 0)
        assert os.read(reading, 100) == b"(False, False, 0, False)"
        assert lock._recursion_count() == 2
    os.close(reading)
    os.close(writing)
    assert elector.locks == {}


def test_a_child_forked_within_leaves_the_with_in_peace(elector):
    lock = RLock("x")
    child = None
    try:
        with lock, lock:
            child = os.fork()
    except BaseException:
        if child == 0:
            os._exit(1)
        raise
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert elector.locks == {}
    assert len(elector.asked("DELETE", "/locks/x")) == 1


def test_pickle_and_copies_are_the_same_lock(elector):
    lock = RLock("x", elector.url, on_lost="signal", unavailable_seconds=7)
    with lock:
        for same in (pickle.loads(pickle.dumps(lock)), copy.copy(lock), copy.deepcopy(lock)):
            assert same.__getstate__() == lock.__getstate__()
            assert same._is_owned()
        assert lock._shared.hold.holder.encode() not in pickle.dumps(lock)
    unnamed = RLock()
    assert pickle.loads(pickle.dumps(unnamed)).name == unnamed.name
    assert RLock().name != unnamed.name


def test_at_fork_reinit_frees_whoever_owns_it(elector):
    lock = RLock("x")
    InThread(lambda: (lock.acquire(), lock.acquire())).result()
    lock._at_fork_reinit()
    assert elector.locks == {}
    assert lock.acquire(blocking=False)
    assert lock._recursion_count() == 1
    with pytest.raises(NotHeld), lock:
        lock._at_fork_reinit()
        entered = dict(lock._entered)
    assert entered == {}


def test_release_save_and_restore(elector):
    lock = RLock("x")
    for _ in range(3):
        lock.acquire()
    state = lock._release_save()
    assert elector.locks == {}
    assert not lock._is_owned()
    lock._acquire_restore(state)
    assert lock._recursion_count() == 3


@pytest.mark.parametrize("kind", [Lock, RLock])
def test_condition_of_threading_works_with_it(elector, kind):
    condition = threading.Condition(kind("x"))
    with pytest.raises(RuntimeError):
        condition.notify()
    items = []

    def consume():
        with condition:
            return condition.wait_for(lambda: items, timeout=20)

    consuming = InThread(consume)
    assert eventually(lambda: condition._waiters)
    with condition:
        items.append(1)
        condition.notify()
    assert consuming.result() == [1]


def test_condition_of_threading_does_not_take_another_process_s_lock_for_its_own(elector):
    elector.take("x")
    with pytest.raises(RuntimeError, match="un-acquired"):
        threading.Condition(Lock("x")).notify()
