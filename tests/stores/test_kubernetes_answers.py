"""Answers that no API server gives, but that reach an elector: from a proxy, a hotel's network, a broken server."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from elector_server.store import OutcomeUnknown, StoreUnavailable, WatchExpired
from elector_server.store import kubernetes_http as http_module
from elector_server.store import kubernetes_watching as watching_module
from elector_server.store.kubernetes import KubernetesStore
from tests.processes.running import GENEROUS
from tests.stores.fake_api import STREAM_END, STREAM_HEAD, FakeApi, Seen, answer, stored
from tests.stores.harness import LOCK, next_change
from tests.stores.test_kubernetes_http import READS, WRITES, in_loop, outcome

ODD_BODIES: list[Any] = [
    b"<html>",
    b"null",
    b"[]",
    b"{}",
    b'"text"',
    b'{"metadata":{}}',
    b'{"metadata":null,"items":0}',
]


class TestSuccessesThatAreNone:
    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @pytest.mark.parametrize("body", ODD_BODIES)
    @in_loop
    async def test_another_body_is_no_answer(self, body: bytes, use: Any) -> None:
        error = await outcome(answer(201 if use is WRITES[0] else 200, body), use)
        assert type(error) is (OutcomeUnknown if use in WRITES else StoreUnavailable), error
        assert error.code == "api_silent"

    @pytest.mark.parametrize("use", WRITES)
    @pytest.mark.parametrize("code", [204, 206, 301, 307])
    @in_loop
    async def test_an_odd_status_of_a_write_leaves_it_unknown(self, code: int, use: Any) -> None:
        assert type(await outcome(answer(code), use)) is OutcomeUnknown

    @pytest.mark.parametrize("odd", [{"code": "x"}, {"code": 403, "details": []}, {"reason": 7, "message": None}])
    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @in_loop
    async def test_an_odd_refusal_is_one(self, odd: dict[str, Any], use: Any) -> None:
        assert type(await outcome(answer(403, {"kind": "Status"} | odd), use)) is StoreUnavailable


class TestAnswersWithoutEnd:
    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @in_loop
    async def test_of_a_body(self, use: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(http_module, "BODY_BYTES_MAX", 1000)
            error = await outcome(answer(201 if use is WRITES[0] else 200, b"x" * 2000), use)
        assert type(error) is (OutcomeUnknown if use in WRITES else StoreUnavailable)
        assert "larger than" in str(error)

    @in_loop
    async def test_of_the_headers(self) -> None:
        head = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: %s\r\n" % (number, b"x" * 1000) for number in range(1000))
        error = await outcome(head, READS[0])
        assert type(error) is StoreUnavailable
        assert error.code == "api_silent"

    @in_loop
    async def test_of_an_event(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD)
            writer.write(b"800\r\n" + b" " * 2048 + b"\r\n")

        async with FakeApi(behave) as api:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(watching_module, "LINE_BYTES_MAX", 1000)
                store = api.store()
                async with store.watch(LOCK, 5, name="a") as watch:
                    with pytest.raises(StoreUnavailable, match="no end"):
                        await next_change(watch)
                await store.close()


class TestNoBusyLoop:
    @in_loop
    async def test_watches_that_end_at_once(self) -> None:
        """The pauses grow, so that a second sees a handful of requests; and a watch that works is not slowed down."""

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(STREAM_HEAD + STREAM_END)

        async with FakeApi(behave) as api:
            store = api.store()
            async with store.watch(LOCK, 5, name="a") as watch:
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await watch.next()
            assert 2 <= len(api.requests) <= 10
            await store.close()

    @in_loop
    async def test_an_expired_watch_is_told_each_time(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(410, {"kind": "Status", "code": 410, "reason": "Expired"}))

        async with FakeApi(behave) as api:
            store = api.store()
            for _ in range(3):
                async with store.watch(LOCK, 5, name="a") as watch:
                    with pytest.raises(WatchExpired):
                        await next_change(watch)
            assert len(api.requests) == 3
            await store.close()


class TestPauses:
    @pytest.mark.parametrize("wanted", ["1000000000", "9" * 5000])
    @in_loop
    async def test_an_absurd_one_is_cut_short(self, wanted: str) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            first = len(api.requests) == 1
            writer.write(answer(429, Retry_After=wanted) if first else answer(200, stored("a", 7)))

        async with FakeApi(behave) as api:
            store = KubernetesStore(api.access, "ns", "there", call_seconds=0.4)
            with pytest.raises(StoreUnavailable):
                await store.get(LOCK, "a")
            async with asyncio.timeout(0.4 * GENEROUS):
                begun = asyncio.get_running_loop().time()
                assert await store.get(LOCK, "a")
            assert asyncio.get_running_loop().time() - begun > 0.15
            await store.close()
