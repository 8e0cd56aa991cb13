"""What every store must do for a watch: every later change in order, or a word that it cannot."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from elector_server.store import Change, Record, Store, StoreUnavailable, Watch, WatchExpired
from tests.stores.harness import (
    LOCK,
    SESSION,
    WAIT_SECONDS,
    Harness,
    Resources,
    in_loop,
    next_change,
    next_changes,
    opened,
    resources,
    stored,
    turns_of_the_loop,
    until,
)


def written(record: Record) -> Change:
    return Change(record.name, record.version, record)


async def write_many(harness: Harness, store: Store, count: int) -> list[Record]:
    return [await store.create(LOCK, f"n{number:04}", "s", harness.spec(number)) for number in range(count)]


class TestFromAVersion:
    @in_loop
    async def test_it_sees_every_later_change_in_order(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            second = await store.replace(LOCK, "a", first.version, "s", harness.spec(2))
            third = await store.create(LOCK, "b", "s", harness.spec(3))
            await store.delete(LOCK, "a", second.version)
            async with store.watch(LOCK, first.version) as watch:
                fourth = await store.create(LOCK, "a", "s", harness.spec(4))
                changes = await next_changes(watch, 4)
        assert changes[:2] == [written(second), written(third)]
        assert (changes[2].name, changes[2].record) == ("a", None)
        assert third.version < changes[2].version < fourth.version
        assert changes[3] == written(fourth)

    @in_loop
    async def test_from_any_version_it_sees_the_rest(self, harness: Harness) -> None:
        async with opened(harness) as store:
            records = await write_many(harness, store, 10)
            for number, record in enumerate(records[:-1]):
                async with store.watch(LOCK, record.version) as watch:
                    assert await next_changes(watch, 9 - number) == list(map(written, records[number + 1 :]))

    @in_loop
    async def test_a_long_row_of_changes_has_no_hole(self, harness: Harness) -> None:
        """It may say that it cannot; what it reports until then has no hole."""
        async with opened(harness) as store, opened(harness) as writer:
            start = await store.create(LOCK, "start", "s", harness.spec(0))
            async with store.watch(LOCK, start.version) as watch:
                records = await write_many(harness, writer, 1500)
                seen: list[Change] = []
                with contextlib.suppress(WatchExpired):
                    seen = await next_changes(watch, len(records))
        assert seen == list(map(written, records[: len(seen)]))

    @in_loop
    async def test_it_says_so_if_it_cannot_know(self, harness: Harness) -> None:
        """A version of long ago: nothing, or an error, but never a row that begins too late."""
        async with opened(harness) as store:
            records = await write_many(harness, store, 3)
            async with store.watch(LOCK, max(records[0].version - 2**40, 0)) as watch:
                try:
                    first = await next_change(watch)
                except WatchExpired:
                    return
                assert first == written(records[0])

    @in_loop
    async def test_two_watches_do_not_share_what_they_read(self, harness: Harness) -> None:
        async with opened(harness) as store:
            start = await store.create(LOCK, "a", "s", harness.spec(0))
            async with store.watch(LOCK, start.version) as one, store.watch(LOCK, start.version) as two:
                records = await write_many(harness, store, 5)
                assert await next_changes(one, 5) == list(map(written, records))
                assert await next_changes(two, 5) == list(map(written, records))


class TestByName:
    @in_loop
    async def test_it_sees_that_name_of_that_kind_only(self, harness: Harness) -> None:
        async with opened(harness) as store:
            start = await store.create(LOCK, "other", "s", harness.spec(0))
            async with store.watch(LOCK, start.version, name="a") as watch:
                await store.create(LOCK, "A", "s", harness.spec(1))
                await store.create(SESSION, "a", "s", harness.spec(2))
                first = await store.create(LOCK, "a", "s", harness.spec(3))
                await store.delete(LOCK, "other", start.version)
                second = await store.replace(LOCK, "a", first.version, "t", harness.spec(4))
                await store.delete(LOCK, "a", second.version)
                changes = await next_changes(watch, 3)
        assert changes[:2] == [written(first), written(second)]
        assert changes[2].record is None
        assert changes[2].version > second.version


class TestBySession:
    @in_loop
    async def test_it_sees_records_come_change_and_go(self, harness: Harness) -> None:
        async with opened(harness) as store:
            start = await store.create(LOCK, "other", "t", harness.spec(0))
            async with store.watch(LOCK, start.version, session="s") as watch:
                created = await store.create(LOCK, "a", "s", harness.spec(1))
                await store.create(LOCK, "b", "t", harness.spec(2))
                await store.create(SESSION, "c", "s", harness.spec(3))
                changed = await store.replace(LOCK, "a", created.version, "s", harness.spec(4))
                joined = await store.replace(LOCK, "other", start.version, "s", harness.spec(5))
                await store.delete(LOCK, "a", changed.version)
                changes = await next_changes(watch, 4)
        assert changes[:3] == [written(created), written(changed), written(joined)]
        assert (changes[3].name, changes[3].record) == ("a", None)

    @in_loop
    async def test_a_record_that_moves_to_another_session_is_gone(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            async with (
                store.watch(LOCK, record.version, session="s") as left,
                store.watch(LOCK, record.version, session="t") as joined,
            ):
                moved = await store.replace(LOCK, "a", record.version, "t", harness.spec(2))
                await store.delete(LOCK, "a", moved.version)
                again = await store.create(LOCK, "a", "s", harness.spec(3))
                departure, arrival = await next_changes(left, 2)
                assert (departure.name, departure.record) == ("a", None)
                assert record.version < departure.version < again.version
                assert arrival == written(again)
                assert await next_change(joined) == written(moved)
                assert (await next_change(joined)).record is None

    @in_loop
    async def test_the_past_is_reported_in_the_same_way(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            second = await store.replace(LOCK, "a", first.version, "t", harness.spec(2))
            third = await store.replace(LOCK, "a", second.version, "s", harness.spec(3))
            await store.delete(LOCK, "a", third.version)
            async with store.watch(LOCK, first.version, session="s") as watch:
                changes = await next_changes(watch, 3)
        assert [change.record for change in changes] == [None, third, None]


class TestTwoHandles:
    @in_loop
    async def test_each_sees_the_other_writes(self, harness: Harness) -> None:
        async with opened(harness) as store, opened(harness) as other:
            start = await store.create(LOCK, "a", "s", harness.spec(0))
            async with (
                store.watch(LOCK, start.version, name="a") as by_name,
                other.watch(LOCK, start.version) as by_kind,
                store.watch(LOCK, start.version, session="t") as by_session,
            ):
                first = await other.replace(LOCK, "a", start.version, "t", harness.spec(1))
                second = await store.replace(LOCK, "a", first.version, "t", harness.spec(2))
                for watch in (by_name, by_kind, by_session):
                    assert await next_changes(watch, 2) == [written(first), written(second)]

    @in_loop
    async def test_what_was_read_from_the_other_is_not_reported_again(self, harness: Harness) -> None:
        """The handle's other watch may not have heard of that write yet."""
        async with opened(harness) as store, opened(harness) as other:
            start = await store.create(LOCK, "a", "s", harness.spec(0))
            async with store.watch(LOCK, start.version):
                known = await other.replace(LOCK, "a", start.version, "s", harness.spec(1))
                await stored(store, known)
                async with store.watch(LOCK, known.version, name="a") as watch:
                    later = await other.replace(LOCK, "a", known.version, "s", harness.spec(2))
                    assert await next_change(watch) == written(later)

    @in_loop
    async def test_interleaved_writes_come_in_the_order_of_versions(self, harness: Harness) -> None:
        async with opened(harness) as store, opened(harness) as other:
            start = await store.create(LOCK, "start", "s", harness.spec(0))
            async with store.watch(LOCK, start.version) as one, other.watch(LOCK, start.version) as two:
                records = [
                    await (store, other)[number % 2].create(LOCK, f"a{number}", "s", harness.spec(number))
                    for number in range(40)
                ]
                assert await next_changes(one, 40) == list(map(written, records))
                assert await next_changes(two, 40) == list(map(written, records))


