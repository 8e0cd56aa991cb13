"""An API server that misbehaves: one request for one call, and the right word for whatever came of it."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from elector_server.store import Conflict, Exists, OutcomeUnknown, Store, StoreUnavailable
from elector_server.store import kubernetes_api as api_module
from elector_server.store.kubernetes_http import CONCURRENT_CALLS_MAX
from tests.stores.fake_api import FakeApi, Seen, answer, status, stored, until_true
from tests.stores.harness import LOCK, SESSION

SPEC = {"owner": "pod"}

Test = Callable[..., Coroutine[Any, Any, None]]


def in_loop(test: Test) -> Callable[..., None]:
    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        asyncio.run(asyncio.wait_for(test(*arguments, **named), 30))

    return run


WRITES: tuple[Callable[[Store], Coroutine[Any, Any, object]], ...] = (
    lambda store: store.create(LOCK, "a", "s", SPEC),
    lambda store: store.replace(LOCK, "a", 5, "s", SPEC),
    lambda store: store.delete(LOCK, "a", 5),
)
READS: tuple[Callable[[Store], Coroutine[Any, Any, object]], ...] = (
    lambda store: store.get(LOCK, "a"),
    lambda store: store.list(LOCK),
)


async def outcome(raw: bytes, use: Callable[[Store], Coroutine[Any, Any, object]], *, close: bool = False) -> Any:
    """What a call becomes when the server sends `raw`; and that it was asked exactly once."""

    async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if close:
            await writer.drain()
            writer.close()

    async with FakeApi(behave) as api:
        store = api.store()
        try:
            return await use(store)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is looked at
            return error
        finally:
            await store.close()
            assert len(api.requests) == 1


class TestOneRequestForOneCall:
    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @pytest.mark.parametrize("code", [500, 502, 503, 504])
    @in_loop
    async def test_failures_are_not_tried_again(self, code: int, use: Any) -> None:
        error = await outcome(answer(code, Retry_After="0"), use)
        assert type(error) is (OutcomeUnknown if use in WRITES else StoreUnavailable)
        assert error.code == "api_failing"

    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @pytest.mark.parametrize("code", [301, 302, 307, 308])
    @in_loop
    async def test_redirects_are_not_followed(self, code: int, use: Any) -> None:
        error = await outcome(answer(code, Location="http://127.0.0.1:1/"), use)
        assert isinstance(error, StoreUnavailable)

    @in_loop
    async def test_nothing_of_the_environment_counts(self, monkeypatch: pytest.MonkeyPatch | None = None) -> None:
        with pytest.MonkeyPatch.context() as patch:
            for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
                patch.setenv(name, "http://127.0.0.1:1")
            record = await outcome(answer(200, stored("a", 7)), READS[0])
            assert record.version == 7

    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @pytest.mark.parametrize("raw", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", b"SSH-2.0\r\n\r\n"])
    @in_loop
    async def test_an_answer_cut_off_is_no_answer(self, raw: bytes, use: Any) -> None:
        error = await outcome(raw, use, close=True)
        assert type(error) is (OutcomeUnknown if use in WRITES else StoreUnavailable)
        assert error.code == "api_silent"

    @pytest.mark.parametrize("use", [*WRITES[:2], *READS])
    @in_loop
    async def test_an_answer_that_is_no_json_is_none(self, use: Any) -> None:
        code = 201 if use is WRITES[0] else 200
        error = await outcome(answer(code, b"{"), use)
        assert type(error) is (OutcomeUnknown if use in WRITES else StoreUnavailable)

    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @in_loop
    async def test_silence_ends_by_our_own_clock(self, use: Any) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(api_module, "CALL_SECONDS", 0.1)
            error = await outcome(b"", use)
        assert type(error) is (OutcomeUnknown if use in WRITES else StoreUnavailable)
        assert "no answer within 0.1 s" in str(error)

    @in_loop
    async def test_an_interim_answer_is_not_the_answer(self) -> None:
        interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        record = await outcome(interim + interim + answer(201, stored("a", 7)), WRITES[0])
        assert record.version == 7

    @in_loop
    async def test_a_pause_that_is_asked_for_is_made(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            busy = answer(429, Retry_After="1")
            writer.write(busy if len(api.requests) == 1 else answer(200, stored("a", 7)))

        async with FakeApi(behave) as api:
            store = api.store()
            with pytest.raises(StoreUnavailable) as caught:
                await store.get(LOCK, "a")
            assert caught.value.code == "api_busy"
            begun = asyncio.get_running_loop().time()
            assert await store.get(LOCK, "a")
            assert asyncio.get_running_loop().time() - begun > 0.9
            await store.close()


class TestRefusals:
    @in_loop
    async def test_a_create_that_collides_exists(self) -> None:
        assert type(await outcome(status(409, "AlreadyExists", name="a"), WRITES[0])) is Exists

    @in_loop
    async def test_a_quota_that_is_counted_right_now_is_no_collision(self) -> None:
        error = await outcome(status(409, "Conflict", kind="resourcequotas", name="q"), WRITES[0])
        assert type(error) is StoreUnavailable

    @pytest.mark.parametrize("use", WRITES[1:])
    @in_loop
    async def test_another_version_is_a_conflict(self, use: Any) -> None:
        assert type(await outcome(status(409, "Conflict", name="a"), use)) is Conflict
        assert type(await outcome(status(404, "NotFound", name="a", kind="locks"), use)) is Conflict

    @pytest.mark.parametrize("use", WRITES)
    @in_loop
    async def test_a_webhook_that_refuses_with_the_status_of_a_conflict_is_none(self, use: Any) -> None:
        error = await outcome(status(409, "Conflict", 'admission webhook "w" denied the request: not now'), use)
        assert (type(error), error.code) == (StoreUnavailable, "admission_refused")

    @pytest.mark.parametrize("use", WRITES)
    @in_loop
    async def test_refusals_before_anything_was_done_are_certain(self, use: Any) -> None:
        for code in (400, 401, 403, 405, 413, 422, 429):
            assert type(await outcome(answer(code), use)) is StoreUnavailable


class TestTokens:
    @in_loop
    async def test_a_refused_token_is_read_again_and_the_request_sent_once_more(self) -> None:
        tokens = ["Bearer old", "Bearer new", "Bearer new"]

        async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
            good = seen.headers["authorization"] == "Bearer new"
            writer.write(answer(201, stored("a", 7)) if good else answer(401))

        async with FakeApi(behave) as api:
            store = api.store(lambda: api.access(tokens.pop(0)))
            assert (await store.create(LOCK, "a", "s", SPEC)).version == 7
            assert len(api.requests) == 2
            await store.close()

    @in_loop
    async def test_the_same_token_is_not_sent_again(self) -> None:
        error = await outcome(answer(401), WRITES[0])
        assert error.code == "token_refused"


class TestAnotherAddress:
    @in_loop
    async def test_nothing_more_is_sent_to_the_one_before(self) -> None:
        async def refuse_the_second(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, stored("a", 1)) if len(old.requests) == 1 else answer(401))

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, stored("a", 2)))

        async with FakeApi(refuse_the_second) as old, FakeApi(behave) as new:
            accesses = [old.access(), new.access()]
            store = old.store(lambda: accesses.pop(0))
            assert [(await store.get(LOCK, "a")).version for _ in range(2)] == [1, 2]
            assert (len(old.requests), len(new.requests)) == (2, 1)
            await store.close()


class TestConnections:
    @in_loop
    async def test_they_are_kept_and_bounded(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(0.005)
            writer.write(answer(200, stored("a", 7)))

        async with FakeApi(behave) as api:
            store = api.store()
            for _ in range(5):
                await store.get(LOCK, "a")
            assert api.connections == 1
            await asyncio.gather(*(store.get(LOCK, "a") for _ in range(100)))
            assert api.connections <= CONCURRENT_CALLS_MAX
            assert len(api.requests) == 105
            await store.close()
            await until_true(lambda: api.open_connections == 0)

    @in_loop
    async def test_a_renewal_does_not_queue_behind_calls_that_hang(self) -> None:
        async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
            if "/sessions/" in seen.path:
                writer.write(answer(200, stored("s", 8)))

        async with FakeApi(behave) as api:
            store = api.store()
            hanging = [asyncio.create_task(store.get(LOCK, f"n{number}")) for number in range(CONCURRENT_CALLS_MAX + 9)]
            await until_true(lambda: len(api.requests) == CONCURRENT_CALLS_MAX)
            assert (await store.replace(SESSION, "s", 7, "i", SPEC)).version == 8
            assert len(api.requests) == CONCURRENT_CALLS_MAX + 1
            assert not any(task.done() for task in hanging)
            for task in hanging:
                task.cancel()
            await asyncio.gather(*hanging, return_exceptions=True)
            await store.close()

    @in_loop
    async def test_one_that_the_server_closed_is_not_used_again(self) -> None:
        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(200, stored("a", 7), Connection="close"))
            await writer.drain()
            writer.close()

        async with FakeApi(behave) as api:
            store = api.store()
            for _ in range(3):
                await store.get(LOCK, "a")
            assert api.connections == 3
            await store.close()

    @pytest.mark.parametrize("use", [*WRITES, *READS])
    @in_loop
    async def test_one_that_breaks_is_not_replaced_by_another(self, use: Any) -> None:
        """The request may have been carried out: to send it again is not for a library to decide."""

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            if len(api.requests) == 1:
                writer.write(answer(200, stored("a", 7)))
            else:
                writer.close()

        async with FakeApi(behave) as api:
            store = api.store()
            await store.get(LOCK, "a")
            with pytest.raises(OutcomeUnknown if use in WRITES else StoreUnavailable) as caught:
                await use(store)
            assert caught.value.code == "api_silent"
            assert (len(api.requests), api.connections) == (2, 1)
            await store.close()

    @pytest.mark.parametrize("stray", [answer(200, stored("a", 999)), answer(408), b"HTTP/1.1 200 OK\r\n", b"?"])
    @in_loop
    async def test_what_nobody_asked_for_is_no_answer(self, stray: bytes) -> None:
        """Else it would pass for the answer to the next request, and that one's for the one after it."""

        async def behave(_seen: Seen, writer: asyncio.StreamWriter) -> None:
            writers.append(writer)
            writer.write(answer(200, stored("a", len(api.requests))))

        writers: list[asyncio.StreamWriter] = []
        async with FakeApi(behave) as api:
            store = api.store()
            await store.get(LOCK, "a")
            writers[0].write(stray)
            await asyncio.sleep(0.05)
            record = await store.replace(LOCK, "a", 1, "s", SPEC)
            assert record.version == 2
            await store.close()

    @in_loop
    async def test_a_call_that_is_given_up_takes_its_connection_along(self) -> None:
        """A late answer must not pass for that of the next request."""

        async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
            if seen.path.endswith("/slow"):
                await asyncio.sleep(0.1)
            writer.write(answer(200, stored(seen.path.rpartition("/")[2], 7)))

        async with FakeApi(behave) as api:
            store = api.store()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.03):
                    await store.get(LOCK, "slow")
            record = await store.get(LOCK, "quick")
            assert record is not None
            assert record.name == "quick"
            assert api.connections == 2
            await store.close()
