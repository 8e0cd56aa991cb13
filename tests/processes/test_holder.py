"""The process that holds is killed, or paused for longer than its lease."""

from __future__ import annotations

from tests.processes.electors import LONG, SHORT, ElectorProcess
from tests.processes.history import seconds_between
from tests.processes.machine import Machine
from tests.processes.running import GENEROUS, wait_until
from tests.processes.workers import WorkerProcess

EXIT_CODE_OF_A_LOSS = 70


def queue_up(elector: ElectorProcess, name: str, *workers: WorkerProcess) -> None:
    """Have the workers wait for a lock, one behind the other."""
    before = (elector.lock(name) or {"waiters": 0})["waiters"]
    for place, worker in enumerate(workers, start=before + 1):
        worker.do("acquire", name=name)
        elector.wait_for_waiters(name, place)


def test_a_killed_holder_frees_its_lock_at_once(machine: Machine):
    elector = machine.elector(LONG)
    holder, first, second = (machine.worker(elector) for _ in range(3))
    held = holder.acquire("x")
    queue_up(elector, "x", first, second)

    killed_at = holder.kill()
    next_hold = first.wait_for("ok", what="acquire")

    # Without the proof of its death, its session would live for 120 s.
    took = machine.measure("holder killed, the next one holds", seconds_between(killed_at, next_hold.at), 1.0)
    assert took < 1.0 * GENEROUS
    assert next_hold.token > held.token
    first.release("x")
    second.wait_for_belief("x", killed_at)


def test_a_killed_holder_frees_all_its_locks(machine: Machine):
    elector = machine.elector(LONG)
    holder, other = machine.worker(elector), machine.worker(elector)
    names = [f"lock {number}" for number in range(20)]
    for name in names:
        holder.do("acquire", name=name)
    holder.wait_for("ok", name=names[-1])

    holder.kill()
    for name in names:
        other.acquire(name)


def test_a_paused_holder_ends_when_it_goes_on(machine: Machine):
    elector = machine.elector(SHORT)
    holder, other = machine.worker(elector), machine.worker(elector)
    held = holder.acquire("x")
    queue_up(elector, "x", other)

    paused_at = holder.pause()
    next_hold = other.wait_for("ok", what="acquire")
    machine.measure(
        "holder paused, the next one holds", seconds_between(paused_at, next_hold.at), SHORT.silence_seconds
    )
    assert next_hold.token > held.token

    resumed_at = holder.resume()
    assert holder.exit_code() == EXIT_CODE_OF_A_LOSS
    assert not [event for event in holder.events("belief") if event.at > resumed_at and event.asked > paused_at]
    message = [line for line in holder.output.read_text().splitlines() if line]
    assert len(message) == 1, message
    assert "'x'" in message[0]
    other.wait_for_belief("x", resumed_at)


def test_a_paused_holder_with_a_callback_is_told_before_it_can_believe(machine: Machine):
    elector = machine.elector(SHORT)
    holder, other = machine.worker(elector, tells=True), machine.worker(elector)
    held = holder.acquire("x")
    queue_up(elector, "x", other)

    holder.pause()
    next_hold = other.wait_for("ok", what="acquire")
    resumed_at = holder.resume()

    told = holder.wait_for("told", name="x")
    assert told.at > resumed_at
    assert told.token == held.token
    holder.do("release", name="x")
    assert holder.wait_for("fail", what="release").error == "LockLost"
    assert not [event for event in holder.events("belief") if event.asked > next_hold.at]

    # The process goes on, and may wait for the same lock again.
    queue_up(elector, "x", holder)
    other.wait_for_belief("x", told.at)
    other.release("x")
    holder.wait_for_belief("x", resumed_at)


def test_a_killed_leader_is_followed_at_once(machine: Machine):
    elector = machine.elector(LONG)
    leader, next_leader = machine.worker(elector, tells=True), machine.worker(elector, tells=True)
    leader.do("lead", name="x")
    elected = leader.wait_for("ok", what="lead")
    next_leader.do("lead", name="x")
    elector.wait_for_waiters("x", 1)

    killed_at = leader.kill()
    next_elected = next_leader.wait_for("ok", what="lead")
    took = machine.measure("leader killed, the next one leads", seconds_between(killed_at, next_elected.at), 1.0)
    assert took < 1.0 * GENEROUS
    assert next_elected.token > elected.token

    next_leader.do("resign", name="x")
    next_leader.wait_for("stopped")
    wait_until(lambda: elector.is_free("x"), "x is free")


def test_a_paused_leader_is_stopped_and_told_and_stands_again(machine: Machine):
    elector = machine.elector(SHORT)
    leader, next_leader = machine.worker(elector, tells=True), machine.worker(elector, tells=True)
    leader.do("lead", name="x")
    elected = leader.wait_for("ok", what="lead")
    next_leader.do("lead", name="x")
    elector.wait_for_waiters("x", 1)

    leader.pause()
    next_elected = next_leader.wait_for("ok", what="lead")
    leader.resume()
    assert leader.wait_for("stopped").token == elected.token
    assert leader.wait_for("told").token == elected.token
    elector.wait_for_waiters("x", 1)
    next_leader.do("resign", name="x")
    assert leader.wait_for_belief("x", next_elected.at).token > next_elected.token


def test_the_paused_holder_of_a_long_lease_keeps_its_lock(machine: Machine):
    elector = machine.elector(LONG)
    holder, other = machine.worker(elector), machine.worker(elector)
    holder.acquire("x")
    holder.pause()
    other.do("acquire", name="x", timeout=1.0)
    assert other.wait_for("fail").error == "timeout"

    resumed_at = holder.resume()
    holder.wait_for_belief("x", resumed_at)
    holder.release("x")
    assert holder.leave() == 0
