"""The figures in the table of `docs/how-it-fails.md`: `python -m tests.docs.measure`, in about a minute.

Each fault is made with real processes, at default settings, on SQLite. Those that take long are measured once, all at
the same time; those that are over in a moment are repeated, one after the other.
"""

from __future__ import annotations

import sqlite3
import statistics
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.processes.electors import ElectorProcess, Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.running import wait_until
from tests.processes.workers import WorkerProcess

DEFAULT = Leases(20.0, 30.0)
REPETITIONS = 20

Scenario = Callable[[Machine], str]

REPEATED: dict[str, Callable[[Machine], Callable[[], float]]] = {}
ONCE: dict[str, Scenario] = {}


def repeated(function: Callable[[Machine], Callable[[], float]]) -> Callable[[Machine], Callable[[], float]]:
    REPEATED[function.__name__] = function
    return function


def once(function: Scenario) -> Scenario:
    ONCE[function.__name__] = function
    return function


def pair(machine: Machine, *electors: ElectorProcess) -> tuple[WorkerProcess, WorkerProcess]:
    """A holder at the first elector, and a waiter at the last one."""
    holder, waiter = machine.worker(electors[0], tells=True), machine.worker(electors[-1])
    holder.acquire("x")
    waiter.do("acquire", name="x")
    electors[-1].wait_for_waiters("x", 1)
    return holder, waiter


def first_hold(waiter: WorkerProcess) -> int:
    return waiter.wait_for("ok", name="x", what="acquire").at


# Over in a moment ---------------------------------------------------------------------------------------------------


@repeated
def holder_killed(machine: Machine) -> Callable[[], float]:
    elector = machine.elector(DEFAULT)

    def go() -> float:
        holder, waiter = pair(machine, elector)
        killed_at = holder.kill()
        took = seconds_between(killed_at, first_hold(waiter))
        waiter.leave()
        return took

    return go


@repeated
def holder_releases(machine: Machine) -> Callable[[], float]:
    elector = machine.elector(DEFAULT)

    def go() -> float:
        holder, waiter = pair(machine, elector)
        called_at = holder.release("x").at
        calls = [event.at for event in holder.events("invoke", name="x", what="release")]
        took = seconds_between(min(calls[-1], called_at), first_hold(waiter))
        waiter.leave()
        holder.leave()
        return took

    return go


@repeated
def elector_killed_and_started_again(machine: Machine) -> Callable[[], float]:
    elector = machine.elector(DEFAULT)
    holder, waiter = pair(machine, elector)

    def go() -> float:
        killed_at = elector.kill()
        elector.start()
        elector.wait_for_waiters("x", 1)
        assert not holder.events("told")
        assert not holder.events("doubt")
        assert not waiter.events("ok", name="x")
        return seconds_between(killed_at, now_ns())

    return go


@repeated
def elector_stopped(machine: Machine) -> Callable[[], float]:
    elector = machine.elector(DEFAULT)
    holder, _ = pair(machine, elector)

    def go() -> float:
        asked_at = elector.terminate()
        elector.exit_code()
        took = seconds_between(asked_at, now_ns())
        elector.start()
        elector.wait_for_waiters("x", 1)
        assert not holder.events("told")
        return took

    return go


@repeated
def waiter_killed(machine: Machine) -> Callable[[], float]:
    elector = machine.elector(DEFAULT)

    def go() -> float:
        holder, doomed = pair(machine, elector)
        killed_at = doomed.kill()
        wait_until(lambda: elector.lock("x")["waiters"] == 0, "the waiter has left the queue")
        took = seconds_between(killed_at, now_ns())
        holder.leave()
        return took

    return go


@repeated
def proxy_dies(machine: Machine) -> Callable[[], float]:
    """Until the holder is attached again through a new proxy at the same address."""
    elector = machine.elector(DEFAULT)
    url, proxy = machine.proxy(elector)
    holder = machine.worker(url, tells=True)
    holder.acquire("x")
    port = int(url.rpartition(":")[2])
    running = [proxy]

    def go() -> float:
        wait_until(lambda: elector.connections() >= 2, "the holder's stream")
        ended_at = now_ns()
        running.pop().end()
        wait_until(lambda: elector.connections() == 0, "all connections have ended")
        running.append(machine.proxy(elector, port)[1])
        wait_until(lambda: elector.connections() >= 2, "the holder is back")
        assert not holder.events("told")
        return seconds_between(ended_at, now_ns())

    return go


# Long ---------------------------------------------------------------------------------------------------------------


@once
def holder_paused(machine: Machine) -> str:
    elector = machine.elector(DEFAULT)
    holder, waiter = pair(machine, elector)
    paused_at = holder.pause()
    taken_at = first_hold(waiter)
    resumed_at = holder.resume()
    told_at = holder.wait_for("told").at
    assert not [belief for belief in holder.events("belief") if belief.asked > resumed_at]
    return (
        f"next waiter: {seconds_between(paused_at, taken_at):.1f} s;"
        f" told {seconds_between(resumed_at, told_at) * 1000:.0f} ms after it went on"
    )


