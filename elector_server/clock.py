"""The elector's only source of time. A simulation hands in another one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from typing import Protocol

# CLOCK_BOOTTIME runs on while the machine is suspended. macOS has no such clock; its MONOTONIC runs on in sleep.
_BOOT_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """Time as one elector sees it. Deadlines are compared with `now`, never with `wall`."""

    def now(self) -> float:
        """Seconds since boot; never steps, never stops."""

    def wall(self, ahead_seconds: float = 0.0) -> str:
        """The time of day (some seconds ahead) as RFC 3339 text, for people to read; never compared with anything."""

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` by this clock."""

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """A context that raises TimeoutError inside itself when `seconds` have passed."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> float:
        """CLOCK_BOOTTIME."""
        return time.clock_gettime(_BOOT_CLOCK)

    def wall(self, ahead_seconds: float = 0.0) -> str:
        """UTC, to the millisecond."""
        moment = datetime.now(UTC) + timedelta(seconds=ahead_seconds)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    async def sleep(self, seconds: float) -> None:
        """The event loop's sleep."""
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractAsyncContextManager[object]:
        """The event loop's timeout."""
        return asyncio.timeout(seconds)
