"""Semaphores, conditions, barriers and events at one elector: what lost answers, restarts and hands must not break."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from elector_server.barriers import ABORT, OPEN
from elector_server.client_sessions import PresentedHold
from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.problems import BarrierBroken, HolderDead, OutcomeLost, StoreDown
from elector_server.rules import session as session_rules
from elector_server.rules.barrier import Outcome, Place
from elector_server.rules.event import KIND as EVENT
from elector_server.rules.semaphore import KIND, Terms
from elector_server.rules.session import Session
from elector_server.rules.shared import OPERATIONS_REMEMBERED
from elector_server.semaphores import Heard
from elector_server.store import OutcomeUnknown, Record
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire

ONE = Terms(1, bounded=False)
NONE = Terms(0, bounded=False)
ENOUGH_SECONDS = 20.0


class Here:
    """A caller that stays."""

    async def wait(self) -> None:
        await asyncio.Event().wait()

    def is_gone(self) -> bool:
        return False


class Gated(MemoryStore):
    """What is asked of shared records waits until the gate is open; `reads` says whether reads wait, too."""

    reads = True

    def __init__(self) -> None:
        super().__init__(1_000)
        self.gate = asyncio.Event()
        self.gate.set()
        self.waiting = 0

    async def _through(self, kind: str) -> None:
        if kind not in {"session", "lock"}:
            self.waiting += 1
            await self.gate.wait()
            self.waiting -= 1

    async def get(self, kind: str, name: str) -> Record | None:
        if self.reads:
            await self._through(kind)
        return await super().get(kind, name)

    async def create(self, kind: str, name: str, session: str, spec: Any) -> Record:
        await self._through(kind)
        return await super().create(kind, name, session, spec)

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Any) -> Record:
        await self._through(kind)
        return await super().replace(kind, name, version, session, spec)

    async def delete(self, kind: str, name: str, version: int) -> None:
        await self._through(kind)
        await super().delete(kind, name, version)


@asynccontextmanager
async def running(store: MemoryStore, identity: str = "here") -> AsyncIterator[Elector]:
    """An elector with a session."""
    elector = Elector(
        store,
        identity=Identity(identity, identity, "boot"),
        durations=Durations(lease_seconds=20.0, client_ttl_seconds=30.0),
        clock=SystemClock(),
        random=random.Random(1),
    )
    await elector.start()
    await eventually(lambda: elector.ready)
    try:
        yield elector
    finally:
        await elector.background.close()


async def eventually(holds: Callable[[], object]) -> None:
    async with asyncio.timeout(ENOUGH_SECONDS):
        while not holds():  # noqa: ASYNC110 -- what it waits for is looked at from outside, and sets no event
            await asyncio.sleep(0.001)


async def client_of(elector: Elector) -> str:
    client = wire.new_id()
    await elector.open_client(client, "test", [], None)
    return client


def acquiring(elector: Elector, name: str, client: str, holder: str, seconds: float = 10.0) -> Awaitable[Any]:
    return elector.semaphores.acquire(name, client, holder, ONE, seconds, Here())


def arriving(
    elector: Elector, client: str, holder: str, arrived: Place | None = None, seconds: float = 0.0
) -> Coroutine[Any, Any, Any]:
    return elector.barriers.arrive("b", client, holder, 2, arrived, seconds, Here(), acts=False)


async def end_session(store: MemoryStore, session_id: str) -> None:
    record = await store.get("session", session_id)
    assert record is not None
    ended = session_rules.end(Session.from_spec(record.spec)).to_spec()
    await store.replace("session", session_id, record.version, record.session, ended)


async def shown(store: MemoryStore, kind: str, name: str) -> Any:
    record = await store.get(kind, name)
    return None if record is None else record.spec


def test_a_waiter_that_withdraws_again_hears_that_it_was_notified():
    """Else the notification that the lost answer told of would be lost, too."""

    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            client, holder = await client_of(elector), wire.new_id()
            await elector.conditions.enqueue("q", client, holder)
            await elector.conditions.notify("q", client, wire.new_id(), 1)
            for _ in range(2):
                assert await elector.conditions.withdraw("q", client, holder, pass_on=False) == "notified"

    asyncio.run(run())


def test_a_waiter_that_withdraws_again_hears_that_it_was_not_notified():
    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            client, holder = await client_of(elector), wire.new_id()
            await elector.conditions.enqueue("q", client, holder)
            for _ in range(2):
                assert await elector.conditions.withdraw("q", client, holder, pass_on=False) == "withdrawn"

    asyncio.run(run())


def test_a_waiter_that_withdraws_again_after_a_restart_counts_as_notified():
    """The elector that knew better is gone: rather one wake-up too many than one too few."""

    async def run() -> None:
        store = MemoryStore(1_000)
        client, holder = wire.new_id(), wire.new_id()
        async with running(store) as before:
            await before.open_client(client, "test", [], None)
            await before.conditions.enqueue("q", client, holder)
            await before.conditions.notify("q", client, wire.new_id(), 1)
            assert await before.conditions.withdraw("q", client, holder, pass_on=False) == "notified"
        async with running(store) as after:
            await after.open_client(client, "test", [], None)
            assert await after.conditions.withdraw("q", client, holder, pass_on=False) == "notified"

    asyncio.run(run())


def test_notify_again_has_the_same_answer():
    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            client, operation = await client_of(elector), wire.new_id()
            for _ in range(3):
                await elector.conditions.enqueue("q", client, wire.new_id())
            for _ in range(2):
                assert await elector.conditions.notify("q", client, operation, 2) == 2
            assert (
                sum(
                    ticket.get("notified", False)
                    for ticket in (await shown(elector.store, "condition", "q"))["tickets"]
                )
                == 2
            )

    asyncio.run(run())


def test_a_release_that_is_asked_for_again_long_after_is_done_once():
    """The record has forgotten it by then; the elector has not."""

    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            client, operation = await client_of(elector), wire.new_id()
            release = elector.semaphores.release
            assert (await release("s", client, operation, NONE, 1, [])).value == 1
            for _ in range(OPERATIONS_REMEMBERED + 1):
                await release("s", client, wire.new_id(), NONE, 1, [])
            assert (await release("s", client, operation, NONE, 1, [])).value == 1
            assert (await shown(elector.store, KIND, "s"))["extra"] == OPERATIONS_REMEMBERED + 2

    asyncio.run(run())


def test_a_release_of_others_whose_outcome_nobody_can_know_is_not_done():
    """Whoever heard of this very process when it first asked has asked nobody else, however long ago that was."""

    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            client, release = await client_of(elector), elector.semaphores.release
            for _ in range(OPERATIONS_REMEMBERED + 1):
                await release("s", client, wire.new_id(), NONE, 1, [])
            assert elector.session is not None
            here = Heard(elector.session.incarnation, 0)
            assert (await release("s", client, wire.new_id(), NONE, 1, [], here)).value == OPERATIONS_REMEMBERED + 2
            with pytest.raises(OutcomeLost):
                await release("s", client, wire.new_id(), NONE, 1, [], Heard("another.1", 0))
            assert (await shown(elector.store, KIND, "s"))["extra"] == OPERATIONS_REMEMBERED + 2

    asyncio.run(run())


def test_who_comes_back_after_its_session_has_ended_gets_no_permit_that_is_not_there():
    """Its elector began anew, and its ticket went with the session before. The record only remembers that it queued."""

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
            other.foreign.note_ended(session_id)
            await other._keeper._tidy_records_of(session_id)
            await other.recorded(KIND, "s").settled()
            assert (await shown(store, KIND, "s"))["queue"] == []
            async with running(store) as after:
                await after.open_client(client, "test", [], None)
                with pytest.raises(HolderDead):
                    await acquiring(after, "s", client, holder)
                assert await acquiring(after, "s", client, wire.new_id(), 0.01) is None

    asyncio.run(run())


def test_who_comes_back_for_a_permit_gets_it_however_slow_the_store_is():
    async def run() -> None:
        store = Gated()
        client, holder = wire.new_id(), wire.new_id()
        async with running(store) as before:
            await before.open_client(client, "test", [], None)
            assert await acquiring(before, "s", client, holder)
        async with running(store) as after:
            await after.open_client(client, "test", [], None)
            store.reads = False
            store.gate.clear()
            with pytest.raises(StoreDown):
                await acquiring(after, "s", client, holder, 0.1)
            store.gate.set()
            granted = await acquiring(after, "s", client, holder, 5.0)
            assert granted is not None
            assert granted.holder == holder

    asyncio.run(run())


def test_a_permit_that_turns_out_to_be_gone_late_is_told_as_lost():
    async def run() -> None:
        store = Gated()
        async with running(store) as elector:
            assert await acquiring(elector, "s", await client_of(elector), wire.new_id())
            client, holder = wire.new_id(), wire.new_id()
            store.gate.clear()
            status = await elector.open_client(client, "test", [PresentedHold("s", holder, 5, KIND)], None)
            assert (status.holds, status.lost) == ((), ())
            store.gate.set()
            known = elector.client_sessions.clients.find(client)
            assert known is not None
            await eventually(lambda: known.losses)
            assert list(known.losses) == [holder]
            assert not known.losses[holder].is_returned
            assert known.members == {}

    asyncio.run(run())


def test_a_permit_that_went_back_in_the_process_before_goes_back_no_more():
    """Its client did not hear of the return, presents it, and gives it up: the record only remembers its acquire."""

    async def run() -> None:
        store = Gated()
        client, holder = wire.new_id(), wire.new_id()
        async with running(store) as before:
            await before.open_client(client, "test", [], None)
            granted = await acquiring(before, "s", client, holder)
            assert granted is not None
            await before.semaphores.release("s", client, wire.new_id(), ONE, 1, [holder])
        async with running(store) as after:
            store.gate.clear()
            presented = PresentedHold("s", holder, granted.token, KIND, granted.incarnation)
            await after.open_client(client, "test", [presented], None)
            giving_up = asyncio.ensure_future(after.semaphores.give_up("s", client, holder))
            await eventually(lambda: after.recorded(KIND, "s").asked(f"end {holder}"))
            store.gate.set()
            assert await giving_up
            spec = await shown(store, KIND, "s")
            assert (spec["permits"], spec["extra"]) == ([], 0)

    asyncio.run(run())


def test_a_waiter_whose_semaphore_somebody_deleted_is_told_so():
    async def run() -> None:
        store = MemoryStore(1_000)
        async with running(store) as elector:
            client = await client_of(elector)
            assert await acquiring(elector, "s", client, wire.new_id())
            waits = asyncio.ensure_future(acquiring(elector, "s", client, wire.new_id()))
            await eventually(lambda: elector.recorded(KIND, "s").record.queue)
            record = await store.get(KIND, "s")
            assert record is not None
            await store.delete(KIND, "s", record.version)
            with pytest.raises(HolderDead):
                await asyncio.wait_for(waits, ENOUGH_SECONDS)

    asyncio.run(run())


def test_the_last_party_passes_with_the_others_if_it_gives_up_while_it_arrives():
    """Its arrival and its departure go into the store together: it arrived first, and that opened the barrier."""

    async def run() -> None:
        store = Gated()
        async with running(store) as elector:
            client, first, last = await client_of(elector), wire.new_id(), wire.new_id()
            assert (await arriving(elector, client, first)).outcome is Outcome.WAITING
            store.gate.clear()
            arrives = asyncio.ensure_future(arriving(elector, client, last))
            await eventually(lambda: store.waiting)
            leaves = asyncio.ensure_future(elector.barriers.leave("b", client, last, None))
            await eventually(lambda: elector.recorded("barrier", "b")._requests)
            store.gate.set()
            assert await leaves == (Outcome.PASSED, Place(0, 1))
            assert (await arriving(elector, client, first, Place(0, 0))).outcome is Outcome.PASSED
            await asyncio.wait([arrives])
            assert arrives.exception() is not None or arrives.result().outcome is Outcome.PASSED

    asyncio.run(run())


def test_a_party_that_arrives_again_after_its_session_has_ended_does_not_pass():
    async def run() -> None:
        store = MemoryStore(1_000)
        client, holder = wire.new_id(), wire.new_id()
        async with running(store) as before:
            await before.open_client(client, "test", [], None)
            await arriving(before, client, holder)
            assert before.session is not None
            session_id = before.session.id
        await end_session(store, session_id)
        async with running(store) as after:
            await after.open_client(client, "test", [], None)
            after.foreign.note_ended(session_id)
            await after._keeper._tidy_records_of(session_id)
            await after.recorded("barrier", "b").settled()
            with pytest.raises(BarrierBroken):
                await arriving(after, client, holder)

    asyncio.run(run())


def test_the_party_that_acts_opens_once_however_often_it_asks():
    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            client, holder, operation = await client_of(elector), wire.new_id(), wire.new_id()
            arrive, change = elector.barriers.arrive, elector.barriers.change
            acting = await arrive("b", client, holder, 1, None, 1.0, Here(), acts=True)
            assert acting.outcome is Outcome.ACTING
            assert (await change("b", client, operation, 1, OPEN, holder)).generation == 1
            for _ in range(OPERATIONS_REMEMBERED + 1):
                await arrive("b", client, wire.new_id(), 1, None, 1.0, Here(), acts=False)
            await change("b", client, wire.new_id(), 1, ABORT, None)
            assert (await change("b", client, operation, 1, OPEN, holder)).generation == 1

    asyncio.run(run())


def test_an_unnamed_record_stays_if_somebody_begins_to_use_it_while_it_is_removed():
    async def run() -> None:
        store = Gated()
        async with running(store) as elector:
            maker, child = await client_of(elector), await client_of(elector)
            name = f"unnamed-{maker}-{wire.new_id()}"
            await elector.events.put(name, maker, wire.new_id(), is_set=False)
            await elector.close_client(maker)
            store.gate.clear()
            await eventually(lambda: store.waiting)  # The read before it is removed.
            sets = asyncio.ensure_future(elector.events.put(name, child, wire.new_id(), is_set=True))
            await eventually(lambda: elector.users.is_used(EVENT, name))
            store.gate.set()
            await sets
            await elector.recorded(EVENT, name).settled()
            assert (await shown(store, EVENT, name))["is_set"]

    asyncio.run(run())


def test_permits_that_others_gave_back_leave_nothing_behind():
    """A semaphore as a signal: one process acquires, another one releases, for ever."""

    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            consumer, producer = await client_of(elector), await client_of(elector)
            for _ in range(50):
                await elector.semaphores.release("s", producer, wire.new_id(), NONE, 1, [])
                assert await elector.semaphores.acquire("s", consumer, wire.new_id(), NONE, 1.0, Here())
            record = elector.recorded(KIND, "s")
            await elector.semaphores._look_at(record)
            found = elector.client_sessions.clients.find(consumer)
            assert found is not None
            assert len(record.members) == len(found.members) == 1
            assert all(loss.is_returned for loss in found.losses.values())

    asyncio.run(run())


def test_a_look_at_an_event_leaves_nothing_behind():
    async def run() -> None:
        async with running(MemoryStore(1_000)) as elector:
            client = await client_of(elector)
            assert not (await elector.events.wait("go", client, None, 0.0, Here())).is_set
            await eventually(lambda: not elector.records)

    asyncio.run(run())


def test_a_party_that_did_not_hear_that_it_passed_does_not_come_twice():
    """However much has happened since: the record has forgotten that it had come."""

    async def run() -> None:
        store = MemoryStore(1_000)
        async with running(store) as elector:
            clients = [await client_of(elector) for _ in range(2)]
            await arriving(elector, clients[0], wire.new_id())
            last = wire.new_id()
            passed = await arriving(elector, clients[1], last)
            assert (passed.outcome, passed.place) == (Outcome.PASSED, Place(0, 1))
            for _ in range(OPERATIONS_REMEMBERED):
                for client in clients:
                    await arriving(elector, client, wire.new_id())
            assert await arriving(elector, clients[1], last) == passed
            assert (await shown(store, "barrier", "b"))["arrived"] == []

    asyncio.run(run())


class Mute(Gated):
    """The answers to so many writes are lost."""

    lost = 0

    async def replace(self, kind: str, name: str, version: int, session: str, spec: Any) -> Record:
        record = await super().replace(kind, name, version, session, spec)
        if kind == KIND and self.lost:
            self.lost -= 1
            raise OutcomeUnknown("the answer was lost")
        return record


def test_of_many_operations_in_one_write_whose_answer_is_lost_each_is_known():
    """More than a record remembers: else callers hear that nobody can know, and some of them would do it once more."""
    count = 2 * OPERATIONS_REMEMBERED

    async def run() -> None:
        store = Mute()
        terms = Terms(count, bounded=False)
        async with running(store) as elector:
            client = await client_of(elector)
            holders = [wire.new_id() for _ in range(count)]
            for holder in holders:
                await elector.semaphores.acquire("s", client, holder, terms, 1.0, Here())
            store.gate.clear()
            releases = [
                asyncio.ensure_future(elector.semaphores.release("s", client, wire.new_id(), terms, 1, [holder]))
                for holder in holders
            ]
            await eventually(lambda: store.waiting)
            store.lost = 1
            store.gate.set()
            await asyncio.gather(*releases)
            assert not store.lost
            spec = await shown(store, KIND, "s")
            assert (spec["permits"], spec["extra"]) == ([], 0)

    asyncio.run(run())


@pytest.mark.parametrize("count", [1, 2 * OPERATIONS_REMEMBERED])
def test_a_try_that_ends_unheard_takes_no_release_with_it(count: int):
    """It got a permit, which the next release took over, and withdrew, all in one write; it has never been."""

    async def run() -> None:
        store = Gated()
        async with running(store) as elector:
            consumer, producer = await client_of(elector), await client_of(elector)

            def release() -> asyncio.Future[Any]:
                return asyncio.ensure_future(elector.semaphores.release("s", producer, wire.new_id(), NONE, 1, []))

            await release()
            store.gate.clear()
            releases = [release()]
            await eventually(lambda: store.waiting)
            trying = asyncio.ensure_future(elector.semaphores.acquire("s", consumer, wire.new_id(), NONE, 0.0, Here()))
            await asyncio.sleep(0)
            releases += [release() for _ in range(count)]
            with pytest.raises(StoreDown):
                await trying
            store.gate.set()
            await asyncio.gather(*releases, return_exceptions=True)  # Told too late, and done.
            await elector.recorded(KIND, "s").settled()
            spec = await shown(store, KIND, "s")
            assert spec["extra"] - len(spec["permits"]) == len(releases) + 1

    asyncio.run(run())


def test_a_try_that_was_overtaken_and_given_up_makes_no_permit():
    """The write that gives it a permit is refused, because somebody else was faster; by then its client has gone on."""

    async def run() -> None:
        store = Gated()
        async with running(store) as elector:
            client, holder = await client_of(elector), wire.new_id()
            await elector.semaphores.release("s", client, wire.new_id(), NONE, 1, [])
            store.reads = False
            store.gate.clear()
            with pytest.raises(StoreDown):
                await elector.semaphores.acquire("s", client, holder, NONE, 0.0, Here())
            record = await MemoryStore.get(store, KIND, "s")
            assert record is not None
            await MemoryStore.replace(store, KIND, "s", record.version, record.session, record.spec)
            giving_up = asyncio.ensure_future(elector.semaphores.give_up("s", client, holder))
            await asyncio.sleep(0)
            store.gate.set()
            assert await giving_up
            spec = await shown(store, KIND, "s")
            assert (spec["permits"], spec["extra"]) == ([], 1)

    asyncio.run(run())


def test_each_of_many_releases_in_one_write_counts_for_a_waiter():
    """More than a record remembers: who is granted and taken over in one write had his permit all the same."""
    count = 3 * OPERATIONS_REMEMBERED

    async def run() -> None:
        async with running(MemoryStore(1)) as elector:
            consumer, producer = await client_of(elector), await client_of(elector)
            waiting = [
                asyncio.ensure_future(elector.semaphores.acquire("s", consumer, wire.new_id(), NONE, 20.0, Here()))
                for _ in range(count)
            ]
            await eventually(lambda: elector.waits["semaphore"] == count)
            releases = (elector.semaphores.release("s", producer, wire.new_id(), NONE, 1, []) for _ in range(count))
            await asyncio.gather(*releases)
            assert all(await asyncio.gather(*waiting))
            spec = await shown(elector.store, KIND, "s")
            assert spec["extra"] == len(spec["permits"])

    asyncio.run(run())
