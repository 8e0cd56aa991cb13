"""Directed schedules about barriers: all parties of a generation pass, or none."""

from __future__ import annotations

import asyncio

from elector_server.barriers import ABORT
from elector_server.rules.barrier import KIND, Outcome
from tests.simulation.barrier_user import BROKEN, MISMATCH, BarrierUser
from tests.simulation.calls import Unavailable
from tests.simulation.client import SimulatedClient
from tests.simulation.schedules import D, elector_of, schedule, session_of, store_of, two_pods, until_renewed
from tests.simulation.world import World

AT_ONCE_SECONDS = 1.0
LONG = 1000.0
TAKEOVER_SECONDS = 1.01 * D + 0.5 + D / 5 + 2 * AT_ONCE_SECONDS


def arrives(
    client: SimulatedClient, parties: int, action_seconds: float | None = None, seconds: float = LONG
) -> asyncio.Task[object]:
    """One party of barrier "b"."""
    return client.run(BarrierUser(client, "b", parties).wait(seconds, action_seconds))


async def until_arrived(world: World, parties: int) -> None:
    """Wait until so many stand in the record."""

    def have_arrived() -> bool:
        record = world.shared.record(KIND, "b")
        return record is not None and len(record.spec["arrived"]) == parties

    await world.until(have_arrived, 10.0)


@schedule
async def the_acting_party_dies(world: World) -> None:
    """It has begun its action: nobody passes, and nobody waits for it for longer than its death takes to be seen."""
    e0, _, waiting, acting = await two_pods(world)
    first = arrives(waiting, 2)
    await until_arrived(world, 1)
    arrives(acting, 2, LONG)
    await until_arrived(world, 2)
    await world.sleep(1.0)
    acting.crash()
    async with asyncio.timeout(2 * AT_ONCE_SECONDS):
        assert await first == BROKEN
    assert elector_of(e0).elector.ready


@schedule
async def a_machine_dies_while_its_party_waits(world: World) -> None:
    """The barrier breaks for the others when its session has ended."""
    e0, _, dead, waiting = await two_pods(world)
    arrives(dead, 3)
    await until_arrived(world, 1)
    second = arrives(waiting, 3)
    await until_arrived(world, 2)
    dead.silent_death = True
    dead.crash()
    elector_of(e0).crash()
    async with asyncio.timeout(TAKEOVER_SECONDS):
        assert await second == BROKEN


@schedule
async def a_party_passes_while_its_elector_is_cut_off(world: World) -> None:
    """E0's party stands in the record, E0 loses its session, and the last party comes: both pass."""
    e0, _, cut_off, last = await two_pods(world)
    first = arrives(cut_off, 2)
    await until_arrived(world, 1)
    await until_renewed(world, session_of(world, e0))
    elector_of(e0).pause()
    assert await arrives(last, 2) == 1
    await world.sleep(2 * D)
    elector_of(e0).owner.resume()
    assert await first == 0, "half of the parties passed"


@schedule
async def an_arrival_is_not_answered_before_the_session_is_lost(world: World) -> None:
    """E0 writes an arrival, and the answer never comes; the others arrive; E0 runs another session then."""
    e0, _, first, last = await two_pods(world)
    await first.run(first.open())
    await until_renewed(world, session_of(world, e0))
    slow = store_of(e0).plan("create", KIND, hold_answer=True)
    arriving = arrives(first, 2)
    await slow.applied.wait()
    e0.faults.outage = True
    assert await arrives(last, 2) == 1
    await world.sleep(D)
    e0.faults.outage = False
    assert await arriving == 0, "half of the parties passed"


@schedule
async def an_arrival_is_not_answered_before_others_have_passed_behind_it(world: World) -> None:
    """The same, and others pass after them before E0 looks again: the record still counts the arrival."""
    e0, _, first, last = await two_pods(world)
    await first.run(first.open())
    await until_renewed(world, session_of(world, e0))
    slow = store_of(e0).plan("create", KIND, hold_answer=True)
    arriving = arrives(first, 2)
    await slow.applied.wait()
    e0.faults.outage = True
    assert await arrives(last, 2) == 1
    behind = [arrives(last, 2), arrives(last, 2)]
    assert {await party for party in behind} == {0, 1}
    await world.sleep(D)
    e0.faults.outage = False
    assert await arriving == 0, "half of the parties passed"


