"""Directed schedules about whose session it is: adoption, restarts, twins, graceful ends."""

from __future__ import annotations

from tests.simulation.schedules import (
    D,
    commits_of,
    elector_of,
    lease,
    schedule,
    session_of,
    store_of,
    two_pods,
    until_renewed,
)
from tests.simulation.world import World

TAKEOVER_SLACK_SECONDS = 1.0


@schedule
async def an_adopter_keeps_the_lease(world: World) -> None:
    """E0 crashes and comes back configured with 10 s instead of 40, adopts, and pauses after 0.3 s."""
    e0, _, holder, waiter = await two_pods(world, lease(40.0), lease(40.0))
    await world.hold(holder, "a")
    session = session_of(world, e0)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session)
    holder.owner.pause()
    elector_of(e0).crash()
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
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    elector_of(e0).crash()
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
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session_of(world, e0))
    holder.owner.pause()
    elector_of(e0).crash()
    again = e0.start_elector()
    await world.until(lambda: again.elector.ready, 5.0)
    session = session_of(world, e0)
    await world.sleep(0.25)
    await again.stop()
    assert world.shared.record("session", session) is not None, (
        "the session was ended though a client may still believe"
    )
    holder.owner.resume()
    assert await waiting is not None


@schedule
async def a_graceful_end_frees_what_nobody_holds(world: World) -> None:
    """The usual case in a pod: the application has ended, the elector stops, and one write removes its session."""
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    await world.sleep(10.0)
    holder.crash()
    await world.sleep(0.5)
    await elector_of(e0).stop()
    assert world.shared.record("session", session) is None
    began = world.loop.time()
    await world.hold(waiter, "a", 5.0)
    assert world.loop.time() - began < TAKEOVER_SLACK_SECONDS


@schedule
async def nothing_unclaimed_is_released_after_an_adoption(world: World) -> None:
    """E0 crashes and adopts; its client comes back only after 5 s; nobody gets the lock meanwhile."""
    e0, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session_of(world, e0))
    holder.owner.pause()
    elector_of(e0).crash()
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
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(1.0)
    elector_of(e0).crash()
    plans = []
    e0.start_elector(prepare=lambda store: plans.append(store.plan("replace", "lock", "a", hold_answer=True)))
    await plans[0].applied.wait()
    await world.sleep(1.0)
    holder.owner.pause()
    await world.sleep(0.5)
    plans[0].answer()
    await world.sleep(3.0)
    holder.owner.resume()
    await world.sleep(5.0)
    assert holder.check("a"), "the hold did not survive the elector's restart"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def two_processes_under_one_identity(world: World) -> None:
    """A twin adopts the session: the first process and its clients lose everything before the twin gives it away."""
    e0, _, holder, _ = await two_pods(world)
    first = elector_of(e0)
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
async def a_twin_is_noticed_by_its_nonce(world: World) -> None:
    """A twin adopts the session and writes nothing else: the first process notices at its next renewal."""
    e0, _, holder, _ = await two_pods(world)
    first = elector_of(e0)
    holder.process = first
    await world.hold(holder, "a")
    session = session_of(world, e0)
    twin = e0.start_elector()
    await world.until(lambda: twin.elector.ready, 10.0)
    await world.until(lambda: "a" not in holder.holds, D / 2)
    assert first.elector.session is None or first.elector.session.id != session
    await world.sleep(D)
    assert session_of(world, e0) == session, "the first process took its session back"


@schedule
async def a_twin_s_higher_epoch_is_respected(world: World) -> None:
    """The first process has not noticed its twin yet, and is asked for a lock that the twin's client holds."""
    e0, _, holder, _ = await two_pods(world)
    first = elector_of(e0)
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
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await until_renewed(world, session)
    e0.faults.refuse = 1.0
    await world.until(lambda: not holder.check("a"), D)
    e0.faults.refuse = 0.0
    began = world.loop.time()
    assert await waiting is not None
    assert world.loop.time() - began < 2.0, "a lost session was not ended by its owner"
    await world.until(lambda: elector_of(e0).elector.ready, 10.0)
    await world.hold(holder, "b", 5.0)
    assert session_of(world, e0) != session
    epochs = [c.record.spec["epoch"] for c in commits_of(world, "session", session) if c.record]
    assert set(epochs) == {1}, "a lost session was adopted by the process that lost it"


@schedule
async def a_hold_survives_a_restart_right_after_the_start(world: World) -> None:
    """E0 has just begun its session and granted a lock; it is killed and comes back at once."""
    e0, _, holder, _ = await two_pods(world)
    await world.hold(holder, "a")
    session = session_of(world, e0)
    elector_of(e0).crash()
    again = e0.start_elector()
    await world.until(lambda: again.elector.ready, 5.0)
    assert session_of(world, e0) == session
    await world.sleep(D)
    assert holder.check("a"), "the restart of the elector cost the lock"