class TestWaiting:
    @in_loop
    async def test_a_waiting_reader_wakes_up(self, harness: Harness) -> None:
        async with opened(harness) as store, opened(harness) as other:
            start = await store.create(LOCK, "a", "s", harness.spec(0))
            async with store.watch(LOCK, start.version, name="a") as watch:
                for writer in (store, other):
                    reading = asyncio.create_task(watch.next())
                    await turns_of_the_loop()
                    assert not reading.done()
                    start = await writer.replace(LOCK, "a", start.version, "s", harness.spec(1))
                    assert await asyncio.wait_for(reading, WAIT_SECONDS) == written(start)

    @in_loop
    async def test_a_cancelled_next_loses_nothing(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(0))
            async with store.watch(LOCK, record.version, name="a") as watch:
                await self.cancel_next(watch)
                record = await store.replace(LOCK, "a", record.version, "s", harness.spec(1))
                await self.cancel_next(watch)
                assert await next_change(watch) == written(record)

    @staticmethod
    async def cancel_next(watch: Watch) -> None:
        reading = asyncio.create_task(watch.next())
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading

    @in_loop
    async def test_cancelling_at_the_very_moment_of_a_change_loses_nothing(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(0))
            async with store.watch(LOCK, record.version, name="a") as watch:
                for turns in range(8):
                    reading = asyncio.create_task(watch.next())
                    await turns_of_the_loop()
                    record = await store.replace(LOCK, "a", record.version, "s", harness.spec(turns))
                    await turns_of_the_loop(turns)
                    reading.cancel()
                    try:
                        change = await reading
                    except asyncio.CancelledError:
                        change = await next_change(watch)
                    assert change == written(record)


