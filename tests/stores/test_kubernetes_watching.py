"""Watches, and an API server that misbehaves: nothing is lost, and whoever can not know says so."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from elector_server.store import StoreUnavailable, WatchExpired
from elector_server.store import kubernetes_watching as module
from tests.stores.fake_api import STREAM_END, STREAM_HEAD, FakeApi, Seen, answer, event, stored, until_true
from tests.stores.harness import LOCK, next_change
from tests.stores.kinds import EVERYTHING
from tests.stores.test_kubernetes_http import in_loop


def bookmark(version: int) -> bytes:
    return event("BOOKMARK", {"kind": "Lock", "metadata": {"resourceVersion": str(version)}})


def since(seen: Seen) -> int:
    return int(seen.path.partition("resourceVersion=")[2].partition("&")[0])


class TestWhatItAsksFor:
    @in_loop
    async def test_names_labels_bookmarks_and_a_time(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD)

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="B a"), store.watch(LOCK, 6, session="s"), store.watch(LOCK, 7):
                await until_true(lambda: len(api.requests) == 3)
            await store.close()
        by_name, by_session, all_of_them = sorted((seen.path for seen in api.requests), key=lambda path: -len(path))
        for path in (by_name, by_session, all_of_them):
            assert "watch=1&allowWatchBookmarks=true&resourceVersion=" in path
            assert "timeoutSeconds=" in path
        assert "fieldSelector=metadata.name%3Db-a-" in by_name
        assert by_session.endswith("labelSelector=metaparticle.io%2Fsession%3Ds")


class TestExpiry:
    @pytest.mark.parametrize("as_event", [True, False])
    @in_loop
    async def test_410_in_both_its_forms(self, *, as_event: bool) -> None:
        gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD + event("ERROR", gone) if as_event else answer(410, gone))

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                with pytest.raises(WatchExpired, match="too old"):
                    await next_change(watch)
            await store.close()

    @in_loop
    async def test_another_error_is_no_expiry(self) -> None:
        failed = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd is on fire"}

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD + event("ERROR", failed))

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                with pytest.raises(StoreUnavailable, match="etcd is on fire"):
                    await next_change(watch)
            await store.close()


class TestGoingOn:
    @in_loop
    async def test_after_the_time_that_was_asked_for(self) -> None:
        """From the last version seen, be it an event's or a bookmark's; on the same connection."""
        rows = [event("ADDED", stored("a", 8)) + bookmark(20) + STREAM_END, event("MODIFIED", stored("a", 21))]

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD + rows[len(api.requests) - 1])

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                assert (await next_change(watch)).version == 8
                assert (await next_change(watch)).version == 21
            assert [since(seen) for seen in api.requests] == [5, 20]
            assert api.connections == 1
            await store.close()

    @in_loop
    async def test_after_silence(self) -> None:
        """A server that has forgotten us sends nothing, not even the end."""

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            first = len(api.requests) == 1
            writer.write(STREAM_HEAD + event("ADDED", stored("a", 8 if first else 9)))

        async with FakeApi(behave) as api:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(module, "REQUEST_SECONDS", (0, 0))
                patch.setattr(module, "SILENCE_SECONDS", 0.2)
                store = api.store()
                async with store.watch(LOCK, 5, name="a") as watch:
                    assert (await next_change(watch)).version == 8
                    assert (await next_change(watch)).version == 9
                assert [since(seen) for seen in api.requests[:2]] == [5, 8]
                await store.close()

    @in_loop
    async def test_after_a_break_in_the_middle_of_an_event(self) -> None:
        whole = event("ADDED", stored("a", 8))

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            if len(api.requests) == 1:
                writer.write(STREAM_HEAD + whole + event("ADDED", stored("a", 9))[:-20])
                await writer.drain()
                writer.close()
            else:
                writer.write(STREAM_HEAD + event("ADDED", stored("a", 9)))

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                assert [(await next_change(watch)).version for _ in range(2)] == [8, 9]
            await store.close()

    @in_loop
    async def test_not_if_the_server_is_gone(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.close()

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                with pytest.raises(StoreUnavailable):
                    await next_change(watch)
            await store.close()


class TestWhatItReports:
    @in_loop
    async def test_nothing_older_than_what_was_read_and_nothing_twice(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            events = [event("ADDED", stored("a", version)) for version in (3, 5, 6, 6, 4, 7)]
            writer.write(STREAM_HEAD + b"".join(events))

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                assert [(await next_change(watch)).version for _ in range(2)] == [6, 7]
            await store.close()

    @in_loop
    async def test_events_cut_anywhere(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            raw = STREAM_HEAD + b"".join(event("ADDED", stored("a", 6 + n, owner="é😀\n")) for n in range(3))
            for at in range(0, len(raw), 7):
                writer.write(raw[at : at + 7])
                await writer.drain()
                await asyncio.sleep(0)

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                assert [(await next_change(watch)).version for _ in range(3)] == [6, 7, 8]
            await store.close()


class TestConnections:
    @in_loop
    async def test_many_names_share_one(self) -> None:
        """The last ones hear of their names through one stream of the whole kind, whatever else it reports."""
        writers: dict[str, asyncio.StreamWriter] = {}

        async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
            writers[seen.path.partition("fieldSelector=metadata.name%3D")[2]] = writer
            writer.write(STREAM_HEAD)

        async with FakeApi(behave) as api:
            store = api.store()
            watches = [store.watch(LOCK, 5, name=f"n{number}") for number in range(50)]
            for watch in watches:
                await watch.__aenter__()
            await until_true(lambda: len(writers) > module.NAMED_STREAMS_MAX)
            await asyncio.sleep(0.05)
            assert api.connections == api.open_connections == module.NAMED_STREAMS_MAX + 1
            writers[""].write(event("ADDED", stored("n48", 6)) + event("ADDED", stored("n49", 7)))
            writers["n3"].write(event("ADDED", stored("n3", 8)))
            assert (await next_change(watches[49])).version == 7
            assert (await next_change(watches[48])).version == 6
            assert (await next_change(watches[3])).version == 8
            for watch in watches:
                await watch.__aexit__(None, None, None)
            await store.close()
            await until_true(lambda: api.open_connections == 0)

    @in_loop
    async def test_many_names_of_many_kinds_share_one_for_each_kind(self) -> None:
        """The bound is one for all kinds: a program that uses all of them needs no more connections for names."""

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD)

        async with FakeApi(behave) as api, contextlib.AsyncExitStack() as stack:
            store = api.store()
            stack.push_async_callback(store.close)
            watches = [store.watch(kind, 5, name=f"n{number}") for number in range(20) for kind in EVERYTHING]
            for watch in watches:
                await stack.enter_async_context(watch)
            await until_true(lambda: len(api.requests) >= module.NAMED_STREAMS_MAX + len(EVERYTHING))
            named = [seen.path for seen in api.requests if "fieldSelector" in seen.path]
            assert len(named) == module.NAMED_STREAMS_MAX
            assert len(api.requests) == len(named) + len(EVERYTHING)

    @in_loop
    async def test_waiting_again_for_the_same_name_costs_none(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD + event("ADDED", stored("a", 6)) + event("ADDED", stored("a", 7)))

        async with FakeApi(behave) as api:
            store = api.store()
            for newest in (5, 6, 5):
                async with store.watch(LOCK, newest, name="a") as watch:
                    assert (await next_change(watch)).version == newest + 1
            assert len(api.requests) == 1
            await store.close()

    @in_loop
    async def test_a_stream_without_readers_ends(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "LINGER_SECONDS", 0.05)
            async with FakeApi(behave) as api:
                store = api.store()
                async with store.watch(LOCK, 5, name="a"):
                    await until_true(lambda: bool(api.requests))
                await until_true(lambda: not api.open_connections)
                await store.close()
