"""The other primitives: store writes of each operation, counted, and its time beside the cycle of a lock."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

from benchmarks.elector import Connection, Elector
from benchmarks.table import Row, percentile, spread
from metaparticle_sync import Barrier, Condition, Event, Lock, RLock, Semaphore, wire

ROUNDS = 200
PARTIES = 4
RATIO_MAX = 3.0
"""How many cycles of a lock one operation may take: a bound for surprises, not a promise."""


class Operation(NamedTuple):
    """What is done, how many writes it may cost, and how often it is done in each call of `work`."""

    what: str
    writes_max: float
    work: Callable[[], object]


def measure(elector: Elector) -> list[Row]:
    """A row of writes and one of time for each operation."""
    lock = Lock("family", elector.url)
    cycle = percentile(_sample(lambda: (lock.acquire(), lock.release())), 50)
    rows = [row for operation in _operations(elector) for row in _rows(elector, operation, cycle)]
    rows += _condition_rows(elector, cycle)
    for acts in (False, True):
        rows += _barrier_rows(elector, cycle, acts=acts)
    return rows


def _operations(elector: Elector) -> list[Operation]:
    url = elector.url
    rlock, semaphore = RLock("family, again", url), Semaphore(3, name="family", base_uri=url)
    event, is_set = Event("family", url), Event("family, set", url)
    rlock.acquire()
    is_set.set()
    return [
        Operation("RLock: acquire again + release", 0.0, lambda: (rlock.acquire(), rlock.release())),
        Operation("Semaphore: acquire + release", 2.0, lambda: (semaphore.acquire(), semaphore.release())),
        Operation("Event: set", 1.0, event.set),
        Operation("Event: wait, when it is set", 0.0, is_set.wait),
    ]


def _rows(elector: Elector, operation: Operation, cycle_seconds: float) -> list[Row]:
    operation.work()
    before = _writes(elector)
    sample = _sample(operation.work)
    writes = (_writes(elector) - before) / ROUNDS
    ratio = percentile(sample, 50) / cycle_seconds
    return [
        Row(f"writes of {operation.what}", writes, operation.writes_max, "", "counted"),
        Row(f"{operation.what} / a lock's cycle", ratio, RATIO_MAX, "x", spread(sample)),
    ]


def _sample(work: Callable[[], object]) -> list[float]:
    sample = []
    for _ in range(ROUNDS):
        started_at = time.perf_counter()
        work()
        sample.append(time.perf_counter() - started_at)
    return sample


def _condition_rows(elector: Elector, cycle_seconds: float) -> list[Row]:
    """One thread waits in a loop, another one notifies it, whose own cycle of the lock is not counted."""
    condition = Condition(name="family", base_uri=elector.url)
    woken = threading.Semaphore(0)
    waiter = threading.Thread(target=_wait_again_and_again, args=(condition, woken))
    waiter.start()
    _until(lambda: _is_waited_for(elector))
    before = _writes(elector)
    sample = []
    for _ in range(ROUNDS):
        started_at = time.perf_counter()
        with condition:
            condition.notify()
        woken.acquire()
        sample.append(time.perf_counter() - started_at)
        _until(lambda: _is_waited_for(elector) or not waiter.is_alive())
    writes = (_writes(elector) - before) / ROUNDS - 2
    waiter.join()
    ratio = percentile(sample, 50) / cycle_seconds
    return [
        Row("writes of Condition: wait + notify", writes, 4.0, "", "counted, without the notifier's own lock"),
        Row("Condition: notify until awake / a lock's cycle", ratio, 2 * RATIO_MAX, "x", spread(sample)),
    ]


def _wait_again_and_again(condition: Condition, woken: threading.Semaphore) -> None:
    with condition:
        for _ in range(ROUNDS):
            condition.wait()
            woken.release()


def _is_waited_for(elector: Elector) -> bool:
    connection = Connection(elector.port)
    body = json.loads(connection.call("GET", wire.path_of(wire.CONDITIONS_PATH, "family"))[1])
    connection.close()
    return bool(body.get("spec", {}).get("waiters"))


def _until(is_so: Callable[[], bool]) -> None:
    for _ in range(100_000):
        if is_so():
            return
    raise RuntimeError("it does not come to be")


def _barrier_rows(elector: Elector, cycle_seconds: float, *, acts: bool) -> list[Row]:
    action = (lambda: None) if acts else None
    barrier = Barrier(PARTIES, action, name=f"family {acts}", base_uri=elector.url)
    before = _writes(elector)
    sample: list[float] = []
    threads = [threading.Thread(target=_pass_often, args=(barrier, sample)) for _ in range(PARTIES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    writes = (_writes(elector) - before) / ROUNDS
    what = f"Barrier: {PARTIES} parties pass" + (", with an action" if acts else "")
    ratio = percentile(sample, 50) / cycle_seconds
    return [
        Row(f"writes of {what}", writes, PARTIES + 1.0 if acts else float(PARTIES), "", "counted"),
        Row(f"{what} / a lock's cycle", ratio, PARTIES * RATIO_MAX, "x", spread(sample)),
    ]


def _pass_often(barrier: Barrier, sample: list[float]) -> None:
    for _ in range(ROUNDS):
        started_at = time.perf_counter()
        barrier.wait()
        sample.append(time.perf_counter() - started_at)


def _writes(elector: Elector) -> float:
    return elector.counter("elector_writes_total")
