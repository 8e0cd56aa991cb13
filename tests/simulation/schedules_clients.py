"""Directed schedules about clients: those that vanish, fall silent, come back between two polls, or queue in order."""

from __future__ import annotations

import asyncio
from random import Random

from elector_server.acquisitions import StillWaiting
from elector_server.problems import ElectorStarting, Problem, StoreDown
from metaparticle_sync import wire
from tests.simulation.client import SimulatedClient
from tests.simulation.faults import Plan
from tests.simulation.holds import ClientHold
from tests.simulation.legacy_user import LegacyUser
from tests.simulation.schedules import (
    D,
    elector_of,
    lease,
    schedule,
    session_of,
    store_of,
    two_pods,
    until_renewed,
)
from tests.simulation.world import World

AT_ONCE_SECONDS = 1.0


async def _outcome(client: SimulatedClient, holder: str, wait_seconds: float) -> object:
    """What one poll for lock "a" comes to: an answer or a problem."""
    try:
        return await client.run(client.poll("a", holder, wait_seconds))
    except Problem as problem:
        return problem


@schedule
async def a_vanished_waiter_is_dropped(world: World) -> None:
    """A client asks once, is told to wait, and never comes back for it though it lives: its place is given up."""
    e0, _, vanished, _ = await two_pods(world)
    first, other = world.add_client(e0), world.add_client(e0)
    hold = await world.hold(first, "a")
    await vanished.run(vanished.open())
    answer = await vanished.run(vanished.poll("a", vanished.new_holder(), 0.5))
    assert isinstance(answer, StillWaiting)
    waiting = other.run(other.acquire("a", 100.0))
    await world.sleep(5.0)
    released_at = world.loop.time()
    await first.run(first.release(hold))
    assert await waiting is not None
    assert world.loop.time() - released_at < AT_ONCE_SECONDS / 2, "a waiter that had vanished got the lock"


@schedule
async def a_waiter_of_a_silent_store_hears_of_the_store(world: World) -> None:
    """Nobody has the lock, and the store does not answer: "somebody has it" would be a lie."""
    e0, _, waiter, _ = await two_pods(world)
    await waiter.run(waiter.open())
    e0.faults.outage = True
    holder = waiter.new_holder()
    assert isinstance(await _outcome(waiter, holder, 2.0), StoreDown)
    e0.faults.outage = False
    assert await waiter.run(waiter.acquire("a", 2 * D, holder)) is not None


@schedule
async def a_waiter_of_a_refusing_store_hears_of_the_store(world: World) -> None:
    """The same, of a store that says no, as of a quota."""
    e0, _, waiter, _ = await two_pods(world)
    await waiter.run(waiter.open())
    e0.faults.refuse = 1.0
    assert isinstance(await _outcome(waiter, waiter.new_holder(), 0.5), StoreDown)


@schedule
async def a_store_that_has_answered_since_is_not_to_blame(world: World) -> None:
    """The store refused, then a watch shows who has the lock: a waiter that is still waiting hears just that."""
    e0, _, waiter, other = await two_pods(world)
    await waiter.run(waiter.open())
    e0.faults.refuse = 1.0
    holder = waiter.new_holder()
    assert isinstance(await _outcome(waiter, holder, 0.5), StoreDown)
    hold = await world.hold(other, "a")
    e0.faults.refuse = 0.0
    assert isinstance(await waiter.run(waiter.poll("a", holder, 2.0)), StillWaiting)
    await other.run(other.release(hold))


@schedule
async def a_waiter_without_a_session_hears_of_it(world: World) -> None:
    """The lock is held elsewhere, and the store goes away until the session is lost: now nothing is known."""
    e0, _, waiter, holder = await two_pods(world)
    await world.hold(holder, "a")
    await waiter.run(waiter.open())
    assert isinstance(await waiter.run(waiter.poll("a", waiter.new_holder(), 0.5)), StillWaiting)
    e0.faults.outage = True
    assert isinstance(await _outcome(waiter, waiter.new_holder(), 1.2 * D), (StoreDown, ElectorStarting))


