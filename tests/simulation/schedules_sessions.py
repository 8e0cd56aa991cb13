"""Directed schedules about sessions: who lives, who may end whom, and when."""

from __future__ import annotations

import pytest

from elector_server.problems import Problem
from tests.simulation.schedules import (
    D,
    commits_of,
    lease,
    renewal_of,
    schedule,
    session_of,
    two_pods,
    until_renewed,
)
from tests.simulation.world import World

TAKEOVER_SLACK_SECONDS = 1.0


@schedule
async def missing_session_is_waited_for_in_full(world: World) -> None:
    """E1 sees E0's session live; E0 renews; its record is deleted by hand; E0 pauses; E1's next look finds it missing."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    assert e0.current is not None
    assert e1.current is not None
    await until_renewed(world, session)
    waiting = waiter.run(waiter.acquire("a", 5 * D))
    looks = e1.current.store.sent
    await world.until(lambda: looks["get", "session"] >= 1)
    await world.sleep(0.1)
    e1.current.store.plan("get", "session", session, times=100, lose_request=True, fail_after_seconds=0.5)
    await until_renewed(world, session, times=2)
    deleted_at = world.loop.time()
    world.shared.by_hand("delete", "session", session)
    e0.current.pause()
    e1.current.store.forget_plans()
    assert await waiting is not None
    assert world.loop.time() >= deleted_at + D, "a missing session was taken for an ended one"
    assert commits_of(world, "session", session)[-1].record is not None


@schedule
async def stale_reads_say_missing_twice(world: World) -> None:
    """A stale read says "missing" twice, a lease apart, while E0 renews: E0's client keeps the lock."""
    e0, e1, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    assert e1.current is not None
    e1.current.store.plan("get", "session", session_of(world, e0), times=12, stale_at=0.0)
    waiting = waiter.run(waiter.acquire("a", 4 * D))
    await world.sleep(3 * D)
    assert holder.check("a"), "the holder lost its lock though its elector renewed all the time"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def lease_comes_from_the_lock_record(world: World) -> None:
    """E0 has a lease of 40 s, E1 one of 10 s; E0's session record is deleted and E0 pauses for 60 s."""
    e0, e1, holder, waiter = await two_pods(world, lease(40.0), lease(10.0))
    await world.hold(holder, "a")
    assert e0.current is not None
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(1.0)
    await until_renewed(world, session_of(world, e0))
    deleted_at = world.loop.time()
    world.shared.by_hand("delete", "session", session_of(world, e0))
    e0.current.pause()
    world.network.later(60.0, e0.current.owner.resume)
    assert await waiting is not None
    assert world.loop.time() >= deleted_at + 40.0, "the waiter's own lease was taken for the holder's"


@schedule
async def an_adopter_keeps_the_lease(world: World) -> None:
    """E0 crashes and comes back configured with 10 s instead of 40, adopts, and pauses after 0.3 s."""
    e0, e1, holder, waiter = await two_pods(world, lease(40.0), lease(40.0))
    await world.hold(holder, "a")
    session = session_of(world, e0)
    assert e0.current is not None
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session)
    holder.owner.pause()
    e0.current.crash()
    await world.sleep(0.2)
    again = e0.start_elector(lease(10.0))
    await world.sleep(0.3)
    assert again.elector.session is not None
    assert again.elector.session.id == session, "the live session was not adopted"
    again.pause()
    holder.owner.resume()
    assert await waiting is not None
    assert {c.record.spec["lease_seconds"] for c in commits_of(world, "session", session) if c.record} == {40.0}


@schedule
async def a_late_create_of_a_session_stays_dead(world: World) -> None:
    """E0 pauses; its session ends and is deleted; a late copy of its `create` lands; E0 restarts and looks for one."""
    e0 = world.add_pod("e0", lease(D), start=False)
    e1 = world.add_pod("e1", lease(D))
    copies = []
    first = e0.start_elector(prepare=lambda store: copies.append(store.plan("create", "session", repeat=True)))
    await world.until_ready()
    holder, waiter = world.add_client(e0), world.add_client(e1)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    first.pause()
    taken = await waiting
    assert taken is not None
    await world.sleep(45.0)
    first.crash()
    world.shared.by_hand("delete", "session", session)
    copies[0].deliver_copy()
    await world.until(lambda: world.shared.record("session", session) is not None)
    again = e0.start_elector()
    await world.until(lambda: again.elector.ready, 10.0)
    assert session_of(world, e0) != session, "a session that was never renewed was adopted"
    await waiter.run(waiter.release(taken))
    newcomer = world.add_client(e0)
    await world.hold(newcomer, "a")
    second = waiter.run(waiter.acquire("a", 2 * D))
    await world.sleep(D)
    assert newcomer.check("a"), "the hold of a live session was taken away"
    await newcomer.run(newcomer.release(newcomer.holds["a"]))
    assert await second is not None


