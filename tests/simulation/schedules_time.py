"""Directed schedules about time: what a deadline counts from, and how long an observer waits."""

from __future__ import annotations

from tests.simulation.faulty_store import StoreHandle
from tests.simulation.recorder import Operation
from tests.simulation.schedules import (
    D,
    commits_of,
    elector_of,
    lease,
    renewal_of,
    schedule,
    session_of,
    store_of,
    two_pods,
    until_renewed,
)
from tests.simulation.world import World

TAKEOVER_SLACK_SECONDS = 1.0


@schedule
async def missing_session_is_waited_for_in_full(world: World) -> None:
    """E1 sees E0's session live; E0 renews; its record is deleted by hand; E0 pauses; E1's next look misses it."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    await until_renewed(world, session)
    waiting = waiter.run(waiter.acquire("a", 5 * D))
    looks = store_of(e1).sent
    await world.until(lambda: looks["get", "session"] >= 1)
    await world.sleep(0.1)
    store_of(e1).plan("get", "session", session, times=100, lose_request=True, fail_after_seconds=0.5)
    await until_renewed(world, session, times=2)
    deleted_at = world.loop.time()
    world.shared.by_hand("delete", "session", session)
    elector_of(e0).pause()
    store_of(e1).forget_plans()
    assert await waiting is not None
    assert world.loop.time() >= deleted_at + D, "a missing session was taken for an ended one"
    assert commits_of(world, "session", session)[-1].record is not None


@schedule
async def stale_reads_say_missing_twice(world: World) -> None:
    """A stale read says "missing" twice, a lease apart, while E0 renews: E0's client keeps the lock."""
    e0, e1, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    store_of(e1).plan("get", "session", session_of(world, e0), times=12, stale_at=0.0)
    waiting = waiter.run(waiter.acquire("a", 4 * D))
    await world.sleep(3 * D)
    assert holder.check("a"), "the holder lost its lock though its elector renewed all the time"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def lease_comes_from_the_lock_record(world: World) -> None:
    """E0 has a lease of 40 s, E1 one of 10 s; E0's session record is deleted and E0 pauses for 60 s."""
    e0, _, holder, waiter = await two_pods(world, lease(40.0), lease(10.0))
    await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(1.0)
    await until_renewed(world, session_of(world, e0))
    deleted_at = world.loop.time()
    world.shared.by_hand("delete", "session", session_of(world, e0))
    elector_of(e0).pause()
    world.network.later(60.0, elector_of(e0).owner.resume)
    assert await waiting is not None
    assert world.loop.time() >= deleted_at + 40.0, "the waiter's own lease was taken for the holder's"


