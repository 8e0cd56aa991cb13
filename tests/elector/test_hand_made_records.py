"""Records that a person made, as far as the definitions of deploy/ allow: they end as any other, and cost no more."""

from __future__ import annotations

import asyncio
import random

import pytest

from elector_server.acquisitions import Granted
from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.rules.lock import KIND
from elector_server.rules.session import KIND as SESSION_KIND
from elector_server.store import Record, Spec
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire

WAIT_SECONDS = 25.0
LOOKS_MAX = 100
"""More looks at one session than anybody makes in that time: one takes 0.04 s or longer, the wait a second."""


class Counting(MemoryStore):
    """How often the session made by hand was looked at."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.looks = 0

    async def get(self, kind: str, name: str) -> Record | None:
        self.looks += (kind, name) == (SESSION_KIND, "s")
        return await super().get(kind, name)


async def take_over(session: Spec | None) -> tuple[bool, int]:
    """Whether a lock of that session is granted in time, and how often the session was looked at."""
    store = Counting()
    if session is not None:
        await store.create(SESSION_KIND, "s", "", session)
    lock = {"holder": "h", "session": "s", "epoch": 1, "owner": "me", "lease_seconds": 0}
    await store.create(KIND, "x", "s", lock)
    elector = Elector(
        store,
        identity=Identity("here", "here", "boot"),
        durations=Durations(lease_seconds=20.0, client_ttl_seconds=30.0),
        clock=SystemClock(),
        random=random.Random(1),
    )
    await elector.start()
    client = wire.new_id()
    await elector.open_client(client, "test", [], None)
    answer = await elector.acquire("x", client, wire.new_id(), WAIT_SECONDS)
    looks = store.looks
    await elector.stop()
    return isinstance(answer, Granted), looks


@pytest.mark.parametrize("session", [None, {"owner": "me", "epoch": 1, "lease_seconds": 0}])
def test_a_lease_of_nothing_is_no_busy_loop(session: Spec | None):
    granted, looks = asyncio.run(take_over(session))
    assert granted
    assert looks < LOOKS_MAX


def test_what_another_elector_adds_is_no_obstacle():
    session = {"owner": "me", "epoch": 1, "seq": 7, "state": "live", "lease_seconds": 0.1, "zone": "a"}
    assert asyncio.run(take_over(session))[0]
