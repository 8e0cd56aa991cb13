"""Directed schedules about lock records: late copies, hand-offs to the dead, second looks, and tokens."""

from __future__ import annotations

from tests.simulation.invariants import tenures
from tests.simulation.schedules import (
    D,
    commits_of,
    elector_of,
    lease,
    queue_of,
    schedule,
    session_of,
    store_of,
    two_pods,
    until_renewed,
)
from tests.simulation.world import World

AT_ONCE_SECONDS = 1.0


@schedule
async def a_release_in_flight_when_its_elector_restarted(world: World) -> None:
    """E0 sends the release of a silent client and crashes; it adopts, the client is back; then the release lands."""
    e0, _, holder, waiter = await two_pods(world, lease(D, 8.0))
    granting = store_of(e0).plan("create", "lock", "a", hold_answer=True)
    acquiring = holder.run(holder.acquire("a", 100.0))
    await granting.applied.wait()
    holder.owner.pause()
    release = store_of(e0).plan("delete", "lock", "a", hold_request=True)
    granting.answer()
    await release.sent.wait()
    elector_of(e0).crash()
    again = e0.start_elector()
    await world.until(lambda: again.elector.ready, 5.0)
    holder.owner.resume()
    hold = await acquiring
    assert hold is not None
    release.deliver()
    await world.sleep(0.1)
    waiting = waiter.run(waiter.acquire("a", 3 * D))
    await world.sleep(D / 2)
    assert holder.check("a"), "the release of the process before took the lock away"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_late_create_lands_after_the_release(world: World) -> None:
    """E0's `create` is delayed and sent again; the second answers; held, released; then the first one lands."""
    e0, _, holder, waiter = await two_pods(world)
    late = store_of(e0).plan("create", "lock", "a", hold_request=True)
    hold = await world.hold(holder, "a")
    await holder.run(holder.release(hold))
    await world.until(lambda: world.shared.record("lock", "a") is None, 5.0)
    late.deliver()
    await world.until(lambda: world.shared.record("lock", "a") is not None, 1.0)
    began = world.loop.time()
    await world.hold(waiter, "a", 2 * D)
    assert world.loop.time() - began < 5.0, "a late copy of a create held the lock"


@schedule
async def a_late_create_lands_unseen(world: World) -> None:
    """The same, while E0's watches hang: the list of each lease finds it."""
    e0, _, holder, waiter = await two_pods(world)
    late = store_of(e0).plan("create", "lock", "a", hold_request=True)
    hold = await world.hold(holder, "a")
    await holder.run(holder.release(hold))
    await world.until(lambda: world.shared.record("lock", "a") is None, 5.0)
    e0.faults.watch_skip = 1.0
    late.deliver()
    await world.hold(waiter, "a", 2 * D)


@schedule
async def a_hand_off_to_a_ticket_that_a_restart_forgot(world: World) -> None:
    """E0's client waits and dies with its elector; E0 adopts; E1 hands the lock to the forgotten ticket."""
    e0, _, forgotten, holder = await two_pods(world, lease(D, 15.0), lease(D, 15.0))
    hold = await world.hold(holder, "a")
    forgotten.run(forgotten.acquire("a", 100.0))
    await world.until(lambda: queue_of(world, "a"), 5.0)
    forgotten.silent_death = True
    forgotten.crash()
    elector_of(e0).crash()
    again = e0.start_elector()
    await world.until(lambda: again.elector.ready, 5.0)
    await holder.run(holder.release(hold))
    await world.sleep(0.1)
    began = world.loop.time()
    await world.hold(holder, "a", 100.0)
    grace = max(lease(D).validity_seconds, 15.0)
    assert world.loop.time() - began < grace + 3.0, "a forgotten ticket kept the lock"


