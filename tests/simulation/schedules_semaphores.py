"""Directed schedules about semaphores: lost answers, repeated requests, restarts, permits of the dead."""

from __future__ import annotations

from elector_server.problems import HolderDead
from elector_server.rules.semaphore import KIND
from tests.simulation.client import SimulatedClient
from tests.simulation.holds import ClientHold
from tests.simulation.schedules import D, elector_of, lease, schedule, session_of, store_of, two_pods, until_renewed
from tests.simulation.semaphore_user import MISMATCH, SemaphoreUser
from tests.simulation.world import World

AT_ONCE_SECONDS = 1.0
MANY_OPERATIONS = 40
"""More than a record remembers."""


async def acquired(client: SimulatedClient, limit: int = 1, seconds: float = 60.0) -> ClientHold:
    """One more permit of semaphore "s", which must be granted."""
    hold = await client.run(SemaphoreUser(client, "s", limit).acquire(seconds))
    assert hold is not None, f"{client.name} got no permit within {seconds:g} s"
    return hold


def permits_of(world: World, name: str = "s") -> list[str]:
    """The holder ids that have a permit."""
    record = world.shared.record(KIND, name)
    return [permit["holder"] for permit in record.spec["permits"]] if record is not None else []


async def use_often(client: SimulatedClient, limit: int) -> None:
    """So many operations that the record forgets all that were before."""
    user = SemaphoreUser(client, "s", limit)
    for _ in range(MANY_OPERATIONS // 2):
        hold = await client.run(user.acquire(60.0))
        assert hold is not None
        await client.run(user.release(hold))


@schedule
async def a_lost_answer_to_a_release_of_a_permit(world: World) -> None:
    """The answer to E0's release is lost, and E1's clients write before E0 asks again: it is given back once."""
    e0, _, holder, other = await two_pods(world)
    hold = await acquired(holder, 2)
    kept = await acquired(other, 2)
    lost = store_of(e0).plan("replace", KIND, lose_answer=True)
    releasing = holder.run(SemaphoreUser(holder, "s", 2).release(hold))
    await lost.applied.wait()
    second = await acquired(other, 2)
    await releasing
    await world.sleep(D)
    assert other.believes(kept.key)
    assert other.believes(second.key)
    assert permits_of(world) == [kept.holder, second.holder], "the release was done twice"


@schedule
async def a_release_that_the_record_has_forgotten(world: World) -> None:
    """The same, and so much is written meanwhile that the record does not know of the release any more."""
    e0, _, holder, other = await two_pods(world)
    hold = await acquired(holder, 3)
    kept = await acquired(other, 3)
    lost = store_of(e0).plan("replace", KIND, lose_answer=True)
    releasing = holder.run(SemaphoreUser(holder, "s", 3).release(hold))
    await lost.applied.wait()
    await use_often(other, 3)
    await releasing
    await world.sleep(2 * D)
    assert permits_of(world) == [kept.holder], "the release was done twice, the second time with somebody else's permit"


@schedule
async def a_release_repeated_long_after_it_was_done(world: World) -> None:
    """The store takes a second, so the client is told to ask again; before it does, much else is written."""
    e0, _, holder, other = await two_pods(world)
    hold = await acquired(holder, 3)
    kept = await acquired(other, 3)
    slow = store_of(e0).plan("replace", KIND, hold_answer=True)
    releasing = holder.run(SemaphoreUser(holder, "s", 3).release(hold))
    await slow.applied.wait()
    await world.sleep(0.85)
    holder.owner.pause()
    slow.answer()
    await world.sleep(0.1)
    await use_often(other, 3)
    holder.owner.resume()
    await releasing
    await world.sleep(D)
    assert permits_of(world) == [kept.holder], "the release was done twice, the second time with somebody else's permit"


@schedule
async def a_release_that_is_repeated_at_the_next_process(world: World) -> None:
    """E0 writes the release and crashes; before its next process is asked again, the record has forgotten it."""
    e0, _, holder, other = await two_pods(world)
    hold = await acquired(holder, 3)
    kept = await acquired(other, 3)
    slow = store_of(e0).plan("replace", KIND, hold_answer=True)
    releasing = holder.run(SemaphoreUser(holder, "s", 3).release(hold))
    await slow.applied.wait()
    elector_of(e0).crash()
    await use_often(other, 3)
    e0.start_elector()
    await releasing
    await world.sleep(D)
    assert permits_of(world) == [kept.holder], "the release was done twice, the second time with somebody else's permit"


@schedule
async def a_release_that_only_the_next_process_hears_of(world: World) -> None:
    """E0 crashes before it writes the release. Its next process can not know that, and the permit goes back."""
    e0, _, holder, other = await two_pods(world)
    hold = await acquired(holder, 3)
    kept = await acquired(other, 3)
    elector_of(e0).crash()
    releasing = holder.run(SemaphoreUser(holder, "s", 3).release(hold))
    await use_often(other, 3)
    e0.start_elector()
    await releasing
    await world.sleep(D)
    assert permits_of(world) == [kept.holder], "the permit did not go back"


@schedule
async def a_release_at_the_next_process_after_somebody_took_the_permit_over(world: World) -> None:
    """The permit went back by somebody else's release, so this one, of which E0 did not hear, counts for itself."""
    e0, _, holder, other = await two_pods(world)
    hold = await acquired(holder, 3)
    await acquired(other, 3)
    elector_of(e0).crash()
    releasing = holder.run(SemaphoreUser(holder, "s", 3).release(hold))
    await other.run(SemaphoreUser(other, "s", 3).release(permits=1))
    e0.start_elector()
    await releasing
    await world.sleep(D)
    assert permits_of(world) == [], "two releases gave back one permit"


@schedule
async def a_create_of_a_semaphore_lands_late(world: World) -> None:
    """E0's first `create` is delayed, the second one answers; acquired, released; then the first one lands."""
    e0, _, holder, other = await two_pods(world)
    late = store_of(e0).plan("create", KIND, hold_request=True)
    hold = await acquired(holder)
    await holder.run(SemaphoreUser(holder, "s", 1).release(hold))
    late.deliver()
    await world.sleep(1.0)
    assert permits_of(world) == []
    await acquired(other, seconds=AT_ONCE_SECONDS)


@schedule
async def a_grant_whose_elector_dies_before_it_answers(world: World) -> None:
    """E0 writes the permit and crashes; its client asks the next process with the same holder id."""
    e0, _, holder, other = await two_pods(world)
    slow = store_of(e0).plan("create", KIND, hold_answer=True)
    acquiring = holder.run(SemaphoreUser(holder, "s", 1).acquire(60.0))
    await slow.applied.wait()
    elector_of(e0).crash()
    await world.sleep(0.2)
    e0.start_elector()
    hold = await acquiring
    assert hold is not None
    assert permits_of(world) == [hold.holder], "the permit was granted twice, or not confirmed"
    await holder.run(SemaphoreUser(holder, "s", 1).release(hold))
    await acquired(other, seconds=AT_ONCE_SECONDS)


@schedule
async def a_stale_read_of_a_waiter_of_before(world: World) -> None:
    """E0 crashes while a client waits there, and the next process reads of before it came: it gets its permit."""
    e0, _, waiter, holder = await two_pods(world)
    await world.sleep(1.0)
    before = world.loop.time()
    await world.sleep(1.0)
    hold = await acquired(holder)
    waiting = waiter.run(SemaphoreUser(waiter, "s", 1).acquire(200.0))
    await world.sleep(1.0)
    elector_of(e0).crash()
    e0.start_elector(prepare=lambda store: store.plan("get", KIND, stale_at=before))
    await world.sleep(5.0)
    released_at = world.loop.time()
    await holder.run(SemaphoreUser(holder, "s", 1).release(hold))
    assert await waiting is not None
    assert world.loop.time() - released_at < 2 * AT_ONCE_SECONDS, "the waiter of before was forgotten"


@schedule
async def a_release_whose_elector_dies_before_it_answers(world: World) -> None:
    """E0 writes the release and crashes; its client repeats it at the next process, with the same operation id."""
    e0, _, holder, other = await two_pods(world)
    hold = await acquired(holder, 2)
    kept = await acquired(other, 2)
    slow = store_of(e0).plan("replace", KIND, hold_answer=True)
    releasing = holder.run(SemaphoreUser(holder, "s", 2).release(hold, permits=1))
    await slow.applied.wait()
    elector_of(e0).crash()
    e0.start_elector()
    await releasing
    await world.sleep(D)
    assert permits_of(world) == [kept.holder], "the release was done twice"


@schedule
async def permits_of_a_lost_session_come_back(world: World) -> None:
    """E0 can not reach the store for too long: its client is told, and E1's waiter has the permit soon after."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await acquired(holder)
    waiting = waiter.run(SemaphoreUser(waiter, "s", 1).acquire(100.0))
    await until_renewed(world, session_of(world, e0))
    e0.faults.outage = True
    began = world.loop.time()
    assert await waiting is not None
    assert world.loop.time() - began < 1.01 * D + 0.5 + D / 5 + 2 * AT_ONCE_SECONDS
    assert not holder.believes(hold.key)


@schedule
async def a_release_is_written_after_the_session_is_lost(world: World) -> None:
    """E0 is to release a permit when it loses the store, and its session; E1 has that permit when E0 comes back."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await acquired(holder)
    waiting = waiter.run(SemaphoreUser(waiter, "s", 1).acquire(100.0))
    await world.sleep(1.0)
    e0.faults.outage = True
    await holder.run(SemaphoreUser(holder, "s", 1).release(hold))
    taken = await waiting
    assert taken is not None
    e0.faults.outage = False
    await world.sleep(D)
    assert permits_of(world) == [taken.holder], "the release was done with somebody else's permit"
    assert waiter.believes(taken.key)


@schedule
async def a_permit_is_released_and_given_up(world: World) -> None:
    """The store is slow, so a client gives up by its id what it is releasing already: one permit comes back."""
    e0, _, holder, _ = await two_pods(world)
    hold = await acquired(holder, 2)
    slow = store_of(e0).plan("replace", KIND, hold_request=True)
    releasing = holder.run(SemaphoreUser(holder, "s", 2).release(hold))
    await slow.sent.wait()
    holder.give_back("s", hold.holder, KIND)
    await world.sleep(0.1)
    slow.deliver()
    await releasing
    await world.sleep(D)
    record = world.shared.record(KIND, "s")
    assert record is not None
    assert (record.spec["extra"], permits_of(world)) == (0, []), "a permit was made up"


@schedule
async def a_takeover_takes_longer_than_a_poll(world: World) -> None:
    """The lease is longer than a long poll: what was seen of the dead session in one poll counts in the next."""
    e0, _, dead, waiter = await two_pods(world, lease(40.0), lease(40.0))
    await acquired(dead)
    waiting = waiter.run(SemaphoreUser(waiter, "s", 1).acquire(200.0))
    await world.sleep(1.0)
    dead.silent_death = True
    dead.crash()
    elector_of(e0).crash()
    began = world.loop.time()
    assert await waiting is not None
    assert world.loop.time() - began < 1.01 * 40.0 + 0.5 + 40.0 / 5 + 2 * AT_ONCE_SECONDS


@schedule
async def unclaimed_permits_wait_for_their_clients(world: World) -> None:
    """E0 crashes and adopts; one client comes back after 5 s and has kept its permit; the dead one's goes to E1."""
    e0, _, holder, waiter = await two_pods(world)
    dead = world.add_client(e0)
    hold = await acquired(holder, 2)
    lost = await acquired(dead, 2)
    waiting = waiter.run(SemaphoreUser(waiter, "s", 2).acquire(100.0))
    await world.sleep(1.0)
    holder.owner.pause()
    dead.silent_death = True
    dead.crash()
    elector_of(e0).crash()
    e0.start_elector()
    await world.sleep(5.0)
    holder.owner.resume()
    await world.sleep(1.0)
    assert holder.believes(hold.key), "the permit did not survive the elector's restart"
    assert lost.holder in permits_of(world), "an unclaimed permit was given away at once"
    assert await waiting is not None
    assert hold.holder in permits_of(world)


@schedule
async def a_presented_permit_counts_once_it_is_confirmed(world: World) -> None:
    """E0 sends the leave of a silent client, crashes, adopts; the client presents its permit twice; the leave lands."""
    e0, _, holder, waiter = await two_pods(world, lease(D, 8.0))
    await acquired(holder)
    waiting = waiter.run(SemaphoreUser(waiter, "s", 1).acquire(100.0))
    await world.sleep(1.0)
    leaving = store_of(e0).plan("replace", KIND, hold_request=True)
    holder.owner.pause()
    await leaving.sent.wait()
    elector_of(e0).crash()
    confirming = []
    e0.start_elector(prepare=lambda store: confirming.append(store.plan("replace", KIND, times=9, hold_request=True)))
    holder.owner.resume()
    await confirming[0].sent.wait()
    await world.sleep(2.5)
    leaving.deliver()
    assert await waiting is not None
    confirming[0].deliver()
    await world.sleep(D)


@schedule
async def a_waiter_that_fell_silent_gets_no_permit(world: World) -> None:
    """Its long poll is open, but its client is silent for too long: it leaves the queue, which is no grant."""
    e0, _, silent, _ = await two_pods(world, lease(D, 6.0))
    holder = world.add_client(e0)
    await acquired(holder)
    waiting = silent.run(SemaphoreUser(silent, "s", 1).acquire(20.0))
    await world.sleep(1.0)
    silent.owner.pause()
    await world.sleep(8.0)
    silent.owner.resume()
    assert await waiting is None


@schedule
async def a_holder_id_that_waits_at_another_elector(world: World) -> None:
    """A client asks E1, then E0 with the same holder id; E1 drops its ticket, which is no grant at E0."""
    e0, e1, holder, stray = await two_pods(world)
    await acquired(holder)
    user, used = SemaphoreUser(stray, "s", 1), SemaphoreUser(stray, "s", 1).new_id()
    await stray.run(stray.open())
    assert await stray.run(user.poll(used, 0.5)) is None
    stray.process = elector_of(e0)
    await stray.run(stray.attach())
    try:
        answer = await stray.run(user.poll(used, 5.0))
    except HolderDead:
        answer = None
    assert answer is None, "a ticket that went was taken for a permit that was given back"
    assert elector_of(e1).elector.ready


@schedule
async def two_electors_with_different_limits(world: World) -> None:
    """Whoever names another limit is refused as long as the semaphore is in use, or its user may come back."""
    e0, _, two, three = await two_pods(world)
    hold = await acquired(two, 2)
    other = SemaphoreUser(three, "s", 3)
    await three.run(other.acquire(0.0))
    assert world.history.shared[-1].outcome == MISMATCH
    await two.run(SemaphoreUser(two, "s", 2).release(hold))
    await three.run(other.acquire(0.0))
    assert world.history.shared[-1].outcome == MISMATCH, "the other one's next acquire would fail"
    two.crash()
    elector_of(e0).crash()
    await world.sleep(1.01 * D + 0.5 + D / 5 + 2 * AT_ONCE_SECONDS)
    assert await three.run(other.acquire(0.0)) is not None, "nobody is left who counts two permits"


@schedule
async def an_unnamed_record_goes_with_its_maker(world: World) -> None:
    """It stays while somebody uses it, and is deleted when the process that made it is gone, and all others."""
    e0, _, maker, _ = await two_pods(world)
    child = world.add_client(e0)
    name = f"unnamed-{maker.id}-{maker.new_holder()}"
    for client in (maker, child):
        assert await client.run(SemaphoreUser(client, name, 2).acquire(1.0)) is not None
    await world.sleep(AT_ONCE_SECONDS)
    maker.crash()
    await world.sleep(2 * AT_ONCE_SECONDS)
    assert len(permits_of(world, name)) == 1, "the permit of the dead did not come back, or the record is gone"
    child.crash()
    await world.until(lambda: world.shared.record(KIND, name) is None, 2 * AT_ONCE_SECONDS)


@schedule
async def an_unnamed_record_of_a_dead_machine_is_swept(world: World) -> None:
    """The maker dies with its elector: whoever sweeps deletes the record with the session."""
    e0, _, maker, _ = await two_pods(world)
    name = f"unnamed-{maker.id}-{maker.new_holder()}"
    assert await maker.run(SemaphoreUser(maker, name, 2).acquire(1.0)) is not None
    maker.silent_death = True
    maker.crash()
    elector_of(e0).crash()
    await world.until(lambda: world.shared.record(KIND, name) is None, 200 * D, 1.0)


@schedule
async def a_permit_is_granted_after_its_deadline(world: World) -> None:
    """E0 writes a permit, stops running past the deadline of its session, and gets the answer: that is no grant."""
    e0, _, late, waiter = await two_pods(world)
    await late.run(late.open())
    slow = store_of(e0).plan("create", KIND, hold_answer=True)
    acquiring = late.run(SemaphoreUser(late, "s", 1).acquire(60.0))
    await slow.applied.wait()
    elector_of(e0).pause()
    slow.answer()
    assert await waiter.run(SemaphoreUser(waiter, "s", 1).acquire(60.0)) is not None
    elector_of(e0).owner.resume()
    await acquiring


@schedule
async def a_refusal_from_what_was_known_before(world: World) -> None:
    """E0 has seen that all permits are held; since then one was given back at E1: a single try finds it."""
    e0, _, first, other = await two_pods(world)
    hold = await acquired(other)
    assert await first.run(SemaphoreUser(first, "s", 1).acquire(2.0)) is None
    await world.sleep(1.0)
    e0.faults.watch_skip = 1.0
    await other.run(SemaphoreUser(other, "s", 1).release(hold))
    assert await first.run(SemaphoreUser(first, "s", 1).acquire(0.0)) is not None, "refused from an old reading"


@schedule
async def a_waiter_of_a_lost_session_queues_anew(world: World) -> None:
    """E0 loses its session while a client waits there: it goes on waiting, under the next session."""
    e0, _, waiter, holder = await two_pods(world)
    hold = await acquired(holder)
    waiting = waiter.run(SemaphoreUser(waiter, "s", 1).acquire(200.0))
    await until_renewed(world, session_of(world, e0))
    e0.faults.refuse = 1.0
    await world.until(lambda: elector_of(e0).elector.session is None, 2 * D)
    e0.faults.refuse = 0.0
    await world.until(lambda: elector_of(e0).elector.ready, D)
    await world.sleep(5.0)
    released_at = world.loop.time()
    await holder.run(SemaphoreUser(holder, "s", 1).release(hold))
    assert await waiting is not None
    assert world.loop.time() - released_at < 2 * AT_ONCE_SECONDS, "the waiter was forgotten"
