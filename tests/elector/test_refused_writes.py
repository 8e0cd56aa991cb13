"""A write that is refused without end costs the store little, and a read hides nothing that a watch has shown."""

from __future__ import annotations

import asyncio
import random

from elector_server.acquisitions import CLAIM_SECONDS
from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.named_lock import STALE_READ_SECONDS
from elector_server.own_session import Identity
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.lock import KIND, claim
from elector_server.store import Conflict, Record
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire

BOUND_SECONDS = 60.0
LOOPS = 20
"""Rounds of the event loop in which a watch certainly shows what was written before."""


class Refusing(MemoryStore):
    """It says that the version has changed, though a read shows the same one."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.refusals = 0
        self.refuses = False

    async def delete(self, kind: str, name: str, version: int) -> None:
        if kind == KIND and self.refuses:
            self.refusals += 1
            raise Conflict("not now")
        await super().delete(kind, name, version)


class Late(MemoryStore):
    """While a read that found nothing is on its way back, a record lands."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.lands: Record | None = None

    @property
    def watches(self) -> int:
        return self._watchers.count

    async def get(self, kind: str, name: str) -> Record | None:
        found = await super().get(kind, name)
        if kind == KIND and self.lands is not None:
            record, self.lands = self.lands, None
            await self.create(kind, name, record.session, record.spec)
            for _ in range(LOOPS):
                await asyncio.sleep(0)
        return found


def elector_on(store: MemoryStore) -> Elector:
    return Elector(
        store,
        identity=Identity("here", "here", "boot"),
        durations=Durations(lease_seconds=20.0, client_ttl_seconds=30.0),
        clock=SystemClock(),
        random=random.Random(1),
    )


async def release_refused() -> tuple[bool, int, bool]:
    store = Refusing()
    elector = elector_on(store)
    await elector.start()
    client, holder = wire.new_id(), wire.new_id()
    await elector.open_client(client, "test", [], None)
    await elector.acquire("x", client, holder, 0)
    store.refuses = True
    released, refusals = await elector.release("x", client, holder), store.refusals
    store.refuses = False
    await elector.names["x"].settled()
    is_free = await store.get(KIND, "x") is None
    await elector.stop()
    return released, refusals, is_free


def test_a_refusal_that_nothing_explains_is_followed_by_a_pause():
    released, refusals, is_free = asyncio.run(release_refused())
    assert not released
    assert 1 < refusals <= CLAIM_SECONDS / (STALE_READ_SECONDS / 2) + 1
    assert is_free


async def release_what_lands_late() -> tuple[bool, bool]:
    store = Late()
    elector = elector_on(store)
    await elector.start()
    client, holder = wire.new_id(), wire.new_id()
    await elector.open_client(client, "test", [], None)
    await elector.acquire("other", client, wire.new_id(), 0)
    async with asyncio.timeout(BOUND_SECONDS):
        while store.watches == 0:  # noqa: ASYNC110 - what happens has no event
            await asyncio.sleep(0.001)
    session = elector.session
    assert session is not None
    hold = Hold(holder, session.id, session.epoch)
    claimant = Claimant(hold, client, "here", "test", 20.0)
    store.lands = Record(KIND, "x", 0, session.id, claim(claimant, "now").to_spec())
    released = await elector.release("x", client, holder)
    is_free = await store.get(KIND, "x") is None
    await elector.stop()
    return released, is_free


def test_a_read_does_not_hide_what_a_watch_has_shown_meanwhile():
    assert asyncio.run(release_what_lands_late()) == (True, True)