@schedule
async def a_create_of_a_dead_session_lands(world: World) -> None:
    """A late `create` of E0's dead session X lands while E0 runs session Y and asks for the same holder id."""
    e0, _, holder, waiter = await two_pods(world)
    old_session = session_of(world, e0)
    await until_renewed(world, old_session)
    late = store_of(e0).plan("create", "lock", "a", times=2, hold_request=True, lose_answer=True)
    acquiring = holder.run(holder.acquire("a", 100.0))
    await late.sent.wait()
    e0.faults.outage = True
    await world.until(lambda: elector_of(e0).elector.session is None, 2 * D)
    again = store_of(e0).plan("create", "lock", "a", hold_request=True)
    e0.faults.outage = False
    await again.sent.wait()
    assert session_of(world, e0) != old_session
    late.deliver()
    await world.until(lambda: world.shared.record("lock", "a") is not None, 1.0)
    again.deliver()
    hold = await acquiring
    assert hold is not None
    waiting = waiter.run(waiter.acquire("a", 2 * D))
    await world.sleep(D)
    assert holder.check("a"), "the hold hung on a dead session"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_dead_holder_id_never_comes_back(world: World) -> None:
    """A holder id is released, a late copy of its `create` lands, and the client asks again with it."""
    e0, _, holder, _ = await two_pods(world)
    late = store_of(e0).plan("create", "lock", "a", hold_request=True)
    hold = await world.hold(holder, "a")
    await holder.run(holder.release(hold))
    await world.until(lambda: world.shared.record("lock", "a") is None, 5.0)
    late.deliver()
    await world.until(lambda: world.shared.record("lock", "a") is not None, 1.0)
    again = await holder.run(holder.acquire("a", 10.0, hold.holder))
    assert again is not None
    assert again.holder != hold.holder


@schedule
async def a_holder_id_given_up_never_comes_back(world: World) -> None:
    """A client gives up while its `create` is on its way, and asks again with the same holder id."""
    e0, _, holder, _ = await two_pods(world)
    late = store_of(e0).plan("create", "lock", "a", hold_request=True)
    given_up = holder.new_holder()
    assert await holder.run(holder.acquire("a", 1.0, given_up)) is None
    await world.sleep(3.0)
    late.deliver()
    hold = await holder.run(holder.acquire("a", 10.0, given_up))
    assert hold is not None
    assert hold.holder != given_up
    rows = [t for t in tenures(world.shared.commits)["a"] if t.holder == given_up]
    assert all(t.ended < world.loop.time() for t in rows), "a holder id that was given up holds the lock"


@schedule
async def a_waiter_leaves_while_a_write_names_it(world: World) -> None:
    """E0 releases and re-queues its second waiter's name; that waiter times out before the answer."""
    e0, _, holder, other = await two_pods(world)
    second = world.add_client(e0)
    hold = await world.hold(holder, "a")
    waiting = other.run(other.acquire("a", 100.0))
    await world.until(lambda: queue_of(world, "a"), 5.0)
    dead = second.new_holder()
    leaving = second.run(second.acquire("a", 2.0, dead))
    await world.sleep(1.0)
    release = store_of(e0).plan("replace", "lock", "a", hold_answer=True)
    await holder.run(holder.release(hold))
    await release.applied.wait()
    assert dead in queue_of(world, "a"), "the schedule is pointless: the second waiter was not queued"
    assert await leaving is None
    await world.sleep(0.5)
    release.answer()
    taken = await waiting
    assert taken is not None
    await world.sleep(1.5)
    assert dead not in queue_of(world, "a"), "a dead name stands in the queue"
    await other.run(other.release(taken))
    await world.hold(holder, "a", AT_ONCE_SECONDS)
    assert dead not in {t.holder for t in tenures(world.shared.commits)["a"]}, "a dead name got the lock"


