"""Cleaning up behind electors that died: one elector at a time does it, elected by a lock that no user can name.

The sweeper ends sessions that it has seen silent for the whole observation time, hands on what they held, and deletes
ended session records that no lock names any more. Everybody else tries to become the sweeper now and then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from elector_server.problems import Problem
from elector_server.rules import session as rules
from elector_server.rules.kinds import READERS
from elector_server.rules.lock import KIND as LOCK_KIND
from elector_server.rules.lock import Lock
from elector_server.rules.session import KIND as SESSION_KIND
from elector_server.rules.session import LEASE_SECONDS_UNKNOWN, Observation, Session, State
from elector_server.store import Conflict, Record, StoreUnavailable
from elector_server.waiters import Waiter
from elector_server.writes import attempt

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from elector_server.client_sessions import ClientSessions
    from elector_server.core import Core

SWEEP_NAME: Final = ""
"""The lock of the sweeper. A user's name has at least one character."""

TRY_LEASES: Final = 30.0
SWEEP_LEASES: Final = 5.0


class Sweep:
    """The sweeping of one elector, should it be elected."""

    def __init__(
        self, core: Core, client_sessions: ClientSessions, free_records_of: Callable[[str], Awaitable[None]]
    ) -> None:
        self._core = core
        self._client = client_sessions.open_internal("the elector itself")
        self._free_records_of = free_records_of
        self._observations: dict[str, Observation] = {}
        self._knows_all_named = True

    async def run(self) -> None:
        """Try to be elected, and sweep while elected; runs until cancelled."""
        while True:
            leases = SWEEP_LEASES if self._is_elected() else TRY_LEASES
            seconds = leases * self._core.durations.lease_seconds
            await self._core.clock.sleep(seconds * self._core.random.uniform(0.5, 1.0))
            try:
                if self._is_elected() or await self._is_elected_now():
                    await self.sweep()
            except StoreUnavailable:
                continue  # The next round begins with a read.

    def _is_elected(self) -> bool:
        lock = self._core.named(SWEEP_NAME)
        lock.kick()
        return lock.hold is not None

    def resign(self) -> None:
        """Sweep no more."""
        lock = self._core.names.get(SWEEP_NAME)
        if lock is not None and lock.hold is not None:
            self._core.give_up(SWEEP_NAME, self._client, lock.hold.holder)

    async def _is_elected_now(self) -> bool:
        holder = f"{self._core.random.getrandbits(128):032x}"
        waiter = Waiter(holder, self._client, self._core.identity.owner, queues=False)
        future = waiter.listen()
        try:
            self._core.named(SWEEP_NAME).join(waiter)
            async with self._core.clock.timeout(self._core.durations.lease_seconds):
                await future
        except Problem:
            return False
        except TimeoutError:
            self._core.give_up(SWEEP_NAME, self._client, holder)
            return False
        return True

    async def sweep(self) -> None:
        """One round over all sessions of the store."""
        core = self._core
        sessions = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.list(SESSION_KIND))
        self._observations = {
            record.name: self._observations[record.name]
            for record in sessions.records
            if record.name in self._observations
        }
        named = await self._named_sessions()
        for record in sessions.records:
            if self._core.session is None or not self._core.session.is_valid():
                return
            if record.name != self._core.session.id:
                await self._look_at(record, is_named=record.name in named)
        listed = {record.name for record in sessions.records}
        for session_id in [session_id for session_id in named if session_id not in listed]:
            await self._look_for(session_id, named[session_id])

    async def _look_for(self, session_id: str, lease_seconds: float) -> None:
        """A session that locks name and a list does not show."""
        if self._core.foreign.is_ended(session_id):
            await self._free_records_of(session_id)
        else:
            self._core.foreign.glance(session_id, lease_seconds)  # If it is missing, this ends it, after the full wait.

    async def _named_sessions(self) -> dict[str, float]:
        """The sessions that lock records name, and their leases."""
        core = self._core
        locks = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.list(LOCK_KIND))
        named: dict[str, float] = {}
        for record in locks.records:
            lock = Lock.from_spec(record.spec)
            for claimant in (lock.claimant, *lock.queue):
                named[claimant.hold.session] = claimant.lease_seconds
        self._knows_all_named = True
        for kind, read in READERS.items():
            for record in await self._listed(kind):
                for claimant in read(record.spec).claimants():
                    named[claimant.hold.session] = claimant.lease_seconds
                named.setdefault(record.session, LEASE_SECONDS_UNKNOWN)
        named.pop("", None)
        return named

    async def _listed(self, kind: str) -> tuple[Record, ...]:
        """All records of a kind. One that can not be listed, for want of rights, must not keep the others from it."""
        core = self._core
        try:
            listing = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.list(kind))
        except StoreUnavailable:
            self._knows_all_named = False
            return ()
        return listing.records

    async def _look_at(self, record: Record, *, is_named: bool) -> None:
        session = Session.from_spec(record.spec)
        seen_at = self._core.clock.now()
        before = self._observations.get(record.name)
        observation = self._observations[record.name] = rules.observe(before, session, record.version, seen_at)
        if not rules.is_silent(observation, session, seen_at):
            return
        try:
            if session.state is not State.ENDED:
                await self._end(record, session)
            elif is_named:
                await self._free(record.name)  # A write of its owner landed after it had ended.
            elif self._knows_all_named:
                await self._delete(record)
        except Conflict:
            self._observations.pop(record.name, None)

    async def _end(self, record: Record, session: Session) -> None:
        core = self._core
        spec = rules.end(session).to_spec()
        await attempt(
            core.clock,
            core.durations.attempt_seconds,
            lambda: core.store.replace(SESSION_KIND, record.name, record.version, record.session, spec),
        )
        core.count("sessions_swept")
        await self._free(record.name)

    async def _free(self, session_id: str) -> None:
        self._core.foreign.note_ended(session_id)
        await self._free_records_of(session_id)

    async def _delete(self, record: Record) -> None:
        core = self._core
        await attempt(
            core.clock,
            core.durations.attempt_seconds,
            lambda: core.store.delete(SESSION_KIND, record.name, record.version),
        )
        self._observations.pop(record.name, None)
        core.count("sessions_deleted")
