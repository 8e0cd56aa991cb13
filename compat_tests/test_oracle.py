"""What code written for `threading.Lock` can observe, asked of `threading` and of ours: the answers are the same."""

from __future__ import annotations

import math
import threading
import weakref

import pytest

import metaparticle_sync
from compat_tests.elector import running_elector


@pytest.fixture(scope="module")
def elector_url(tmp_path_factory):
    with running_elector(tmp_path_factory.mktemp("elector")) as url:
        yield url


@pytest.fixture
def locks(elector_url):
    """The oracle, and ours."""
    return threading.Lock(), metaparticle_sync.Lock(base_uri=elector_url)


def outcome(action, lock):
    """What an action gives: a value, or its error."""
    try:
        return action(lock)
    except Exception as error:  # noqa: BLE001 - every error is an outcome to compare
        return error


@pytest.mark.parametrize(
    ("name", "action"),
    [
        ("acquire", lambda lock: lock.acquire()),
        ("acquire by position", lambda lock: lock.acquire(True, 1)),
        ("acquire by keyword", lambda lock: lock.acquire(blocking=True, timeout=1)),
        ("a truthy blocking", lambda lock: lock.acquire(5)),
        ("a falsy blocking", lambda lock: lock.acquire(0)),
        ("timeout -1 is for ever", lambda lock: lock.acquire(timeout=-1)),
        ("timeout 0", lambda lock: lock.acquire(timeout=0)),
        ("not blocking with a timeout", lambda lock: lock.acquire(False, 1)),
        ("not blocking with timeout 0", lambda lock: lock.acquire(False, 0)),
        ("not blocking with timeout -1", lambda lock: lock.acquire(False, -1)),
        ("timeout -2", lambda lock: lock.acquire(timeout=-2)),
        ("timeout -0.5", lambda lock: lock.acquire(timeout=-0.5)),
        ("timeout NaN", lambda lock: lock.acquire(timeout=math.nan)),
        ("timeout infinite", lambda lock: lock.acquire(timeout=math.inf)),
        ("timeout too large", lambda lock: lock.acquire(timeout=threading.TIMEOUT_MAX * 2)),
        ("release of a free lock", lambda lock: lock.release()),
        ("release twice", lambda lock: (lock.acquire(), lock.release(), lock.release())),
        ("locked", lambda lock: (lock.locked(), lock.acquire(), lock.locked(), lock.release(), lock.locked())),
        ("a second try", lambda lock: (lock.acquire(), lock.acquire(False), lock.acquire(timeout=0.01))),
        ("enter gives True", lambda lock: (lock.__enter__(), lock.__exit__(None, None, None))),
        ("exit gives None", lambda lock: (lock.acquire(), lock.__exit__(None, None, None))),
        ("weakref", lambda lock: weakref.ref(lock)() is lock),
        ("fork hook frees", lambda lock: (lock.acquire(), lock._at_fork_reinit(), lock.locked(), lock.acquire(False))),
        ("truth", bool),
        ("hashable", lambda lock: hash(lock) == hash(lock)),
        ("equal to itself only", lambda lock: (lock == lock, lock == threading.Lock())),
    ],
)
def test_same_answers(name, action, locks):
    expected, got = (outcome(action, lock) for lock in locks)
    if isinstance(expected, Exception):
        # Whoever catches threading's error catches ours. The texts differ between CPython's own versions.
        assert isinstance(got, type(expected)), got
    else:
        assert got == expected


def test_the_text_of_a_wrong_release_is_the_same(locks):
    assert len({str(outcome(lambda lock: lock.release(), lock)) for lock in locks}) == 1


@pytest.mark.parametrize("bad", ["1", [1], object()])
def test_a_timeout_of_another_type_is_a_type_error_in_both(bad, locks):
    for lock in locks:
        with pytest.raises(TypeError):
            lock.acquire(True, bad)


def test_the_body_of_a_with_that_raises_releases_in_both(locks):
    for lock in locks:
        with pytest.raises(ZeroDivisionError), lock:
            1 / 0  # noqa: B018 - raises
        assert not lock.locked()


def test_another_thread_may_release_in_both(locks):
    for lock in locks:
        lock.acquire()
        thread = threading.Thread(target=lock.release)
        thread.start()
        thread.join()
        assert not lock.locked()


def test_multiprocessings_words_are_taken_besides(locks):
    _, ours = locks
    assert ours.acquire(block=True, timeout=None)
    assert not ours.acquire(block=False)
    ours.release()
