"""How many writes the store sees: counted by their versions, not timed."""

from __future__ import annotations

import json
import threading

from benchmarks.elector import Connection, Elector
from benchmarks.table import Row
from metaparticle_sync import Lock, wire

CYCLES = 200
HANDOFFS = 100
HOLDS = 100


def measure(elector: Elector) -> list[Row]:
    """The rows that count writes. Renewals of the elector's own session are told apart by their number."""
    lock = Lock("writes", elector.url)
    with lock:
        pass
    return [
        Row("store writes per acquire + release", _writes(elector, lambda: _cycles(lock)) / CYCLES, 2.0, "", "counted"),
        _hand_off_row(elector),
        _renewal_row(elector),
    ]


def _writes(elector: Elector, work: object) -> float:
    before = elector.counter("elector_writes_total")
    work()  # type: ignore[operator]  # a callable without arguments
    return elector.counter("elector_writes_total") - before


def _cycles(lock: Lock) -> None:
    for _ in range(CYCLES):
        lock.acquire()
        lock.release()


def _hand_off_row(elector: Elector) -> Row:
    """HANDOFFS waiters queue behind one hold: each hand-off may write once, the last release deletes."""
    lock = Lock("queue", elector.url)
    lock.acquire()
    threads = [threading.Thread(target=_take_turn, args=(elector.url,)) for _ in range(HANDOFFS)]
    for thread in threads:
        thread.start()
    _await_waiters(elector, HANDOFFS)
    before = elector.counter("elector_writes_total")
    lock.release()
    for thread in threads:
        thread.join()
    writes = elector.counter("elector_writes_total") - before - 1  # the release of the last one
    return Row("store writes per hand-off", writes / HANDOFFS, 1.0, "", f"{writes:.0f} writes, {HANDOFFS} hand-offs")


def _take_turn(url: str) -> None:
    with Lock("queue", url):
        pass


def _await_waiters(elector: Elector, number: int) -> None:
    connection = Connection(elector.port)
    for _ in range(100_000):
        locks = {lock["name"]: lock for lock in json.loads(connection.call("GET", wire.LOCKS_PATH)[1])["locks"]}
        if locks.get("queue", {}).get("waiters", 0) >= number:
            return
    raise RuntimeError("the waiters did not queue up")


def _renewal_row(elector: Elector) -> Row:
    """With HOLDS locks held, only the session is renewed: no write to any lock for a whole renewal interval."""
    locks = [Lock(f"held {number}", elector.url) for number in range(HOLDS)]
    for lock in locks:
        lock.acquire()
    before = _versions(elector)
    renewals_before = elector.counter("elector_renewals_total")
    for _ in range(1_000_000):
        if elector.counter("elector_renewals_total") >= renewals_before + 2:
            break
    changed = sum(_versions(elector)[name] != version for name, version in before.items())
    for lock in locks:
        lock.release()
    return Row("lock records rewritten by two renewals", changed, 0.0, "", f"{HOLDS} locks held")


def _versions(elector: Elector) -> dict[str, str]:
    connection = Connection(elector.port)
    names = [f"held {number}" for number in range(HOLDS)]
    answers = {name: json.loads(connection.call("GET", wire.lock_path(name))[1]) for name in names}
    return {name: answer["metadata"]["resourceVersion"] for name, answer in answers.items()}
