"""A real elector on a memory store behind the application, in one process and in virtual time: nothing sleeps."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from elector_server.durations import Durations
from elector_server.elector import Elector
from elector_server.own_session import Identity
from elector_server.store.memory import MemoryStore
from metaparticle_sync import wire
from tests.http.asking import Answer, app_of, asked
from tests.simulation import virtual_loop
from tests.simulation.clock import SimulatedClock


class InProcess:
    """One elector and its store. `client` has an open session."""

    def __init__(self, loop: virtual_loop.VirtualLoop, store: MemoryStore | None = None, key: str = "here") -> None:
        self._loop = loop
        self.store = store or MemoryStore(1_000)
        self.elector = Elector(
            self.store,
            identity=Identity(f"{key}:13131", key, "boot"),
            durations=Durations(lease_seconds=20.0, client_ttl_seconds=30.0),
            clock=SimulatedClock(loop),
            random=Random(f"{key} {loop.steps}"),  # No two lives draw the same ids.
        )
        self.app = app_of(self.elector)  # type: ignore[arg-type]  # the fake is made in its likeness
        self.client = wire.new_id()
        self.has_crashed = False

    def another(self, key: str) -> InProcess:
        """An elector on the same store; with the same key it is the next process of this one."""
        return InProcess(self._loop, self.store, key)

    def now(self) -> float:
        return self._loop.time()

    async def start(self) -> None:
        await self.elector.start()
        await self.open(self.client)

    async def open(self, client: str, process: str = "host:7 test", **fields: Any) -> Answer:
        answer = await self.ask("PUT", wire.session_path(client), {"process": process} | fields)
        assert answer.status == 200, answer
        return answer

    async def ask(self, method: str, path: str, body: object = None, *, gone: asyncio.Event | None = None) -> Answer:
        """One request; its answer is a success or a problem of the protocol, never a defect."""
        text = b"" if body is None else json.dumps(body).encode()
        answer = await asked(self.app, method, path, text, gone=gone)
        assert answer.status != 500, answer
        return answer

    def begin(self, method: str, path: str, body: object, *, gone: asyncio.Event | None = None) -> asyncio.Task[Answer]:
        """The same, in the background."""
        return asyncio.ensure_future(self.ask(method, path, body, gone=gone))

    async def heartbeat(self) -> Any:
        return (await self.ask("POST", wire.session_path(self.client), {})).json

    async def close(self, client: str) -> None:
        """A process is done."""
        assert (await self.ask("DELETE", wire.session_path(client))).status == 204

    async def crash(self) -> None:
        """It does nothing any more, and writes nothing."""
        self.has_crashed = True
        await self.elector.background.close()

    async def sleep(self, seconds: float) -> None:
        """Let virtual time pass; it costs none."""
        await self.elector.clock.sleep(seconds)


def in_virtual_time(scenario: Callable[[InProcess], Awaitable[None]]) -> Callable[[], None]:
    """A test that runs a scenario with one elector to its end."""

    async def main(loop: virtual_loop.VirtualLoop) -> None:
        elector = InProcess(loop)
        await elector.start()
        await scenario(elector)
        assert elector.elector.background.failures == 0
        if not elector.has_crashed:
            await elector.elector.stop()

    def test() -> None:
        virtual_loop.run(1, main)

    test.__name__, test.__doc__ = scenario.__name__, scenario.__doc__
    return test
