"""Operations whose writes get no answer, or are overtaken, and that a record may have forgotten: each is done once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

from elector_server.barriers import OPEN
from elector_server.problems import HolderDead, OutcomeLost, StoreDown
from elector_server.rules.barrier import Outcome, State
from elector_server.rules.kinds import READERS
from elector_server.rules.semaphore import KIND
from elector_server.rules.shared import OPERATIONS_REMEMBERED
from elector_server.store import OutcomeUnknown, Record
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire
from tests.elector.test_shared_records import (
    NONE,
    Here,
    acquiring,
    client_of,
    end_session,
    eventually,
    running,
    shown,
)

Replace = Callable[..., Awaitable[Record]]


async def others(store: MemoryStore, count: int, kind: str = KIND) -> None:
    """So many operations of another elector, which only the record's memory shows."""
    record = await MemoryStore.get(store, kind, "s")
    assert record is not None
    shared = READERS[kind](record.spec)
    for _ in range(count):
        shared = shared.remembering(wire.new_id())
    await MemoryStore.replace(store, kind, "s", record.version, record.session, shared.to_spec())


class Scripted(MemoryStore):
    """Each `replace` of a shared record goes by the next part of the script, as long as there is one."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.script: list[Replace] = []

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Any) -> Record:
        if kind in {KIND, "condition"} and self.script:
            return await self.script.pop(0)(kind, name, version, session, spec)
        return await super().replace(kind, name, version, session, spec)

    def lands(self, *write: Any) -> Awaitable[Record]:
        return MemoryStore.replace(self, *write)


Do = Callable[[], Awaitable[Any]]


async def overtaken(store: Scripted, do: Do, between: int, count: int, kind: str = KIND) -> list[Any]:
    """One write lands unheard, after which `do` wants another one; that is overtaken. Gives what became of both."""
    later: list[asyncio.Future[Any]] = []

    async def lands_unheard(*write: Any) -> Record:
        await store.lands(*write)
        later.append(asyncio.ensure_future(do()))
        await asyncio.sleep(0)
        await others(store, between, kind)
        raise OutcomeUnknown("its answer is lost")

    async def comes_too_late(*write: Any) -> Record:
        await others(store, between, kind)
        return await store.lands(*write)

    store.script = [lands_unheard, store.lands, comes_too_late]
    first = await asyncio.gather(*(do() for _ in range(count)), return_exceptions=True)
    return [*first, *await asyncio.gather(*later)]


@pytest.mark.parametrize(
    ("between", "count"), [(20, 1), (1, 2 * OPERATIONS_REMEMBERED), (OPERATIONS_REMEMBERED + 1, 1)]
)
def test_a_release_that_was_done_is_not_done_again_with_a_later_one(between: int, count: int):
    async def run() -> None:
        store = Scripted()
        async with running(store) as elector:
            client = await client_of(elector)

            async def release() -> None:
                with suppress(OutcomeLost):  # Nobody knows of it, once it is forgotten; but it was done.
                    await elector.semaphores.release("s", client, wire.new_id(), NONE, 1, [])

            await release()
            await overtaken(store, release, between, count)
            assert (await shown(store, KIND, "s"))["extra"] == 1 + count + 1

    asyncio.run(run())


def test_a_notification_that_was_given_is_not_given_again_with_a_later_one():
    async def run() -> None:
        store = Scripted()
        async with running(store) as elector:
            client = await client_of(elector)
            for _ in range(4):
                await elector.conditions.enqueue("s", client, wire.new_id())
            await overtaken(store, lambda: elector.conditions.notify("s", client, wire.new_id(), 1), 20, 1, "condition")
            tickets = (await shown(store, "condition", "s"))["tickets"]
            assert sum(ticket.get("notified", False) for ticket in tickets) == 2

    asyncio.run(run())


def test_a_try_whose_write_never_landed_makes_no_permit():
    """So much happens before the store is heard of again that nobody can know whether it landed."""

    async def run() -> None:
        store = Scripted()
        async with running(store) as elector:
            client, heard = await client_of(elector), asyncio.Event()
            await elector.semaphores.release("s", client, wire.new_id(), NONE, 1, [])

            async def never_lands(*_: Any) -> Record:
                await heard.wait()
                raise OutcomeUnknown("lost on its way")

            store.script = [never_lands]
            with pytest.raises(StoreDown):
                await elector.semaphores.acquire("s", client, wire.new_id(), NONE, 0.0, Here())
            await others(store, OPERATIONS_REMEMBERED + 1)
            heard.set()
            await elector.recorded(KIND, "s").settled()
            spec = await shown(store, KIND, "s")
            assert (spec["permits"], spec["extra"]) == ([], 1)

    asyncio.run(run())


def test_who_comes_back_while_its_old_ticket_still_stands_gets_no_permit_that_is_not_there():
    """Its session has ended, but nobody has tidied this record yet, which has forgotten that the ticket was queued."""

    async def run() -> None:
        store = MemoryStore(1_000)
        client, holder = wire.new_id(), wire.new_id()
        async with running(store, "other") as other:
            assert await acquiring(other, "s", await client_of(other), wire.new_id())
            async with running(store) as before:
                await before.open_client(client, "test", [], None)
                assert await acquiring(before, "s", client, holder, 0.01) is None
                assert before.session is not None
                session_id = before.session.id
            await end_session(store, session_id)
            await others(store, OPERATIONS_REMEMBERED + 1)
            async with running(store) as after:
                await after.open_client(client, "test", [], None)
                waits = asyncio.ensure_future(acquiring(after, "s", client, holder, 5.0))
                await eventually(lambda: after.waits[KIND])
                other.foreign.note_ended(session_id)
                await other._keeper._tidy_records_of(session_id)
                await other.recorded(KIND, "s").settled()
                with pytest.raises(HolderDead):
                    await waits

    asyncio.run(run())


def test_a_waiter_whose_permit_was_taken_over_while_its_elector_was_away_had_it():
    """Two releases elsewhere: the first one is for the waiter, the second one takes its permit over. Both count."""

    async def run() -> None:
        store = MemoryStore(1_000)
        client, holder = wire.new_id(), wire.new_id()
        async with running(store, "other") as other:
            producer = await client_of(other)
            async with running(store) as before:
                await before.open_client(client, "test", [], None)
                assert await before.semaphores.acquire("s", client, holder, NONE, 0.01, Here()) is None
            for _ in range(2):
                await other.semaphores.release("s", producer, wire.new_id(), NONE, 1, [])
            async with running(store) as after:
                await after.open_client(client, "test", [], None)
                for each in (holder, wire.new_id()):
                    assert await after.semaphores.acquire("s", client, each, NONE, 5.0, Here())

    asyncio.run(run())


def test_a_barrier_that_was_opened_before_its_elector_died_is_not_broken():
    """All others have passed and come again, so that the record has forgotten the operation that opened it."""
    parties = OPERATIONS_REMEMBERED + 2

    async def run() -> None:
        store = MemoryStore(1_000)
        client, holder, operation = wire.new_id(), wire.new_id(), wire.new_id()

        async def arrive(elector: Any, client: str, holder: str, *, acts: bool = False) -> Outcome:
            arrived = await elector.barriers.arrive("b", client, holder, parties, None, 0.0, Here(), acts=acts)
            outcome: Outcome = arrived.outcome
            return outcome

        async with running(store, "other") as other:
            there = await client_of(other)
            async with running(store) as before:
                await before.open_client(client, "test", [], None)
                for _ in range(parties - 1):
                    await arrive(other, there, wire.new_id())
                assert await arrive(before, client, holder, acts=True) is Outcome.ACTING
                await before.barriers.change("b", client, operation, parties, OPEN, holder)
            for _ in range(parties - 1):
                await arrive(other, there, wire.new_id())
            async with running(store) as after:
                await after.open_client(client, "test", [], None)
                opened = await after.barriers.change("b", client, operation, parties, OPEN, holder)
                assert opened.state is State.FILLING

    asyncio.run(run())
