"""Those who wait for news share one watch, which is open only as long as they look, and miss no last state."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Self

import pytest

from elector_server.clock import SystemClock
from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.problems import ElectorBusy, ElectorStopping, StoreDown
from elector_server.rules.lock import KIND
from elector_server.store import Change, Listing, StoreUnavailable, WatchExpired
from elector_server.store.memory import MemoryStore

SPEC = {"holder": "h", "session": "s", "epoch": 1, "owner": "me", "lease_seconds": 20.0}
ANSWER_SECONDS = 20.0


class Leaving:
    """A caller who can go away."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()

    async def wait(self) -> None:
        await self.gone.wait()

    def is_gone(self) -> bool:
        return self.gone.is_set()


class Store(MemoryStore):
    """A store whose watches are counted, and can be deaf, and which can go away."""

    def __init__(self) -> None:
        super().__init__(1_000)
        self.watches = 0
        self.opened = 0
        self.lists = 0
        self.is_deaf = self.is_away = self.expires = False

    def watch(self, kind: str, since: int, **of: Any) -> Any:
        watch = super().watch(kind, since, **of)
        return Counted(self, watch) if kind == KIND and of.get("name") else watch

    async def list(self, kind: str, **of: Any) -> Listing:
        self.lists += kind == KIND and "name" in of
        if self.is_away:
            raise StoreUnavailable("it is away")
        return await super().list(kind, **of)


class Counted:
    def __init__(self, store: Store, watch: Any) -> None:
        self._store = store
        self._watch = watch

    async def __aenter__(self) -> Self:
        self._store.watches += 1
        self._store.opened += 1
        await self._watch.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        self._store.watches -= 1
        await self._watch.__aexit__(*error)

    async def next(self) -> Change:
        if self._store.is_away:
            raise StoreUnavailable("it is away")
        if self._store.expires:
            self._store.expires = False
            raise WatchExpired("it is too old")
        change = await self._watch.next()
        return await asyncio.Event().wait() if self._store.is_deaf else change  # type: ignore[return-value]


def with_elector(scenario: Callable[[Elector, Store], Awaitable[None]], *, has_room: bool = True) -> None:
    """Run it with an elector on a store of its own."""

    async def run() -> None:
        store = Store()
        elector = Elector(
            store,
            identity=Identity("here", "here", "boot"),
            durations=Durations(lease_seconds=4.0, client_ttl_seconds=4.0),
            clock=SystemClock(),
            random=random.Random(1),
            has_room=lambda: has_room,
        )
        await elector.start()
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                await scenario(elector, store)
        finally:
            await elector.stop()
        assert elector.background.failures == 0

    asyncio.run(run())


def token_of(view: Any) -> int:
    return 0 if view is None else view.token


async def look(elector: Elector, known: int, seconds: float = ANSWER_SECONDS, leaving: Leaving | None = None) -> int:
    view = await elector.look("x", lambda view: token_of(view) != known, seconds, leaving or Leaving())
    return token_of(view)


async def until(condition: Callable[[], object]) -> None:
    while not condition():  # noqa: ASYNC110 -- whatever it is; the test has a bound
        await asyncio.sleep(0.001)


def test_many_share_one_watch_that_is_closed_after_the_last():
    async def scenario(elector: Elector, store: Store) -> None:
        looking = [asyncio.create_task(look(elector, 0)) for _ in range(50)]
        await until(lambda: store.lists == 50 and store.watches)
        assert store.watches == 1
        record = await store.create(KIND, "x", "s", SPEC)
        assert await asyncio.gather(*looking) == [record.version] * 50
        await until(lambda: not store.watches)
        assert store.opened == 1
        assert not elector._onlookers._scenes

    with_elector(scenario)


def test_one_who_leaves_does_not_end_the_watch_of_others():
    async def scenario(elector: Elector, store: Store) -> None:
        leaving = Leaving()
        first = asyncio.create_task(look(elector, 0, leaving=leaving))
        second = asyncio.create_task(look(elector, 0))
        await until(lambda: store.lists == 2 and store.watches)
        leaving.gone.set()
        assert await first == 0
        third = asyncio.create_task(look(elector, 0))
        await until(lambda: store.lists == 3)
        record = await store.create(KIND, "x", "s", SPEC)
        assert await asyncio.gather(second, third) == [record.version] * 2
        assert store.opened == 1

    with_elector(scenario)


def test_the_departure_of_the_last_ends_the_watch():
    async def scenario(elector: Elector, store: Store) -> None:
        leaving = Leaving()
        looking = asyncio.create_task(look(elector, 0, leaving=leaving))
        await until(lambda: store.watches)
        leaving.gone.set()
        assert await looking == 0
        await until(lambda: not store.watches)

    with_elector(scenario)


def test_a_cancelled_look_ends_the_watch():
    async def scenario(elector: Elector, store: Store) -> None:
        looking = asyncio.create_task(look(elector, 0))
        await until(lambda: store.watches)
        looking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await looking
        await until(lambda: not store.watches)

    with_elector(scenario)