@schedule
async def an_adoption_is_not_dated_by_its_second_try(world: World) -> None:
    """The write that adopts lands and is not answered until the adopter gives up; a stale list makes it try again."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    stale_at = await until_renewed(world, session) + 0.001
    waiting = waiter.run(waiter.acquire("a", 100.0))
    holder.crash()
    elector_of(e0).crash()
    until = world.loop.time() + lease(D).validity_seconds + 0.5

    def lost(operation: Operation) -> bool:
        return operation.name == session and world.loop.time() < until

    def prepare(store: StoreHandle) -> None:
        store.plan("list", "session")
        store.plan("list", "session", times=2, stale_at=stale_at)
        store.plan("replace", "session", session, lose_answer=True)
        store.plan(None, "session", where=lost, times=100, lose_request=True, fail_after_seconds=0.2)

    again = e0.start_elector(prepare=prepare)
    await world.until(lambda: again.elector.session is not None, 2 * D)
    newcomer = world.add_client(e0)
    await world.hold(newcomer, "b", 5.0)
    e0.faults.outage = True
    assert await waiting is not None
    await world.hold(world.add_client(e1), "b", 3 * D)


@schedule
async def slow_answer_then_partition(world: World) -> None:
    """A renewal lands at once and is answered late; then E0 is cut off. Its deadline counts from the send."""
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    store = store_of(e0)
    renewal = store.plan(where=renewal_of(session), lose_answer=True)
    store.plan(where=renewal_of(session), hold_answer=False)
    read = store.plan("get", "session", session, hold_answer=True)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await renewal.applied.wait()
    await read.applied.wait()
    await world.sleep(3.0)
    read.answer()
    await world.sleep(0.1)
    e0.faults.outage = True
    assert await waiting is not None


@schedule
async def the_first_unanswered_send_counts(world: World) -> None:
    """The first copy of a renewal lands, unanswered; the next ones are lost, until one finds the conflict."""
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    store = store_of(e0)
    renewal = store.plan(where=renewal_of(session), lose_answer=True)
    store.plan(where=renewal_of(session), times=3, lose_request=True, fail_after_seconds=2.0)
    conflict = store.plan(where=renewal_of(session))
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await renewal.applied.wait()
    await conflict.applied.wait()
    await world.sleep(0.2)
    e0.faults.outage = True
    assert await waiting is not None


@schedule
async def a_late_renewal_lands_after_a_newer_one(world: World) -> None:
    """The first copy of a renewal is held back, the second commits, others follow: the first must change nothing."""
    e0, _, holder, _ = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    late = store_of(e0).plan(where=renewal_of(session), hold_request=True)
    await late.sent.wait()
    await until_renewed(world, session, times=3)
    late.deliver()
    await world.sleep(D)
    assert holder.check("a")


@schedule
async def fast_observer_against_slow_holder(world: World) -> None:
    """E0's clock runs 1 % slow, E1's 1 % fast, and the lease is long: nobody overlaps, and takeover is in time."""
    e0 = world.add_pod("e0", lease(200.0, 1000.0), clock_rate=0.99)
    e1 = world.add_pod("e1", lease(200.0, 1000.0), clock_rate=1.01)
    await world.until_ready()
    holder, waiter = world.add_client(e0), world.add_client(e1)
    await world.hold(holder, "a")
    renewed_at = await until_renewed(world, session_of(world, e0))
    waiting = waiter.run(waiter.acquire("a", 500.0))
    e0.faults.outage = True
    assert await waiting is not None
    bound = (1.01 * 200 + 0.5) / 1.01 + 2.0
    assert world.loop.time() - renewed_at < bound, "the takeover came late"


@schedule
async def takeover_after_the_death_of_a_pod(world: World) -> None:
    """E0 and its clients die at once: E1's waiter holds after the observation and one look."""
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(10.0)
    holder.silent_death = True
    holder.crash()
    elector_of(e0).crash()
    died_at = world.loop.time()
    assert await waiting is not None
    took = (world.loop.time() - died_at) * 0.99
    assert took <= 1.01 * D + 0.5 + D / 5 + TAKEOVER_SLACK_SECONDS, f"the takeover took {took:.1f} s"


@schedule
async def an_observer_waits_for_the_lease_of_the_observed(world: World) -> None:
    """E0 has a lease of 40 s, E1 one of 10 s; E0 is cut off from the store."""
    e0, _, holder, waiter = await two_pods(world, lease(40.0), lease(10.0))
    await world.hold(holder, "a")
    renewed_at = await until_renewed(world, session_of(world, e0))
    e0.faults.outage = True
    await world.hold(waiter, "a", 100.0)
    assert world.loop.time() - renewed_at >= 40.0, "the observer's own lease was taken for the holder's"


@schedule
async def a_live_session_is_never_ended(world: World) -> None:
    """E0 renews all the time; a waiter of E1 waits for three leases in vain."""
    _, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 5 * D))
    await world.sleep(3 * D)
    assert holder.check("a"), "a live session was ended"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_sighting_counts_from_its_receipt(world: World) -> None:
    """E1's first look is sent, E0 renews, and only then the look lands: the wait counts from its answer."""
    e0 = world.add_pod("e0", lease(400.0, 2000.0), clock_rate=0.99)
    e1 = world.add_pod("e1", lease(400.0, 2000.0), clock_rate=1.01)
    await world.until_ready()
    holder, waiter = world.add_client(e0), world.add_client(e1)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    await until_renewed(world, session)
    await world.sleep(8.0)
    look = store_of(e1).plan("get", "session", session, hold_request=True)
    waiting = waiter.run(waiter.acquire("a", 1000.0))
    await look.sent.wait()
    await until_renewed(world, session)
    look.deliver()
    await world.sleep(0.1)
    e0.faults.outage = True
    assert await waiting is not None