@schedule
async def a_grant_between_two_polls_is_passed_on(world: World) -> None:
    """The lock gets free between two polls of a waiter that never comes back: the next one has it soon."""
    e0, _, vanished, other = await two_pods(world)
    first = world.add_client(e0)
    hold = await world.hold(first, "a")
    await vanished.run(vanished.open())
    answer = await vanished.run(vanished.poll("a", vanished.new_holder(), 0.5))
    assert isinstance(answer, StillWaiting)
    waiting = other.run(other.acquire("a", 100.0))
    released_at = world.loop.time()
    await first.run(first.release(hold))
    assert await waiting is not None
    assert world.loop.time() - released_at < 3 * AT_ONCE_SECONDS, "a grant that nobody fetched kept the lock"


@schedule
async def a_grant_between_two_polls_is_fetched(world: World) -> None:
    """The lock gets free between two polls, and the waiter comes back in time: it has kept its place."""
    e0, _, waiter, other = await two_pods(world)
    first = world.add_client(e0)
    hold = await world.hold(first, "a")
    await waiter.run(waiter.open())
    holder = waiter.new_holder()
    assert isinstance(await waiter.run(waiter.poll("a", holder, 0.5)), StillWaiting)
    waiting = other.run(other.acquire("a", 100.0))
    await first.run(first.release(hold))
    await world.sleep(0.5)
    mine = await waiter.run(waiter.acquire("a", 5.0, holder))
    assert mine is not None
    assert mine.holder == holder, "the place in the queue was lost between two polls"
    await world.sleep(5.0)
    assert waiter.check("a")
    await waiter.run(waiter.release(mine))
    assert await waiting is not None


