"""How the contract reaches an implementation: a new store adds a harness here and changes nothing else."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import re
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from elector_server.store import Change, Record, Spec, Store, StoreError, Watch
from elector_server.store.memory import MemoryStore
from elector_server.store.sqlite import SqliteStore

T = TypeVar("T")

LOCK, SESSION, SEMAPHORE = "lock", "session", "semaphore"

# Bounds of waiting, for a test that fails. None of them is measured.
WAIT_SECONDS = 10.0
TEST_SECONDS = 60.0


class Harness(Protocol):
    """One set of records, empty at first, and ways to reach it."""

    durable: bool
    """Whether records survive when all handles are closed. Versions always do."""

    async def open(self) -> Store:
        """Another handle on the same records, as another process would open one. The test closes it."""

    def spec(self, number: int, kind: str = LOCK) -> Spec:
        """A spec that the store accepts for locks, sessions, and that kind; another one for another number."""

    def odd_specs(self) -> Sequence[Spec]:
        """Specs at the edge of what the store accepts."""

    def held_by_watches(self, store: Store) -> object:
        """Something that is equal before a watch is opened and after it is closed."""


_ODD_SPECS: Sequence[Spec] = (
    {},
    {"": ""},
    {"text": "\x00 \n \" ' \\ ; DROP TABLE record; -- é e\u0301 😀 \u2028"},
    {"large": 2**63, "small": -(2**63), "half": 0.5, "yes": True, "no": False, "nothing": None},
    {"nested": {"list": [1, [2, [3, {"deep": []}]], {}], "empty": {}}},
    {"long": "x" * 100_000, "queue": [{"holder": f"{number:032x}", "session": "s"} for number in range(300)]},
)


class MemoryHarness:
    """All handles are one store: memory is not shared between processes."""

    durable = False

    def __init__(self, folder: Path) -> None:
        del folder
        self._store: MemoryStore | None = None

    async def open(self) -> Store:
        if self._store is None or "closed" in repr(self._store):
            self._store = MemoryStore(time.time_ns() // 1_000)
        return self._store

    def spec(self, number: int, kind: str = LOCK) -> Spec:
        return {"number": number, "kind": kind}

    def odd_specs(self) -> Sequence[Spec]:
        return _ODD_SPECS

    def held_by_watches(self, store: Store) -> object:
        return _watch_count(store)


class SqliteHarness:
    """Each handle has its own connections, as each process has."""

    durable = True

    def __init__(self, folder: Path) -> None:
        self.path = folder / "elector.db"

    async def open(self) -> Store:
        return SqliteStore(self.path, boot_id="boot")

    def spec(self, number: int, kind: str = LOCK) -> Spec:
        return {"number": number, "kind": kind}

    def odd_specs(self) -> Sequence[Spec]:
        return _ODD_SPECS

    def held_by_watches(self, store: Store) -> object:
        return _watch_count(store)


HARNESSES: Sequence[type[MemoryHarness | SqliteHarness]] = (MemoryHarness, SqliteHarness)


def _watch_count(store: Store) -> str:
    """The part of a store's repr that says what is open."""
    return repr(re.findall(r"\d+ watches.*", repr(store)))


@contextlib.asynccontextmanager
async def opened(harness: Harness) -> AsyncIterator[Store]:
    """One handle for as long as the context lasts."""
    store = await harness.open()
    try:
        yield store
    finally:
        await store.close()


def in_loop(test: Callable[[Any, Harness], Coroutine[Any, Any, None]]) -> Callable[[Any, Harness], None]:
    """Run an async test in a loop of its own, with a bound."""

    @functools.wraps(test)
    def run(self: object, harness: Harness) -> None:
        asyncio.run(asyncio.wait_for(test(self, harness), TEST_SECONDS))

    return run


async def next_change(watch: Watch) -> Change:
    return await asyncio.wait_for(watch.next(), WAIT_SECONDS)


async def next_changes(watch: Watch, count: int) -> list[Change]:
    return [await next_change(watch) for _ in range(count)]


async def turns_of_the_loop(count: int = 3) -> None:
    """Let tasks that are ready run."""
    for _ in range(count):
        turn = asyncio.get_running_loop().create_future()
        asyncio.get_running_loop().call_soon(turn.set_result, None)
        await turn


async def until(read: Callable[[], Awaitable[T]], accept: Callable[[T], bool]) -> T:
    """Read until the answer is accepted: a store may serve old reads, for a while."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + WAIT_SECONDS
    while True:
        answer = await read()
        if accept(answer):
            return answer
        assert loop.time() < deadline, f"the last answer was {answer!r}"
        pause = loop.create_future()
        loop.call_later(0.01, pause.set_result, None)
        await pause


async def stored(store: Store, record: Record) -> None:
    """Wait until the store reads as `record` says."""
    await until(lambda: store.get(record.kind, record.name), lambda found: found == record)


async def gone(store: Store, kind: str, name: str) -> None:
    """Wait until the store reads no such record."""
    await until(lambda: store.get(kind, name), lambda found: found is None)


async def raised(attempt: Awaitable[object]) -> type[StoreError] | None:
    """Which error of a store an attempt ended with, if any."""
    try:
        await attempt
    except StoreError as error:
        return type(error)
    return None


class Resources(NamedTuple):
    """Threads, tasks and open files of this process."""

    threads: int
    tasks: int
    files: int

    def within(self, before: Resources) -> bool:
        """Whether nothing came to what there was before. Less is no leak: the past may still be going away."""
        return all(now <= then for now, then in zip(self, before, strict=True))


def resources() -> Resources:
    """What this process uses now."""
    gc.collect()
    return Resources(threading.active_count(), len(asyncio.all_tasks()), len(list(Path("/proc/self/fd").iterdir())))


def use_sqlite(path: Path, body: Callable[[SqliteStore], Coroutine[Any, Any, None]]) -> None:
    """Open the file, do `body`, and close it again."""

    async def main() -> None:
        store = SqliteStore(path, boot_id="boot")
        try:
            await asyncio.wait_for(body(store), 60)
        finally:
            await store.close()

    asyncio.run(main())
