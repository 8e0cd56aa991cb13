"""The original protocol: requests without a body, answered with nothing but a status.

Its clients, in five languages, PUT every 10 s while they hold, and never release. Such a hold belongs to the pod, not
to a client; it lives 30 s after its last PUT, and nothing else renews it. A 200 promises the 12 s until the next PUT
has come: with less than that certain, the elector first waits for a fresh renewal of its session, and then says no.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from elector_server.problems import LegacyDisabled, LegacyTooShort, LockHeld, StoreDown
from elector_server.waiters import Presented, Waiter
from metaparticle_sync import wire

if TYPE_CHECKING:
    from elector_server.client_sessions import ClientSessions
    from elector_server.core import Core
    from elector_server.named_lock import NamedLock
    from elector_server.own_session import OwnSession

RENEWAL_SECONDS: Final = 4.0
CLAIM_SECONDS: Final = 4.0


class LegacyHolds:
    """The holds that PUT requests without a body keep alive."""

    def __init__(self, core: Core, client_sessions: ClientSessions) -> None:
        self._core = core
        self._client = client_sessions.open_internal("clients of the original protocol in this pod")
        self._put_at: dict[str, float] = {}
        self._any_put = asyncio.Event()

    async def put(self, name: str, session: OwnSession) -> bool:
        """Take the lock for this pod, or extend the pod's hold. False: somebody else has it.

        Raises:
            LegacyDisabled: this elector's lease is too short for the protocol.
            LegacyTooShort: nothing can be promised for long enough right now.
            StoreDown: the store did not answer.
        """
        await self._check_promise(name, session)
        lock = self._core.named(name)
        if self._holds(lock):
            self._note_put(name)
            return True
        return await self._claim(lock, session)

    async def post(self, name: str, session: OwnSession) -> bool:
        """Take a free lock for this pod. False: somebody has it, be it this pod.

        Raises:
            LegacyDisabled, LegacyTooShort, StoreDown: as for `put`.
        """
        await self._check_promise(name, session)
        lock = self._core.named(name)
        return not self._holds(lock) and await self._claim(lock, session)

    async def expire(self) -> None:
        """Release what nobody has PUT for 30 s; runs until cancelled."""
        while True:
            self._client.losses.clear()
            while not self._put_at:
                self._any_put.clear()
                await self._any_put.wait()
            oldest_put_at = min(self._put_at.values())
            await self._core.clock.sleep(oldest_put_at + wire.LEGACY_HOLD_SECONDS - self._core.clock.now())
            self._drop_all_put_before(self._core.clock.now() - wire.LEGACY_HOLD_SECONDS)

    def _drop_all_put_before(self, moment: float) -> None:
        for name, put_at in list(self._put_at.items()):
            if put_at <= moment:
                self._drop(name)

    def _note_put(self, name: str) -> None:
        self._put_at[name] = self._core.clock.now()
        self._any_put.set()

    def _holds(self, lock: NamedLock) -> bool:
        return lock.hold is not None and lock.hold.client is self._client

    async def _check_promise(self, name: str, session: OwnSession) -> None:
        durations = session.durations
        if not durations.legacy_allowed:
            raise LegacyDisabled(durations.lease_seconds)
        if session.valid_seconds() < wire.LEGACY_PROMISE_SECONDS:
            await session.renew_soon(RENEWAL_SECONDS)
        if session.valid_seconds() < wire.LEGACY_PROMISE_SECONDS:
            raise LegacyTooShort(name)

    async def _claim(self, lock: NamedLock, session: OwnSession) -> bool:
        taken = await self._try(lock) or await self._take_back(lock)
        if not taken:
            return False
        self._note_put(lock.name)
        if session.valid_seconds() < wire.LEGACY_PROMISE_SECONDS:
            self._drop(lock.name)
            raise LegacyTooShort(lock.name)
        return True

    async def _try(self, lock: NamedLock) -> bool:
        holder = f"{self._core.random.getrandbits(128):032x}"
        waiter = Waiter(holder, self._client, self._core.identity.owner, queues=False, legacy=True)
        future = waiter.listen()
        try:
            lock.join(waiter)
            async with self._core.clock.timeout(CLAIM_SECONDS):
                await future
        except LockHeld:
            return False
        except TimeoutError:
            self._core.give_up(lock.name, self._client, holder)
            raise StoreDown("no answer in time") from None
        return True

    async def _take_back(self, lock: NamedLock) -> bool:
        """The pod's hold from before this elector restarted: it was this pod's, so it still is."""
        holder = lock.legacy_hold_before()
        if holder is None:
            return False
        presented = Presented(holder, self._client, None)
        self._note_put(lock.name)
        lock.present(presented)
        try:
            async with self._core.clock.timeout(CLAIM_SECONDS):
                return await presented.future is not None
        except TimeoutError:
            raise StoreDown("no answer in time") from None

    def _drop(self, name: str) -> None:
        self._put_at.pop(name, None)
        lock = self._core.named(name)
        if lock.hold is not None and lock.hold.client is self._client:
            self._core.give_up(name, self._client, lock.hold.holder)
        lock.kick()
