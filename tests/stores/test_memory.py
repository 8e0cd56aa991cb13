"""What is special to the memory store: where its versions start, and its bounds."""

from __future__ import annotations

import asyncio

import pytest

from elector_server.store import WatchExpired
from elector_server.store.memory import MemoryStore
from elector_server.store.watching import UNREAD_LIMIT
from tests.stores.harness import next_change, next_changes


def test_versions_start_where_told_and_rise_by_one() -> None:
    async def main() -> None:
        store = MemoryStore(1000)
        assert (await store.list("lock")).version == 999
        first = await store.create("lock", "a", "s", {})
        await store.delete("lock", "a", first.version)
        second = await store.create("lock", "a", "s", {})
        assert (first.version, second.version) == (1000, 1002)

    asyncio.run(main())


def test_an_operation_is_done_at_its_first_step() -> None:
    store = MemoryStore(1)
    with pytest.raises(StopIteration) as done:
        store.create("lock", "a", "s", {}).send(None)
    assert done.value.value.version == 1


def test_a_watch_from_before_the_history_is_told() -> None:
    async def main() -> None:
        store = MemoryStore(1, history_limit=5)
        for number in range(10):
            await store.create("lock", f"a{number}", "s", {})
        async with store.watch("lock", 5) as watch:
            assert [change.version for change in await next_changes(watch, 5)] == [6, 7, 8, 9, 10]
        for since in (4, 0, -1, 11):
            async with store.watch("lock", since) as watch:
                with pytest.raises(WatchExpired):
                    await next_change(watch)

    asyncio.run(main())


def test_a_watch_that_nobody_reads_is_ended() -> None:
    async def main() -> None:
        store = MemoryStore(1)
        async with store.watch("lock", 0) as watch, store.watch("lock", 0) as reader:
            for number in range(UNREAD_LIMIT + 1):
                await store.create("lock", f"a{number}", "s", {})
                await reader.next()
            with pytest.raises(WatchExpired, match="left unread"):
                await next_change(watch)

    asyncio.run(main())


def test_two_readers_of_one_watch_are_a_mistake() -> None:
    async def main() -> None:
        store = MemoryStore(1)
        async with store.watch("lock", 0) as watch:
            reading = asyncio.ensure_future(watch.next())
            await asyncio.wait([reading], timeout=0)
            with pytest.raises(RuntimeError, match="another task"):
                await watch.next()
            reading.cancel()
            await asyncio.wait([reading])

    asyncio.run(main())


def test_a_watch_is_by_name_or_by_session() -> None:
    with pytest.raises(ValueError, match="not both"):
        MemoryStore(1).watch("lock", 0, name="a", session="s")


def test_the_repr_shows_the_state() -> None:
    async def main() -> None:
        store = MemoryStore(7)
        record = await store.create("lock", "a", "s", {})
        async with store.watch("lock", record.version, name="a") as watch:
            assert repr(store) == "<MemoryStore: 1 records, version 7, 1 watches>"
            assert repr(watch) == "<ChangeWatch ('lock', 'a', None) since 7, 0 unread, open>"
        await store.close()
        assert repr(store) == "<MemoryStore: 1 records, version 7, 0 watches, closed>"

    asyncio.run(main())
