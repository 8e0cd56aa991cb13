"""Those who wait: interrupted, timed out, vanished, or very many of them."""

from __future__ import annotations

import pytest

from metaparticle_sync import wire
from tests.processes.electors import LONG
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_holder import queue_up

CROWD_PROCESSES = 4
CROWD_THREADS = 50


def test_an_interrupted_waiter_leaves_no_hold_behind(machine: Machine):
    elector = machine.elector(LONG)
    holder, waiter = machine.worker(elector), machine.worker(elector)
    holder.acquire("x")
    queue_up(elector, "x", waiter)

    interrupted_at = waiter.interrupt()
    failed = waiter.wait_for("fail", what="acquire")
    assert failed.error == "KeyboardInterrupt"
    assert machine.measure("Ctrl-C ends acquire", seconds_between(interrupted_at, failed.at), 1.0) < 1.0 * GENEROUS
    elector.wait_for_waiters("x", 0)

    holder.release("x")
    wait_until(lambda: elector.is_free("x"), "x is free")
    waiter.acquire("x")


def test_a_waiter_whose_time_is_over_leaves_no_hold_behind(machine: Machine):
    elector = machine.elector(LONG)
    holder, waiter = machine.worker(elector), machine.worker(elector)
    holder.acquire("x")

    waiter.do("acquire", name="x", timeout=0.5)
    failed = waiter.wait_for("fail")
    assert failed.error == "timeout"
    took = seconds_between(waiter.events("invoke")[0].at, failed.at)
    assert 0.5 <= took < 0.5 + 1.0 * GENEROUS
    elector.wait_for_waiters("x", 0)

    holder.release("x")
    wait_until(lambda: elector.is_free("x"), "x is free")


def test_timeouts_that_race_with_grants_leave_no_hold_behind(machine: Machine):
    elector = machine.elector(LONG)
    workers = [machine.worker(elector) for _ in range(3)]
    for worker in workers:
        worker.do("contend", name="x", turns=150, timeouts=[0.0, 0.01])
    for worker in workers:
        worker.wait_for("done")

    ends = [event for event in machine.events() if event.what == "acquire" and event.kind != "invoke"]
    assert {event.kind for event in ends} == {"ok", "fail"}, "both ends of the race must occur"
    assert {event.error for event in ends} <= {"", "timeout"}
    wait_until(lambda: elector.is_free("x"), "x is free")


def test_a_vanished_waiter_is_passed_over(machine: Machine):
    elector = machine.elector(LONG)
    holder, vanishing, last = (machine.worker(elector) for _ in range(3))
    holder.acquire("x")
    queue_up(elector, "x", vanishing, last)

    killed_at = vanishing.kill()
    holder.release("x")
    next_hold = last.wait_for("ok", what="acquire")

    took = seconds_between(killed_at, next_hold.at)
    assert machine.measure("waiter killed, lock released, the last one holds", took, 1.0) < 1.0 * GENEROUS


def test_a_grant_to_a_waiter_that_has_just_vanished_is_passed_on(machine: Machine):
    elector = machine.elector(LONG)
    holder, vanishing, last = (machine.worker(elector) for _ in range(3))
    holder.acquire("x")
    queue_up(elector, "x", vanishing, last)

    # It is granted while it is paused and can not notice; then it dies.
    vanishing.pause()
    holder.release("x")
    wait_until(lambda: f":{vanishing.pid} " in (elector.lock("x") or {"process": ""})["process"], "the grant")
    killed_at = vanishing.kill()

    next_hold = last.wait_for("ok", what="acquire")
    took = seconds_between(killed_at, next_hold.at)
    assert machine.measure("killed just when granted, the next one holds", took, 1.0) < 1.0 * GENEROUS


@pytest.mark.parametrize("parked_seconds", [0.0, 0.2])
def test_a_waiter_whose_connection_breaks_is_granted_for_an_instant_only(machine: Machine, parked_seconds: float):
    elector = machine.elector(LONG)
    holder, vanishing, last = (machine.raw_client(elector) for _ in range(3))
    held = wire.new_id()
    assert holder.acquire("x", held).status == 200
    asked_at = now_ns()
    lost_answer = vanishing.begin_to_acquire("x", wire.new_id())
    elector.wait_for_waiters("x", 1)
    answer = last.begin_to_acquire("x", wire.new_id())
    elector.wait_for_waiters("x", 2)
    wait_until(lambda: seconds_between(asked_at, now_ns()) >= parked_seconds, "it has waited for long enough")

    connections = elector.connections()
    lost_answer.vanish()
    wait_until(lambda: elector.connections() < connections, "the elector has seen the end of the connection")
    released_at = now_ns()
    assert holder.release("x", held).status == 204
    assert answer.answer().status == 200

    # Its session lives for 120 s, and its place is kept for 2 s; a grant in that gap waits for 1 s.
    took = seconds_between(released_at, now_ns())
    assert machine.measure("granted between two polls to nobody, passed on (waits 1 s)", took, 1.1) < 1.0 * GENEROUS


def test_a_waiter_that_comes_back_in_time_keeps_its_place(machine: Machine):
    elector = machine.elector(LONG)
    raw, other = machine.raw_client(elector), machine.raw_client(elector)
    holder_id, waiter_id = wire.new_id(), wire.new_id()
    assert raw.acquire("x", holder_id).status == 200
    assert other.acquire("x", waiter_id, wait_seconds=0.2).status == 202

    assert raw.release("x", holder_id).status == 204
    answer = other.acquire("x", waiter_id, wait_seconds=10)
    assert answer.status == 200
    assert answer.body["holder"] == waiter_id


def test_two_hundred_waiters_are_served_first_come_first(machine: Machine):
    elector = machine.elector(LONG)
    holder = machine.worker(elector)
    crowd = [machine.worker(elector) for _ in range(CROWD_PROCESSES)]
    holder.acquire("x")
    numbers = range(1, CROWD_PROCESSES * CROWD_THREADS + 1)
    for number in numbers:
        crowd[number % CROWD_PROCESSES].do("acquire_in_thread", name="x", number=number)
        elector.wait_for_waiters("x", number)

    released = holder.release("x")
    wait_until(lambda: elector.is_free("x"), "everybody had a turn")

    grants = [event for worker in crowd for event in worker.events("ok", what="acquire")]
    grants.sort(key=lambda event: event.token)
    assert [event.call for event in grants] == list(numbers)
    took = seconds_between(released.at, max(event.at for event in grants)) / len(numbers)
    machine.measure("200 waiters of 4 processes, one hand-off", took, 0.01)
