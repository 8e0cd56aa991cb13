"""Directed schedules about those who only watch a lock: whatever is late or lost, they get to know the last holder."""

from __future__ import annotations

from tests.simulation.client import SimulatedClient
from tests.simulation.onlooker import FREE, Onlooker
from tests.simulation.pod import Pod
from tests.simulation.schedules import D, elector_of, schedule, store_of, two_pods
from tests.simulation.world import World

AT_ONCE_SECONDS = 1.0
POLL_SECONDS = D / 5 / 0.99


async def watched(world: World) -> tuple[Pod, SimulatedClient, Onlooker]:
    """A lock that nobody holds, its next holder on E0, and an onlooker on E1."""
    _, e1, holder, client = await two_pods(world)
    onlooker = Onlooker(client, "a")
    await world.until(lambda: onlooker.last == FREE, 5.0)
    return e1, holder, onlooker


async def turns(world: World, holder: SimulatedClient, onlooker: Onlooker, seconds: float) -> None:
    """The lock is taken, and given back, and the onlooker knows it each time within so many seconds."""
    for _ in range(3):
        hold = await world.hold(holder, "a")
        await world.until(lambda hold=hold: onlooker.last == hold.holder, seconds)
        await world.sleep(2.0)
        await holder.run(holder.release(hold))
        await world.until(lambda: onlooker.last == FREE, seconds)
        await world.sleep(2.0)


@schedule
async def an_onlooker_hears_of_each_holder_at_once(world: World) -> None:
    """With nothing broken, at once, and of each."""
    _, holder, onlooker = await watched(world)
    await turns(world, holder, onlooker, AT_ONCE_SECONDS)
    assert len(onlooker.seen) == 7, onlooker.seen
    assert not onlooker.failures
    onlooker.end()


@schedule
async def an_onlooker_waits_while_others_queue(world: World) -> None:
    """Waiters come and go on E0 and E1, which writes to the record each time."""
    e1, holder, onlooker = await watched(world)
    hold = await world.hold(holder, "a")
    await world.until(lambda: onlooker.last == hold.holder, AT_ONCE_SECONDS)
    looks = onlooker.looks
    for _ in range(5):
        waiter = world.add_client(e1)
        assert await waiter.run(waiter.acquire("a", 1.0)) is None
    assert onlooker.looks <= looks + 1, "the queue was taken for news"
    onlooker.end()


@schedule
async def an_onlooker_whose_watch_says_nothing_hears_by_the_poll(world: World) -> None:
    """E1's watches lose every event."""
    e1, holder, onlooker = await watched(world)
    e1.faults.watch_skip = 1.0
    await turns(world, holder, onlooker, POLL_SECONDS + AT_ONCE_SECONDS)
    onlooker.end()


@schedule
async def an_onlooker_lives_through_a_crash_of_its_elector(world: World) -> None:
    """E1 crashes, and the lock changes hands before it is back."""
    e1, holder, onlooker = await watched(world)
    elector_of(e1).crash()
    hold = await world.hold(holder, "a")
    e1.start_elector()
    await world.until(lambda: onlooker.last == hold.holder, 5.0)
    assert onlooker.seen == [FREE, hold.holder], "a restart was taken for a change"
    await turns_after(world, holder, onlooker)
    onlooker.end()


async def turns_after(world: World, holder: SimulatedClient, onlooker: Onlooker) -> None:
    """The holder of now releases, and all goes on."""
    (hold,) = holder.holds.values()
    await holder.run(holder.release(hold))
    await world.until(lambda: onlooker.last == FREE, AT_ONCE_SECONDS)


@schedule
async def a_stale_read_of_an_onlooker_is_put_right(world: World) -> None:
    """E1's reads show for a while what was before the lock was taken."""
    e1, holder, onlooker = await watched(world)
    stale_at = world.loop.time()
    await world.sleep(0.1)
    store_of(e1).plan("list", "lock", "a", times=3, stale_at=stale_at)
    hold = await world.hold(holder, "a")
    await world.until(lambda: onlooker.last == hold.holder, POLL_SECONDS)
    await world.until(lambda: store_of(e1).plans_left == 0, 4 * D)
    await world.sleep(2 * POLL_SECONDS)
    assert onlooker.last == hold.holder, "the last state was lost"
    onlooker.end()


@schedule
async def an_onlooker_of_a_store_that_is_away_is_told_so(world: World) -> None:
    """No answer comes from the store for long: that is not "no news"."""
    e1, holder, onlooker = await watched(world)
    store_of(e1).plan("list", "lock", "a", times=1000, lose_answer=True)
    e1.faults.watch_skip = 1.0
    looks = onlooker.looks
    await world.until(lambda: onlooker.failures, 3 * D)
    assert onlooker.looks == looks, "silence was taken for no news"
    store_of(e1).forget_plans()
    e1.faults.watch_skip = 0.0
    hold = await world.hold(holder, "a")
    await world.until(lambda: onlooker.last == hold.holder, 2 * D)
    onlooker.end()
