"""What a `Semaphore` and a `BoundedSemaphore` are, and how they are acquired."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import re
import time
import weakref

import pytest

from metaparticle_sync import BoundedSemaphore, ElectorRefused, ElectorUnavailable, Lock, Semaphore, SyncError, wire
from tests.client.fake_elector import eventually
from tests.client.fake_semaphores import FakeSemaphores
from tests.client.faults import drop, refuses
from tests.client.test_acquiring import in_thread, interrupt_soon

__all__ = ["interrupt_soon"]


@pytest.fixture
def semaphores(elector):
    return FakeSemaphores(elector)


def test_acquire_and_release(semaphores):
    semaphore = Semaphore(2, name="x")
    assert semaphore.acquire() is True
    assert semaphore.acquire(False) is True
    assert semaphore.held == 2
    assert semaphore.acquire(False) is False
    assert semaphore.release() is None
    assert semaphore.held == 1
    assert semaphores["x"].value == 1
    semaphore.release()
    assert semaphore.held == 0
    assert semaphores["x"].value == 2


def test_each_permit_has_a_holder_of_its_own(semaphores):
    semaphore = Semaphore(3, name="x")
    for _ in range(3):
        semaphore.acquire()
    assert len(semaphores["x"].permits) == 3


def test_one_request_each(semaphores, elector):
    semaphore = Semaphore(name="x")
    with semaphore:
        pass
    asked = len(elector.requests)
    with semaphore:
        pass
    mine = [request for request in elector.requests[asked:] if "sessions" not in request.path]
    assert [(request.method, request.path) for request in mine] == [("PUT", "/semaphores/x"), ("POST", "/semaphores/x")]
    assert (mine[0].body["limit"], mine[0].body["bounded"]) == (1, False)
    assert mine[1].body["holders"] == [mine[0].body["holder"]]
    assert mine[1].body["permits"] == 1


def test_a_release_wakes_a_waiter(semaphores):
    semaphores.take("x")
    semaphore = Semaphore(name="x")
    thread, results = in_thread(semaphore.acquire)
    assert eventually(lambda: semaphores["x"].queue)
    assert results == []
    semaphores.free("x")
    thread.join(10)
    assert results == [True]
    assert semaphore.held == 1


def test_timeout_is_exact_from_below_and_leaves_no_place(semaphores):
    semaphores.take("x")
    semaphore = Semaphore(name="x")
    before = time.monotonic()
    assert semaphore.acquire(timeout=0.2) is False
    assert 0.2 <= time.monotonic() - before < 3
    assert semaphores["x"].queue == []
    assert repr(semaphore).endswith(": value=0>")


@pytest.mark.parametrize("timeout", [0, -1, -0.5])
def test_a_timeout_of_nothing_is_a_single_try(semaphores, elector, timeout):
    semaphore = Semaphore(name="x")
    assert semaphore.acquire(timeout=timeout) is True
    assert semaphore.acquire(timeout=timeout) is False
    assert elector.asked("PUT", "/semaphores")[-1].body["wait_seconds"] == 0


def test_both_spellings(semaphores):
    semaphore = Semaphore(name="x")
    assert semaphore.acquire(blocking=True, timeout=None)
    assert not semaphore.acquire(block=False)
    assert not semaphore.acquire(True, 0.01)


def test_arguments_of_acquire(semaphores):
    semaphore = Semaphore(name="x")
    with pytest.raises(ValueError, match=r"^can't specify timeout for non-blocking acquire$"):
        semaphore.acquire(False, timeout=1.0)
    with pytest.raises(ValueError, match=r"^can't specify timeout for non-blocking acquire$"):
        semaphore.acquire(block=False, timeout=0)
    with pytest.raises(OverflowError):
        semaphore.acquire(timeout=1e30)
    with pytest.raises(TypeError):
        semaphore.acquire(timeout="1")


@pytest.mark.parametrize("kind", [Semaphore, BoundedSemaphore])
def test_arguments_of_the_constructor(kind):
    with pytest.raises(ValueError, match=r"^semaphore initial value must be >= 0$"):
        kind(-1)
    with pytest.raises(ValueError, match=r"^semaphore initial value must be >= 0$"):
        kind(value=-1)
    with pytest.raises(OverflowError, match=r"^semaphore initial value must be at most 2147483647, not 2147483648$"):
        kind(wire.LIMIT_MAX + 1)
    with pytest.raises(TypeError):
        kind(1.5)
    with pytest.raises(TypeError):
        kind(1, "x")
    with pytest.raises(TypeError, match=r"^value is a number, not 'gpu'; the name of a semaphore is given by name=$"):
        kind("gpu")
    with pytest.raises(ValueError, match="on_lost"):
        kind(on_lost="explode")
    with pytest.raises(ValueError, match="unavailable_seconds"):
        kind(unavailable_seconds=0)
    with pytest.raises(ValueError, match="name"):
        kind(name="")
    assert kind(wire.LIMIT_MAX)._value == wire.LIMIT_MAX


@pytest.mark.parametrize(
    ("n", "error", "text"),
    [
        (0, ValueError, "^n must be one or more$"),
        (-3, ValueError, "^n must be one or more$"),
        (1001, OverflowError, "at most 1000 permits"),
        (1.5, TypeError, "integer"),
    ],
)
def test_arguments_of_release(elector, n, error, text):
    with pytest.raises(error, match=text):
        Semaphore(name="x").release(n)
    assert elector.requests == []


def test_repr_is_that_of_threading_and_does_no_io(semaphores, elector):
    semaphore, bounded = Semaphore(3, name="x"), BoundedSemaphore(3, name="y")
    assert re.fullmatch(r"<metaparticle_sync\.Semaphore at 0x[0-9a-f]+: value=3>", repr(semaphore))
    assert re.fullmatch(r"<metaparticle_sync\.BoundedSemaphore at 0x[0-9a-f]+: value=3/3>", repr(bounded))
    assert elector.requests == []
    for one in (semaphore, bounded):
        one.acquire()
    asked = len(elector.requests)
    assert repr(semaphore).endswith(": value=2>")
    assert repr(bounded).endswith(": value=2/3>")
    assert asked == len(elector.requests)
    semaphore.release()
    semaphore.release()
    assert repr(semaphore).endswith(": value=4>")
    assert semaphore._value == 4


def test_value_is_asked_for(semaphores):
    semaphore = Semaphore(2, name="x")
    assert semaphore.get_value() == 2
    assert not semaphore.locked()
    semaphores.take("x", 2)
    semaphores.take("x", 2)
    assert repr(semaphore).endswith(": value=2>")
    assert semaphore.get_value() == 0
    assert semaphore.locked()
    assert repr(semaphore).endswith(": value=0>")


def test_a_look_at_an_elector_that_is_away(semaphores, elector):
    elector.kill()
    with pytest.raises(ElectorUnavailable, match="tried for"):
        Semaphore(name="x").get_value()
    with pytest.raises(ElectorUnavailable):
        Semaphore(name="x").locked()


def test_objects_of_one_name_are_one_semaphore(semaphores):
    one, other = Semaphore(2, name="x"), Semaphore(2, name="x")
    one.acquire()
    assert other.held == 1
    other.release()
    assert one.held == 0
    assert semaphores["x"].extra == 0


def test_kinds_do_not_collide(semaphores, elector):
    lock, semaphore = Lock("x"), Semaphore(name="x")
    with lock, semaphore:
        assert lock.held
        assert semaphore.held == 1
    assert elector.locks == {}


@pytest.mark.parametrize("other", [Semaphore, BoundedSemaphore])
def test_another_value_in_the_same_process(semaphores, other):
    semaphore = Semaphore(2, name="x")
    with pytest.raises(ValueError, match=r"'x' can not be a .*semaphore of 3: in this process it is a semaphore of 2"):
        other(3, name="x")
    if other is BoundedSemaphore:
        with pytest.raises(ValueError, match="a bounded semaphore of 2"):
            other(2, name="x")
    del semaphore
    gc.collect()
    assert other(3, name="x")._value == 3


def test_another_value_in_another_process(semaphores):
    semaphores.take("x", 5)
    semaphore = Semaphore(3, name="x")
    for use in (semaphore.acquire, lambda: semaphore.acquire(False), semaphore.release):
        with pytest.raises(ValueError, match=r"^it has 5 permits and not 3: so says process host:17 worker\.py$"):
            use()
    assert semaphores["x"].queue == []


def test_unnamed_ones_say_who_made_them(semaphores):
    one, other = Semaphore(), Semaphore()
    assert re.fullmatch(rf"unnamed-{one._keeper.client}-[0-9a-f]{{32}}", one.name)
    assert one.name != other.name
    one.acquire()
    assert other.acquire(False)


def test_pickle_and_copy_are_the_same_semaphore_and_hold_nothing(semaphores, elector):
    semaphore = BoundedSemaphore(2, base_uri=elector.url, on_lost="signal", unavailable_seconds=7)
    semaphore.acquire()
    state = pickle.dumps(semaphore)
    assert next(iter(semaphores[semaphore.name].permits)).encode() not in state
    for again in (pickle.loads(state), copy.copy(semaphore), copy.deepcopy(semaphore)):
        assert type(again) is BoundedSemaphore
        assert again.__getstate__() == semaphore.__getstate__()
        assert again.held == 1  # It is the same process.


def test_collected_when_nobody_holds(semaphores):
    semaphore = Semaphore(name="x")
    semaphore.acquire()
    shared = weakref.ref(semaphore._shared)
    keeper = semaphore._keeper
    del semaphore
    gc.collect()
    assert Semaphore(name="x").held == 1
    Semaphore(name="x").release()
    gc.collect()
    assert shared() is None
    assert len(keeper.holds) == 0


def test_with_releases_after_an_error(semaphores):
    semaphore = Semaphore(name="x")
    with pytest.raises(KeyError), semaphore:
        raise KeyError
    assert semaphores["x"].value == 1


def test_nested_and_in_several_threads(semaphores):
    semaphore, inside, most = Semaphore(3, name="x"), [], []

    def work():
        for _ in range(5):
            with semaphore:
                inside.append(1)
                most.append(len(inside))
                inside.pop()

    threads = [in_thread(work)[0] for _ in range(6)]
    for thread in threads:
        thread.join(20)
    assert len(most) == 30
    assert max(most) <= 3
    with semaphore, semaphore, semaphore:
        assert not semaphore.acquire(False)
    assert (semaphores["x"].value, semaphores["x"].extra) == (3, 0)


def test_at_fork_reinit_gives_all_back(semaphores):
    semaphore = Semaphore(3, name="x")
    semaphore.acquire()
    semaphore.acquire()
    semaphore._at_fork_reinit()
    assert semaphore.held == 0
    assert (semaphores["x"].value, semaphores["x"].extra) == (3, 0)
    semaphore._at_fork_reinit()
    assert semaphores["x"].extra == 0
    semaphore.acquire()
    semaphores.lose("x")
    assert eventually(lambda: semaphore.held == 0)
    semaphore._at_fork_reinit()
    semaphore.release()
    assert semaphores["x"].extra == 1


def test_the_child_holds_nothing_and_gives_nothing_back(semaphores, elector):
    semaphore = Semaphore(2, name="x")
    with semaphore:
        child = os.fork()
        if child == 0:
            status = semaphore.held
            with open(os.devnull, "w") as nothing:  # noqa: PTH123
                os.dup2(nothing.fileno(), 2)
            semaphore.__exit__(None, None, None)
            semaphore._at_fork_reinit()
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        assert semaphore.held == 1
        assert len(semaphores["x"].permits) == 1
        assert elector.asked("POST", "/semaphores") == []


def test_the_child_acquires_for_itself(semaphores, elector):
    semaphore = Semaphore(2, name="x")
    semaphore.acquire()
    child = os.fork()
    if child == 0:
        os._exit(0 if semaphore.acquire(False) and semaphore.held == 1 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert len(set(semaphores["x"].permits.values())) == 2


def test_interrupt_leaves_no_place_and_no_permit(semaphores, interrupt_soon):
    semaphores.take("x")
    semaphore = Semaphore(name="x")
    interrupt_soon(lambda: semaphores["x"].queue)
    with pytest.raises(KeyboardInterrupt):
        semaphore.acquire()
    assert semaphores["x"].queue == []
    semaphores.free("x")
    assert semaphore.acquire(False)


def test_reset_connections_and_forgotten_clients(semaphores, elector):
    elector.tick_seconds = 30.0
    semaphore = Semaphore(2, name="x")
    semaphore.acquire()
    elector.inject("PUT", "/semaphores", drop, times=2)
    assert semaphore.acquire()
    with elector.changed:
        elector.muted.update(elector.clients.values())  # The keeper's thread notices nothing.
        elector.clients.clear()
    semaphore.release(2)
    assert semaphores["x"].value == 2


def test_elector_that_goes_away_while_somebody_waits(semaphores, elector):
    semaphores.take("x")
    semaphore = Semaphore(name="x")
    thread, results = in_thread(semaphore.acquire)
    assert eventually(lambda: semaphores["x"].queue)
    elector.kill()
    elector.start()
    semaphores.free("x")
    thread.join(20)
    assert results == [True]


def test_elector_that_never_came(semaphores, elector, impatient):
    elector.kill()
    semaphore = Semaphore(name="x", unavailable_seconds=1)
    with pytest.raises(ElectorUnavailable, match="Start an elector"):
        semaphore.acquire()
    with pytest.raises(ElectorUnavailable):
        semaphore.acquire(False)


def test_refusal_for_good_is_raised_with_its_code(semaphores, elector):
    semaphore = Semaphore(name="x")
    elector.inject("PUT", "/semaphores", refuses(400, "bad_body"))
    with pytest.raises(ElectorRefused, match="bad_body") as caught:
        semaphore.acquire()
    assert caught.value.code == "bad_body"
    elector.inject("GET", "/semaphores", refuses(421, "wrong_host"))
    with pytest.raises(SyncError, match="wrong_host"):
        semaphore.get_value()