@once
def elector_gone_for_good(machine: Machine) -> str:
    elector = machine.elector(DEFAULT)
    holder, waiter = pair(machine, elector)
    killed_at = elector.kill()
    told_at = holder.wait_for("told").at
    failed = waiter.wait_for("fail", name="x", what="acquire")
    assert failed.error == "ElectorUnavailable"
    return f"holder: {seconds_between(killed_at, told_at):.1f} s; waiter: {seconds_between(killed_at, failed.at):.1f} s"


@once
def elector_and_application_die(machine: Machine) -> str:
    dying, other = machine.elector(DEFAULT), machine.elector(DEFAULT)
    holder, waiter = pair(machine, dying, other)
    killed_at = dying.kill()
    holder.kill()
    return f"{seconds_between(killed_at, first_hold(waiter)):.1f} s"


@once
def elector_paused(machine: Machine) -> str:
    paused, other = machine.elector(DEFAULT), machine.elector(DEFAULT)
    holder, waiter = pair(machine, paused, other)
    paused_at = paused.pause()
    told_at, taken_at = holder.wait_for("told").at, first_hold(waiter)
    paused.resume()
    return f"holder: {seconds_between(paused_at, told_at):.1f} s; waiter: {seconds_between(paused_at, taken_at):.1f} s"


@once
def store_away_for_ten_seconds(machine: Machine) -> str:
    elector = machine.elector(DEFAULT)
    holder, waiter = pair(machine, elector)
    with closed_store(elector):
        gone_until = now_ns() + 10 * 10**9
        wait_until(lambda: now_ns() >= gone_until, "ten seconds")
    back_at = now_ns()
    assert not holder.events("told")
    assert not holder.events("doubt")
    holder.release("x")
    took = seconds_between(back_at, first_hold(waiter))
    return f"nothing lost; the next waiter held {took * 1000:.0f} ms after its end"


@once
def store_away_for_longer(machine: Machine) -> str:
    elector = machine.elector(DEFAULT)
    holder, _ = pair(machine, elector)
    with closed_store(elector):
        gone_at = now_ns()
        told_at = holder.wait_for("told").at
    return f"holder: {seconds_between(gone_at, told_at):.1f} s"


@once
def client_cut_off(machine: Machine) -> str:
    elector = machine.elector(DEFAULT)
    url, proxy = machine.proxy(elector)
    holder, waiter = machine.worker(url, tells=True), machine.worker(elector)
    holder.acquire("x")
    waiter.do("acquire", name="x")
    elector.wait_for_waiters("x", 1)
    cut_at = now_ns()
    proxy.end()
    told_at, taken_at = holder.wait_for("told").at, first_hold(waiter)
    return f"holder: {seconds_between(cut_at, told_at):.1f} s; next waiter: {seconds_between(cut_at, taken_at):.1f} s"


@once
def record_deleted_by_hand(machine: Machine) -> str:
    elector = machine.elector(DEFAULT)
    holder = machine.worker(elector, tells=True)
    holder.acquire("x")
    store = sqlite3.connect(elector.store_path, timeout=10)
    with store:
        store.execute("DELETE FROM change WHERE kind = 'lock' AND name = 'x'")
    store.close()
    deleted_at = now_ns()
    return f"holder: {seconds_between(deleted_at, holder.wait_for('told').at):.1f} s"


class closed_store:  # noqa: N801 - it reads as a statement
    """Nobody can write to the store of an elector."""

    def __init__(self, elector: ElectorProcess) -> None:
        self._store = sqlite3.connect(elector.store_path, timeout=10, isolation_level=None)

    def __enter__(self) -> None:
        self._store.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._store.execute("ROLLBACK")
        self._store.close()


def _with_machine(measure: Callable[[Machine], str]) -> str:
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine(Path(folder))
        try:
            return measure(machine)
        except AssertionError as error:
            return f"FAILED: {error}\n{machine.report()}"
        finally:
            machine.end()


def _repeat(prepare: Callable[[Machine], Callable[[], float]]) -> str:
    def measure(machine: Machine) -> str:
        go = prepare(machine)
        took = [go() * 1000 for _ in range(REPETITIONS)]
        return f"median {statistics.median(took):.0f} ms, longest {max(took):.0f} ms, of {REPETITIONS}"

    return _with_machine(measure)


def main() -> None:
    """Measure everything, and print a line for each fault."""
    for name, prepare in REPEATED.items():
        print(f"{name:36} {_repeat(prepare)}", flush=True)
    with ThreadPoolExecutor(len(ONCE)) as pool:
        for name, text in zip(ONCE, pool.map(_with_machine, ONCE.values()), strict=True):
            print(f"{name:36} {text}", flush=True)


if __name__ == "__main__":
    main()
