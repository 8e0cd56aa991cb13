"""Two electors on one file, as two pods on one store: one of them dies, or is paused for longer than its lease."""

from __future__ import annotations

from datetime import datetime

from metaparticle_sync import wire
from tests.processes.checker import Write, stored_writes
from tests.processes.electors import LONG, SHORT, ElectorProcess, Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.machine import Machine
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_holder import queue_up

TAKEOVER_SECONDS = SHORT.observation_seconds + SHORT.lease_seconds / 5


def seconds_since_last_renewal(elector: ElectorProcess) -> float:
    """By the wall clock, which the record shows to people; only for an elector that writes no more."""
    sessions = [
        write.spec
        for write in stored_writes(elector.store_path)
        if write.kind == "session" and write.spec and write.spec["owner"].endswith(f":{elector.port}")
    ]
    renewed_at = datetime.fromisoformat(sessions[-1]["renewed_at"])
    return (datetime.now(renewed_at.tzinfo) - renewed_at).total_seconds()


def locks_of(elector: ElectorProcess, name: str) -> list[Write]:
    return [write for write in stored_writes(elector.store_path) if write.kind == "lock" and write.name == name]


def test_the_locks_of_a_killed_elector_pass_on_after_its_lease_and_never_before(machine: Machine):
    dying, other = machine.elector(SHORT), machine.elector(SHORT)
    holder, waiter = machine.worker(dying, tells=True), machine.worker(other)
    held = holder.acquire("x")
    queue_up(other, "x", waiter)

    killed_at = dying.kill()
    silent_since = now_ns() - int(seconds_since_last_renewal(dying) * 1e9)
    next_hold = waiter.wait_for("ok", what="acquire")
    told = holder.wait_for("told", name="x")

    assert seconds_between(silent_since, next_hold.at) >= SHORT.observation_seconds
    took = seconds_between(killed_at, next_hold.at)
    machine.measure("other elector killed, its lock is taken over (lease 6 s)", took, TAKEOVER_SECONDS)
    assert took < TAKEOVER_SECONDS + 1.0 * GENEROUS
    assert next_hold.token > held.token
    # Its client, which still lives, knew before.
    assert told.at < next_hold.at

    # It comes back: it takes nothing from the new holder, and serves its client again.
    dying.start()
    assert machine.raw_client(dying).acquire("x").code == "lock_held"
    waiter.wait_for_belief("x", now_ns())
    assert other.lock("x")["token"] == str(next_hold.token)
    queue_up(dying, "x", holder)
    waiter.release("x")
    assert holder.wait_for_belief("x", next_hold.at).token > next_hold.token


def test_a_paused_elector_tells_its_clients_and_never_writes_over_the_new_holder(machine: Machine):
    paused, other = machine.elector(Leases(SHORT.lease_seconds, LONG.client_ttl_seconds)), machine.elector(SHORT)
    holder, waiter = machine.worker(paused, tells=True), machine.worker(other)
    raw = machine.raw_client(paused)
    stream = raw.open_stream()
    holder.acquire("x")
    assert raw.acquire("y", raw_hold := wire.new_id()).status == 200
    queue_up(other, "x", waiter)

    paused.pause()
    next_hold = waiter.wait_for("ok", what="acquire")
    told = holder.wait_for("told", name="x")
    paused.resume()

    assert told.at < next_hold.at
    assert stream.until("lost")["holder"] == raw_hold
    # It has another session, and works for it.
    assert machine.raw_client(paused).acquire("x").code == "lock_held"
    waiter.wait_for_belief("x", now_ns())
    after = [write for write in locks_of(other, "x") if write.version >= next_hold.token]
    assert {write.spec["holder"] for write in after if write.spec} == {after[-1].spec["holder"]}
    waiter.release("x")


def test_a_lock_passes_between_two_electors(machine: Machine):
    electors = machine.elector(LONG), machine.elector(LONG)
    workers = [machine.worker(elector) for elector in electors for _ in range(2)]
    for worker in workers:
        worker.do("contend", name="x", turns=100, timeouts=[30.0, 30.0])
    for worker in workers:
        worker.wait_for("done")
    assert all(len(worker.events("ok", what="acquire")) == 100 for worker in workers)
    wait_until(lambda: electors[0].is_free("x"), "x is free")


def test_a_killed_client_of_one_elector_frees_its_lock_for_the_other(machine: Machine):
    first, second = machine.elector(LONG), machine.elector(LONG)
    holder, waiter = machine.worker(first), machine.worker(second)
    held = holder.acquire("x")
    queue_up(second, "x", waiter)

    killed_at = holder.kill()
    next_hold = waiter.wait_for("ok", what="acquire")
    took = seconds_between(killed_at, next_hold.at)
    assert machine.measure("holder killed, one of another elector holds", took, 1.0) < 1.0 * GENEROUS
    assert next_hold.token > held.token