@schedule
async def an_arrival_that_never_lands(world: World) -> None:
    """E0 would write the last arrival, and is cut off; another party comes in its place, and E0 begins a new session.

    Where the party would have stood does not say that it did: it has not passed with the others.
    """
    e0, _, never, last = await two_pods(world)
    first = world.add_client(e0)
    await never.run(never.open())
    arriving_first = arrives(first, 2)
    await until_arrived(world, 1)
    await until_renewed(world, session_of(world, e0))
    e0.faults.outage = True
    user = BarrierUser(never, "b", 2)
    holder = user.new_id()
    try:
        await never.run(user.poll(holder, None, 0.0, acts=False))
    except Unavailable:
        pass
    else:
        raise AssertionError("the store was out of reach")
    assert await arrives(last, 2) == 1
    await world.until(lambda: elector_of(e0).elector.session is None)
    e0.faults.outage = False
    outcome, _ = await never.run(user.leave(holder, None, D))
    assert outcome is Outcome.BROKEN, "a party passed that had never arrived"
    assert await arriving_first == 0


@schedule
async def an_arrival_that_is_repeated_counts_once(world: World) -> None:
    """E0 writes an arrival and crashes; the client arrives again at the next process, with the same holder id."""
    e0, _, first, last = await two_pods(world)
    slow = store_of(e0).plan("create", KIND, hold_answer=True)
    arriving = arrives(first, 2)
    await slow.applied.wait()
    elector_of(e0).crash()
    e0.start_elector()
    await world.sleep(3.0)
    assert not arriving.done(), "one party passed alone"
    assert await arrives(last, 2) == 1
    assert await arriving == 0


@schedule
async def a_stale_read_of_a_missing_barrier(world: World) -> None:
    """E0 crashes and comes back; its first reads are of before anybody had arrived: that breaks nothing."""
    e0, _, first, last = await two_pods(world)
    await world.sleep(1.0)
    before = world.loop.time()
    await world.sleep(1.0)
    arriving = arrives(first, 2)
    await until_arrived(world, 1)
    await world.sleep(1.0)
    elector_of(e0).crash()

    def read_of_before(store: object) -> None:
        for verb in ("get", "list"):
            store.plan(verb, KIND, times=3, stale_at=before)  # type: ignore[attr-defined]

    e0.start_elector(prepare=read_of_before)
    await world.sleep(5.0)
    assert not arriving.done(), "a stale read broke the barrier"
    assert await arrives(last, 2) == 1
    assert await arriving == 0


@schedule
async def a_party_leaves_when_it_has_just_passed(world: World) -> None:
    """Its time is over, and its leave is slow: the last party comes before that lands, and both pass."""
    e0, _, first, last = await two_pods(world)
    user = BarrierUser(first, "b", 2)
    late = store_of(e0).plan("replace", KIND, hold_request=True)
    arriving = first.run(user.wait(2.0))
    await late.sent.wait()
    assert await arrives(last, 2) == 1
    late.deliver()
    assert await arriving == 0, "half of the parties passed"


@schedule
async def a_party_that_was_told_of_a_break_asks_again(world: World) -> None:
    """It hears that the barrier is broken, which is reset then, and the next generation passes: its answer stays."""
    _, _, first, other = await two_pods(world)
    user = BarrierUser(first, "b", 2)
    await first.run(first.open())
    holder = user.new_id()
    arrival = await first.run(user.poll(holder, None, 0.0, acts=False))
    assert arrival.outcome is Outcome.WAITING
    breaker = BarrierUser(other, "b", 2)
    await other.run(breaker.change(ABORT))
    await other.run(breaker.reset())
    for _ in range(2):
        try:
            answer = await first.run(user.poll(holder, arrival.place, 1.0, acts=False))
        except Exception as problem:  # noqa: BLE001
            assert type(problem).__name__ in ("BarrierBroken", "HolderDead")
        else:
            raise AssertionError(f"a party of a broken generation heard {answer}")
        await world.sleep(3 * AT_ONCE_SECONDS)
        parties = [arrives(world.add_client(other.pod), 2) for _ in range(2)]
        assert sorted([await party for party in parties], key=str) == [0, 1]


@schedule
async def two_electors_with_different_parties(world: World) -> None:
    """Whoever counts another number of parties is refused, and breaks nothing."""
    _, e1, two, three = await two_pods(world)
    first = arrives(two, 2)
    await until_arrived(world, 1)
    assert await arrives(three, 3) == MISMATCH
    assert await arrives(world.add_client(e1), 2) == 1
    assert await first == 0