class TestClosing:
    @in_loop
    async def test_a_closed_watch_frees_everything(self, harness: Harness) -> None:
        async with opened(harness) as store:
            start = await store.create(LOCK, "a", "s", harness.spec(0))
            # What a store keeps from its first watch and list on, for all that follow, is not a leak.
            await self.use_watches(store, start)
            before, held_before = resources(), harness.held_by_watches(store)
            for _ in range(3):
                start = await store.replace(LOCK, "a", start.version, "s", harness.spec(1))
                await self.use_watches(store, start)

            async def now() -> tuple[Resources, object]:
                return resources(), harness.held_by_watches(store)

            await until(now, lambda found: found[0].within(before) and found[1] == held_before)

    @staticmethod
    async def use_watches(store: Store, start: Record) -> None:
        """Some unread, some read, some left while a task waits, some by an exception."""
        await store.list(LOCK)
        async with contextlib.AsyncExitStack() as stack:
            for name, session in ((None, None), ("a", None), (None, "s"), ("a", None), ("b", None)):
                watch = await stack.enter_async_context(
                    store.watch(LOCK, start.version - 1, name=name, session=session)
                )
                reading = asyncio.create_task(watch.next())
                await turns_of_the_loop()
                reading.cancel()
                await asyncio.wait([reading])
        with contextlib.suppress(KeyError):
            async with store.watch(LOCK, start.version):
                raise KeyError

    @in_loop
    async def test_a_watch_that_is_never_entered_costs_nothing(self, harness: Harness) -> None:
        async with opened(harness) as store:
            await store.list(LOCK)
            before, held = resources(), harness.held_by_watches(store)
            unused = [store.watch(LOCK, 1, name="a") for _ in range(5)]
            assert resources().within(before)
            assert harness.held_by_watches(store) == held
            assert len(unused) == 5

    @in_loop
    async def test_a_reader_of_a_closed_watch_is_told(self, harness: Harness) -> None:
        async with opened(harness) as store:
            start = await store.create(LOCK, "a", "s", harness.spec(0))
            async with store.watch(LOCK, start.version) as watch:
                pass
            with pytest.raises(StoreUnavailable):
                await next_change(watch)

    @in_loop
    async def test_a_closed_store_ends_its_watches(self, harness: Harness) -> None:
        store = await harness.open()
        start = await store.create(LOCK, "a", "s", harness.spec(0))
        async with store.watch(LOCK, start.version) as watch, store.watch(LOCK, start.version, name="a") as other:
            reading = asyncio.create_task(watch.next())
            await turns_of_the_loop()
            await store.close()
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(reading, WAIT_SECONDS)
            with pytest.raises(StoreUnavailable):
                await next_change(other)
        await store.close()

    @in_loop
    async def test_opening_and_closing_stores_leaks_nothing(self, harness: Harness) -> None:
        async def use() -> None:
            async with opened(harness) as store:
                listing = await store.list(LOCK)
                async with store.watch(LOCK, listing.version):
                    pass

        async def now() -> Resources:
            return resources()

        await use()
        before = resources()
        for _ in range(3):
            await use()
        await until(now, lambda found: found.within(before))
