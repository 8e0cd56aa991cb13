"""What every store must do with single records. Nothing here asks for more than the protocol promises.

Reads may be old: a test that needs a certain answer asks until it comes. What a conditional write says is certain.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from elector_server.store import Conflict, Exists, Record, Store
from tests.stores.harness import (
    LOCK,
    SESSION,
    Harness,
    gone,
    in_loop,
    next_change,
    opened,
    raised,
    stored,
    until,
)

ODD_NAMES = (
    *(
        "a",
        "A",
        "-",
        "_",
        ".",
        "..",
        "...",
        " ",
        "  ",
        "\n",
        "\t",
        "%",
        "*",
        "'",
        '"',
        "--",
        "~",
        "a.b",
        "a-b",
        "1",
        "01",
    ),
    *("a/b", "/", "//", "../a", "a%2Fb", "%2F", "%", "a\\b", "a\x00b", "a\x00", "\x00", "null", "None"),
    *("é", "e\u0301", "ß", "SS", "ﬁ", "fi", "日本語", "😀", "👨‍👩‍👧", "\u202e", "\ufeff", "\U0010ffff"),
    *("x" * 512, "x" * 511, "x" * 511 + "y", "X" * 512, "😀" * 512, "." * 512, "/" * 512),
)


class TestCreate:
    @in_loop
    async def test_it_writes_what_was_given(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            assert record == Record(LOCK, "a", record.version, "s", harness.spec(1))
            await stored(store, record)

    @in_loop
    async def test_it_fails_if_the_record_is_there(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            for session, number in (("s", 1), ("other", 2)):
                with pytest.raises(Exists):
                    await store.create(LOCK, "a", session, harness.spec(number))
            await stored(store, record)

    @in_loop
    async def test_it_works_again_after_delete(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            await store.delete(LOCK, "a", first.version)
            second = await store.create(LOCK, "a", "t", harness.spec(2))
            assert second.version > first.version
            await stored(store, second)

    @in_loop
    async def test_kinds_do_not_collide(self, harness: Harness) -> None:
        async with opened(harness) as store:
            lock = await store.create(LOCK, "a", "s", harness.spec(1))
            session = await store.create(SESSION, "a", "s", harness.spec(2))
            await store.delete(LOCK, "a", lock.version)
            await gone(store, LOCK, "a")
            await stored(store, session)


class TestReplace:
    @in_loop
    async def test_it_writes_over_the_version_that_was_read(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            second = await store.replace(LOCK, "a", first.version, "t", harness.spec(2))
            assert second == Record(LOCK, "a", second.version, "t", harness.spec(2))
            assert second.version > first.version
            await stored(store, second)

    @in_loop
    async def test_it_fails_for_another_version(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            other = await store.create(LOCK, "b", "s", harness.spec(2))
            second = await store.replace(LOCK, "a", first.version, "s", harness.spec(3))
            for version in (first.version, other.version, second.version + 1, 1):
                with pytest.raises(Conflict):
                    await store.replace(LOCK, "a", version, "t", harness.spec(4))
            await stored(store, second)

    @in_loop
    async def test_it_fails_if_there_is_none(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            await store.delete(LOCK, "a", record.version)
            for name, version in (("a", record.version), ("a", record.version + 1), ("never", 1)):
                with pytest.raises(Conflict):
                    await store.replace(LOCK, name, version, "s", harness.spec(2))
                await gone(store, LOCK, name)

    @in_loop
    async def test_a_recreated_record_is_another_one(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            await store.delete(LOCK, "a", first.version)
            second = await store.create(LOCK, "a", "s", harness.spec(1))
            with pytest.raises(Conflict):
                await store.replace(LOCK, "a", first.version, "s", harness.spec(2))
            with pytest.raises(Conflict):
                await store.delete(LOCK, "a", first.version)
            await stored(store, second)

    @in_loop
    async def test_an_equal_spec_is_a_write_too(self, harness: Harness) -> None:
        """A renewal of a version proves something even if the text is the same."""
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            with_next = await store.replace(LOCK, "a", first.version, "s", harness.spec(2))
            assert with_next.version > first.version
            with pytest.raises(Conflict):
                await store.replace(LOCK, "a", first.version, "s", harness.spec(1))


class TestDelete:
    @in_loop
    async def test_it_removes_the_version_that_was_read(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            await store.delete(LOCK, "a", record.version)
            await gone(store, LOCK, "a")

    @in_loop
    async def test_it_fails_for_another_version(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            second = await store.replace(LOCK, "a", first.version, "s", harness.spec(2))
            for version in (first.version, second.version + 1, 1):
                with pytest.raises(Conflict):
                    await store.delete(LOCK, "a", version)
            await stored(store, second)

    @in_loop
    async def test_it_fails_if_there_is_none(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            await store.delete(LOCK, "a", record.version)
            for name, version in (("a", record.version), ("never", 1)):
                with pytest.raises(Conflict):
                    await store.delete(LOCK, name, version)


class TestFailedOperations:
    @in_loop
    async def test_they_change_nothing_that_a_watch_could_see(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            async with store.watch(LOCK, record.version) as watch:
                assert await raised(store.create(LOCK, "a", "t", harness.spec(2))) is Exists
                assert await raised(store.replace(LOCK, "a", record.version + 1, "t", harness.spec(2))) is Conflict
                assert await raised(store.replace(LOCK, "b", record.version, "t", harness.spec(2))) is Conflict
                assert await raised(store.delete(LOCK, "a", record.version + 1)) is Conflict
                assert await raised(store.delete(LOCK, "b", record.version)) is Conflict
                await store.replace(LOCK, "a", record.version, "s", harness.spec(3))
                change = await next_change(watch)
                assert change.record is not None
                assert change.record.spec == harness.spec(3)


class TestVersions:
    @in_loop
    async def test_they_rise_over_all_records_and_removals(self, harness: Harness) -> None:
        versions: list[int] = []
        async with opened(harness) as store, opened(harness) as other:
            for number in range(3):
                lock = await store.create(LOCK, "a", "s", harness.spec(number))
                session = await other.create(SESSION, f"b{number}", "", harness.spec(number))
                again = await other.replace(LOCK, "a", lock.version, "t", harness.spec(number + 10))
                versions += [lock.version, session.version, again.version]
                async with store.watch(LOCK, again.version, name="a") as watch:
                    await other.delete(LOCK, "a", again.version)
                    removal = await next_change(watch)
                    assert removal.record is None
                    versions.append(removal.version)
        assert versions == sorted(set(versions))

    @in_loop
    async def test_they_rise_over_closing_and_opening(self, harness: Harness) -> None:
        newest = 0
        for number in range(3):
            async with opened(harness) as store:
                record = await store.create(LOCK, f"a{number}", "s", harness.spec(1))
                assert record.version > newest
                async with store.watch(LOCK, record.version) as watch:
                    await store.delete(LOCK, record.name, record.version)
                    newest = (await next_change(watch)).version

    @in_loop
    async def test_records_survive_closing_if_the_store_is_durable(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
        async with opened(harness) as store:
            if harness.durable:
                await stored(store, record)
            else:
                await gone(store, LOCK, "a")


class TestLists:
    @in_loop
    async def test_they_are_sorted_and_of_one_kind(self, harness: Harness) -> None:
        async with opened(harness) as store:
            for number, name in enumerate(("b", "a", "é", "B", "10", "9")):
                await store.create(LOCK, name, "s", harness.spec(number))
            await store.create(SESSION, "c", "s", harness.spec(1))
            listing = await until(lambda: store.list(LOCK), lambda found: len(found.records) == 6)
            assert [record.name for record in listing.records] == ["10", "9", "B", "a", "b", "é"]
            assert {record.kind for record in listing.records} == {LOCK}

    @in_loop
    async def test_they_give_the_records_as_they_are(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            second = await store.create(LOCK, "b", "t", harness.spec(2))
            second = await store.replace(LOCK, "b", second.version, "u", harness.spec(3))
            await until(lambda: store.list(LOCK), lambda found: found.records == (first, second))

    @in_loop
    async def test_by_session(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            second = await store.create(LOCK, "b", "t", harness.spec(2))
            await store.create(SESSION, "c", "s", harness.spec(3))
            await until(lambda: store.list(LOCK, session="s"), lambda found: found.records == (first,))
            moved = await store.replace(LOCK, "b", second.version, "s", harness.spec(2))
            await until(lambda: store.list(LOCK, session="s"), lambda found: found.records == (first, moved))
            await until(lambda: store.list(LOCK, session="t"), lambda found: found.records == ())
            await store.delete(LOCK, "a", first.version)
            await until(lambda: store.list(LOCK, session="s"), lambda found: found.records == (moved,))

    @in_loop
    async def test_by_name(self, harness: Harness) -> None:
        async with opened(harness) as store:
            first = await store.create(LOCK, "a", "s", harness.spec(1))
            await store.create(LOCK, "A", "s", harness.spec(2))
            await store.create(SESSION, "a", "s", harness.spec(3))
            await until(lambda: store.list(LOCK, name="a"), lambda found: found.records == (first,))
            await store.delete(LOCK, "a", first.version)
            listing = await until(lambda: store.list(LOCK, name="a"), lambda found: found.records == ())
            async with store.watch(LOCK, listing.version, name="a") as watch:
                again = await store.create(LOCK, "a", "s", harness.spec(4))
                assert (await next_change(watch)).record == again
            never = await store.list(LOCK, name="never")
            assert never.records == ()

    @in_loop
    async def test_they_are_at_least_as_new_as_their_version(self, harness: Harness) -> None:
        async with opened(harness) as store:
            record = await store.create(LOCK, "a", "s", harness.spec(1))
            listing = await until(lambda: store.list(LOCK), lambda found: found.version >= record.version)
            assert listing.records == (record,)
            async with store.watch(LOCK, listing.version) as watch:
                later = await store.create(LOCK, "b", "s", harness.spec(2))
                assert (await next_change(watch)).version == later.version

    @in_loop
    async def test_an_empty_one_has_a_version_to_watch_from(self, harness: Harness) -> None:
        async with opened(harness) as store:
            listing = await store.list(LOCK)
            assert listing.records == ()
            async with store.watch(LOCK, listing.version) as watch:
                record = await store.create(LOCK, "a", "s", harness.spec(1))
                change = await next_change(watch)
                assert (change.name, change.version, change.record) == ("a", record.version, record)


class TestText:
    @in_loop
    async def test_odd_names_do_not_collide(self, harness: Harness) -> None:
        names = sorted(set(ODD_NAMES))
        async with opened(harness) as store:
            written = [await store.create(LOCK, name, "s", harness.spec(n)) for n, name in enumerate(names)]
            for record in written:
                await stored(store, record)
            await until(lambda: store.list(LOCK), lambda found: found.records == tuple(written))
            for number, record in enumerate(written):
                again = await store.replace(LOCK, record.name, record.version, "t", harness.spec(number + 1000))
                assert again.name == record.name
                await store.delete(LOCK, record.name, again.version)
            await until(lambda: store.list(LOCK), lambda found: found.records == ())

    @in_loop
    async def test_odd_names_can_be_watched(self, harness: Harness) -> None:
        async with opened(harness) as store:
            for name in sorted(set(ODD_NAMES)):
                async with store.watch(LOCK, (await store.list(LOCK)).version, name=name) as watch:
                    record = await store.create(LOCK, name, "s", harness.spec(1))
                    assert (await next_change(watch)).record == record

    @in_loop
    async def test_specs_come_back_as_they_went(self, harness: Harness) -> None:
        async with opened(harness) as store:
            for number, spec in enumerate(harness.odd_specs()):
                record = await store.create(LOCK, f"a{number}", "s", spec)
                assert record.spec == spec
                await stored(store, record)
                async with store.watch(LOCK, record.version, name=record.name) as watch:
                    again = await store.replace(LOCK, record.name, record.version, "s", harness.spec(1))
                    back = await store.replace(LOCK, record.name, again.version, "s", spec)
                    assert (await next_change(watch)).record == again
                    assert (await next_change(watch)).record == back


Attempt = Callable[[Store, int], Coroutine[Any, Any, object]]


class TestConcurrency:
    """Many tasks on two handles: a conditional write is one step, so exactly one of them gets through."""

    @staticmethod
    async def winners(harness: Harness, attempt: Attempt, *, losers: type[Exception]) -> list[int]:
        async with opened(harness) as store, opened(harness) as other:
            tasks = [asyncio.create_task(attempt((store, other)[n % 2], n)) for n in range(20)]
            results = await asyncio.gather(*tasks, return_exceptions=True)
        errors = [result for result in results if isinstance(result, BaseException)]
        assert all(type(error) is losers for error in errors), errors
        return [n for n, result in enumerate(results) if not isinstance(result, BaseException)]

    @in_loop
    async def test_one_create_wins(self, harness: Harness) -> None:
        def attempt(store: Store, number: int) -> Coroutine[Any, Any, object]:
            return store.create(LOCK, "a", f"s{number}", harness.spec(number))

        assert len(await self.winners(harness, attempt, losers=Exists)) == 1

    @in_loop
    async def test_one_replace_or_delete_wins(self, harness: Harness) -> None:
        async with opened(harness) as keeper:
            record = await keeper.create(LOCK, "a", "s", harness.spec(0))

            def attempt(store: Store, number: int) -> Coroutine[Any, Any, object]:
                if number % 3 == 0:
                    return store.delete(LOCK, "a", record.version)
                return store.replace(LOCK, "a", record.version, f"s{number}", harness.spec(number))

            assert len(await self.winners(harness, attempt, losers=Conflict)) == 1

    @in_loop
    async def test_no_step_of_a_counter_is_lost(self, harness: Harness) -> None:
        async def count(store: Store) -> None:
            for _ in range(10):
                await self.add_one(harness, store)

        async with opened(harness) as store, opened(harness) as other:
            await store.create(LOCK, "a", "0", harness.spec(0))
            await asyncio.gather(*(count(handle) for handle in (store, other) * 4))
            await until(lambda: store.get(LOCK, "a"), lambda found: found is not None and found.session == "80")

    @staticmethod
    async def add_one(harness: Harness, store: Store) -> None:
        while True:
            record = await store.get(LOCK, "a")
            assert record is not None
            number = int(record.session) + 1
            write = store.replace(LOCK, "a", record.version, str(number), harness.spec(number))
            if await raised(write) is not Conflict:
                return