def test_what_a_watch_misses_the_poll_finds():
    async def scenario(elector: Elector, store: Store) -> None:
        store.is_deaf = True
        looking = asyncio.create_task(look(elector, 0))
        await until(lambda: store.watches)
        record = await store.create(KIND, "x", "s", SPEC)
        assert await looking == record.version

    with_elector(scenario)


def test_a_watch_that_expires_is_opened_again():
    async def scenario(elector: Elector, store: Store) -> None:
        store.expires = True
        looking = asyncio.create_task(look(elector, 0))
        await until(lambda: store.opened == 2)
        record = await store.create(KIND, "x", "s", SPEC)
        assert await looking == record.version

    with_elector(scenario)


def test_a_removal_is_news():
    async def scenario(elector: Elector, store: Store) -> None:
        record = await store.create(KIND, "x", "s", SPEC)
        looking = asyncio.create_task(look(elector, record.version))
        await until(lambda: store.watches)
        await store.delete(KIND, "x", record.version)
        assert await looking == 0

    with_elector(scenario)


def test_what_is_no_news_for_one_is_for_another():
    async def scenario(elector: Elector, store: Store) -> None:
        first = await store.create(KIND, "x", "s", SPEC)
        knows_first = asyncio.create_task(look(elector, first.version))
        await until(lambda: store.watches)
        second = await store.replace(KIND, "x", first.version, "s", SPEC)
        knows_second = asyncio.create_task(look(elector, second.version))
        assert await knows_first == second.version
        await store.delete(KIND, "x", second.version)
        assert await knows_second == 0

    with_elector(scenario)


def test_a_change_between_the_read_and_the_wait_is_not_missed():
    """The shared watch has shown it already when the one whose read is older begins to wait."""

    async def scenario(elector: Elector, store: Store) -> None:
        leaving = Leaving()
        other = asyncio.create_task(elector.look("x", lambda _: False, ANSWER_SECONDS, leaving))
        await until(lambda: store.watches)
        before = await store.list(KIND, name="x")
        shared = elector._onlookers._scenes["x"]
        record = await store.create(KIND, "x", "s", SPEC)
        await until(lambda: shared._sight.record is not None)

        async def stale(*_: Any, **__: Any) -> Listing:
            return before

        store.list = stale  # type: ignore[method-assign]
        assert await look(elector, 0) == record.version
        assert elector._onlookers._scenes["x"] is shared
        leaving.gone.set()
        await other

    with_elector(scenario)


def test_what_others_have_not_seen_yet_is_no_news_for_one_who_knows_it():
    """And those who wait already hear of it by the read of the one who comes."""

    async def scenario(elector: Elector, store: Store) -> None:
        store.is_deaf = True
        first = asyncio.create_task(look(elector, 0))
        await until(lambda: store.watches)
        record = await store.create(KIND, "x", "s", SPEC)
        assert await look(elector, record.version, 0.05) == record.version
        assert await first == record.version

    with_elector(scenario)


def test_the_end_of_the_time_is_no_news():
    async def scenario(elector: Elector, store: Store) -> None:
        assert await look(elector, 0, 0.05) == 0
        record = await store.create(KIND, "x", "s", SPEC)
        assert await look(elector, record.version, 0.05) == record.version

    with_elector(scenario)


def test_a_store_that_is_away_is_not_taken_for_no_news():
    async def scenario(elector: Elector, store: Store) -> None:
        looking = asyncio.create_task(look(elector, 0, 4 * elector.durations.poll_seconds))
        await until(lambda: store.watches)
        store.is_away = True
        with pytest.raises(StoreDown, match="has not answered for"):
            await looking
        with pytest.raises(StoreDown, match="it is away"):
            await look(elector, 0)

    with_elector(scenario)


def test_a_stop_ends_every_look():
    async def scenario(elector: Elector, store: Store) -> None:
        looking = asyncio.create_task(look(elector, 0))
        await until(lambda: store.watches)
        elector.begin_stop()
        with pytest.raises(ElectorStopping):
            await looking
        with pytest.raises(ElectorStopping):
            await look(elector, 0)

    with_elector(scenario)


def test_a_stop_ends_a_look_whose_read_is_under_way():
    async def scenario(elector: Elector, store: Store) -> None:
        listed = store.list

        async def stop_meanwhile(*arguments: Any, **of: Any) -> Listing:
            elector.begin_stop()
            return await listed(*arguments, **of)

        store.list = stop_meanwhile  # type: ignore[method-assign]
        with pytest.raises(ElectorStopping):
            await look(elector, 0)

    with_elector(scenario)


def test_looks_wait_only_while_there_is_room():
    async def scenario(elector: Elector, _: Store) -> None:
        with pytest.raises(ElectorBusy):
            await look(elector, 0)

    with_elector(scenario, has_room=False)