@schedule
async def a_silent_client_loses_its_locks(world: World) -> None:
    """A client falls silent, its connection stays open: after its time its lock is given away, and it knows."""
    _, _, silent, waiter = await two_pods(world, lease(D, 8.0), lease(D, 8.0))
    await world.hold(silent, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(5.0)
    silent.owner.pause()
    paused_at = world.loop.time()
    assert await waiting is not None
    assert world.loop.time() - paused_at < 8.0 / 0.99 + 2 * AT_ONCE_SECONDS
    silent.owner.resume()
    assert not silent.check("a")


@schedule
async def a_lock_deleted_by_hand_is_told_at_once(world: World) -> None:
    """An operator deletes a held lock record: not covered by the promises, but its holder hears of it at once."""
    _, _, holder, _ = await two_pods(world)
    hold = await world.hold(holder, "a")
    await world.sleep(5.0)
    deleted_at = world.loop.time()
    holder.drop(hold, "the record is about to be deleted")
    world.shared.by_hand("delete", "lock", "a")
    await world.until(lambda: hold.holder in holder.losses_told, D)
    assert world.loop.time() - deleted_at < AT_ONCE_SECONDS, "the holder was not told"


@schedule
async def a_lock_deleted_by_hand_is_told_by_the_next_list(world: World) -> None:
    """The same while the watch hangs: the list of each lease shows it."""
    e0, _, holder, _ = await two_pods(world)
    hold = await world.hold(holder, "a")
    await world.sleep(5.0)
    e0.faults.watch_skip = 1.0
    holder.drop(hold, "the record is about to be deleted")
    world.shared.by_hand("delete", "lock", "a")
    await world.until(lambda: hold.holder in holder.losses_told, 1.5 * D)


@schedule
async def first_come_first_served(world: World) -> None:
    """Three pods with two waiters each: within a pod and between pods, in the order of their coming."""
    pods = [world.add_pod(f"e{number}", lease(D)) for number in range(3)]
    await world.until_ready()
    first = world.add_client(pods[0])
    hold = await world.hold(first, "a")
    waiters = [world.add_client(pod) for _ in range(2) for pod in pods]
    order: list[SimulatedClient] = []
    tasks = []
    for waiter in waiters:
        tasks.append(waiter.run(_take_turn(waiter, order)))
        await world.sleep(0.5)
    await first.run(first.release(hold))
    await asyncio.wait(tasks)
    pods_served = [waiter.pod.name for waiter in order]
    assert pods_served == ["e1", "e2", "e0", "e1", "e2", "e0"] or pods_served[:2] in (["e0", "e1"], ["e1", "e2"])
    for pod in pods:
        of_pod = [waiter for waiter in order if waiter.pod is pod]
        assert of_pod == [waiter for waiter in waiters if waiter.pod is pod], "not first come, first served"


async def _take_turn(waiter: SimulatedClient, order: list[SimulatedClient]) -> None:
    hold = await waiter.acquire("a", 100.0)
    assert hold is not None
    order.append(waiter)
    await asyncio.sleep(0.1)
    await waiter.release(hold)


@schedule
async def nobody_starves_behind_a_busy_pod(world: World) -> None:
    """Two programs of one pod pass the lock between them all the time; the waiter of another pod has its turn."""
    e0, _, one, stranger = await two_pods(world)
    two = world.add_client(e0)
    tasks = [client.run(_use_forever(client)) for client in (one, two)]
    await world.sleep(2.0)
    began = world.loop.time()
    await world.hold(stranger, "a", 30.0)
    assert world.loop.time() - began < 3 * AT_ONCE_SECONDS, "a busy pod kept the lock to itself"
    for task in tasks:
        task.cancel()


async def _use_forever(client: SimulatedClient) -> None:
    while True:
        hold: ClientHold | None = await client.acquire("a", 60.0)
        if hold is not None:
            await asyncio.sleep(0.2)
            await client.release(hold)


@schedule
async def a_try_does_not_wait(world: World) -> None:
    """A single try of a held lock is refused at once, by the elector of the holder and by another one."""
    e0, _, holder, stranger = await two_pods(world)
    neighbour = world.add_client(e0)
    await world.hold(holder, "a")
    for client in (stranger, neighbour):
        began = world.loop.time()
        assert await client.run(client.acquire("a", 0.0)) is None
        assert world.loop.time() - began < AT_ONCE_SECONDS


@schedule
async def a_closed_client_frees_everything(world: World) -> None:
    """A client ends in an orderly way: its locks are free for the next one at once."""
    _, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    await world.hold(holder, "b")
    waits = [waiter.run(waiter.acquire(name, 100.0)) for name in ("a", "b")]
    await world.sleep(2.0)
    closed_at = world.loop.time()
    await holder.run(holder.close())
    for wait in waits:
        assert await wait is not None
    assert world.loop.time() - closed_at < AT_ONCE_SECONDS


@schedule
async def a_release_while_its_hold_is_confirmed(world: World) -> None:
    """After a restart the client presents its hold, and releases it before the confirming write is answered."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(1.0)
    elector_of(e0).crash()
    plans: list[Plan] = []
    e0.start_elector(prepare=lambda store: plans.append(store.plan("replace", "lock", "a", hold_answer=True)))
    await plans[0].applied.wait()
    await holder.run(holder.release(hold))
    await world.sleep(0.3)
    plans[0].answer()
    released_at = world.loop.time()
    assert await waiting is not None
    assert world.loop.time() - released_at < 2 * AT_ONCE_SECONDS, "the release was forgotten"


@schedule
async def a_legacy_hold_that_is_dropped_at_once(world: World) -> None:
    """A legacy claim takes so long that too little time is left: it is refused and dropped. Later ones still expire."""
    e0, _, _, waiter = await two_pods(world)
    store = store_of(e0)
    user = LegacyUser(e0, "a", Random(1))
    world.legacy_users.append(user)
    await until_renewed(world, session_of(world, e0))
    slow = store.plan("create", "lock", "a", hold_answer=True)
    store.plan("replace", "session", times=1000, refuse=True)
    await world.sleep(1.5)
    putting = user.owner.spawn(user.put())
    await slow.applied.wait()
    await world.sleep(3.5)
    slow.answer()
    await putting
    store.forget_plans()
    assert not world.history.beliefs, "the schedule is pointless: the claim was in time"
    await world.sleep(D)
    await user.owner.spawn(user.put())
    assert world.shared.record("lock", "a") is not None, "the second PUT was not granted"
    await world.hold(waiter, "a", wire.LEGACY_HOLD_SECONDS + 3.0)


@schedule
async def a_legacy_hold_is_promised_for_twelve_seconds(world: World) -> None:
    """A PUT without a body is answered 200 as long as 12 s are certain; E0 is cut off, then E1 takes over."""
    e0, _, _, waiter = await two_pods(world)
    user = LegacyUser(e0, "a", Random(1))
    world.legacy_users.append(user)
    user.owner.spawn(user.run(rounds_max=20))
    await world.until(lambda: world.shared.record("lock", "a"), 5.0)
    waiting = waiter.run(waiter.acquire("a", 200.0))
    await world.sleep(2.1 * D)
    e0.faults.outage = True
    assert await waiting is not None
    legacy = [belief for belief in world.history.beliefs if belief.client == user.name]
    assert len(legacy) == 1
    assert legacy[0].ended is not None
    assert legacy[0].ended - legacy[0].began > 2 * D
