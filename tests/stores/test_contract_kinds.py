"""What every store must do with records of every kind."""

from __future__ import annotations

import contextlib

from tests.stores.harness import LOCK, Harness, in_loop, next_change, opened, stored, until
from tests.stores.kinds import EVERYTHING, UNUSED


class TestEveryKind:
    """All of them with the records that the rules write, under one name, at the same time."""

    @in_loop
    async def test_records_come_back_as_they_went(self, harness: Harness) -> None:
        async with opened(harness) as store:
            written = [await store.create(kind, "a", "", spec(1)) for kind, spec in EVERYTHING.items()]
            for record in written:
                await stored(store, record)
                again = await store.replace(record.kind, "a", record.version, "", EVERYTHING[record.kind](2))
                await until(lambda kind=record.kind: store.list(kind), lambda found, of=again: found.records == (of,))
                assert record.spec != again.spec

    @in_loop
    async def test_each_has_watches_of_its_own(self, harness: Harness) -> None:
        async with opened(harness) as store, contextlib.AsyncExitStack() as stack:
            since = (await store.create(LOCK, "before", "", harness.spec(1))).version
            watches = {kind: await stack.enter_async_context(store.watch(kind, since)) for kind in EVERYTHING}
            for kind in reversed(EVERYTHING):
                record = await store.create(kind, "a", "", EVERYTHING[kind](1))
                assert (await next_change(watches[kind])).record == record
                await store.delete(kind, "a", record.version)
                removal = await next_change(watches[kind])
                assert (removal.name, removal.record) == ("a", None)

    @in_loop
    async def test_a_record_that_nobody_uses_is_one(self, harness: Harness) -> None:
        async with opened(harness) as store:
            for kind, spec in UNUSED.items():
                await stored(store, await store.create(kind, "a", "", spec))
