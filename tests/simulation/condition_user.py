"""A program's condition: wait and notify under a lock, in the order that loses no wake-up."""

from __future__ import annotations

from elector_server.conditions import NOTIFIED
from elector_server.elector import Elector
from elector_server.problems import HolderDead
from elector_server.rules.condition import KIND
from tests.simulation.calls import (
    FOREVER,
    LAST_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    Unavailable,
    User,
    poll_seconds,
)
from tests.simulation.history import SharedCall
from tests.simulation.holds import ClientHold
from tests.simulation.pod import Departure


class ConditionUser(User):
    """One process and one condition. Its lock is an ordinary one, held by the caller."""

    kind = KIND

    async def wait(self, hold: ClientHold, seconds: float, interrupt_seconds: float = FOREVER) -> bool | None:
        """Enqueue, release the lock, wait; whether it was notified. The caller acquires the lock again.

        None: it was interrupted, or nobody knows, or the wait could not begin; then the lock is still held.
        """
        call = self.begin("wait", self.new_id(), seconds=seconds)
        give_up_at = self.client.now() + seconds
        if not await self.enqueue(call):
            self.pass_on(call)
            return None
        await self.client.release(hold)
        try:
            async with self.client.pod.clock.timeout(interrupt_seconds):
                return await self.wait_enqueued(call, give_up_at)
        except TimeoutError:
            self.pass_on(call)
            return None

    async def enqueue(self, call: SharedCall) -> bool:
        """Put the ticket into the record; whether it certainly is there."""

        async def enqueue(elector: Elector, *_: object) -> None:
            await elector.conditions.enqueue(self.name, self.client.id, call.id)

        try:
            await self.insist("enqueue", enqueue, PATIENCE_SECONDS)
        except (Unavailable, HolderDead):
            return False
        call.details["enqueued"] = self.now()
        return True

    async def wait_enqueued(self, call: SharedCall, give_up_at: float) -> bool | None:
        """Wait for the notification of a ticket that is in the record."""
        while self.client.now() < give_up_at:
            try:
                if await self.poll(call.id, poll_seconds(self.client, give_up_at)):
                    return self.end(call, True)
            except Unavailable:
                pass
        call.details["gave_up"] = self.now()
        try:
            return self.end(call, await self.withdraw(call.id, LAST_PATIENCE_SECONDS) == NOTIFIED)
        except Unavailable:
            self.pass_on(call)
            return None

    async def poll(self, holder: str, wait_seconds: float) -> bool:
        """One long poll: whether it is notified."""

        async def wait(elector: Elector, departure: Departure, seconds: float) -> bool:
            return await elector.conditions.wait(self.name, self.client.id, holder, seconds, departure)

        return await self.ask("wait", wait, wait_seconds, holder)

    async def withdraw(self, holder: str, patience_seconds: float, *, pass_on: bool = False) -> str:
        """Take the ticket out of the record; what became of it."""

        async def withdraw(elector: Elector, *_: object) -> str:
            return await elector.conditions.withdraw(self.name, self.client.id, holder, pass_on=pass_on)

        return await self.insist("withdraw", withdraw, patience_seconds, holder)

    def pass_on(self, call: SharedCall) -> None:
        """The wait ends by an error or an interrupt: whoever is next shall have its notification, if it gets one."""
        call.details["passes_on"] = self.now()
        self.client.run(self.withdraw(call.id, FOREVER, pass_on=True))

    async def notify(self, waiters: int | None = 1) -> int | None:
        """Notify so many; how many there were, None if it is not known."""
        await self.client.open()
        call = self.begin("notify", self.new_id(), waiters=waiters)

        async def notify(elector: Elector, *_: object) -> int:
            return await elector.conditions.notify(self.name, self.client.id, call.id, waiters)

        try:
            return self.end(call, await self.insist("notify", notify, PATIENCE_SECONDS))
        except Unavailable:
            return None
