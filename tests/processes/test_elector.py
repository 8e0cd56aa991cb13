"""The elector is killed, stopped or gone, under its holders and waiters."""

from __future__ import annotations

from tests.processes.checker import stored_writes
from tests.processes.electors import LONG, SHORT, ElectorProcess
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_holder import queue_up
from tests.processes.workers import WorkerProcess

AWAY_SECONDS = 5.0  # The client library puts up with no less.


def all_survive(elector: ElectorProcess, since: int, holder: WorkerProcess, waiters: list[WorkerProcess]) -> None:
    """The holder goes on with its hold, the waiters with their waits, and nobody was told of a loss."""
    (granted,) = holder.events("ok", what="acquire")
    assert holder.wait_for_belief("x", since).token == granted.token
    elector.wait_for_waiters("x", len(waiters))
    assert elector.lock("x")["token"] == str(granted.token)
    # The next elector has been told of the hold: its heartbeats are answered, and nobody doubts.
    assert elector.locks()[0]["process"].count(f":{holder.pid} ") == 1

    holder.release("x")
    left = list(waiters)
    while left:
        lucky = wait_until(lambda: [one for one in left if one.events("ok", what="acquire")], "a waiter gets it")[0]
        left.remove(lucky)
        lucky.wait_for_belief("x", since)
        lucky.release("x")
    for worker in (holder, *waiters):
        assert not worker.events("told")
        assert not worker.events("doubt")
        assert worker.leave() == 0


def with_a_holder_and_two_waiters(
    machine: Machine, elector: ElectorProcess
) -> tuple[WorkerProcess, list[WorkerProcess]]:
    holder, *waiters = (machine.worker(elector, tells=True) for _ in range(3))
    holder.acquire("x")
    queue_up(elector, "x", *waiters)
    return holder, waiters


def test_a_killed_elector_that_comes_back_costs_nobody_anything(machine: Machine):
    elector = machine.elector(LONG)
    holder, waiters = with_a_holder_and_two_waiters(machine, elector)

    killed_at = elector.kill()
    elector.start()
    elector.wait_for_waiters("x", len(waiters))
    machine.measure("elector killed and started, all waiters are back", seconds_between(killed_at, now_ns()), 2.0)
    all_survive(elector, now_ns(), holder, waiters)


def test_a_killed_worker_is_replaced_by_its_master(machine: Machine):
    elector = machine.elector(LONG)
    holder, waiters = with_a_holder_and_two_waiters(machine, elector)
    master = elector.master.pid

    killed_at = elector.kill(master=False)
    elector.wait_until_serving()
    assert elector.master.pid == master
    elector.wait_for_waiters("x", len(waiters))
    machine.measure("elector's worker killed, all waiters are back", seconds_between(killed_at, now_ns()), 2.0)
    all_survive(elector, now_ns(), holder, waiters)


def test_a_killed_master_takes_its_worker_along(machine: Machine):
    elector = machine.elector(LONG)
    holder, waiters = with_a_holder_and_two_waiters(machine, elector)

    elector.kill(worker=False)  # Waits for the worker's end, too: else it would go on and keep the port.
    elector.start()
    all_survive(elector, now_ns(), holder, waiters)


def test_an_elector_gone_for_good(machine: Machine):
    elector = machine.elector(SHORT)
    holder, waiter = machine.worker(elector, tells=True), machine.worker(elector, unavailable_seconds=AWAY_SECONDS)
    held = holder.acquire("x")
    waiter.do("acquire", name="x")
    elector.wait_for_waiters("x", 1)

    killed_at = elector.kill()
    told = holder.wait_for("told", name="x")
    assert told.token == held.token
    last_belief = max(event.asked for event in holder.events("belief"))
    assert seconds_between(killed_at, last_belief) < SHORT.validity_seconds
    took = machine.measure(
        "elector gone, its holder is told", seconds_between(killed_at, told.at), SHORT.validity_seconds
    )
    assert took < SHORT.validity_seconds + 1.0 * GENEROUS

    failed = waiter.wait_for("fail", what="acquire")
    assert failed.error == "ElectorUnavailable"
    assert elector.url in failed.text
    assert seconds_between(waiter.events("invoke")[0].at, failed.at) >= AWAY_SECONDS
    assert waiter.leave() == 0


def test_a_newcomer_without_an_elector_is_told_what_to_do(machine: Machine):
    elector = machine.elector(LONG)
    elector.kill()
    worker = machine.worker(elector)
    worker.do("acquire", name="x", timeout=0.5)
    failed = worker.wait_for("fail")
    assert failed.error == "ElectorUnavailable"
    assert elector.url in failed.text
    assert "elector" in failed.text.replace(elector.url, "")


def test_a_newcomer_waits_for_an_elector_that_starts_later(machine: Machine):
    elector = machine.elector(LONG)
    elector.kill()
    worker = machine.worker(elector)
    worker.do("acquire", name="x", timeout=50)
    worker.wait_for("invoke")
    elector.start()
    worker.wait_for("ok", what="acquire")


def test_a_terminated_elector_leaves_in_time_and_the_next_one_adopts(machine: Machine):
    elector = machine.elector(LONG)
    holder, waiters = with_a_holder_and_two_waiters(machine, elector)
    raw = machine.raw_client(elector)
    streams = [raw.open_stream() for _ in range(3)]
    parked = raw.begin_to_acquire("x", "a" * 32)
    elector.wait_for_waiters("x", 3)

    terminated_at = elector.terminate()
    answer = parked.answer()
    assert (answer.status, answer.code) == (503, "elector_stopping")
    for stream in streams:
        assert stream.until("stopping")
        assert stream.next() is None
    assert elector.exit_code() == 0
    took = machine.measure("elector terminated, its process ends", seconds_between(terminated_at, now_ns()), 2.0)
    assert took < 2.0 * GENEROUS

    elector.start()
    assert "went on with session" in elector.output.read_text()
    all_survive(elector, now_ns(), holder, waiters)


def test_a_terminated_elector_without_holds_leaves_no_session(machine: Machine):
    elector = machine.elector(LONG)
    worker = machine.worker(elector)
    worker.acquire("x")
    assert worker.leave() == 0
    wait_until(lambda: elector.is_free("x"), "x is free")

    elector.terminate()
    assert elector.exit_code() == 0
    sessions = {write.name: write.spec for write in stored_writes(elector.store_path) if write.kind == "session"}
    assert list(sessions.values()) == [None]


def test_the_locks_of_processes_that_end_during_a_restart_are_freed(machine: Machine):
    """Nobody tells the next elector of their end: only the grace after an adoption frees their locks."""
    elector = machine.elector(SHORT)
    leaving, killed, other = (machine.worker(elector, tells=True) for _ in range(3))
    leaving.acquire("x")
    killed.acquire("y")

    elector.kill()
    assert leaving.leave() == 0
    killed.kill()
    elector.start()
    other.acquire("x")
    other.acquire("y")
