"""One random run: a quiet phase with load, a phase of faults, healing, and last calls that must all succeed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from random import Random
from typing import Any

from elector_server import sweep
from elector_server.durations import LEGACY_LEASE_SECONDS_MIN, Durations
from elector_server.store import Record
from tests.simulation import invariants
from tests.simulation.client import SimulatedClient
from tests.simulation.legacy_user import LegacyUser
from tests.simulation.nemesis import Nemesis
from tests.simulation.pod import Pod
from tests.simulation.virtual_loop import Life
from tests.simulation.world import World, run_world

QUIET_GRANTS_MIN = 3


@dataclass(slots=True)
class Settings:
    """What a seed decides about the shape of a run."""

    names: list[str]
    durations: list[Durations]
    clients_per_pod: list[int]
    chaos_leases: float
    strikes_per_lease: float
    with_legacy: bool
    with_sweep: bool

    @classmethod
    def draw(cls, random: Random) -> Settings:
        """The shape of the run of this seed."""
        lease = random.choice([4.0, 10.0, 20.0])
        pods = random.choice([1, 2, 2, 3])
        ttl = lease * random.choice([0.4, 0.8, 1.5])
        leases = [lease * random.choice([1, 1, 2]) for _ in range(pods)]
        return cls(
            names=["a", "b"][: random.choice([1, 1, 2])],
            durations=[Durations(lease, max(2.0, ttl)) for lease in leases],
            clients_per_pod=[random.choice([1, 1, 2]) if pods > 1 else 3 for _ in range(pods)],
            chaos_leases=random.uniform(1.0, 4.0),
            strikes_per_lease=random.choice([1.0, 2.0, 3.0]),
            with_legacy=lease >= LEGACY_LEASE_SECONDS_MIN and random.random() < 0.5,
            with_sweep=random.random() < 0.3,
        )


class RandomRun:
    """The programs of one run, and its phases."""

    def __init__(self, world: World, seed: object) -> None:
        self._world = world
        self._random = Random(f"programs of {seed}")
        self._seed = seed
        self._winding_down = False
        self._programs: list[tuple[SimulatedClient, asyncio.Task[Any]]] = []
        self._settings = Settings.draw(self._random)
        self._lease_seconds = max(durations.lease_seconds for durations in self._settings.durations)

    async def run(self) -> None:
        """All phases."""
        with sweeps_often() if self._settings.with_sweep else nullcontext():
            await self._run()

    async def _run(self) -> None:
        self._build()
        await self._world.until_ready()
        await self._quiet_phase()
        nemesis = Nemesis(self._world, self._seed, self._use)
        await nemesis.run(self._settings.chaos_leases * self._lease_seconds, self._settings.strikes_per_lease)
        nemesis.heal()
        await self._wind_down()
        await self._last_calls()

    def _build(self) -> None:
        for number, durations in enumerate(self._settings.durations):
            self._world.add_pod(f"e{number}", durations)
        for pod, count in zip(self._world.pods, self._settings.clients_per_pod, strict=True):
            if self._settings.with_legacy:
                self._use_by_legacy(pod)
            for _ in range(count):
                self._use(self._world.add_client(pod, via_proxy=self._random.random() < 0.2))

    def _use(self, client: SimulatedClient) -> None:
        """Let a client use a lock over and over."""
        if not self._winding_down:
            name = self._random.choice(self._settings.names)
            program = self._program(client, name, Random(self._random.getrandbits(64)))
            self._programs.append((client, client.run(program)))

    def _use_by_legacy(self, pod: Pod) -> None:
        """Let a program of the original library use the first lock, until the run winds down."""
        user = LegacyUser(pod, self._settings.names[0], Random(self._random.getrandbits(64)))
        self._world.legacy_users.append(user)
        user.owner.spawn(user.run(rounds_max=4))

    async def _program(self, client: SimulatedClient, name: str, random: Random) -> None:
        while not self._winding_down:
            await asyncio.sleep(random.expovariate(4 / self._lease_seconds))
            timeout = random.choice([0.0, 0.1, 0.5, 1.5]) * self._lease_seconds
            hold = await client.acquire(name, timeout)
            if hold is None:
                continue
            for _ in range(random.randint(1, 4)):
                await asyncio.sleep(random.expovariate(12 / self._lease_seconds))
                if not client.check(name):
                    break
            if client.holds.get(name) is hold:
                await client.release(hold)

    async def _quiet_phase(self) -> None:
        def enough() -> bool:
            return sum(attempt.is_granted for attempt in self._world.history.attempts) >= QUIET_GRANTS_MIN

        await asyncio.sleep(0.5 * self._lease_seconds)
        await self._world.until(enough, step_seconds=0.2)

    async def _wind_down(self) -> None:
        """Let every program end; those of crashed clients never will."""
        self._winding_down = True
        for user in self._world.legacy_users:
            user.crash()
        alive = [task for client, task in self._programs if client.owner.life is not Life.CRASHED]
        if alive:
            _, pending = await asyncio.wait(alive, timeout=20 * self._lease_seconds + 120)
            assert not pending, f"{len(pending)} programs did not end after everything had healed"

    async def _last_calls(self) -> None:
        """Everybody who lives gets every lock once more, within what is promised."""
        bound = self._world.history.final_bound_seconds = invariants.heal_bound_seconds(self._world)
        clients = []
        for pod in self._world.pods:
            alive = [c for c in self._world.clients if c.pod is pod and c.owner.life is not Life.CRASHED]
            clients += [*alive[:1], self._world.add_client(pod)]
        calls: list[Awaitable[None]] = [
            client.run(self._last_call(client, name, bound)) for client in clients for name in self._settings.names
        ]
        await asyncio.gather(*calls)
        await self._world.until(lambda: not self._held_locks(), bound, step_seconds=0.2)

    def _held_locks(self) -> list[Record]:
        """The lock records that hang on a session which has not ended; the others are free for whoever asks."""
        shared = self._world.shared
        live = {record.name for record in shared.records("session") if record.spec["state"] != "ended"}
        held = [record for record in shared.records("lock") if record.name in self._settings.names]
        return [record for record in held if record.session in live]

    async def _last_call(self, client: SimulatedClient, name: str, bound: float) -> None:
        hold = await client.acquire(name, bound)
        assert hold is not None, f"{client.name} did not get {name!r} within {bound:.1f} s after everything had healed"
        assert client.check(name)
        await client.release(hold)


@contextmanager
def sweeps_often() -> Iterator[None]:
    """Let electors sweep every other lease instead of every thirty: runs are short."""
    before = sweep.TRY_LEASES, sweep.SWEEP_LEASES
    sweep.TRY_LEASES, sweep.SWEEP_LEASES = 2.0, 1.0  # type: ignore[misc]
    try:
        yield
    finally:
        sweep.TRY_LEASES, sweep.SWEEP_LEASES = before  # type: ignore[misc]


def run_seed(seed: int) -> World:
    """Run one seed and check every invariant.

    Raises:
        AssertionError: an invariant is broken, or the run does not count.
    """

    async def schedule(world: World) -> None:
        await RandomRun(world, seed).run()

    world, _ = run_world(seed, schedule)
    invariants.check(world)
    assert invariants.grants_before_the_first_fault(world.history) >= QUIET_GRANTS_MIN, (
        "too little load: no such run counts"
    )
    return world
