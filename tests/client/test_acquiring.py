"""Waiting, and everything that can happen on the way."""

from __future__ import annotations

import signal
import threading
import time

import pytest

from metaparticle_sync import Lock
from tests.client.fake_elector import eventually
from tests.client.faults import drop, hang, refuses


def in_thread(act):
    results = []

    def run():
        try:
            results.append(act())
        except BaseException as error:  # noqa: BLE001
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def test_waits_until_it_is_free(elector):
    elector.take("x")
    lock = Lock("x")
    thread, results = in_thread(lock.acquire)
    assert eventually(lambda: elector.queues.get("x"))
    assert results == []
    elector.free("x")
    thread.join(10)
    assert results == [True]
    assert lock.held


def test_hand_over_within_one_process(elector):
    lock = Lock("x")
    lock.acquire()
    thread, results = in_thread(lock.acquire)
    assert eventually(lambda: elector.queues.get("x"))
    first = lock.token
    lock.release()
    thread.join(10)
    assert results == [True]
    assert lock.held
    assert lock.token > first


def test_a_long_wait_is_a_row_of_polls_with_one_holder_id(elector):
    elector.take("x")
    lock = Lock("x", unavailable_seconds=0.1)
    thread, results = in_thread(lock.acquire)
    assert eventually(lambda: len(elector.asked("PUT", "/locks/x")) >= 4)
    elector.free("x")
    thread.join(10)
    assert results == [True]
    assert len({request.body["holder"] for request in elector.asked("PUT", "/locks/x")}) == 1


def test_no_poll_is_longer_than_the_protocol_allows(elector):
    elector.take("x")
    thread, _ = in_thread(lambda: Lock("x", unavailable_seconds=1000).acquire(timeout=1000))
    assert eventually(lambda: elector.asked("PUT", "/locks/x"))
    assert elector.asked("PUT", "/locks/x")[0].body["wait_seconds"] == 25.0
    elector.free("x")
    thread.join(10)


def test_timeout_gives_the_place_up(elector):
    elector.take("x")
    lock = Lock("x")
    assert lock.acquire(timeout=0.05) is False
    assert elector.queues["x"] == []
    elector.free("x")
    assert "x" not in elector.locks


def test_grant_whose_answer_is_lost_leaves_no_hold(elector):
    def grant_and_hang(handler):
        body = elector.requests[-1].body
        with elector.changed:
            elector.locks["x"] = (body["client"], body["holder"], 7)
        hang(handler)

    lock = Lock("x")
    lock.locked()
    elector.inject("PUT", "/locks/x", grant_and_hang)
    elector.inject("PUT", "/locks/x", refuses(503, "elector_busy"), times=10_000)
    with pytest.raises(ConnectionError):
        lock.acquire(timeout=0.1)
    assert eventually(lambda: elector.locks == {})
    assert not lock.held


def test_reset_while_waiting_is_retried_with_the_same_holder_id(elector):
    elector.take("x")
    elector.inject("PUT", "/locks/x", drop, times=2)
    lock = Lock("x")
    thread, results = in_thread(lock.acquire)
    assert eventually(lambda: elector.queues.get("x"))
    elector.free("x")
    thread.join(10)
    assert results == [True]
    assert len({request.body["holder"] for request in elector.asked("PUT", "/locks/x")}) == 1


def test_unknown_client_attaches_again_and_repeats(elector):
    lock = Lock("x")
    with lock:
        pass
    with elector.changed:
        elector.clients.clear()
    assert lock.acquire(blocking=False)
    assert len(elector.asked("PUT", "/sessions")) == 2


def test_dead_holder_id_is_replaced(elector):
    lock = Lock("x")
    elector.inject("PUT", "/locks/x", refuses(409, "holder_dead"))
    assert lock.acquire(blocking=False)
    assert len({request.body["holder"] for request in elector.asked("PUT", "/locks/x")}) == 2


