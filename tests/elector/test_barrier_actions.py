"""A party that runs a barrier's action asks its elector for nothing meanwhile. Its elector restarts."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from elector_server.barriers import OPEN
from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.problems import BarrierBroken
from elector_server.rules.barrier import KIND, Outcome, Place, State
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire
from tests.elector.test_shared_records import ENOUGH_SECONDS, Here, eventually, shown

DURATIONS = Durations(lease_seconds=4.0, client_ttl_seconds=2.0)
BEAT_SECONDS = 0.1
FIRST, LAST = Place(0, 0), Place(0, 1)


@asynccontextmanager
async def running(store: MemoryStore) -> AsyncIterator[Elector]:
    """An elector whose grace time is short."""
    elector = Elector(
        store,
        identity=Identity("here", "here", "boot"),
        durations=DURATIONS,
        clock=SystemClock(),
        random=random.Random(1),
    )
    await elector.start()
    await eventually(lambda: elector.ready)
    try:
        yield elector
    finally:
        await elector.background.close()


def arriving(
    elector: Elector, client: str, holder: str, arrived: Place | None = None, seconds: float = 0.0
) -> Coroutine[Any, Any, Any]:
    return elector.barriers.arrive("b", client, holder, 2, arrived, seconds, Here(), acts=True)


async def beating(elector: Elector, *clients: str) -> None:
    """What the keepers of these clients do meanwhile, until cancelled."""
    while True:
        for client in clients:
            await elector.heartbeat(client, [], None)
        await asyncio.sleep(BEAT_SECONDS)


async def until_grace_is_over(elector: Elector) -> None:
    """And the records have been tidied."""
    session = elector.session
    assert session is not None
    assert session.adopted_at is not None
    await eventually(lambda: not session.in_grace())
    await elector._keeper._tidy_records_of(session.id)
    await elector.recorded(KIND, "b").settled()


class Parties:
    """One that waits, and one that acts, of a client each; the elector that they came to is gone."""

    def __init__(self) -> None:
        self.store = MemoryStore(1_000)
        self.waiting_client, self.acting_client = wire.new_id(), wire.new_id()
        self.first, self.last = wire.new_id(), wire.new_id()

    async def come(self) -> None:
        async with running(self.store) as before:
            for client in (self.waiting_client, self.acting_client):
                await before.open_client(client, "test", [], None)
            assert (await arriving(before, self.waiting_client, self.first)).outcome is Outcome.WAITING
            assert (await arriving(before, self.acting_client, self.last)).outcome is Outcome.ACTING

    @asynccontextmanager
    async def go_on(self, *clients: str) -> AsyncIterator[tuple[Elector, asyncio.Task[Any]]]:
        """An elector that these came back to, and send heartbeats; the first party waits again."""
        async with running(self.store) as after:
            for client in clients:
                await after.open_client(client, "test", [], None)
            beats = asyncio.ensure_future(beating(after, *clients))
            waits = asyncio.ensure_future(arriving(after, self.waiting_client, self.first, FIRST, ENOUGH_SECONDS))
            try:
                yield after, waits
            finally:
                beats.cancel()
                waits.cancel()
                await asyncio.gather(beats, waits, return_exceptions=True)

    async def open(self, elector: Elector) -> None:
        await elector.barriers.change("b", self.acting_client, wire.new_id(), 2, OPEN, self.last)


def test_an_action_outlives_a_restart_and_the_grace_time():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client, parties.acting_client) as (after, waits):
            await until_grace_is_over(after)
            assert not waits.done(), waits.exception()
            await parties.open(after)
            assert (await waits).outcome is Outcome.PASSED
            await eventually(lambda: not any(client.members for client in after.client_sessions.clients))

    asyncio.run(run())


def test_an_action_outlives_two_restarts():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client, parties.acting_client):
            pass
        async with parties.go_on(parties.waiting_client, parties.acting_client) as (after, waits):
            await until_grace_is_over(after)
            await parties.open(after)
            assert (await waits).outcome is Outcome.PASSED

    asyncio.run(run())


def test_an_action_whose_client_comes_back_late_in_the_grace_time_goes_on():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client) as (after, waits):
            assert after.session is not None
            session = after.session
            await eventually(lambda: session.grace_seconds() < DURATIONS.adoption_grace_seconds / 4)
            await after.open_client(parties.acting_client, "test", [], None)
            beats = asyncio.ensure_future(beating(after, parties.acting_client))
            await until_grace_is_over(after)
            await parties.open(after)
            assert (await waits).outcome is Outcome.PASSED
            beats.cancel()

    asyncio.run(run())


def test_an_action_of_which_nobody_is_left_who_waits_here_goes_on():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client, parties.acting_client) as (after, waits):
            waits.cancel()
            await asyncio.gather(waits, return_exceptions=True)
            await arriving(after, parties.waiting_client, parties.first, FIRST)
            await until_grace_is_over(after)
            await parties.open(after)
            again = await arriving(after, parties.waiting_client, parties.first, FIRST, ENOUGH_SECONDS)
            assert again.outcome is Outcome.PASSED

    asyncio.run(run())


def test_a_party_that_acts_and_asks_again_is_the_one_that_came_back():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client, parties.acting_client) as (after, waits):
            await until_grace_is_over(after)
            for arrived in (None, LAST):
                again = await arriving(after, parties.acting_client, parties.last, arrived)
                assert (again.outcome, again.place) == (Outcome.ACTING, LAST)
            assert len(after.records[KIND, "b"].members) == 2
            await parties.open(after)
            assert (await waits).outcome is Outcome.PASSED

    asyncio.run(run())


def test_a_party_that_acted_and_leaves_after_the_restart_breaks_the_barrier():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client, parties.acting_client) as (after, waits):
            outcome, _ = await after.barriers.leave("b", parties.acting_client, parties.last)
            assert outcome is Outcome.BROKEN
            with pytest.raises(BarrierBroken):
                await waits
            assert parties.last not in after.records[KIND, "b"].members

    asyncio.run(run())


def test_the_barrier_breaks_after_the_grace_time_if_the_client_of_the_action_does_not_come_back():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client) as (after, waits):
            assert after.session is not None
            with pytest.raises(BarrierBroken):
                await waits
            assert not after.session.in_grace()

    asyncio.run(run())


def test_the_barrier_breaks_at_once_if_the_client_of_the_action_ends_in_the_grace_time():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client, parties.acting_client) as (after, waits):
            await eventually(lambda: parties.last in after.recorded(KIND, "b").members)
            acting = after.client_sessions.clients.heard(parties.acting_client)
            after.client_sessions.clients.gone(acting, "its process ended")
            with pytest.raises(BarrierBroken):
                await waits
            assert after.session is not None
            assert after.session.in_grace()

    asyncio.run(run())


def test_the_barrier_breaks_if_the_client_of_the_action_falls_silent_after_the_grace_time():
    async def run() -> None:
        parties = Parties()
        await parties.come()
        async with parties.go_on(parties.waiting_client) as (after, waits):
            await after.open_client(parties.acting_client, "test", [], None)
            beats = asyncio.ensure_future(beating(after, parties.acting_client))
            await until_grace_is_over(after)
            beats.cancel()
            assert (await shown(parties.store, KIND, "b"))["state"] == State.ACTING
            with pytest.raises(BarrierBroken):
                await waits
            assert after.client_sessions.clients.find(parties.acting_client) is None

    asyncio.run(run())
