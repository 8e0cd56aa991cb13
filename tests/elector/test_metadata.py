"""What a holder says about itself goes with its claim, and costs no write of its own."""

from __future__ import annotations

import asyncio
import random

import pytest

from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire


async def writes(metadata: str) -> tuple[int, list[str]]:
    """How many writes an acquisition and a hand-off take, and what the first and the second holder said."""
    elector = Elector(
        MemoryStore(1_000),
        identity=Identity("here", "here", "boot"),
        durations=Durations(),
        clock=SystemClock(),
        random=random.Random(1),
    )
    await elector.start()
    client, first, second = wire.new_id(), wire.new_id(), wire.new_id()
    await elector.open_client(client, "test", [], None)
    said = []
    await elector.acquire("x", client, first, 0, None, metadata)
    said.append(await said_now(elector))
    waiting = asyncio.create_task(elector.acquire("x", client, second, 10, None, metadata))
    await asyncio.sleep(0)
    await elector.release("x", client, first)
    await waiting
    said.append(await said_now(elector))
    await elector.stop()
    return elector.counters["writes"], said


async def said_now(elector: Elector) -> str:
    view = await elector.read_lock("x")
    return "" if view is None else view.lock.claimant.metadata


@pytest.mark.parametrize("metadata", ["", '{"url":"http://x/"}'])
def test_two_writes_for_two_holders(metadata: str):
    assert asyncio.run(writes(metadata)) == (2, [metadata, metadata])
