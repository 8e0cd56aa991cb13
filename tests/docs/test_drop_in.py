"""What `docs/drop-in.md` says of costs, bounds and names, compared with an elector."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from metaparticle_sync import Barrier, Condition, Event, Lock, RLock, Semaphore, wire
from tests.docs.elector import DocumentedElector
from tests.docs.pages import DROP_IN, table

PARTIES = 3


def writes(elector: DocumentedElector) -> int:
    """How many writes to the store there were."""
    connection = http.client.HTTPConnection(elector.health_address, timeout=10)
    try:
        connection.request("GET", "/metrics")
        metrics = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(r"^elector_writes_total ([0-9.e+]+)$", metrics, re.MULTILINE)
    assert found, metrics
    return int(float(found[1]))


@pytest.fixture
def elector(tmp_path, monkeypatch):
    """One that renews its session seldom: its writes are those that it is asked for."""
    running = DocumentedElector(tmp_path, "--store", "memory", "--lease-seconds", "3600")
    monkeypatch.setenv("METAPARTICLE_SYNC_URL", running.url)
    yield running
    running.end()


@pytest.fixture
def cost(elector) -> Callable[..., int]:
    """How many writes some work costs."""

    def of(work: Callable[[], object]) -> int:
        before = writes(elector)
        work()
        return writes(elector) - before

    return of


def in_threads(work: Callable[[], object], number: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def documented(operation: str) -> str:
    """What the table says."""
    costs = {row[0]: row[1] for row in table(DROP_IN, "operation", "writes")}
    return costs.pop(operation)


def test_a_lock_costs_what_the_page_says(cost):
    lock = Lock("cost")
    assert documented("`Lock`: acquire, release") == f"{cost(lock.acquire)}, {cost(lock.release)}"


def test_to_take_an_rlock_again_costs_what_the_page_says(cost):
    lock = RLock("cost")
    lock.acquire()
    again = f"{cost(lock.acquire)}, {cost(lock.release)}"
    assert documented("`RLock`: acquire again, release that") == f"{again}: nobody is asked"
    lock.release()


def test_a_permit_costs_what_the_page_says(cost):
    semaphore = Semaphore(5, name="cost")
    once = f"{cost(semaphore.acquire)}, {cost(semaphore.release)}"
    for _ in range(4):
        semaphore.acquire()
    said = documented("`Semaphore`: acquire, release")
    assert said == f"{once}; `release(n)` is {cost(lambda: semaphore.release(4))}"


def test_an_event_costs_what_the_page_says(cost):
    event = Event("cost")
    assert documented("`Event`: `set`, `clear`") == f"{cost(event.set)}, {cost(event.clear)}"
    event.set()
    assert documented("`Event`: `wait` when it is set, `is_set`") == f"{cost(lambda: (event.wait(), event.is_set()))}"


def test_those_who_wait_for_an_event_cost_nothing(cost):
    event = Event("cost")
    event.clear()

    def wait_together() -> None:
        in_threads(lambda: event.wait(0.2), 5)
        waiting = threading.Thread(target=in_threads, args=(event.wait, 10))
        waiting.start()
        event.set()
        waiting.join()

    assert documented("`Event`: `wait` until it is set") == f"{cost(wait_together) - 1}, however many wait"


def test_a_condition_costs_no_more_than_the_page_says(cost):
    condition = Condition(name="cost")
    waits = threading.Event()

    def wait() -> None:
        with condition:
            waits.set()
            condition.wait()

    def wait_and_notify() -> None:
        thread = threading.Thread(target=wait)
        thread.start()
        waits.wait()
        with condition:  # Which is free only when the other one waits.
            condition.notify()
        thread.join()

    others = 4  # Both threads acquire the lock before, and release it after.
    most, more = documented("`Condition`: wait + notify, with the waiter's lock").split(" at most; one more ")
    assert more
    assert 2 <= cost(wait_and_notify) - others <= int(most) + 1


@pytest.mark.parametrize("acts", [False, True])
def test_a_barrier_costs_no_more_than_the_page_says(cost, acts):
    barrier = Barrier(PARTIES, (lambda: None) if acts else None, name="cost")
    most = PARTIES + acts
    assert documented("`Barrier` of n") == "n at most; n + 1 with an action"
    assert 1 <= cost(lambda: in_threads(barrier.wait, PARTIES)) <= most


def test_every_operation_has_its_test():
    text = Path(__file__).read_text()
    rows = table(DROP_IN, "operation", "writes")
    assert rows
    assert {row[0] for row in rows if f'"{row[0]}"' not in text} == set()


def test_the_bounds_are_those_of_the_protocol():
    bounds = {row[0]: row[1] for row in table(DROP_IN, "what", "at most")}
    assert bounds["the value of a semaphore, the parties of a barrier"].startswith(f"{wire.LIMIT_MAX:,}")
    assert bounds["permits released at once, `release(n)`"].startswith(f"{wire.PERMITS_MAX:,}")
