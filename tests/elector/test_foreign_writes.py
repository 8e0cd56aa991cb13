"""Somebody labels a record over and over: what a watch has shown is written over at once, without a read or a pause."""

from __future__ import annotations

import asyncio
import random

from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.rules.lock import KIND
from elector_server.store import Record
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire

FOREIGN_WRITES = 5
LOOPS = 20
"""Rounds of the event loop in which a watch certainly shows what was written before."""


class Labelled(MemoryStore):
    """Before a release is carried out, and while a read is under way, somebody writes to the record."""

    def __init__(self, *, watched: bool) -> None:
        super().__init__(1_000)
        self._watched = watched
        self.left = 0
        self.reads = 0

    async def delete(self, kind: str, name: str, version: int) -> None:
        if kind == KIND and self.left > 0:
            self.left -= 1
            await self._label(kind, name, seen=self._watched)
        await super().delete(kind, name, version)

    async def get(self, kind: str, name: str) -> Record | None:
        found = await super().get(kind, name)
        if kind == KIND and found is not None:
            self.reads += 1
            await self._label(kind, name, seen=True)
        return found

    async def _label(self, kind: str, name: str, *, seen: bool) -> None:
        record = self._records[kind][name]
        await self.replace(kind, name, record.version, record.session, record.spec)
        for _ in range(LOOPS * seen):
            await asyncio.sleep(0)


class SleepingClock(SystemClock):
    """Remembers for how long somebody slept."""

    def __init__(self) -> None:
        self.sleeps: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        await super().sleep(seconds)


async def release_under(store: Labelled) -> tuple[bool, list[float]]:
    """Whether the release was carried out, and the pauses that were made during it."""
    clock = SleepingClock()
    durations = Durations(lease_seconds=20.0, client_ttl_seconds=30.0)
    identity = Identity("here", "here", "boot")
    elector = Elector(store, identity=identity, durations=durations, clock=clock, random=random.Random(1))
    await elector.start()
    client, holder = wire.new_id(), wire.new_id()
    await elector.open_client(client, "test", [], None)
    await elector.acquire("x", client, holder, 0)
    store.left = FOREIGN_WRITES
    before = len(clock.sleeps)
    released = await elector.release("x", client, holder)
    sleeps = [seconds for seconds in clock.sleeps[before:] if seconds < 0.1]  # longer ones are of others
    await elector.stop()
    return released, sleeps


def test_a_version_that_the_watch_has_shown_is_not_read_again():
    store = Labelled(watched=True)
    assert asyncio.run(release_under(store)) == (True, [])
    assert (store.left, store.reads) == (0, 0)


def test_a_read_that_the_watch_has_overtaken_costs_no_pause():
    store = Labelled(watched=False)
    assert asyncio.run(release_under(store)) == (True, [])
    assert (store.left, store.reads) == (0, FOREIGN_WRITES)
