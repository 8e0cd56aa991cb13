"""The elector: clients on one side, the store on the other, and one session between them.

`acquire` and `release` only change what is wanted of a `NamedLock`; that one's loop reads, decides (`rules.turn`),
writes by compare-and-swap, and otherwise waits for a change. Time, randomness and the store are handed in, so the
same code runs in production and in a simulation.

    open_client, heartbeat, open_stream, close_client      clients.py
    acquire, release, present                              named_lock.py
    the session that all of it hangs on                    own_session.py, reconcile.py
    other electors' sessions                               foreign_sessions.py, sweep.py
"""

from __future__ import annotations

import asyncio
import logging
import random as random_module
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from elector_server import gauges
from elector_server.acquisitions import CLAIM_SECONDS, Acquisitions, Granted, StillWaiting
from elector_server.answered import Answered
from elector_server.background import Background
from elector_server.barriers import Barriers
from elector_server.client_sessions import ClientSessions, PresentedHold
from elector_server.clients import Client, ClientStream, Loss
from elector_server.conditions import Conditions
from elector_server.dead_holders import DeadHolders
from elector_server.events import Events
from elector_server.foreign_sessions import ForeignSessions
from elector_server.legacy import LegacyHolds
from elector_server.named_lock import NamedLock
from elector_server.named_record import NamedRecord
from elector_server.onlookers import Onlookers
from elector_server.own_session import Identity, OwnSession
from elector_server.parking import Departure
from elector_server.problems import (
    ElectorBusy,
    ElectorStarting,
    ElectorStopping,
    HolderDead,
    StoreDown,
)
from elector_server.rules import semaphore
from elector_server.rules.claimant import Claimant
from elector_server.rules.kinds import READERS
from elector_server.rules.lock import KIND, Lock
from elector_server.seen_versions import SeenVersions
from elector_server.semaphores import Semaphores
from elector_server.session_keeper import SessionKeeper
from elector_server.store import StoreUnavailable
from elector_server.sweep import SWEEP_NAME, Sweep
from elector_server.trouble import STARTING, STOPPING, Cause
from elector_server.users import Users
from elector_server.views import ClientStatus, LockView
from elector_server.waiters import LocalHold
from elector_server.writes import attempt

if TYPE_CHECKING:
    from elector_server.clock import Clock
    from elector_server.durations import Durations
    from elector_server.participants import Participants
    from elector_server.store import Record, Store

log = logging.getLogger("elector")

STOP_SECONDS: Final = 1.0

SESSION_SECONDS: Final = 0.2
"""How long a call that does not wait waits for a session. What comes after it may take `CLAIM_SECONDS`: in all, one."""

LEAST_SECONDS: Final = 0.001
"""What is left at least to a caller that waits: with nothing left, it would be taken for one that does not."""


