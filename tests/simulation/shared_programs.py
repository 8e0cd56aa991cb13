"""Small programs that use a semaphore, an event, a condition or a barrier over and over, as real ones do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from elector_server.rules.semaphore import KIND as SEMAPHORE
from tests.simulation.barrier_user import BROKEN, BarrierUser
from tests.simulation.calls import FOREVER
from tests.simulation.client import SimulatedClient
from tests.simulation.condition_user import ConditionUser
from tests.simulation.event_user import EventUser
from tests.simulation.semaphore_user import SemaphoreUser

LOCK_OF_CONDITION = "the lock of the condition"
KEPT_MAX = 2


@dataclass(frozen=True, slots=True)
class Terms:
    """What all programs of a run agree about."""

    name: str
    limit: int
    bounded: bool
    parties: int
    lease_seconds: float
    is_quiet: Callable[[], bool]
    """Nothing has gone wrong yet: nobody waits for ever, so that enough happens."""


class Program:
    """One program of one process. It ends soon after `is_over` says so."""

    def __init__(self, client: SimulatedClient, terms: Terms, random: Random, is_over: Callable[[], bool]) -> None:
        self._client = client
        self._terms = terms
        self._random = random
        self._is_over = is_over

    async def run(self) -> None:
        """Use it over and over."""
        while not self._is_over():
            await asyncio.sleep(self._random.expovariate(4 / self._terms.lease_seconds))
            if not self._is_over():
                await self.use_once()
        await self.finish()

    async def use_once(self) -> None:
        """One turn."""
        raise NotImplementedError

    async def finish(self) -> None:
        """What is left to do at the end."""

    def _timeout(self) -> float:
        factor = self._random.choice([0.0, 0.1, 0.5, 1.5, 1.5 if self._terms.is_quiet() else FOREVER])
        return factor * self._terms.lease_seconds

    async def _work(self) -> None:
        await asyncio.sleep(self._random.expovariate(8 / self._terms.lease_seconds))


class SemaphoreProgram(Program):
    """Acquires and releases; at times it keeps a permit for somebody else to release, as consumers do."""

    async def use_once(self) -> None:
        user = SemaphoreUser(self._client, self._terms.name, self._terms.limit, bounded=self._terms.bounded)
        if self._random.random() < 0.1:
            await user.release(permits=self._random.randint(1, 2))
            return
        hold = await user.acquire(min(self._timeout(), 5 * self._terms.lease_seconds if self._kept() else FOREVER))
        second = await user.acquire(0.0) if hold is not None and self._random.random() < 0.2 else None
        holds = [each for each in (hold, second) if each is not None]
        await self._work()
        holds = [each for each in holds if self._client.believes(each.key)]
        if holds and (self._random.random() < 0.9 or len(self._kept()) > KEPT_MAX or self._is_over()):
            extra = self._random.random() < 0.05 and not self._terms.bounded
            await user.release(*holds, permits=len(holds) + extra)

    def _kept(self) -> list[str]:
        return [hold.key for hold in self._client.holds.values() if hold.kind == SEMAPHORE]

    async def finish(self) -> None:
        user = SemaphoreUser(self._client, self._terms.name, self._terms.limit, bounded=self._terms.bounded)
        for key in self._kept():
            if self._client.believes(key):
                await user.release(self._client.holds[key])


class EventProgram(Program):
    """Mostly waits; at times it sets, or clears, or does both at once."""

    async def use_once(self) -> None:
        user = EventUser(self._client, self._terms.name)
        choice = self._random.random()
        if choice < 0.6:
            await user.wait(self._timeout())
        elif choice < 0.75:
            await user.put(is_set=True)
        elif choice < 0.9:
            await user.put(is_set=False)
        else:
            await user.put(is_set=True)
            await user.put(is_set=False)


class ConditionProgram(Program):
    """Waits or notifies under the lock; a wait may be interrupted."""

    async def use_once(self) -> None:
        user = ConditionUser(self._client, self._terms.name)
        hold = await self._client.acquire(LOCK_OF_CONDITION, self._timeout())
        if hold is None:
            return
        if self._random.random() < 0.6:
            interrupt = self._timeout() if self._random.random() < 0.2 else FOREVER
            await user.wait(hold, self._timeout(), interrupt)
            if self._client.holds.get(hold.key) is not hold:
                again = await self._client.acquire(LOCK_OF_CONDITION, self._timeout())
                hold = again or hold
        else:
            await user.notify(self._random.choice([1, 1, 2, None]))
        await self._work()
        if self._client.holds.get(hold.key) is hold:
            await self._client.release(hold)


class BarrierProgram(Program):
    """Meets the others. Who finds it broken resets it at times; whose action fails breaks it."""

    async def use_once(self) -> None:
        user = BarrierUser(self._client, self._terms.name, self._terms.parties)
        action_seconds = self._random.choice([None, 0.0, 0.1, 1.0])
        outcome = await user.wait(self._timeout(), action_seconds, fails=self._random.random() < 0.05)
        if outcome in (BROKEN, None) and self._random.random() < 0.7 and not self._is_over():
            await user.reset()
        elif self._random.random() < 0.02:
            await user.change(self._random.choice(["abort", "reset"]))


PROGRAMS: dict[str, type[Program]] = {
    "semaphore": SemaphoreProgram,
    "event": EventProgram,
    "condition": ConditionProgram,
    "barrier": BarrierProgram,
}
