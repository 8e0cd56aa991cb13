"""What a `Lock` is, apart from waiting for it."""

from __future__ import annotations

import copy
import gc
import pickle
import re
import threading
import weakref

import pytest

from metaparticle_sync import ElectorRefused, Lock, LockLost, NotHeld, SyncError
from tests.client.fake_elector import eventually
from tests.client.faults import refuses


def test_acquire_release(elector):
    lock = Lock("x")
    assert not lock.held
    assert lock.acquire() is True
    assert lock.held
    assert lock.locked()
    assert lock.name == "x"
    assert lock.token == elector.locks["x"][2]
    lock.release()
    assert not lock.held
    assert not lock.locked()
    assert elector.locks == {}


def test_tokens_rise(elector):
    lock = Lock("x")
    with lock:
        first = lock.token
    with lock:
        assert lock.token > first


def test_repr_is_that_of_threading_and_does_no_io(elector):
    lock = Lock("orders")
    assert re.fullmatch(r"<unlocked metaparticle_sync\.Lock object name='orders' at 0x[0-9a-f]+>", repr(lock))
    lock.acquire()
    asked = len(elector.requests)
    assert re.fullmatch(r"<locked metaparticle_sync\.Lock object name='orders' token=\d+ at 0x[0-9a-f]+>", repr(lock))
    assert asked == len(elector.requests)
    lock.release()
    assert repr(lock).startswith("<unlocked ")


def test_module_and_name():
    assert Lock.__module__ == "metaparticle_sync"
    assert f"{LockLost.__module__}.{LockLost.__qualname__}" == "metaparticle_sync.LockLost"


def test_two_objects_of_one_name_are_one_lock(elector):
    one, other = Lock("x"), Lock("x")
    one.acquire()
    assert other.held
    assert other.token == one.token
    assert other.acquire(blocking=False) is False
    other.release()
    assert not one.held


def test_own_hold_is_known_without_io(elector):
    lock = Lock("x")
    lock.acquire()
    asked = len(elector.asked("PUT", "/locks"))
    assert lock.locked()
    assert not lock.acquire(blocking=False)
    assert not lock.acquire(timeout=0)
    assert asked == len(elector.asked("PUT", "/locks"))
    assert elector.asked("GET", "/locks") == []


def test_any_thread_releases(elector):
    lock = Lock("x")
    lock.acquire()
    thread = threading.Thread(target=lock.release)
    thread.start()
    thread.join()
    assert not lock.held


def test_unnamed_locks_are_different_and_shared_by_passing(elector):
    one, other = Lock(), Lock()
    assert one.name != other.name
    one.acquire()
    assert other.acquire(blocking=False)
    passed = pickle.loads(pickle.dumps(one))
    assert passed.name == one.name
    assert passed.held


def test_pickle_keeps_name_and_settings_never_a_hold(elector, monkeypatch):
    lock = Lock("x", elector.url, print, on_lost="signal", unavailable_seconds=7)
    lock.acquire()
    state = pickle.dumps(lock)
    assert str(lock.token).encode() not in state
    again = pickle.loads(state)
    assert again.__getstate__() == lock.__getstate__()
    assert copy.copy(lock).name == "x"


def test_pickled_lock_finds_its_elector_where_it_arrives(elector, monkeypatch):
    state = pickle.dumps(Lock("x"))
    monkeypatch.setenv("METAPARTICLE_SYNC_URL", "http://127.0.0.1:9")
    assert pickle.loads(state)._keeper.address.port == 9


def test_weakly_referenced_and_collected(elector):
    lock = Lock("x")
    lock.acquire()
    lock.release()
    keeper, reference = lock._keeper, weakref.ref(lock)
    shared = weakref.ref(lock._shared)
    del lock
    gc.collect()
    assert reference() is None
    assert shared() is None
    assert len(keeper.holds) == 0


def test_thousands_of_unnamed_locks_leave_nothing(elector):
    keeper = Lock()._keeper
    for _ in range(2000):
        Lock()
    gc.collect()
    assert len(keeper.holds._shared) == 0


@pytest.mark.parametrize("name", ["a/b", "..", ".", "%2F", "a\0b", "🔒", "UPPER", "x?y#z", " ", "a" * 512, "%", "é"])
def test_lawful_names_arrive_as_they_are(elector, name):
    lock = Lock(name)
    with lock:
        assert list(elector.locks) == [name]
    assert elector.locks == {}