class Elector:
    """One elector process. All methods are called from one event loop."""

    def __init__(
        self,
        store: Store,
        *,
        identity: Identity,
        durations: Durations,
        clock: Clock,
        random: random_module.Random,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self.store = store
        self.identity = identity
        self.durations = durations
        self.clock = clock
        self.random = random
        self.background = Background()
        self.foreign = ForeignSessions(store, clock, random, self.background)
        self.dead = DeadHolders(clock)
        self.answered = Answered(clock)
        self.versions = SeenVersions()
        self.names: dict[str, NamedLock] = {}
        self.records: dict[tuple[str, str], NamedRecord[Any]] = {}
        self.users = Users()
        self.counters: Counter[str] = Counter()
        self.client_sessions = ClientSessions(self)
        self._acquisitions = Acquisitions(self, self.client_sessions)
        self.semaphores = Semaphores(self, self.client_sessions)
        self.events = Events(self, self.client_sessions)
        self.conditions = Conditions(self, self.client_sessions)
        self.barriers = Barriers(self, self.client_sessions)
        self.participants: dict[str, Participants[Any]] = {
            shared.kind: shared for shared in (self.semaphores, self.events, self.conditions, self.barriers)
        }
        self.client_sessions.presenters[semaphore.KIND] = self.semaphores.present
        self._onlookers = Onlookers(self)
        self._keeper = SessionKeeper(self)
        self._legacy = LegacyHolds(self, self.client_sessions)
        self._sweep = Sweep(self, self.client_sessions, self._keeper.free_records_of)
        self._keeping: asyncio.Task[object] | None = None
        self._stopping = False
        self._has_room = has_room

    # Life -----------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to open a session and to watch the clients; returns at once."""
        self._keeping = self.background.start(self._keeper.run())
        self.background.start(self.client_sessions.drop_silent())
        self.background.start(self._legacy.expire())
        self.background.start(self._sweep.run())
        self.background.start(self.semaphores.look_after())

    @property
    def session(self) -> OwnSession | None:
        """The session that everything here hangs on, if there is one now."""
        return self._keeper.session

    @property
    def ready(self) -> bool:
        """Whether claims can succeed right now."""
        return not self._stopping and self.session is not None and self.session.is_valid()

    @property
    def not_ready(self) -> Cause | None:
        """Why not; None if ready."""
        if self.ready:
            return None
        return STOPPING if self._stopping else self._keeper.not_ready

    def begin_stop(self) -> None:
        """End every wait and stream now; nothing is granted from here on."""
        if self._stopping:
            return
        self._stopping = True
        self._sweep.resign()
        for lock in list(self.names.values()):
            for waiter in lock.local_waiters():
                self.dead.add(waiter.holder)
            lock.fail_waiters(ElectorStopping())
        for record in list(self.records.values()):
            record.fail(ElectorStopping())
        self._onlookers.end(ElectorStopping())
        self.client_sessions.clients.end_streams()

    async def stop(self) -> None:
        """End cleanly: withdraw from the queues, and remove the session if no client can still believe in a hold."""
        self.begin_stop()
        try:
            async with self.clock.timeout(STOP_SECONDS):
                await self._leave_store()
        except TimeoutError:
            log.warning("stopped before everything was written; the next elector here, or the lease, will see to it")
        await self.background.close()

    async def _leave_store(self) -> None:
        for lock in list(self.names.values()):
            await lock.settled()
        for record in list(self.records.values()):
            await record.settled()
        if self._keeping is not None:
            self._keeping.cancel()
        session = self.session
        is_used = (
            any(self.holds.values())
            or self.users.use_unnamed()
            or any(record.members for record in self.records.values())
        )
        if session is not None and session.is_valid() and not is_used and not session.in_grace():
            await session.remove()

    # Clients --------------------------------------------------------------------------------------------------------

    async def open_client(
        self, client_id: str, process: str, holds: Sequence[PresentedHold], stream: str | None
    ) -> ClientStatus:
        """Open a client session, or go on with it after a restart of either side.

        Raises:
            ElectorStarting, ElectorStopping: holds were presented and there is no session to compare them with.
        """
        if self._stopping:
            raise ElectorStopping
        started_at = self.clock.now()
        if holds:
            await self._require_session()
        seconds = max(0.0, started_at + CLAIM_SECONDS - self.clock.now())
        return await self.client_sessions.open(client_id, process, holds, stream, seconds)

    async def heartbeat(self, client_id: str, acknowledged: Sequence[str], stream: str | None) -> ClientStatus:
        """A client's sign of life.

        Raises:
            UnknownClient: its session lapsed, or this elector restarted.
        """
        return self.client_sessions.heartbeat(client_id, acknowledged, stream)

    async def close_client(self, client_id: str) -> None:
        """The process is done: release everything it had."""
        client = self.client_sessions.clients.find(client_id)
        if client is None:
            return
        locks = [self.names[name].settled for name in client.holds.values() if name in self.names]
        settled = [*locks, *(record.settled for record in client.members.values())]
        self.client_sessions.clients.gone(client, "its process closed its session")
        await self._acquisitions.in_time(asyncio.gather(*(wait() for wait in settled)))

    def open_stream(self, client_id: str, peer: str) -> ClientStream:
        """Open a client's stream of events; `peer` is its address as the elector sees it.

        Raises:
            ElectorStopping: this elector is on its way out.
            UnknownClient: there is no such session.
        """
        if self._stopping:
            raise ElectorStopping
        return self.client_sessions.stream(client_id, peer)

    # Locks ----------------------------------------------------------------------------------------------------------

    async def acquire(
        self,
        name: str,
        client_id: str,
        holder: str,
        wait_seconds: float,
        departure: Departure | None = None,
        metadata: str = "",
    ) -> Granted | StillWaiting:
        """Acquire a lock for a client, waiting for at most `wait_seconds`; 0 is a single try.

        `metadata` is what the client says about itself while it holds, a JSON object as compact text.

        The same call again with the same holder id gives the same answer, and keeps the place in the queue.

        Raises:
            UnknownClient: the client has no session here.
            HolderDead: this holder id was released, given up or lost.
            LockHeld: a single try found the lock with somebody else.
            ElectorStarting, ElectorStopping, ElectorBusy, StoreDown, QueueFull: not now.
        """
        seconds = await self.admit(wait_seconds) or CLAIM_SECONDS
        begun = self._acquisitions.join(name, client_id, holder, queues=wait_seconds > 0, metadata=metadata)
        if isinstance(begun, Granted):
            return begun
        return await self._acquisitions.answer(*begun, seconds, departure)

    async def admit(self, wait_seconds: float) -> float:
        """Let a request in that may wait for so long. Gives what is left of that.

        Raises:
            ElectorStarting, ElectorStopping, ElectorBusy: not now.
        """
        if self._stopping:
            raise ElectorStopping
        if wait_seconds > 0:
            self._require_room()
        started_at = self.clock.now()
        if self.session is None:
            await self._require_session(min(wait_seconds, CLAIM_SECONDS) or SESSION_SECONDS)
        return max(LEAST_SECONDS if wait_seconds > 0 else 0.0, started_at + wait_seconds - self.clock.now())

    async def release(self, name: str, client_id: str, holder: str) -> bool:
        """Release a hold, or withdraw a waiter. True once it is written; False if that goes on in the background.

        Raises:
            NotHeld: this holder neither holds nor waits; the lock is free, or somebody else's.
        """
        return await self._acquisitions.release(name, client_id, holder)

    async def legacy_put(self, name: str) -> tuple[bool, LockView | None]:
        """The original protocol's PUT: take the lock for this pod, or extend; False if somebody else has it.

        Raises:
            ElectorStarting, ElectorStopping, StoreDown: not now.
            LegacyDisabled, LegacyTooShort: nothing can be promised for long enough.
        """
        taken = await self._legacy.put(name, await self._require_session())
        return taken, await self.read_lock(name)

    async def legacy_post(self, name: str) -> tuple[bool, LockView | None]:
        """The original protocol's POST: take a free lock for this pod; False if it is not free.

        Raises:
            ElectorStarting, ElectorStopping, StoreDown, LegacyDisabled, LegacyTooShort: as for `legacy_put`.
        """
        taken = await self._legacy.post(name, await self._require_session())
        return taken, await self.read_lock(name)

    def _require_room(self) -> None:
        if not self._has_room():
            raise ElectorBusy("hardly any more files can be opened; raise the limit of open files")

    async def _require_session(self, seconds: float = CLAIM_SECONDS) -> OwnSession:
        if self._stopping:
            raise ElectorStopping
        if self.session is None:
            try:
                async with self.clock.timeout(seconds):
                    await self._keeper.opened.wait()
            except TimeoutError:
                pass
        if self.session is None:
            cause = self.not_ready or STARTING
            raise ElectorStarting(cause.reason)
        return self.session

    # Looking --------------------------------------------------------------------------------------------------------

    async def read_lock(self, name: str) -> LockView | None:
        """Who holds a lock, by the store; None if it is free.

        Raises:
            StoreDown: the store did not answer.
        """
        record = await self._acquisitions.read(name)
        return self._view(record) if record is not None else None

    async def look(
        self, name: str, is_news: Callable[[LockView | None], bool], wait_seconds: float, departure: Departure
    ) -> LockView | None:
        """Who holds a lock, as soon as that is news, at the latest after `wait_seconds`.

        Raises:
            StoreDown, ElectorStopping, ElectorBusy: not now.
        """
        if self._stopping:
            raise ElectorStopping
        self._require_room()
        record = await self._onlookers.look(
            name, lambda record: is_news(self._view(record) if record is not None else None), wait_seconds, departure
        )
        return self._view(record) if record is not None else None

    async def list_locks(self) -> list[LockView]:
        """Every held lock of the store.

        Raises:
            StoreDown: the store did not answer.
        """
        try:
            listing = await attempt(self.clock, self.durations.attempt_seconds, lambda: self.store.list(KIND))
        except StoreUnavailable as error:
            raise StoreDown(str(error)) from error
        return [self._view(record) for record in listing.records if record.name != SWEEP_NAME]

    def _view(self, record: Record) -> LockView:
        local = self.names.get(record.name)
        return LockView(record.name, record.version, Lock.from_spec(record.spec), local.waiters if local else 0)

    @property
    def holds(self) -> Mapping[str, int]:
        """How many locks and permits this elector's clients were told they hold, by kind."""
        return gauges.holds(self)

    @property
    def waits(self) -> Mapping[str, int]:
        """How many wait here, by kind."""
        return gauges.waits(self)

    # What locks need of their elector (core.Core) -------------------------------------------------------------------

    def count(self, what: str, times: int = 1) -> None:
        """Count events for the metrics."""
        self.counters[what] += times

    def note_grant(self, hold: LocalHold) -> None:
        """A client got a hold."""
        self.count("grants")
        hold.client.waiting.pop(hold.holder, None)
        hold.client.holds[hold.holder] = hold.name
        if self.client_sessions.clients.find(hold.client.id) is not hold.client:
            self.give_up(hold.name, hold.client, hold.holder)

    def tell_loss(self, hold: LocalHold, reason: str) -> None:
        """A client must stop believing in a hold."""
        self.count("losses")
        self.dead.add(hold.holder)
        hold.client.holds.pop(hold.holder, None)
        hold.client.tell_loss(Loss(KIND, hold.name, hold.holder, reason))
        if hold.session is self.session:  # Else one line says it for all holds of the session.
            log.warning("lock %r, token %d, of %s is lost: %s", hold.name, hold.token, hold.client.process, reason)

    def give_up(self, name: str, client: Client, holder: str) -> None:
        """A holder id is over, whatever it was doing: waiting or holding."""
        self.dead.add(holder)
        client.waiting.pop(holder, None)
        client.holds.pop(holder, None)
        lock = self.names.get(name)
        if lock is None:
            return
        waiter = lock.find(holder)
        if waiter is not None:
            lock.leave(holder)
            waiter.fail(HolderDead(name, holder))
        if lock.hold is not None and lock.hold.holder == holder:
            lock.release(holder)

    def glance(self, claimant: Claimant) -> None:
        """Somebody was refused because of this holder: see whether its session is still alive."""
        if self.session is not None and claimant.hold.session != self.session.id:
            self.foreign.glance(claimant.hold.session, claimant.lease_seconds)

    def drop_name(self, lock: NamedLock) -> None:
        """Nobody here needs this lock any more."""
        if self.names.get(lock.name) is lock:
            del self.names[lock.name]

    def named(self, name: str) -> NamedLock:
        """The lock of that name, made if it is not there."""
        lock = self.names.get(name)
        if lock is None:
            lock = self.names[name] = NamedLock(name, self)
        return lock

    def recorded(self, kind: str, name: str) -> NamedRecord[Any]:
        """The semaphore, event, condition or barrier of that name, made if it is not there."""
        record = self.records.get((kind, name))
        if record is None:
            record = self.records[kind, name] = NamedRecord(kind, name, self, READERS[kind])
            record.kick()  # It goes again by itself, should nothing come of what it was made for.
        return record

    def bring_back(self, record: NamedRecord[Any]) -> None:
        """Take over what stands in it for clients that came back after a restart, and do not ask for it."""
        self.participants[record.kind].bring_back(record)

    def drop_record(self, record: NamedRecord[Any]) -> None:
        """Nobody here needs this record any more."""
        if self.records.get((record.kind, record.name)) is record:
            del self.records[record.kind, record.name]