@schedule
async def a_new_session_has_an_id_of_its_own(world: World) -> None:
    """E0's session has ended; E0 begins another one, and E1, which saw the first one end, respects it."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    assert e0.current is not None
    session = session_of(world, e0)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    e0.current.crash()
    taken = await waiting
    assert taken is not None
    await waiter.run(waiter.release(taken))
    again = e0.start_elector()
    await world.until(lambda: again.elector.ready, 10.0)
    assert session_of(world, e0) != session
    newcomer = world.add_client(e0)
    await world.hold(newcomer, "a")
    second = waiter.run(waiter.acquire("a", 1.5 * D))
    await world.sleep(D)
    assert newcomer.check("a"), "the hold of a live session was taken away"
    await newcomer.run(newcomer.release(newcomer.holds["a"]))
    assert await second is not None


@schedule
async def no_graceful_end_soon_after_an_adoption(world: World) -> None:
    """E0 crashes, restarts, adopts, and gets SIGTERM 0.25 s later, before its client is back."""
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    assert e0.current is not None
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session_of(world, e0))
    holder.owner.pause()
    e0.current.crash()
    again = e0.start_elector()
    await world.until(lambda: again.elector.ready, 5.0)
    await world.sleep(0.25)
    await again.stop()
    holder.owner.resume()
    assert await waiting is not None


@schedule
async def a_graceful_end_frees_what_nobody_holds(world: World) -> None:
    """The usual case in a pod: the application has ended, the elector stops, and its session ends in one write."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    assert e0.current is not None
    await world.sleep(10.0)
    holder.crash()
    await world.sleep(0.5)
    await e0.current.stop()
    record = world.shared.record("session", session)
    assert record is not None
    assert record.spec["state"] == "ended"
    began = world.loop.time()
    await world.hold(waiter, "a", 5.0)
    assert world.loop.time() - began < TAKEOVER_SLACK_SECONDS


@schedule
async def nothing_unclaimed_is_released_after_an_adoption(world: World) -> None:
    """E0 crashes and adopts; its client comes back only after 5 s; nobody gets the lock meanwhile."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    assert e0.current is not None
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session_of(world, e0))
    holder.owner.pause()
    e0.current.crash()
    e0.start_elector()
    await world.sleep(5.0)
    holder.owner.resume()
    await world.sleep(5.0)
    assert holder.check("a"), "the hold did not survive the elector's restart"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_slow_confirmation_is_not_given_away(world: World) -> None:
    """After an adoption the write that confirms a presented hold is slow: its client asks twice."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    assert e0.current is not None
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(1.0)
    e0.current.crash()
    plans = []
    e0.start_elector(prepare=lambda store: plans.append(store.plan("replace", "lock", "a", hold_answer=True)))
    await plans[0].applied.wait()
    await world.sleep(1.5)
    plans[0].answer()
    await world.sleep(5.0)
    assert holder.check("a"), "the hold did not survive the elector's restart"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def two_processes_under_one_identity(world: World) -> None:
    """A twin adopts the session: the first process and its clients lose everything before the twin gives it away."""
    e0, _, holder, _ = await two_pods(world)
    first = e0.current
    assert first is not None
    holder.process = first
    await world.hold(holder, "a")
    twin = e0.start_elector()
    await world.until(lambda: twin.elector.ready, 10.0)
    other = world.add_client(e0)
    other.process = twin
    await world.hold(other, "b", 5.0)
    waiting = other.run(other.acquire("a", 200.0))
    await world.until(lambda: not holder.check("a"), D)
    assert await waiting is not None
    assert first.elector.session is None or first.elector.session.id != session_of(world, e0)


