"""Waiting for a change by another elector: the record is watched and polled, the sessions it depends on observed.

A watch is a wake-up, never a truth. The poll is there for what a watch misses, and looks after one's own ticket.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol

from elector_server.store import Record, StoreUnavailable, WatchExpired
from elector_server.writes import Backoff, attempt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from elector_server.core import Core


class Watched(Protocol):
    """What the watch needs of whoever waits for the record."""

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


class RecordWatch:
    """The watch of one record, open while somebody here waits for a change of it."""

    def __init__(self, core: Core, kind: str, watched: Watched) -> None:
        self._core = core
        self._kind = kind
        self._watched = watched
        self._task: asyncio.Task[None] | None = None
        self._sessions: Mapping[str, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether it watches."""
        return self._task is not None

    def depend_on(self, sessions: Mapping[str, float] | None) -> None:
        """Watch the record, and observe these sessions, given with their leases; None ends both."""
        before, self._sessions = self._sessions, sessions or {}
        for session_id in before:
            if session_id not in self._sessions:
                self._core.foreign.forget(session_id, self._watched.kick)
        for session_id, lease_seconds in self._sessions.items():
            if session_id not in before:
                self._core.foreign.observe(session_id, lease_seconds, self._watched.kick)
        if sessions is None:
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
        since = self._watched.version
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
        async with core.store.watch(self._kind, since, name=self._watched.name) as watch:
            while True:
                try:
                    async with core.clock.timeout(core.durations.poll_seconds * core.random.uniform(0.8, 1.0)):
                        change = await watch.next()
                except TimeoutError:
                    await self._poll()
                else:
                    self._watched.see(change.version, change.record)

    async def _poll(self) -> int | None:
        """Read what the watch may have missed. Returns the version from which to watch on, if the store answered."""
        core = self._core
        try:
            listing = await attempt(
                core.clock, core.durations.attempt_seconds, lambda: core.store.list(self._kind, name=self._watched.name)
            )
        except StoreUnavailable:
            return None
        for record in listing.records:
            self._watched.see(record.version, record)
        if not listing.records:
            self._watched.miss()
        self._watched.kick()
        return listing.version
