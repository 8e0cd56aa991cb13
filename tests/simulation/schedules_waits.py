"""Directed schedules about events and conditions: no wake-up is lost, whoever dies, and whatever is repeated."""

from __future__ import annotations

import asyncio

from elector_server.conditions import NOTIFIED, WITHDRAWN
from elector_server.rules.condition import KIND as CONDITION
from elector_server.rules.event import KIND as EVENT
from tests.simulation.client import SimulatedClient
from tests.simulation.condition_user import ConditionUser
from tests.simulation.event_user import EventUser
from tests.simulation.history import SharedCall
from tests.simulation.schedules import D, elector_of, lease, schedule, store_of, two_pods
from tests.simulation.world import World

AT_ONCE_SECONDS = 1.0
GAP_SECONDS = 2.0
LONG = 1000.0


@schedule
async def a_set_and_a_clear_between_two_polls(world: World) -> None:
    """A waiter that saw it unset passes, though it is unset again when it asks next."""
    _, _, waiter, setter = await two_pods(world)
    await waiter.run(waiter.open())
    seen = await waiter.run(EventUser(waiter, "go").poll(None, 0.0))
    await setter.run(EventUser(setter, "go").put(is_set=True))
    await setter.run(EventUser(setter, "go").put(is_set=False))
    again = await waiter.run(EventUser(waiter, "go").poll(seen.generation, 5.0))
    assert again.is_set, "the wake-up was lost"


@schedule
async def a_lost_answer_to_a_set(world: World) -> None:
    """E0's `set` is answered late, and E1 clears it meanwhile: it is not set a second time."""
    e0, _, setter, other = await two_pods(world)
    waiting = other.run(EventUser(other, "go").wait(LONG))
    await world.sleep(0.5)
    await other.run(EventUser(other, "go").put(is_set=False))
    lost = store_of(e0).plan("replace", EVENT, lose_answer=True)
    setting = setter.run(EventUser(setter, "go").put(is_set=True))
    await lost.applied.wait()
    await other.run(EventUser(other, "go").put(is_set=False))
    await setting
    assert await waiting
    record = world.shared.record(EVENT, "go")
    assert record is not None
    assert (record.spec["is_set"], record.spec["generation"]) == (False, 1)


@schedule
async def a_set_whose_elector_dies_before_it_answers(world: World) -> None:
    """E0 writes and crashes; another one clears; the setter repeats its call at the next process."""
    e0, _, setter, other = await two_pods(world)
    waiting = other.run(EventUser(other, "go").wait(LONG))
    await world.sleep(0.5)
    slow = store_of(e0).plan("create", EVENT, hold_answer=True)
    setting = setter.run(EventUser(setter, "go").put(is_set=True))
    await slow.applied.wait()
    elector_of(e0).crash()
    await other.run(EventUser(other, "go").put(is_set=False))
    e0.start_elector()
    await setting
    assert await waiting
    record = world.shared.record(EVENT, "go")
    assert record is not None
    assert (record.spec["is_set"], record.spec["generation"]) == (False, 1)


@schedule
async def what_is_set_stays_set(world: World) -> None:
    """Whoever set it dies with its machine, and its session ends: it is set all the same."""
    e0, _, setter, other = await two_pods(world)
    await setter.run(EventUser(setter, "go").put(is_set=True))
    setter.silent_death = True
    setter.crash()
    elector_of(e0).crash()
    await world.sleep(2 * D)
    assert await other.run(EventUser(other, "go").wait(0.0))


@schedule
async def a_set_that_the_watch_skips(world: World) -> None:
    """E1's watch says nothing of the change: the poll finds it."""
    _, e1, setter, waiter = await two_pods(world)
    waiting = waiter.run(EventUser(waiter, "go").wait(LONG))
    await world.sleep(1.0)
    e1.faults.watch_skip = 1.0
    await setter.run(EventUser(setter, "go").put(is_set=True))
    began = world.loop.time()
    assert await waiting
    assert world.loop.time() - began < D


# Conditions -------------------------------------------------------------------------------------------------------


async def enqueued(client: SimulatedClient) -> SharedCall:
    """A ticket of condition "c" that is in the record; it is polled for by `wait_enqueued`."""
    user = ConditionUser(client, "c")
    await client.run(client.open())
    call = user.begin("wait", user.new_id(), seconds=LONG)
    assert await client.run(user.enqueue(call))
    return call


def waits(client: SimulatedClient, call: SharedCall, seconds: float = LONG) -> asyncio.Task[bool | None]:
    """The wait for that ticket's notification."""
    return client.run(ConditionUser(client, "c").wait_enqueued(call, client.now() + seconds))


async def notified(client: SimulatedClient, waiters: int | None = 1) -> int | None:
    """Notify so many."""
    return await client.run(ConditionUser(client, "c").notify(waiters))


@schedule
async def a_notification_of_a_paused_elector_is_passed_on(world: World) -> None:
    """E0 stops running for longer than its lease while its waiter is notified: E1's waiter wakes instead."""
    e0, e1, paused, other = await two_pods(world)
    notifier = world.add_client(e1)
    first = await enqueued(paused)
    second = await enqueued(other)
    waits(paused, first)
    waiting = waits(other, second)
    await world.sleep(1.0)
    elector_of(e0).pause()
    assert await notified(notifier) == 1
    began = world.loop.time()
    assert await waiting
    assert world.loop.time() - began < 1.01 * D + 0.5 + D / 5 + 2 * AT_ONCE_SECONDS
    elector_of(e0).owner.resume()
    await world.sleep(D)


