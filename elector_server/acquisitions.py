"""Acquisitions of this elector's clients: each a waiter of one lock until it holds, gives up or is refused.

    acquire ──> waits ── poll over ──> between two polls ── asks again ──> waits
                  │                          └── does not come back ──> given up
                  └── granted ──> holds ── release ──> over

A request that ends does not end the acquisition: the waiter keeps its place for a moment, and a grant in that moment
waits a little for its client. A request that is refused, withdrawn or too late does.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from elector_server.named_lock import NamedLock
from elector_server.parking import Departed, Departure, is_done_soon, park
from elector_server.problems import BadBody, HolderDead, NotHeld, Problem, StoreDown
from elector_server.rules.lock import KIND
from elector_server.store import StoreUnavailable
from elector_server.waiters import LocalHold, Waiter
from elector_server.writes import attempt

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from elector_server.client_sessions import ClientSessions
    from elector_server.clients import Client
    from elector_server.core import Core
    from elector_server.store import Record

GAP_SECONDS: Final = 2.0
"""How long a waiter keeps its place between two polls."""

UNDECIDED_SECONDS: Final = 0.4
"""How much longer than asked for a caller waits for the first word of the store. Its client allows half a second."""

CLAIM_SECONDS: Final = 0.8
"""How long a single try, a release or a presented hold may wait for the store: callers have one second."""


@dataclass(frozen=True, slots=True)
class Granted:
    """The answer to an acquire that succeeded."""

    name: str
    holder: str
    token: int
    valid_seconds: float
    incarnation: str


@dataclass(frozen=True, slots=True)
class StillWaiting:
    """The answer to a poll that ended before the lock was free."""

    name: str
    holder: str


class Acquisitions:
    """Acquire and release, for clients that have a session here."""

    def __init__(self, core: Core, client_sessions: ClientSessions) -> None:
        self._core = core
        self._clients = client_sessions

    def join(
        self, name: str, client_id: str, holder: str, *, queues: bool, metadata: str = ""
    ) -> tuple[NamedLock, Waiter] | Granted:
        """Begin an acquisition, or go on with it; one that does not queue is a single try.

        The same call again with the same holder id gives the same answer, and keeps the place in the queue.

        Raises:
            UnknownClient: the client has no session here.
            HolderDead: this holder id was released, given up or lost.
            LockHeld: a single try found the lock with somebody else.
        """
        client = self._clients.clients.heard(client_id)
        if holder in self._core.dead:
            raise HolderDead(name, holder)
        lock = self._core.named(name)
        if lock.hold is not None and lock.hold.holder == holder:
            return self._granted_before(lock.hold, client)
        return lock, self._waiter(lock, client, holder, queues=queues, metadata=metadata)

    def _granted_before(self, hold: LocalHold, client: Client) -> Granted:
        if hold.client is not client:
            raise BadBody(f"holder {hold.holder[:8]}... belongs to another client: use a fresh id")
        hold.reclaimed = True
        return self._granted(hold)

    def _granted(self, hold: LocalHold) -> Granted:
        """The answer to a grant, unless the hold was lost again before it could be sent."""
        if hold.session is not self._core.session or hold.holder in self._core.dead:
            raise HolderDead(hold.name, hold.holder)
        return Granted(
            hold.name, hold.holder, hold.token, self._clients.valid_seconds(hold.client), hold.session.incarnation
        )

    def _waiter(self, lock: NamedLock, client: Client, holder: str, *, queues: bool, metadata: str) -> Waiter:
        waiter = lock.find(holder)
        if waiter is None:
            if holder in client.waiting or holder in client.holds:
                raise BadBody(f"holder {holder[:8]}... is in use for another lock: use a fresh id for each acquisition")
            waiter = Waiter(holder, client, self._core.identity.owner, queues=queues, metadata=metadata)
            waiter.listen()
            lock.join(waiter)
            client.waiting[holder] = lock.name
        elif waiter.client is not client:
            raise BadBody(f"holder {holder[:8]}... belongs to another client: use a fresh id")
        else:
            waiter.listen()
        return waiter

    async def answer(
        self, lock: NamedLock, waiter: Waiter, seconds: float, departure: Departure | None
    ) -> Granted | StillWaiting:
        """Wait for what becomes of an acquisition, for at most `seconds`.

        Raises:
            HolderDead, LockHeld: it was given up meanwhile, or refused.
            StoreDown, QueueFull, ElectorStopping: not now.
        """
        future = waiter.listener()
        try:
            if await is_done_soon(future):
                return self._granted(future.result().hold)
            async with self._core.clock.timeout(seconds):
                grant = await (future if departure is None else park(self._core.clock, future, departure, seconds))
        except TimeoutError:
            if waiter.queues:
                await self._hear_the_store(lock)
            if lock.hold is not None and lock.hold.holder == waiter.holder:
                return self._granted_before(lock.hold, waiter.client)  # It came in the last moment.
            if not waiter.queues:
                self._core.give_up(lock.name, waiter.client, waiter.holder)
                raise StoreDown("no answer in time") from None
            return self._still_waiting(lock, waiter)
        except Departed:
            return self._keep_place_for_a_moment(lock, waiter)
        except asyncio.CancelledError:
            self._keep_place_for_a_moment(lock, waiter)
            raise
        except Problem:
            waiter.client.waiting.pop(waiter.holder, None)
            raise
        if departure is not None and departure.is_gone():
            lock.pass_on_unless_reclaimed(grant.hold)
        return self._granted(grant.hold)

    async def _hear_the_store(self, lock: NamedLock) -> None:
        """Nobody is told to wait because the store takes longer to say "free" than he has time."""
        if lock.silence.reason(0.0) is not None:
            try:
                async with self._core.clock.timeout(UNDECIDED_SECONDS):
                    await lock.settled()
            except TimeoutError:
                return

    def _still_waiting(self, lock: NamedLock, waiter: Waiter) -> StillWaiting:
        """The answer for a waiter whose poll is over, if the store has shown that somebody has the lock.

        Raises:
            StoreDown: nothing is known of the lock. The waiter keeps its place all the same.
        """
        still_waiting = self._keep_place_for_a_moment(lock, waiter)
        reason = "the elector has no session" if self._core.session is None else lock.silence.reason(0.0)
        if reason is not None:
            raise StoreDown(reason)
        return still_waiting

    def _keep_place_for_a_moment(self, lock: NamedLock, waiter: Waiter) -> StillWaiting:
        waiter.stop_listening()
        self._core.background.start(self._leave_unless_back(lock, waiter, waiter.generation))
        return StillWaiting(lock.name, waiter.holder)

    async def _leave_unless_back(self, lock: NamedLock, waiter: Waiter, generation: int) -> None:
        await self._core.clock.sleep(GAP_SECONDS)
        if waiter.generation == generation and lock.find(waiter.holder) is waiter:
            self._core.give_up(lock.name, waiter.client, waiter.holder)

    async def release(self, name: str, client_id: str, holder: str) -> bool:
        """Release a hold, or withdraw a waiter. True once it is written; False if that goes on in the background.

        Raises:
            NotHeld: this holder neither holds nor waits; the lock is free, or somebody else's.
        """
        client = self._clients.clients.find(client_id)
        if client is not None:
            client.heard_at = self._core.clock.now()
        if holder in self._core.dead:
            return True
        lock = self._core.names.get(name)
        owner = lock.client_of(holder) if lock is not None else None
        if lock is None or owner is None:
            return await self._release_unknown(name, holder)
        if owner.id != client_id:
            raise NotHeld(name, lock.describe_holder())
        was_waiting = lock.find(holder) is not None
        self._core.give_up(name, owner, holder)
        return was_waiting or await self.in_time(lock.release(holder))

    async def _release_unknown(self, name: str, holder: str) -> bool:
        """Perhaps a hold of the process before; only the record can tell."""
        self._core.dead.add(holder)
        lock = self._core.named(name)
        released = lock.release(holder)
        if not await self.in_time(released):
            return False
        if not released.result():
            raise NotHeld(name, lock.describe_holder())
        return True

    async def in_time(self, written: Awaitable[object]) -> bool:
        """Whether it was done while a caller can wait; if not, it goes on."""
        future = asyncio.ensure_future(written)
        if await is_done_soon(future):
            return True
        try:
            async with self._core.clock.timeout(CLAIM_SECONDS):
                await asyncio.wait([future])
        except TimeoutError:
            return False
        return True

    async def read(self, name: str) -> Record | None:
        """Read one lock record.

        Raises:
            StoreDown: the store did not answer.
        """
        try:
            return await attempt(
                self._core.clock, self._core.durations.attempt_seconds, lambda: self._core.store.get(KIND, name)
            )
        except StoreUnavailable as error:
            raise StoreDown(str(error)) from error
