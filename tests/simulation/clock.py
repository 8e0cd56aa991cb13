"""The clock of one simulated machine: it runs a little fast or slow, and its wall clock is wrong."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta

from tests.simulation.virtual_loop import VirtualLoop

_TIMER_LATENESS_SECONDS = 1e-6
"""A timer never fires early. Rounding must not make it do so here, else loops on a deadline would spin for ever."""

_WALL_START = datetime(2030, 1, 1, tzinfo=UTC)


class SimulatedClock:
    """Implements `elector_server.clock.Clock` over virtual time."""

    def __init__(self, loop: VirtualLoop, *, rate: float = 1.0, offset: float = 0.0, wall_offset: float = 0.0) -> None:
        self.rate = rate
        self._loop = loop
        self._offset = offset
        self._wall_offset = wall_offset

    def now(self) -> float:
        return self._offset + self.rate * self._loop.time()

    def wall(self, ahead_seconds: float = 0.0) -> str:
        moment = _WALL_START + timedelta(seconds=self._loop.time() + self._wall_offset + ahead_seconds)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(self._virtual(seconds))

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(self._virtual(seconds))

    def virtual_time_of(self, moment: float) -> float:
        """The virtual time at which this clock shows `moment`."""
        return (moment - self._offset) / self.rate

    def _virtual(self, seconds: float) -> float:
        return max(0.0, seconds) / self.rate + _TIMER_LATENESS_SECONDS