@schedule
async def the_deadline_is_checked_again_after_the_answer(world: World) -> None:
    """E0 sends `create`, pauses past its deadline, and then gets the answer "created"."""
    e0, _, late, waiter = await two_pods(world)
    await until_renewed(world, session_of(world, e0))
    creating = store_of(e0).plan("create", "lock", "a", hold_answer=True)
    acquiring = late.run(late.acquire("a", 2 * D))
    await creating.applied.wait()
    elector_of(e0).pause()
    taken = await waiter.run(waiter.acquire("a", 100.0))
    assert taken is not None
    creating.answer()
    await world.sleep(0.5)
    grants = elector_of(e0).elector.counters["grants"]
    elector_of(e0).owner.resume()
    await world.sleep(1.0)
    assert elector_of(e0).elector.counters["grants"] == grants, "granted after the deadline"
    assert not late.check("a")
    await waiter.run(waiter.release(taken))
    await acquiring


@schedule
async def a_create_answered_by_nobody(world: World) -> None:
    """The answers of two copies of a `create` are lost; the third finds that the record exists, and it is ours."""
    e0, _, holder, waiter = await two_pods(world)
    store_of(e0).plan("create", "lock", "a", times=2, lose_answer=True)
    hold = await world.hold(holder, "a")
    assert hold.token == commits_of(world, "lock", "a")[0].version
    waiting = waiter.run(waiter.acquire("a", 2 * D))
    await world.sleep(1.0)
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_refused_create_was_ours_already(world: World) -> None:
    """The first copy lands unanswered; the second is refused as the record exists: that must be read, not believed."""
    e0, _, holder, _ = await two_pods(world)
    store_of(e0).plan("create", "lock", "a", lose_answer=True, fail_after_seconds=0.5)
    store_of(e0).plan("get", "lock", "a", stale_at=0.0)
    hold = await world.hold(holder, "a")
    assert len(commits_of(world, "lock", "a")) == 1
    await holder.run(holder.release(hold))
    await world.until(lambda: world.shared.record("lock", "a") is None, 5.0)


@schedule
async def a_timeout_is_no_success(world: World) -> None:
    """A `create` never reaches the store while another elector takes the lock: E0's client must wait."""
    e0, _, late, winner = await two_pods(world)
    store_of(e0).plan("create", "lock", "a", times=3, lose_request=True)
    acquiring = late.run(late.acquire("a", 2 * D))
    await world.sleep(0.2)
    await world.hold(winner, "a")
    assert await acquiring is None
    assert winner.check("a")


@schedule
async def hand_off_to_a_client_that_has_just_left(world: World) -> None:
    """E1 hands the lock to E0's ticket in the moment in which E0's only waiter dies."""
    _, e1, leaver, holder = await two_pods(world)
    hold = await world.hold(holder, "a")
    leaver.run(leaver.acquire("a", 100.0))
    await world.until(lambda: queue_of(world, "a"), 5.0)
    hand_off = store_of(e1).plan("replace", "lock", "a", hold_request=True)
    await holder.run(holder.release(hold))
    await hand_off.sent.wait()
    await world.sleep(0.5)
    leaver.crash()
    hand_off.deliver()
    began = world.loop.time()
    await world.hold(holder, "a", 5.0)
    assert world.loop.time() - began < 3 * AT_ONCE_SECONDS, "a client that had left kept the lock"


@schedule
async def a_clean_release_reaches_the_next_at_once(world: World) -> None:
    """One write and one watch event: the waiter on the other machine holds."""
    _, _, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.until(lambda: queue_of(world, "a"), 5.0)
    writes = len(world.shared.commits)
    released_at = world.loop.time()
    await holder.run(holder.release(hold))
    assert await waiting is not None
    assert world.loop.time() - released_at < AT_ONCE_SECONDS
    locks = [c for c in world.shared.commits[writes:] if c.operation.kind == "lock"]
    assert len(locks) == 1, "a hand-off is one write"


@schedule
async def a_proven_death_frees_at_once(world: World) -> None:
    """The holder's process is killed; the end of its stream proves it, and the next one holds within a second."""
    _, _, holder, waiter = await two_pods(world)
    await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(10.0)
    died_at = world.loop.time()
    holder.crash()
    assert await waiting is not None
    assert world.loop.time() - died_at < AT_ONCE_SECONDS


