"""A store that was restored from a backup would hand out old tokens again: the elector grants nothing from then on."""

from __future__ import annotations

import asyncio
import random

import pytest

from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.problems import Problem
from elector_server.seen_versions import SeenVersions, StoreWentBack
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire

BOUND_SECONDS = 60.0


class Restorable:
    """A store of which an operator can put back an older state."""

    def __init__(self) -> None:
        self.present = MemoryStore(1_000)

    def restore(self) -> None:
        self.present = MemoryStore(500)

    def __getattr__(self, name):
        return getattr(self.present, name)


def elector_on(store) -> Elector:
    identity = Identity("here", "here", "boot")
    durations = Durations(lease_seconds=4.0, client_ttl_seconds=4.0)
    return Elector(store, identity=identity, durations=durations, clock=SystemClock(), random=random.Random(1))


async def until(condition) -> None:
    async with asyncio.timeout(BOUND_SECONDS):
        while not condition():  # noqa: ASYNC110 - any condition, not one that has an event
            await asyncio.sleep(0.001)


async def granted(elector: Elector, client: str, name: str) -> int | None:
    """The token, or None if it was refused. A session that lapsed on a slow machine is opened again."""
    await elector.open_client(client, "test", [], None)
    try:
        return (await elector.acquire(name, client, wire.new_id(), 0)).token
    except Problem:
        return None


def _reason(elector: Elector) -> str:
    cause = elector.not_ready
    return f"{cause.code}: {cause.reason}" if cause else ""


async def scenario(*, restores: bool) -> tuple[int | None, int | None, str]:
    store = Restorable()
    elector = elector_on(store)
    await elector.start()
    await until(lambda: elector.ready)
    client = wire.new_id()
    first = await granted(elector, client, "before")
    if restores:
        store.restore()
    second = await granted(elector, client, "after")
    if restores:
        await until(lambda: "backup" in _reason(elector))
    reason = _reason(elector)
    await elector.stop()
    return first, second, reason


def test_nothing_is_granted_on_a_store_that_went_back():
    first, second, reason = asyncio.run(scenario(restores=True))
    assert first is not None
    assert second is None
    assert reason.startswith("store_went_back: ")
    assert "restored from a backup" in reason


def test_the_same_steps_without_a_restore_grant_both():
    first, second, _ = asyncio.run(scenario(restores=False))
    assert first is not None
    assert second is not None
    assert first < second


@pytest.mark.parametrize(("version", "newest_before"), [(5, 5), (4, 5)])
def test_the_message_says_what_happened_and_what_to_do(version, newest_before):
    versions = SeenVersions()
    with pytest.raises(StoreWentBack, match="stop every elector"):
        versions.check(version, newest_before)
    assert versions.newest == 0
