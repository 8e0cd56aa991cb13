"""A client that only watches a lock, as the library's `changes()` does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from elector_server.problems import Problem

if TYPE_CHECKING:
    from elector_server.elector import Elector
    from elector_server.views import LockView
    from tests.simulation.client import SimulatedClient
    from tests.simulation.pod import Departure

LOOK_SECONDS = 25.0
PAUSE_SECONDS = 0.3

FREE = "free"


class Onlooker:
    """Asks again and again for news of one lock. `seen` are the holders, as they became known."""

    def __init__(self, client: SimulatedClient, name: str) -> None:
        self._client = client
        self._name = name
        self.seen: list[str] = []
        self.failures = self.looks = 0
        self._watching = client.run(self._watch())

    @property
    def last(self) -> str:
        """Who holds, as far as it knows."""
        return self.seen[-1] if self.seen else ""

    def end(self) -> None:
        """Watch no more."""
        self._watching.cancel()

    async def _watch(self) -> None:
        while True:
            try:
                holder = _holder(await self._client.call("look", self._look, LOOK_SECONDS))
            except (Problem, ConnectionError, TimeoutError):
                self.failures += 1
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                if holder != self.last:
                    self.seen.append(holder)

    async def _look(self, elector: Elector, departure: Departure) -> LockView | None:
        known = self.last
        self.looks += 1
        return await elector.look(self._name, lambda view: _holder(view) != known, LOOK_SECONDS, departure)


def _holder(view: LockView | None) -> str:
    return FREE if view is None else view.lock.hold.holder
