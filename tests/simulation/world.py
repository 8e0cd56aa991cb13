"""Everything of one run: the shared store, the network, the pods with their electors, the clients, the history."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any, TypeVar

from elector_server.durations import Durations
from elector_server.store.memory import MemoryStore
from tests.simulation import virtual_loop
from tests.simulation.client import SimulatedClient
from tests.simulation.clock import SimulatedClock
from tests.simulation.faulty_store import Network
from tests.simulation.history import History
from tests.simulation.holds import ClientHold
from tests.simulation.legacy_user import LegacyUser
from tests.simulation.pod import ElectorProcess, Pod
from tests.simulation.recorder import SharedStore
from tests.simulation.virtual_loop import VirtualLoop

T = TypeVar("T")

CLOCK_RATE_ERROR_MAX = 0.01
WALL_ERROR_SECONDS_MAX = 60.0


class World:
    """A cluster in one event loop. All that happens by chance is drawn from the seed."""

    def __init__(self, loop: VirtualLoop, seed: object) -> None:
        self.loop = loop
        self.random = Random(f"world of {seed}")
        self.history = History()
        self.shared = SharedStore(MemoryStore(first_version=self.random.randrange(1, 10**6)), loop)
        self.network = Network(self.shared, loop, Random(f"network of {seed}"))
        self.pods: list[Pod] = []
        self.clients: list[SimulatedClient] = []
        self.legacy_users: list[LegacyUser] = []

    def add_pod(self, name: str, durations: Durations, *, clock_rate: float | None = None, start: bool = True) -> Pod:
        """A machine with an elector, on a clock that is a little wrong."""
        random = self.random
        clock = SimulatedClock(
            self.loop,
            rate=1.0 + random.uniform(-1, 1) * CLOCK_RATE_ERROR_MAX if clock_rate is None else clock_rate,
            offset=random.uniform(0.0, 1e5),
            wall_offset=random.uniform(-1, 1) * WALL_ERROR_SECONDS_MAX,
        )
        pod = Pod(self.network, self.history, name, clock, durations)
        self.pods.append(pod)
        if start:
            pod.start_elector()
        return pod

    def add_client(self, pod: Pod, name: str = "", *, via_proxy: bool = False) -> SimulatedClient:
        """An application process on that machine."""
        number = len(self.clients) + 1
        client = SimulatedClient(
            pod, name or f"c{number}@{pod.name}", Random(self.random.getrandbits(64)), via_proxy=via_proxy
        )
        self.clients.append(client)
        return client

    def electors(self) -> list[ElectorProcess]:
        """Every life of every elector."""
        return [process for pod in self.pods for process in pod.processes]

    async def until(self, condition: Callable[[], object], seconds: float = 600.0, step_seconds: float = 0.01) -> None:
        """Let time pass until `condition` holds, looking every few moments; at most `seconds`."""
        give_up_at = self.loop.time() + seconds
        while not condition():
            assert self.loop.time() < give_up_at, f"not within {seconds:g} s: {condition}"
            await asyncio.sleep(step_seconds)

    async def hold(self, client: SimulatedClient, name: str, seconds: float = 60.0) -> ClientHold:
        """Let a client acquire a lock, which must succeed."""
        hold = await client.run(client.acquire(name, seconds))
        assert hold is not None, f"{client.name} did not get {name!r} within {seconds:g} s"
        return hold

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def until_ready(self) -> None:
        """Let time pass until every elector has its session."""
        await self.until(lambda: all(process.elector.ready for process in self.electors()))

    def end(self) -> None:
        """Close the books of the run."""
        for client in self.clients:
            client.end_of_run()
        self.history.ended_at = self.loop.time()
        self.history.faults.update(self.network.counts)


_last: list[World] = []


def last_world() -> World | None:
    """The world of the last run, for whoever wants to look at a failure."""
    return _last[0] if _last else None


def run_world(seed: object, schedule: Callable[[World], Coroutine[Any, Any, T]]) -> tuple[World, T]:
    """Run one schedule in a world of its own, to its end."""

    async def main(loop: VirtualLoop) -> T:
        world = World(loop, seed)
        _last[:] = [world]
        try:
            return await schedule(world)
        finally:
            world.end()

    logging.getLogger("elector").setLevel(os.environ.get("SIMULATION_LOG", "CRITICAL"))
    result = virtual_loop.run(seed, main)
    return _last[0], result
