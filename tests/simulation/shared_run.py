"""A random run of one kind of primitive besides locks: the same phases and faults as those of `random_run`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from elector_server.barriers import ABORT
from elector_server.rules import shared
from tests.simulation import invariants, shared_invariants
from tests.simulation.barrier_user import BarrierUser
from tests.simulation.calls import FOREVER
from tests.simulation.client import SimulatedClient
from tests.simulation.condition_user import ConditionUser
from tests.simulation.event_user import EventUser
from tests.simulation.random_run import RandomRun
from tests.simulation.semaphore_user import SemaphoreUser
from tests.simulation.shared_programs import LOCK_OF_CONDITION, PROGRAMS, Terms
from tests.simulation.virtual_loop import Life
from tests.simulation.world import World, run_world

QUIET_CALLS_MIN = 3
KINDS = ("semaphore", "event", "condition", "barrier")


class SharedRun(RandomRun):
    """The programs of one run. The seed decides the kind."""

    def __init__(self, world: World, seed: int) -> None:
        super().__init__(world, seed)
        self._settings.with_legacy = False
        self.kind = KINDS[seed % len(KINDS)]
        random = self._random
        self._terms = Terms(
            name="s",
            limit=random.choice([1, 1, 2, 3]),
            bounded=random.random() < 0.3,
            parties=random.randint(2, min(3, sum(self._settings.clients_per_pod))),
            lease_seconds=self._lease_seconds,
            is_quiet=lambda: world.history.first_fault_at is None,
        )
        self._all_have_ended = False
        self._operations_remembered = random.choice([8, 32])

    async def run(self) -> None:
        with remembers(self._operations_remembered):
            await super().run()

    def _use(self, client: SimulatedClient) -> None:
        if not self._winding_down:
            random = Random(self._random.getrandbits(64))
            program = PROGRAMS[self.kind](client, self._terms, random, lambda: self._winding_down)
            self._programs.append((client, client.run(program.run())))

    async def _quiet_phase(self) -> None:
        def enough() -> bool:
            return shared_invariants.calls_done(self._world.history) >= QUIET_CALLS_MIN

        await asyncio.sleep(0.5 * self._lease_seconds)
        await self._world.until(enough, step_seconds=0.2)

    async def _wind_down(self) -> None:
        self._winding_down = True
        waker = self._world.add_client(self._random.choice(self._world.pods))
        waking = waker.run(self._wake(waker))
        await super()._wind_down()
        self._all_have_ended = True
        await waking

    async def _wake(self, waker: SimulatedClient) -> None:
        """Let whoever waits for ever go on."""
        wakes = {"event": self._set, "barrier": self._abort, "condition": self._notify_all}
        while self.kind in wakes and not self._all_have_ended:
            await wakes[self.kind](waker)
            await asyncio.sleep(0.5 * self._lease_seconds)

    async def _set(self, waker: SimulatedClient) -> None:
        await EventUser(waker, self._terms.name).put(is_set=True)

    async def _abort(self, waker: SimulatedClient) -> None:
        await BarrierUser(waker, self._terms.name, self._terms.parties).change(ABORT)

    async def _notify_all(self, waker: SimulatedClient) -> None:
        hold = await waker.acquire(LOCK_OF_CONDITION, FOREVER)
        if hold is not None:
            await ConditionUser(waker, self._terms.name).notify(None)
            await waker.release(hold)

    async def _last_calls(self) -> None:
        bound = self._world.history.final_bound_seconds = invariants.heal_bound_seconds(self._world)
        fresh = [self._world.add_client(pod) for pod in self._world.pods]
        async with asyncio.timeout(2 * bound):
            await getattr(self, f"_last_{self.kind}")(fresh, bound)
        for client in self._world.clients:
            if client.owner.life is not Life.CRASHED and client.knows_elector:
                await client.run(client.close_surely())

    async def _last_event(self, fresh: list[SimulatedClient], _: float) -> None:
        await fresh[0].run(self._set(fresh[0]))
        for client in fresh:
            assert await client.run(EventUser(client, self._terms.name).wait(FOREVER)), "what was set did not stay set"

    async def _last_semaphore(self, fresh: list[SimulatedClient], bound: float) -> None:
        """Every permit that there should be can be acquired, and not one more."""
        record = self._world.shared.record("semaphore", self._terms.name)
        permits = self._terms.limit + (record.spec["extra"] if record is not None else 0)
        user = SemaphoreUser(fresh[0], self._terms.name, self._terms.limit, bounded=self._terms.bounded)
        holds = await asyncio.gather(*(fresh[0].run(user.acquire(bound)) for _ in range(permits)))
        assert all(holds), f"{holds.count(None)} of {permits} permits were lost"
        last = SemaphoreUser(fresh[-1], self._terms.name, self._terms.limit, bounded=self._terms.bounded)
        assert await fresh[-1].run(last.acquire(0.0)) is None, "a permit was made up"
        for hold in holds:
            assert hold is not None
            assert fresh[0].believes(hold.key)
        await fresh[0].run(user.release(*[hold for hold in holds if hold is not None]))

    async def _last_condition(self, fresh: list[SimulatedClient], bound: float) -> None:
        """The last waiter wakes, be it by a notification that a dead one has left to it."""
        waiter, notifier = fresh[0], self._world.add_client(fresh[-1].pod)
        hold = await self._world.hold(waiter, LOCK_OF_CONDITION, 1000.0)
        waiting = waiter.run(ConditionUser(waiter, self._terms.name).wait(hold, FOREVER))
        hold = await self._world.hold(notifier, LOCK_OF_CONDITION, 1000.0)
        await notifier.run(ConditionUser(notifier, self._terms.name).notify(None))
        await notifier.run(notifier.release(hold))
        async with asyncio.timeout(bound):
            assert await waiting, "the last waiter was not notified"

    async def _last_barrier(self, fresh: list[SimulatedClient], _: float) -> None:
        pods = [fresh[index % len(fresh)].pod for index in range(self._terms.parties)]
        users = [BarrierUser(self._world.add_client(pod), self._terms.name, self._terms.parties) for pod in pods]
        assert await users[0].client.run(users[0].reset()) is not None
        indices = await asyncio.gather(*(user.client.run(user.wait(FOREVER, 0.1)) for user in users))
        assert sorted(map(str, indices)) == [str(index) for index in range(self._terms.parties)], f"{indices}"


@contextmanager
def remembers(operations: int) -> Iterator[None]:
    """Let records remember fewer operations: runs have few writers."""
    before = shared.OPERATIONS_REMEMBERED
    shared.OPERATIONS_REMEMBERED = operations  # type: ignore[misc]
    try:
        yield
    finally:
        shared.OPERATIONS_REMEMBERED = before  # type: ignore[misc]


def run_shared_seed(seed: int) -> World:
    """Run one seed and check every invariant.

    Raises:
        AssertionError: an invariant is broken, or the run does not count.
    """

    async def schedule(world: World) -> None:
        await SharedRun(world, seed).run()

    world, _ = run_world(f"shared {seed}", schedule)
    invariants.check(world)
    quiet = shared_invariants.calls_done(world.history, before_faults=True)
    assert quiet >= QUIET_CALLS_MIN, "too little load: no such run counts"
    return world
