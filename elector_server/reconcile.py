"""What the store says is ours, compared with what we believe: late writes are undone, vanished holds are told.

One watch follows all records of our session, and a list every lease catches what it missed. A record of ours that
nobody here wants (a late copy of a `create`, a hand-off to a ticket that a restart forgot) is handed on. A hold that a
newer list or change no longer shows is lost, and its client is told at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from elector_server.rules.lock import KIND
from elector_server.store import Change, Listing, Record, StoreUnavailable, WatchExpired
from elector_server.writes import Backoff, attempt

if TYPE_CHECKING:
    from elector_server.core import Core
    from elector_server.own_session import OwnSession

STRAY_SECONDS: Final = 1.0
"""How long a record of ours that nobody here knows may stand before it is looked at. The echo of a lock that was
released meanwhile is over long before."""


class Reconcile:
    """The comparison for one session."""

    def __init__(self, core: Core, session: OwnSession) -> None:
        self._core = core
        self._session = session
        self._strays: dict[str, tuple[float, Record]] = {}

    async def run(self) -> None:
        """Compare until cancelled."""
        clock = self._core.clock
        backoff = Backoff(clock, self._core.random)
        while True:
            begun_at = clock.now()
            try:
                listing = await self._list()
                self._compare(listing)
                await self._follow(listing.version)
            except (WatchExpired, StoreUnavailable):
                if clock.now() - begun_at > self._core.durations.poll_seconds:
                    backoff = Backoff(clock, self._core.random)
                await backoff.pause()

    async def _list(self) -> Listing:
        core = self._core
        return await attempt(
            core.clock, core.durations.attempt_seconds, lambda: core.store.list(KIND, session=self._session.id)
        )

    def _compare(self, listing: Listing) -> None:
        found = {record.name: record for record in listing.records}
        for record in found.values():
            self._core.named(record.name).see(record.version, record)
        for name, lock in list(self._core.names.items()):
            if lock.hold is not None and name not in found:
                lock.left_our_session(listing.version)
            elif not self._session.in_grace():
                lock.kick()

    async def _follow(self, since: int) -> None:
        """Follow the changes for one lease, or until the grace after an adoption is over."""
        clock = self._core.clock
        list_again_at = clock.now() + self._seconds_to_next_list()
        async with self._core.store.watch(KIND, since, session=self._session.id) as watch:
            while (remaining := list_again_at - clock.now()) > 0:
                try:
                    async with clock.timeout(min(remaining, STRAY_SECONDS)):
                        while True:
                            self._take(await watch.next())
                except TimeoutError:
                    self._look_at_strays()

    def _seconds_to_next_list(self) -> float:
        seconds = self._session.durations.lease_seconds
        grace = self._session.grace_seconds()
        return min(seconds, grace + 0.01) if grace > 0 else seconds

    def _take(self, change: Change) -> None:
        lock = self._core.names.get(change.name)
        if change.record is None:
            self._strays.pop(change.name, None)
            if lock is not None:
                lock.left_our_session(change.version)
        elif lock is not None:
            lock.see(change.version, change.record)
        else:
            self._strays[change.name] = (self._core.clock.now(), change.record)

    def _look_at_strays(self) -> None:
        if not self._strays:
            return
        before = self._core.clock.now() - STRAY_SECONDS
        for name, (seen_at, record) in list(self._strays.items()):
            if seen_at <= before:
                del self._strays[name]
                self._core.named(name).see(record.version, record)
