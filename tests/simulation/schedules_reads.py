"""Directed schedules about what an elector reads: stale answers, missed changes, and tickets of the dead."""

from __future__ import annotations

from tests.simulation.invariants import tenures
from tests.simulation.schedules import D, elector_of, lease, queue_of, schedule, store_of, two_pods
from tests.simulation.world import World

AT_ONCE_SECONDS = 1.0


@schedule
async def a_stale_list_costs_nothing(world: World) -> None:
    """The lists of the reconciliation are older than the hold, and do not show it."""
    e0, _, holder, _ = await two_pods(world)
    await world.sleep(1.0)
    stale_at = world.loop.time()
    await world.sleep(0.1)
    store_of(e0).plan("list", "lock", where=lambda operation: operation.session is not None, times=3, stale_at=stale_at)
    await world.hold(holder, "a")
    await world.sleep(3 * D)
    assert holder.check("a"), "a stale list cost the lock"


@schedule
async def a_stale_read_costs_no_presented_hold(world: World) -> None:
    """After a restart the read that looks for a presented hold is stale, and does not find it."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(1.0)
    elector_of(e0).crash()
    e0.start_elector(
        prepare=lambda store: (
            store.plan("get", "lock", "a", times=2, stale_at=0.0),
            store.plan("list", "lock", times=1, stale_at=0.0),
        )
    )
    await world.sleep(10.0)
    assert holder.check("a"), "a stale read cost the lock"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_stale_read_hides_no_release(world: World) -> None:
    """After a restart a client releases, and the read of its hold is stale: the lock gets free all the same."""
    e0, _, holder, waiter = await two_pods(world, lease(D, 15.0))
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(1.0)
    holder.drop(hold, "about to be released")
    elector_of(e0).crash()
    again = e0.start_elector(prepare=lambda store: store.plan("get", "lock", "a", times=2, stale_at=0.0))
    await world.until(lambda: again.elector.ready, 5.0)
    began = world.loop.time()
    holder.give_back("a", hold.holder)
    assert await waiting is not None
    assert world.loop.time() - began < max(lease(D).validity_seconds, 15.0) + 3.0


@schedule
async def a_missed_change_is_found_by_the_poll(world: World) -> None:
    """E1's watches say nothing: its waiter finds the hand-off by the poll."""
    _, e1, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.until(lambda: queue_of(world, "a"), 5.0)
    e1.faults.watch_skip = 1.0
    released_at = world.loop.time()
    await holder.run(holder.release(hold))
    assert await waiting is not None
    assert world.loop.time() - released_at < D / 5 / 0.99 + AT_ONCE_SECONDS, "the poll came late"


@schedule
async def a_ticket_that_vanished_is_renewed(world: World) -> None:
    """An operator removes E1's ticket from the queue: its waiter queues up again."""
    _, e1, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.until(lambda: queue_of(world, "a"), 5.0)
    e1.faults.watch_skip = 1.0
    record = world.shared.record("lock", "a")
    assert record is not None
    world.shared.by_hand("replace", "lock", "a", {k: v for k, v in record.spec.items() if k != "queue"})
    await world.until(lambda: queue_of(world, "a"), D)
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_known_dead_ticket_costs_nothing(world: World) -> None:
    """E1 died while it waited for a lock; its session is known to have ended: the releaser skips its ticket."""
    e0, e1, holder, dead = await two_pods(world)
    e2 = world.add_pod("e2", lease(D))
    await world.until_ready()
    last, other = world.add_client(e2), world.add_client(e0)
    hold = await world.hold(holder, "a")
    await world.hold(dead, "b")
    dead.run(dead.acquire("a", 500.0))
    await world.until(lambda: len(queue_of(world, "a")) == 1, 5.0)
    dead_ticket = queue_of(world, "a")[0]
    waiting = last.run(last.acquire("a", 500.0))
    await world.until(lambda: len(queue_of(world, "a")) == 2, 5.0)
    dead.silent_death = True
    dead.crash()
    elector_of(e1).crash()
    await world.hold(other, "b", 3 * D)
    await holder.run(holder.release(hold))
    assert await waiting is not None
    assert dead_ticket not in {t.holder for t in tenures(world.shared.commits)["a"]}, "a dead ticket got the lock"


@schedule
async def a_restart_in_an_orderly_way_costs_no_lock(world: World) -> None:
    """The sidecar is stopped by SIGTERM while its client holds, and comes back: the client still holds."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(5.0)
    await elector_of(e0).stop()
    await world.sleep(2.0)
    e0.start_elector()
    await world.sleep(10.0)
    assert holder.check("a"), "the restart of the elector cost the lock"
    await holder.run(holder.release(hold))
    assert await waiting is not None