@schedule
async def a_broken_proxy_is_no_death(world: World) -> None:
    """A proxy between client and elector dies, both ends live: the holder keeps its lock."""
    e0 = world.add_pod("e0", lease(D))
    await world.until_ready()
    holder, waiter = world.add_client(e0, via_proxy=True), world.add_client(e0)
    hold = await world.hold(holder, "a")
    waiting = waiter.run(waiter.acquire("a", 100.0))
    await world.sleep(10.0)
    holder.break_stream()
    await world.sleep(D)
    assert holder.check("a"), "a broken connection was taken for a death"
    await holder.run(holder.release(hold))
    assert await waiting is not None


@schedule
async def a_release_guarded_by_its_version(world: World) -> None:
    """E0's release is held back; its session ends and E1 takes over; then the release lands and must do nothing."""
    e0, e1, holder, waiter = await two_pods(world)
    hold = await world.hold(holder, "a")
    await until_renewed(world, session_of(world, e0))
    release = store_of(e0).plan("delete", "lock", "a", hold_request=True)
    await holder.run(holder.release(hold))
    await release.sent.wait()
    elector_of(e0).crash()
    taken = await waiter.run(waiter.acquire("a", 100.0))
    assert taken is not None
    release.deliver()
    third = world.add_client(e1)
    waiting = third.run(third.acquire("a", 100.0))
    await world.sleep(D / 2)
    assert waiter.check("a")
    await waiter.run(waiter.release(taken))
    assert await waiting is not None


@schedule
async def a_deleted_lock_s_token_is_never_given_again(world: World) -> None:
    """Tokens rise over delete and create, hand-off and takeover; the invariants check the order."""
    _, _, first, second = await two_pods(world)
    for _ in range(3):
        await first.run(first.release(await world.hold(first, "a")))
        await second.run(second.release(await world.hold(second, "a")))
    hold = await world.hold(first, "a")
    waiting = second.run(second.acquire("a", 100.0))
    await world.until(lambda: queue_of(world, "a"), 5.0)
    await first.run(first.release(hold))
    handed = await waiting
    assert handed is not None
    assert handed.token > hold.token


@schedule
async def a_stranger_can_not_release(world: World) -> None:
    """Neither another client of the same elector nor one of another elector can release somebody else's hold."""
    e0, _, holder, stranger = await two_pods(world)
    neighbour = world.add_client(e0)
    hold = await world.hold(holder, "a")
    for client in (stranger, neighbour):
        await client.run(client.open())
        await client.run(client.release_of("a", hold.holder))
        await client.run(client.release_of("a", client.new_holder()))
    await world.sleep(1.0)
    assert holder.check("a")
    assert world.shared.record("lock", "a") is not None, "somebody else released the lock"


@schedule
async def a_dead_ticket_is_skipped(world: World) -> None:
    """Three pods: the first in the queue dies with its machine; the queue moves on when its session has ended."""
    _, e1, holder, dead = await two_pods(world)
    e2 = world.add_pod("e2", lease(D))
    await world.until_ready()
    last = world.add_client(e2)
    hold = await world.hold(holder, "a")
    dead.run(dead.acquire("a", 200.0))
    await world.until(lambda: len(queue_of(world, "a")) == 1, 5.0)
    waiting = last.run(last.acquire("a", 200.0))
    await world.until(lambda: len(queue_of(world, "a")) == 2, 5.0)
    dead.silent_death = True
    dead.crash()
    elector_of(e1).crash()
    await world.sleep(1.0)
    began = world.loop.time()
    await holder.run(holder.release(hold))
    assert await waiting is not None
    assert world.loop.time() - began < 1.01 * D + 0.5 + D / 5 + 2.0, "a dead ticket cost more than one lease"
