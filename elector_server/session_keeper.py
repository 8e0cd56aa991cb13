"""One own session after the other: opened, lived, lost, retired, and what hung on it freed."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from elector_server.own_session import OwnSession
from elector_server.reconcile import Reconcile
from elector_server.rules import session as rules
from elector_server.rules.kinds import READERS
from elector_server.rules.lock import KIND
from elector_server.rules.session import Session, State
from elector_server.seen_versions import StoreWentBack
from elector_server.store import Conflict, StoreUnavailable
from elector_server.trouble import STARTING, Cause
from elector_server.writes import Backoff, attempt

if TYPE_CHECKING:
    from elector_server.core import Core
    from elector_server.store import Record

log = logging.getLogger("elector")


class SessionKeeper:
    """Keeps the elector in possession of a session. Nothing is claimed while there is none."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._opening: OwnSession | None = None
        self._went_back: Cause | None = None
        self.session: OwnSession | None = None
        self.opened = asyncio.Event()

    @property
    def not_ready(self) -> Cause:
        """Why there is no valid session."""
        if self._went_back:
            return self._went_back
        session = self._opening or self.session
        return (session and session.trouble.cause) or STARTING

    async def run(self) -> None:
        """Have a session, always; runs until cancelled, or until the store turns out to have gone back in time."""
        core = self._core
        adopt = True
        while True:
            session = self._opening = OwnSession(
                core.store, core.identity, core.durations, core.clock, core.random, core.versions, core.count
            )
            try:
                await session.open(adopt=adopt)
            except StoreWentBack as error:
                self._went_back = Cause.of(error)
                log.critical("%s", error)
                return
            adopt = False
            self._opening = None
            await self._live(session)

    async def _live(self, session: OwnSession) -> None:
        core = self._core
        self.session = session
        core.count("sessions")
        reconciling = core.background.start(Reconcile(core, session).run())
        for session_id in session.left_over:
            core.background.start(self._free_left_over(session_id))
        for session_id in session.left_from_before_boot:
            core.background.start(self._free_from_before_boot(session_id))
        core.background.start(self._free_unclaimed(session))
        self._tell_locks()
        self.opened.set()
        await session.keep()
        log.error("session %s is lost: %s", session.id, session.lost_reason)
        core.count("sessions_lost")
        self.session = None
        self.opened.clear()
        reconciling.cancel()
        self._tell_locks()
        core.background.start(self._retire(session))

    def _tell_locks(self) -> None:
        for lock in list(self._core.names.values()):
            lock.session_changed()
        for record in list(self._core.records.values()):
            record.session_changed()

    async def _retire(self, session: OwnSession) -> None:
        """End our lost session in the store, so that others need not wait for it."""
        if await session.retire():
            self._core.foreign.note_ended(session.id)
            await self.free_records_of(session.id)

    async def _free_left_over(self, session_id: str) -> None:
        """A session of our identity that nobody can adopt: it ends as any other does."""
        ended = asyncio.Event()
        self._core.foreign.observe(session_id, self._core.durations.lease_seconds, ended.set)
        await ended.wait()
        await self.free_records_of(session_id)

    async def _free_from_before_boot(self, session_id: str) -> None:
        """No process of before the boot can be left, neither its elector nor its clients: nothing has to be awaited."""
        core = self._core
        backoff = Backoff(core.clock, core.random)
        while True:
            try:
                ended = await self._end(session_id)
            except (StoreUnavailable, Conflict):
                await backoff.pause()
            else:
                break
        if ended:
            core.foreign.note_ended(session_id)
            await self.free_records_of(session_id)

    async def _end(self, session_id: str) -> bool:
        """Whether it has ended. A record that is missing proves nothing: whoever waits for it finds that out."""
        core, seconds = self._core, self._core.durations.attempt_seconds
        record = await attempt(core.clock, seconds, lambda: core.store.get(rules.KIND, session_id))
        if record is None:
            return False
        session = Session.from_spec(record.spec)
        if session.state is not State.ENDED:
            spec = rules.end(session).to_spec()
            await attempt(
                core.clock,
                seconds,
                lambda: core.store.replace(rules.KIND, session_id, record.version, record.session, spec),
            )
        return True

    async def free_records_of(self, session_id: str) -> None:
        """Hand on every lock that still hangs on a session that has ended."""
        core = self._core
        backoff = Backoff(core.clock, core.random)
        while True:
            await self.opened.wait()  # Without a session nothing can be taken, and a new one forgets what was seen.
            try:
                listing = await attempt(
                    core.clock, core.durations.attempt_seconds, lambda: core.store.list(KIND, session=session_id)
                )
            except StoreUnavailable:
                await backoff.pause()
                continue
            for record in listing.records:
                core.named(record.name).see(record.version, record)
            break
        core.background.start(self._tidy_records_of(session_id))

    async def _free_unclaimed(self, session: OwnSession) -> None:
        """What stands in shared records for clients of the process before, and none of them came back for."""
        if session.adopted_at is not None:
            await self._core.clock.sleep(session.grace_seconds() + 0.01)
            await self._tidy_records_of(session.id)

    async def _tidy_records_of(self, session_id: str) -> None:
        """Have each semaphore, condition and barrier tidied that names this session; unnamed records go, or move."""
        for kind in READERS:
            for record in await self._listed(kind):
                claimants = READERS[kind](record.spec).claimants()
                is_theirs = record.session == session_id
                if is_theirs or any(claimant.hold.session == session_id for claimant in claimants):
                    shared = self._core.recorded(kind, record.name)
                    shared.see(record.version, record)
                    shared.tidy()
                    if is_theirs and not self._core.users.is_used(kind, record.name):
                        shared.remove()

    async def _listed(self, kind: str) -> tuple[Record, ...]:
        """All records of a kind; none if the store does not list them for a whole lease. The sweeper comes again."""
        core = self._core
        backoff = Backoff(core.clock, core.random)
        give_up_at = core.clock.now() + core.durations.lease_seconds
        while core.clock.now() < give_up_at:
            await self.opened.wait()
            try:
                listing = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.list(kind))
            except StoreUnavailable:
                await backoff.pause()
            else:
                return listing.records
        return ()