@schedule
async def a_reboot_frees_everything(world: World) -> None:
    """The machine reboots: the next elector does not adopt, and what the dead clients held gets free."""
    e0, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 5 * D))
    await world.sleep(2.0)
    holder.silent_death = True
    holder.crash()
    elector_of(e0).crash()
    e0.boots += 1
    rebooted_at = world.loop.time()
    e0.start_elector()
    assert await waiting is not None
    assert world.loop.time() - rebooted_at < TAKEOVER_SLACK_SECONDS, "no client can be left after a reboot"


@schedule
async def the_sweeper_ends_only_the_silent(world: World) -> None:
    """Nobody waits for a dead elector's lock: the sweeper frees it all the same, and touches no live session."""
    e0, _, dead, one = await two_pods(world)
    e2 = world.add_pod("e2", lease(D))
    await world.until_ready()
    two = world.add_client(e2)
    await world.hold(dead, "a")
    await world.hold(one, "b")
    await world.hold(two, "c")
    session = session_of(world, e0)
    dead.silent_death = True
    dead.crash()
    elector_of(e0).crash()
    await world.until(lambda: world.shared.record("lock", "a") is None, 100 * D, 1.0)
    assert one.check("b"), "the sweeper ended a live session"
    assert two.check("c"), "the sweeper ended a live session"
    await world.until(lambda: world.shared.record("session", session) is None, 100 * D, 1.0)


@schedule
async def the_sweeper_survives_a_refusal(world: World) -> None:
    """The first claim of the sweeper's own lock is refused by the store: it tries again later."""
    e0, e1, dead, _ = await two_pods(world)
    await world.hold(dead, "a")
    store_of(e1).plan("create", "lock", times=2, refuse=True)
    dead.silent_death = True
    dead.crash()
    elector_of(e0).crash()
    await world.until(lambda: world.shared.record("lock", "a") is None, 200 * D, 1.0)


@schedule
async def a_lost_session_s_locks_are_freed_by_its_owner(world: World) -> None:
    """E0 loses its session while a local waiter keeps it interested in the lock: it frees what hung on the old one."""
    e0, _, holder, waiter = await two_pods(world)
    neighbour = world.add_client(e0)
    await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    neighbour.run(neighbour.acquire("a", 100.0))
    await until_renewed(world, session_of(world, e0))
    e0.faults.refuse = 1.0
    await world.until(lambda: not holder.check("a"), D)
    e0.faults.refuse = 0.0
    began = world.loop.time()
    assert await waiting is not None
    assert world.loop.time() - began < 2.0, "the locks of a lost session were not freed by its owner"


@schedule
async def a_lost_session_s_lock_is_freed_though_nobody_waits_for_it(world: World) -> None:
    """E0 loses its session. What hung on it is gone as soon as E0 has another one, long before anybody sweeps."""
    e0, _, holder, _ = await two_pods(world)
    await world.hold(holder, "a")
    await until_renewed(world, session_of(world, e0))
    e0.faults.refuse = 1.0
    await world.until(lambda: not holder.check("a"), D)
    e0.faults.refuse = 0.0
    await world.until(lambda: world.shared.record("lock", "a") is None, 2.0)


@schedule
async def the_sweeper_frees_what_an_ended_session_holds(world: World) -> None:
    """A late `create` lands under a session that has ended, and nobody waits for the lock: the sweeper frees it."""
    session = await _late_create_of_a_lost_session(world)
    record = world.shared.record("session", session)
    assert record is not None
    assert record.spec["state"] == "ended"
    await world.until(lambda: world.shared.record("lock", "a") is None, 200 * D, 1.0)


@schedule
async def the_sweeper_frees_what_a_missing_session_holds(world: World) -> None:
    """The same, and the record of the ended session is gone as well."""
    session = await _late_create_of_a_lost_session(world)
    world.shared.by_hand("delete", "session", session)
    await world.until(lambda: world.shared.record("lock", "a") is None, 200 * D, 1.0)


async def _late_create_of_a_lost_session(world: World) -> str:
    """E0's `create` is on its way while E0 loses its session and its client gives up; then it lands."""
    e0, _, holder, _ = await two_pods(world)
    session = session_of(world, e0)
    late = store_of(e0).plan("create", "lock", "a", times=100, hold_request=True)
    asking = holder.run(holder.acquire("a", 5.0))
    await late.sent.wait()
    e0.faults.refuse = 1.0
    await world.until(lambda: elector_of(e0).elector.session is None, 2 * D)
    e0.faults.refuse = 0.0
    await asking
    await world.sleep(D)
    late.deliver()
    await world.until(lambda: world.shared.record("lock", "a") is not None, 1.0)
    return session
