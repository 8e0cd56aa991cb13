"""Waiting for another elector's hold: the record is watched and polled, the holder's session observed.

A watch is a wake-up, never a truth. The poll is there for what a watch misses, and looks after one's own ticket.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from elector_server.rules.lock import KIND
from elector_server.store import Record, StoreUnavailable, WatchExpired
from elector_server.writes import Backoff, attempt

if TYPE_CHECKING:
    from elector_server.core import Core


class Watched(Protocol):
    """What the watch needs of its lock."""

    name: str

    @property
    def version(self) -> int:
        """The newest version known."""

    def see(self, version: int, record: Record | None) -> None:
        """Take in a change or a read."""

    def miss(self) -> None:
        """A read did not find the record, which proves nothing."""

    def kick(self) -> None:
        """Look again at what is to be done."""


class LockWatch:
    """The watch of one lock, open while its lock depends on another session."""

    def __init__(self, core: Core, lock: Watched) -> None:
        self._core = core
        self._lock = lock
        self._task: asyncio.Task[None] | None = None
        self._session: str | None = None

    def depend_on(self, session_id: str | None, lease_seconds: float) -> None:
        """Watch as long as the lock depends on a session; None ends it."""
        before, self._session = self._session, session_id
        if before is not None and before != session_id:
            self._core.foreign.forget(before, self._lock.kick)
        if session_id is not None and before != session_id:
            self._core.foreign.observe(session_id, lease_seconds, self._lock.kick)
        if session_id is None:
            self._stop()
        elif self._task is None:
            self._task = self._core.background.start(self._attend())

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _attend(self) -> None:
        clock = self._core.clock
        backoff = Backoff(clock, self._core.random)
        since = self._lock.version
        while True:
            begun_at = clock.now()
            try:
                await self._follow(since)
            except (WatchExpired, StoreUnavailable):
                if clock.now() - begun_at > self._core.durations.poll_seconds:
                    backoff = Backoff(clock, self._core.random)
                await backoff.pause()
                since = await self._poll() or since

    async def _follow(self, since: int) -> None:
        core = self._core
        async with core.store.watch(KIND, since, name=self._lock.name) as watch:
            while True:
                try:
                    async with core.clock.timeout(core.durations.poll_seconds * core.random.uniform(0.8, 1.0)):
                        change = await watch.next()
                except TimeoutError:
                    await self._poll()
                else:
                    self._lock.see(change.version, change.record)

    async def _poll(self) -> int | None:
        """Read what the watch may have missed. Returns the version from which to watch on, if the store answered."""
        core = self._core
        try:
            listing = await attempt(
                core.clock, core.durations.attempt_seconds, lambda: core.store.list(KIND, name=self._lock.name)
            )
        except StoreUnavailable:
            return None
        for record in listing.records:
            self._lock.see(record.version, record)
        if not listing.records:
            self._lock.miss()
        self._lock.kick()
        return listing.version
