"""Processes of pods are killed, paused and restarted; beliefs are compared with what the recorder saw in etcd."""

from __future__ import annotations

from metaparticle_sync import wire
from tests.cluster.electors import PodElector
from tests.cluster.pods import PodMachine
from tests.cluster.taking_over import assert_taken_over, assert_told_in_time, assert_undisturbed, seconds_since
from tests.processes.electors import LONG, SHORT, Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_holder import queue_up
from tests.processes.workers import WorkerProcess

STEADY = Leases(60.0, 60.0)
"""For an elector that is restarted at once: its session must be alive then, however slow the machine is."""

ELECTORS, CLIENTS_OF_EACH = 5, 4


def test_a_killed_application_frees_its_lock(pods: PodMachine):
    first, second = pods.elector(LONG), pods.elector(LONG)
    holder, waiter = pods.worker(first), pods.worker(second)
    held = holder.acquire("x")
    queue_up(second, "x", waiter)

    killed_at = holder.kill()
    next_hold = waiter.wait_for("ok", what="acquire")

    took = seconds_between(killed_at, next_hold.at)
    assert pods.measure("application killed, another pod holds", took, 1.0) < 1.0 * GENEROUS
    assert [tenure.token for tenure in pods.tenures("x")] == [held.token, next_hold.token]


def test_a_killed_elector_that_comes_back_costs_nobody_a_hold(pods: PodMachine):
    restarted, other = pods.elector(STEADY), pods.elector(STEADY)
    holder, neighbour = pods.worker(restarted), pods.worker(restarted)
    waiter, stranger = pods.worker(other), pods.worker(other)
    held, foreign = holder.acquire("x"), stranger.acquire("y")
    queue_up(other, "x", waiter)
    queue_up(restarted, "y", neighbour)

    killed_at = restarted.kill()
    restarted.start()
    wait_until(lambda: pods.record("x")["epoch"] == 2, "the holder's hold is confirmed")
    wait_until(lambda: [ticket["epoch"] for ticket in pods.record("y")["queue"]] == [2], "its waiter is back")
    took = pods.measure("elector killed and restarted, holder and waiter are back", seconds_since(killed_at), 2.0)
    assert took < 2.0 * GENEROUS

    holder.wait_for_belief("x", now_ns())
    assert_undisturbed(holder, waiter, neighbour, stranger)
    assert [tenure.token for tenure in pods.tenures("x")] == [held.token]
    assert [tenure.token for tenure in pods.tenures("y")] == [foreign.token]
    holder.release("x")
    waiter.wait_for("ok", what="acquire")
    stranger.release("y")
    neighbour.wait_for("ok", what="acquire")


def test_the_locks_of_a_pod_that_is_killed_pass_on_after_its_lease_and_never_before(pods: PodMachine):
    dying, other = pods.elector(SHORT), pods.elector(SHORT)
    holder, waiter = pods.worker(dying, tells=True), pods.worker(other)
    held = holder.acquire("x")
    queue_up(other, "x", waiter)

    killed_at = dying.kill()
    told = holder.wait_for("told", name="x")
    next_hold = waiter.wait_for("ok", what="acquire")

    assert_told_in_time(pods, "elector killed for good", killed_at, told)
    assert_taken_over(pods, "elector killed for good", killed_at, holder, next_hold)
    assert [tenure.token for tenure in pods.tenures("x")] == [held.token, next_hold.token]


def test_nothing_that_a_paused_elector_writes_gets_through(pods: PodMachine):
    paused, other = pods.elector(Leases(SHORT.lease_seconds, LONG.client_ttl_seconds)), pods.elector(SHORT)
    holder, waiter, second_waiter = pods.worker(paused, tells=True), pods.worker(other), pods.worker(other)
    raw = pods.raw_client(paused)
    stream = raw.open_stream()
    holder.acquire("x")
    released, lost = wire.new_id(), wire.new_id()
    assert raw.acquire("y", released).status == raw.acquire("z", lost).status == 200
    queue_up(other, "x", waiter)
    queue_up(other, "y", second_waiter)

    paused_at = paused.pause()
    late_release = raw.send("DELETE", wire.lock_path("y"), {"client": raw.id, "holder": released})
    told = holder.wait_for("told", name="x")
    next_holds = waiter.wait_for("ok", name="x"), second_waiter.wait_for("ok", name="y")
    resumed_at = paused.resume()

    assert_told_in_time(pods, "elector paused", paused_at, told)
    assert_taken_over(pods, "elector paused", paused_at, holder, next_holds[0])
    wait_until(lambda: stream.until("lost")["holder"] == lost, "its client is told")
    pods.measure("the paused elector goes on, its client is told", seconds_since(resumed_at), 1.0)
    late_release.answer()
    wait_until(paused.has_session, "it has another session")
    assert pods.raw_client(paused).acquire("x").code == "lock_held"
    for worker, hold in zip((waiter, second_waiter), next_holds, strict=True):
        worker.wait_for_belief(hold.name, now_ns())
        assert [tenure.token for tenure in pods.tenures(hold.name) if tenure.ended is None] == [hold.token]


def test_a_rolling_restart_loses_nothing(pods: PodMachine):
    """Each elector is stopped and started again, one after the other, while all its clients are at work."""
    electors = [pods.elector(STEADY) for _ in range(ELECTORS)]
    holders = [pods.worker(elector) for elector in electors]
    waiters = [pods.worker(elector) for elector in electors]
    busy = [pods.worker(elector) for elector in electors for _ in range(CLIENTS_OF_EACH - 2)]
    own_locks = [f"own-{number}" for number in range(ELECTORS)]
    tokens = [holder.acquire(name).token for holder, name in zip(holders, own_locks, strict=True)]
    # Who waits at an elector waits for what a client of the next one holds.
    for elector, waiter, name in zip(electors, waiters, [*own_locks[1:], own_locks[0]], strict=True):
        queue_up(elector, name, waiter)
    for number, worker in enumerate(busy):
        worker.do("toil", name=f"shared-{number % 3}")

    longest = max(_restart(elector) for elector in electors)
    after = now_ns()
    for worker in busy:
        wait_until(lambda worker=worker: _granted_after(worker, after), "each client goes on")
    pods.measure("rolling restart: the longest time one elector was away", longest, 15.0)

    assert_undisturbed(*holders, *waiters)
    # They wait for one second only, and an elector may be away for longer.
    failed = {(event.what, event.error) for worker in busy for event in worker.events("fail")}
    assert failed <= {("acquire", "timeout"), ("acquire", "ElectorUnavailable")}
    assert not [event for worker in busy for event in worker.events("told")]
    for holder, name, token in zip(holders, own_locks, tokens, strict=True):
        assert holder.wait_for_belief(name, now_ns()).token == token
        holder.release(name)
    for waiter in waiters:
        waiter.wait_for("ok", what="acquire")
    for worker in busy:
        worker.do("stop")
        worker.wait_for("done")


def _restart(elector: PodElector) -> float:
    """As a container is replaced; the seconds until it serves again."""
    at = elector.terminate()
    assert elector.exit_code() == 0
    elector.start()
    return seconds_since(at)


def _granted_after(worker: WorkerProcess, moment: int) -> bool:
    return any(event.at > moment for event in worker.events("ok", what="acquire")[-1:])