@pytest.mark.parametrize(
    ("name", "error"),
    [("", ValueError), ("a" * 513, ValueError), (7, TypeError), ("\ud800", ValueError), (b"x", TypeError)],
)
def test_unlawful_names(elector, name, error):
    with pytest.raises(error, match="name"):
        Lock(name)


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "localhost:13131",
        "ftp://x",
        "http://",
        "http://h:0",
        "http://h:x",
        "http://h/?q",
        "http://u@h",
        "http://h h",
    ],
)
def test_unusable_addresses(uri):
    with pytest.raises(ValueError, match=r"base_uri is .* must look like http://127.0.0.1:13131"):
        Lock("x", uri)
    with pytest.raises(TypeError):
        Lock("x", 13131)


def test_unusable_address_in_the_environment(monkeypatch):
    monkeypatch.setenv("METAPARTICLE_SYNC_URL", "tcp://10.0.0.1:80")
    with pytest.raises(ValueError, match=r"METAPARTICLE_SYNC_URL is 'tcp://10.0.0.1:80'"):
        Lock("x")


def test_default_address(monkeypatch):
    monkeypatch.delenv("METAPARTICLE_SYNC_URL", raising=False)
    assert Lock("x")._keeper.address.url == "http://127.0.0.1:13131"


@pytest.mark.parametrize(
    "arguments",
    [
        {"on_lost": "explode"},
        {"unavailable_seconds": 0},
        {"unavailable_seconds": float("nan")},
        {"unavailable_seconds": float("inf")},
    ],
)
def test_impossible_settings(arguments):
    with pytest.raises(ValueError):
        Lock("x", **arguments)


@pytest.mark.parametrize(
    "arguments",
    [
        {"on_lost": 3},
        {"on_lost": lambda one, two: None},
        {"on_lost": print, "lock_lost_callback": print},
        {"lock_callback": 3},
        {"unavailable_seconds": "1"},
        {"unavailable_seconds": True},
    ],
)
def test_settings_of_a_wrong_type(arguments):
    with pytest.raises(TypeError):
        Lock("x", **arguments)


def test_release_of_a_free_lock(elector):
    lock = Lock("x")
    with pytest.raises(RuntimeError, match=r"^release unlocked lock$"):
        lock.release()
    with lock:
        pass
    with pytest.raises(NotHeld, match=r"^release unlocked lock$"):
        lock.release()


def test_release_of_another_process_s_lock_names_it(elector):
    elector.take("x")
    with pytest.raises(NotHeld, match=r"'x' is held by another: process host:17 worker.py of elector pod-7") as caught:
        Lock("x").release()
    assert isinstance(caught.value, RuntimeError)
    assert elector.holder_of("x") is not None


def test_token_without_a_hold(elector):
    with pytest.raises(NotHeld, match="does not hold"):
        _ = Lock("x").token


def test_with_releases_after_an_error(elector):
    lock = Lock("x")
    with pytest.raises(KeyError), lock:
        raise KeyError
    assert elector.locks == {}


def test_with_in_several_threads(elector):
    lock = Lock("x")
    counted = 0

    def count():
        nonlocal counted
        for _ in range(10):
            with lock:
                before = counted
                threading.Event().wait(0)
                counted = before + 1

    threads = [threading.Thread(target=count) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counted == 50


def test_original_spelling(elector):
    called = []
    lock = Lock("x", elector.url, lambda: called.append("locked"), lambda: called.append("lost"))
    assert lock.acquire()
    assert called == ["locked"]
    elector.lose("x")
    assert eventually(lambda: called == ["locked", "lost"])


def test_failing_lock_callback_leaves_no_hold(elector):
    def fail():
        raise KeyError("of the callback")

    with pytest.raises(KeyError):
        Lock("x", lock_callback=fail).acquire()
    assert elector.locks == {}


def test_at_fork_reinit_frees(elector):
    lock = Lock("x")
    lock.acquire()
    lock._at_fork_reinit()
    assert not lock.held
    assert elector.locks == {}
    assert lock.acquire(blocking=False)


def test_refusal_for_good_is_raised_with_its_code(elector):
    lock = Lock("x")
    elector.inject("PUT", "/locks", refuses(400, "bad_body"))
    with pytest.raises(ElectorRefused, match="bad_body") as caught:
        lock.acquire()
    assert (caught.value.code, caught.value.status) == ("bad_body", 400)
    elector.inject("GET", "/locks", refuses(421, "wrong_host"))
    with pytest.raises(ElectorRefused, match="wrong_host"):
        lock.locked()
    elector.inject("PUT", "/sessions", refuses(421, "wrong_host"))
    lock._keeper.detached(lock._keeper.attachments)
    with pytest.raises(SyncError, match="wrong_host"):
        lock.acquire(timeout=1)