@pytest.mark.parametrize("code", ["holder_dead", "unknown_client", "lock_held"])
def test_a_refusal_without_end_has_an_end(elector, impatient, code):
    lock = Lock("x")
    with Lock("y"):
        pass
    elector.inject("PUT", "/locks/x", refuses(409, code), times=1_000_000)
    with pytest.raises(ConnectionError, match=code):
        lock.acquire(timeout=0.2)
    assert len(elector.asked("PUT", "/locks/x")) < 100


def test_many_wait_at_once(elector):
    elector.take("x")
    lock = Lock("x")
    threads = [in_thread(lambda: (lock.acquire(), lock.release()))[0] for _ in range(60)]
    assert eventually(lambda: len(elector.queues.get("x", ())) == 60)
    elector.free("x")
    for thread in threads:
        thread.join(20)
    assert elector.locks == {}


def test_fifo_within_one_process(elector):
    elector.take("x")
    lock, order, threads = Lock("x"), [], []

    def take_turn(number):
        with lock:
            order.append(number)

    for number in range(8):
        threads.append(in_thread(lambda number=number: take_turn(number))[0])
        assert eventually(lambda: len(elector.queues.get("x", ())) == len(threads))
    elector.free("x")
    for thread in threads:
        thread.join(10)
    assert order == list(range(8))


@pytest.fixture
def interrupt_soon():
    """Interrupt the main thread when a condition becomes true."""
    threads = []

    def arrange(condition):
        def run():
            if eventually(condition):
                signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        threads.append(threading.Thread(target=run))
        threads[-1].start()

    yield arrange
    for thread in threads:
        thread.join()


def test_interrupt_leaves_no_place_and_no_hold(elector, interrupt_soon):
    elector.take("x")
    lock = Lock("x")
    interrupt_soon(lambda: elector.queues.get("x"))
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()
    assert elector.queues["x"] == []
    elector.free("x")
    assert lock.acquire(blocking=False)


def test_interrupt_is_prompt_even_if_the_elector_hangs(elector, interrupt_soon):
    elector.take("x")
    lock = Lock("x")
    elector.inject("DELETE", "/locks/x", hang)
    interrupt_soon(lambda: elector.queues.get("x"))
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()
    assert time.monotonic() - before < 3
    assert eventually(lambda: elector.queues["x"] == [])


def test_interrupt_while_the_elector_is_away(elector, interrupt_soon):
    lock = Lock("x")
    with lock:
        pass
    elector.inject("PUT", "/locks/x", refuses(503, "elector_busy"), times=1_000_000)
    asked = len(elector.requests)
    interrupt_soon(lambda: len(elector.requests) > asked + 3)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()


def test_interrupt_in_the_last_moment_leaves_no_belief(elector, monkeypatch):
    lock = Lock("x")
    holds = lock._keeper.holds
    deliver = holds.deliver

    def interrupted(*arguments):
        deliver(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(holds, "deliver", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lock.acquire()
    assert not lock.held
    assert elector.locks == {}


def own_threads():
    return [thread for thread in threading.enumerate() if "metaparticle_sync" in thread.name]


def test_fast_path_costs_two_requests_and_no_thread(elector):
    lock = Lock("x")
    with lock:
        pass
    threads = own_threads()
    asked = len(elector.requests)
    with lock:
        assert own_threads() == threads
    mine = [request for request in elector.requests[asked:] if request.method != "POST"]
    assert [(request.method, request.path) for request in mine] == [("PUT", "/locks/x"), ("DELETE", "/locks/x")]


def test_grants_without_validity_have_an_end(elector, impatient):
    elector.valid_seconds = 0.0
    with pytest.raises(ConnectionError, match="count for too short a time"):
        Lock("x", unavailable_seconds=0.2).acquire()
    assert len(elector.asked("PUT", "/locks/x")) < 100
    assert eventually(lambda: elector.locks == {})


def test_connections_are_kept(elector):
    lock = Lock("x")
    for _ in range(20):
        with lock:
            pass
    assert len({request.peer for request in elector.requests if request.path == "/locks/x"}) <= 2