@schedule
async def a_stale_sighting_ends_nothing(world: World) -> None:
    """All that E1 reads of E0's session is old: it looks silent, and is renewed all the time."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    session = session_of(world, e0)
    stale_at = await until_renewed(world, session) + 0.001
    e1 = waiter.pod
    store_of(e1).plan("get", "session", session, times=1000, stale_at=stale_at)
    waiting = waiter.run(waiter.acquire("a", 5 * D))
    await world.sleep(3 * D)
    assert holder.check("a"), "a stale read ended a live session"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_paused_elector_costs_no_safety(world: World) -> None:
    """E0's process is paused while its client runs: the client stops believing by itself, in time."""
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    await until_renewed(world, session_of(world, e0))
    waiting = waiter.run(waiter.acquire("a", 100.0))
    elector_of(e0).pause()
    assert await waiting is not None
    elector_of(e0).owner.resume()
    await world.sleep(D)
    assert waiter.check("a"), "an elector that was paused wrote over the new holder"


@schedule
async def a_label_on_the_session_record(world: World) -> None:
    """An operator labels E0's session record, so that its next renewal finds a conflict; then E0 is cut off."""
    e0 = world.add_pod("e0", lease(200.0, 1000.0), clock_rate=0.99)
    e1 = world.add_pod("e1", lease(200.0, 1000.0), clock_rate=1.01)
    await world.until_ready()
    holder, waiter = world.add_client(e0), world.add_client(e1)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    await until_renewed(world, session)
    record = world.shared.record("session", session)
    assert record is not None
    world.shared.by_hand("replace", "session", session, record.spec)
    waiting = waiter.run(waiter.acquire("a", 500.0))
    store = store_of(e0)
    conflict = store.plan(where=renewal_of(session))
    await conflict.applied.wait()
    cut_off = store.plan(where=renewal_of(session), times=1000, lose_request=True)
    await cut_off.sent.wait()
    e0.faults.outage = True
    assert await waiting is not None


@schedule
async def a_lost_read_is_asked_again(world: World) -> None:
    """E1's looks at a dead session are lost without a word, again and again: the takeover is late, but it comes."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    observer = store_of(e1)
    observer.plan("get", "session", session_of(world, e0), times=2, lose_request=True)
    observer.plan("get", "lock", times=2, lose_request=True)
    elector_of(e0).crash()
    await world.hold(waiter, "a", 3 * D)


@schedule
async def an_outage_shorter_than_the_validity_costs_nothing(world: World) -> None:
    """The store is away for less than a session's validity: nobody loses anything."""
    e0, e1, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 5 * D))
    await until_renewed(world, session_of(world, e0))
    for pod in (e0, e1):
        pod.faults.outage = True
    await world.sleep(D / 2)
    for pod in (e0, e1):
        pod.faults.outage = False
    await world.sleep(D)
    assert holder.check("a"), "a short outage cost the lock"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_holder_is_told_by_its_deadline(world: World) -> None:
    """E0 is cut off for good: its client knows within the validity, and so does its elector."""
    e0, _, holder, _ = await two_pods(world)
    await world.hold(holder, "a")
    renewed_at = await until_renewed(world, session_of(world, e0))
    e0.faults.outage = True
    await world.until(lambda: "a" not in holder.holds, 2 * D)
    assert world.loop.time() - renewed_at <= lease(D).validity_seconds / 0.99 + TAKEOVER_SLACK_SECONDS
    await world.until(lambda: not elector_of(e0).elector.ready, TAKEOVER_SLACK_SECONDS)