@schedule
async def a_twin_s_higher_epoch_is_respected(world: World) -> None:
    """The first process has not noticed its twin yet, and is asked for a lock that the twin's client holds."""
    e0, _, holder, _ = await two_pods(world)
    first = e0.current
    assert first is not None
    holder.process = first
    await world.hold(holder, "b")
    await until_renewed(world, session_of(world, e0))
    twin = e0.start_elector()
    await world.until(lambda: twin.elector.ready, 10.0)
    other = world.add_client(e0)
    other.process = twin
    await world.hold(other, "a", 5.0)
    first_try = holder.run(holder.acquire("a", 2.0))
    await world.sleep(3.0)
    assert other.check("a"), "the twin's client lost its lock to the process before"
    await first_try


@schedule
async def a_lost_session_is_never_revived(world: World) -> None:
    """E0 can't reach the store for longer than its validity: its session ends, and another one begins."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session)
    e0.faults.outage = True
    await world.until(lambda: not holder.check("a"), D)
    e0.faults.outage = False
    began = world.loop.time()
    assert await waiting is not None
    assert world.loop.time() - began < D / 2, "a lost session was not ended by its owner"
    await world.until(lambda: e0.current is not None and e0.current.elector.ready, 10.0)
    await world.hold(holder, "b", 5.0)
    assert session_of(world, e0) != session
    epochs = [c.record.spec["epoch"] for c in commits_of(world, "session", session) if c.record]
    assert set(epochs) == {1}, "a lost session was adopted by the process that lost it"


@schedule
async def an_adoption_is_not_dated_by_its_second_try(world: World) -> None:
    """The write that adopts lands and is not answered until the adopter gives up; a stale list makes it try again."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    assert e0.current is not None
    stale_at = await until_renewed(world, session)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    holder.crash()
    e0.current.crash()

    def prepare(store):  # type: ignore[no-untyped-def]
        adoption = renewal_of(session)
        store.plan(where=adoption, lose_answer=True)
        store.plan(where=adoption, times=100, lose_request=True, fail_after_seconds=0.2)
        store.plan("get", "session", session, times=100, lose_request=True, fail_after_seconds=0.2)

    again = e0.start_elector(prepare=prepare)
    adopted = await until_renewed(world, session)
    await world.sleep(lease(D).validity_seconds + 1.0 - (world.loop.time() - adopted))
    again.store.forget_plans()
    again.store.plan("list", "session", times=2, stale_at=stale_at + 0.001)
    newcomer = world.add_client(e0)
    taken = newcomer.run(newcomer.acquire("b", 5.0))
    await world.until(lambda: again.elector.session is not None, 10.0)
    e0.faults.outage = True
    await taken
    assert await waiting is not None
    watcher = world.add_client(e1)
    await world.hold(watcher, "b", 3 * D)


@schedule
async def slow_answer_then_partition(world: World) -> None:
    """A renewal lands at once and is answered late and in pieces; then E0 is cut off. Its deadline counts from the send."""
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    assert e0.current is not None
    store = e0.current.store
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
    e0, e1, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    assert e0.current is not None
    store = e0.current.store
    renewal = store.plan(where=renewal_of(session), lose_answer=True)
    store.plan(where=renewal_of(session), times=3, lose_request=True, fail_after_seconds=2.0)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await renewal.applied.wait()
    await world.until(lambda: len(renewal.operations) and store.plans_left == 0, D)
    await world.sleep(0.2)
    e0.faults.outage = True
    assert await waiting is not None


@schedule
async def a_late_renewal_lands_after_a_newer_one(world: World) -> None:
    """The first copy of a renewal is held back, the second commits, others follow: the first must change nothing."""
    e0, _, holder, _ = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    assert e0.current is not None
    late = e0.current.store.plan(where=renewal_of(session), hold_request=True)
    await late.sent.wait()
    await until_renewed(world, session, times=3)
    late.deliver()
    await world.sleep(D)
    assert holder.check("a")
    with pytest.raises(Problem):
        await e0.current.elector.acquire("a", "0" * 32, "1" * 32, 0.0)


@schedule
async def fast_observer_against_slow_holder(world: World) -> None:
    """E0's clock runs 1 % slow, E1's 1 % fast, and the lease is long: still nobody overlaps, and takeover is in time."""
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
    assert e0.current is not None
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(10.0)
    holder.silent_death = True
    holder.crash()
    e0.current.crash()
    died_at = world.loop.time()
    assert await waiting is not None
    took = (world.loop.time() - died_at) * 0.99
    assert took <= 1.01 * D + 0.5 + D / 5 + TAKEOVER_SLACK_SECONDS, f"the takeover took {took:.1f} s"