@schedule
async def a_notification_survives_the_restart_of_its_elector(world: World) -> None:
    """E0 crashes while its waiter is notified, and comes back: the waiter hears of it, and nobody else does."""
    e0, e1, waiter, other = await two_pods(world)
    notifier = world.add_client(e1)
    first = await enqueued(waiter)
    second = await enqueued(other)
    waiting, staying = waits(waiter, first), waits(other, second)
    await world.sleep(1.0)
    elector_of(e0).crash()
    assert await notified(notifier) == 1
    e0.start_elector()
    assert await waiting
    await world.sleep(D / 2)
    assert not staying.done(), "one notification woke two"


@schedule
async def a_notified_waiter_dies(world: World) -> None:
    """A waiter's process ends after it was notified, before it heard of it: the next one wakes."""
    _, e1, dying, other = await two_pods(world, lease(D, 8.0), lease(D, 8.0))
    notifier = world.add_client(e1)
    await enqueued(dying)
    second = await enqueued(other)
    waiting = waits(other, second)
    assert await notified(notifier) == 1
    dying.silent_death = True
    dying.crash()
    began = world.loop.time()
    assert await waiting
    assert world.loop.time() - began < 8.0 / 0.99 + 2 * GAP_SECONDS + AT_ONCE_SECONDS


@schedule
async def a_notified_waiter_does_not_come_for_it(world: World) -> None:
    """It lives, and never asks again after its poll: its notification goes to the next one after a moment."""
    _, e1, absent, other = await two_pods(world)
    notifier = world.add_client(e1)
    first = await enqueued(absent)
    second = await enqueued(other)
    waiting = waits(other, second)
    assert not await absent.run(ConditionUser(absent, "c").poll(first.id, 0.5))
    await world.sleep(2 * GAP_SECONDS)
    assert await notified(notifier) == 1
    began = world.loop.time()
    assert await waiting
    assert world.loop.time() - began < 3 * GAP_SECONDS


@schedule
async def a_withdrawal_that_comes_too_late(world: World) -> None:
    """A waiter's time is over, and its withdrawal is slow: it is notified before that lands, and told so."""
    e0, e1, waiter, _ = await two_pods(world)
    notifier = world.add_client(e1)
    first = await enqueued(waiter)
    late = store_of(e0).plan("replace", CONDITION, hold_request=True)
    withdrawing = waiter.run(ConditionUser(waiter, "c").withdraw(first.id, 60.0))
    await late.sent.wait()
    assert await notified(notifier) == 1
    late.deliver()
    assert await withdrawing == NOTIFIED, "the notification was lost"


@schedule
async def a_withdrawal_that_is_repeated(world: World) -> None:
    """The store answers the withdrawal of a notified waiter after a second: the client asks again, and is told."""
    e0, e1, waiter, other = await two_pods(world)
    notifier = world.add_client(e1)
    first = await enqueued(waiter)
    staying = waits(other, await enqueued(other))
    assert await notified(notifier) == 1
    slow = store_of(e0).plan("replace", CONDITION, hold_answer=True)
    withdrawing = waiter.run(ConditionUser(waiter, "c").withdraw(first.id, 60.0))
    await slow.applied.wait()
    await world.sleep(0.95)
    slow.answer()
    assert await withdrawing == NOTIFIED, "the notification was lost"
    await world.sleep(GAP_SECONDS)
    assert not staying.done()


@schedule
async def a_waiter_is_interrupted_when_it_has_just_been_told(world: World) -> None:
    """The answer "notified" comes, but an interrupt comes first: a moment later, the notification goes to the next."""
    _, e1, interrupted, other = await two_pods(world)
    notifier = world.add_client(e1)
    first = await enqueued(interrupted)
    waiting = waits(other, await enqueued(other))
    assert await notified(notifier) == 1
    assert await interrupted.run(ConditionUser(interrupted, "c").poll(first.id, 1.0))
    await world.sleep(1.5 * AT_ONCE_SECONDS)
    assert await interrupted.run(ConditionUser(interrupted, "c").withdraw(first.id, 5.0, pass_on=True)) == WITHDRAWN
    async with asyncio.timeout(3 * AT_ONCE_SECONDS):
        assert await waiting, "the notification was lost"


@schedule
async def a_notification_whose_notifier_dies(world: World) -> None:
    """The notifier and its elector crash when the notification has been written: nothing of it is lost."""
    _, e1, waiter, _ = await two_pods(world)
    notifier = world.add_client(e1)
    waiting = waits(waiter, await enqueued(waiter))
    await notifier.run(notifier.open())
    slow = store_of(e1).plan("replace", CONDITION, hold_answer=True)
    notifier.run(ConditionUser(notifier, "c").notify(1))
    await slow.applied.wait()
    notifier.crash()
    elector_of(e1).crash()
    async with asyncio.timeout(AT_ONCE_SECONDS):
        assert await waiting


@schedule
async def a_repeated_notification_wakes_one(world: World) -> None:
    """E1 writes the notification and crashes; the notifier repeats its call: one waiter wakes, not two."""
    e0, e1, waiter, notifier = await two_pods(world)
    other = world.add_client(e0)
    waiting = waits(waiter, await enqueued(waiter))
    staying = waits(other, await enqueued(other))
    await notifier.run(notifier.open())
    slow = store_of(e1).plan("replace", CONDITION, hold_answer=True)
    notifying = notifier.run(ConditionUser(notifier, "c").notify(1))
    await slow.applied.wait()
    elector_of(e1).crash()
    e1.start_elector()
    await notifying
    assert await waiting
    await world.sleep(D / 2)
    assert not staying.done(), "one notification woke two"
