"""Permits that clients have already: what is confirmed when they come back with one, and what they are told of it.

    presented ──┬── stands in the record ──────────> confirmed under the new epoch
                ├── somebody else gave it back ────> told so: that is no harm
                └── gone with its session ─────────> lost

Nobody watches a record for those who only hold. So now and then it is read, and its holders hear what became of theirs.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from elector_server.clients import Loss
from elector_server.dead_holders import DeadHolders
from elector_server.named_record import NamedRecord
from elector_server.parking import Staying
from elector_server.participants import Member, Participants
from elector_server.problems import OutcomeLost, StoreDown
from elector_server.rules.semaphore import KIND, Semaphore
from elector_server.rules.shared import At, Refusal, is_same

if TYPE_CHECKING:
    from elector_server.client_sessions import ClientSessions, PresentedHold
    from elector_server.clients import Client
    from elector_server.core import Core


class NotThere(Refusal):
    """A permit that a client presents does not stand in the record."""

    def __init__(self, holder: str) -> None:
        super().__init__(holder)
        self.holder = holder


class Permits(Participants[Semaphore]):
    """The permits that this elector's clients believe in."""

    def __init__(self, core: Core, client_sessions: ClientSessions) -> None:
        super().__init__(core, client_sessions, KIND)
        self._taken_over = DeadHolders(core.clock)
        """Permits that somebody else gave back. What their own clients release later counts for itself."""

    async def present(self, client: Client, hold: PresentedHold, seconds: float) -> bool | None:
        """A client comes back with a permit: whether it still is one; None if that can not be found out in time."""
        name, holder = hold.name, hold.holder
        record = self._record(name)
        member = record.members.get(holder)
        if member is not None:
            member.client.members.pop(holder, None)
            member.client, client.members[holder] = client, record
        elif holder in self._taken_over:
            self._tell_returned(client, name, holder)
            return None
        elif holder in self._core.dead or self._core.session is None:
            return False
        else:
            member = self._begin(record, client, self._claimant(client, holder))
            member.on_lost, member.is_told = partial(self._lost, name), True
            self._joins(record, member, self._confirmation(record, member, hold.token))
        if isinstance(member.refused, OutcomeLost):
            member.refused = None
            self._joins(record, member, self._confirmation(record, member, hold.token))
        return await self._is_confirmed(record, member, hold, seconds)

    async def _is_confirmed(
        self, record: NamedRecord[Semaphore], member: Member, hold: PresentedHold, seconds: float
    ) -> bool | None:
        """Whether a permit that was presented, now or before, stands in the record in our name."""
        try:
            is_confirmed = await record.until(partial(_is_decided, member), seconds, Staying())
        except TimeoutError:
            # A confirmation that lands later finds whose it is; a refusal that comes later is told by itself.
            self._core.background.start(self._tell_late(record, member, hold))
            return None
        if is_confirmed:
            self._core.count("confirmations")
            return True
        self._drop(record, member)
        return False if member.lost is not None else self._is_told_returned(member.client, hold)

    async def _tell_late(self, record: NamedRecord[Semaphore], member: Member, hold: PresentedHold) -> None:
        try:
            seconds = self._core.durations.lease_seconds
            is_confirmed = await record.until(partial(_is_decided, member), seconds, Staying())
        except TimeoutError:
            return  # Its client asks again.
        if is_confirmed or record.members.get(hold.holder) is not member:
            return
        self._drop(record, member)
        if self._is_told_returned(member.client, hold) is False:
            member.lose("the store no longer shows this hold")

    def _is_told_returned(self, client: Client, hold: PresentedHold) -> bool | None:
        """A permit of a session that goes on was given back by somebody else: its client loses nothing."""
        session = self._core.session
        if session is None or not session.was_that_of(hold.incarnation):
            return False
        self._tell_returned(client, hold.name, hold.holder)
        return None

    def _tell_returned(self, client: Client, name: str, holder: str) -> None:
        self._taken_over.add(holder)
        client.tell_loss(Loss(KIND, name, holder, "another process gave it back", is_returned=True))

    async def look_after(self) -> None:
        """Tell clients of permits that are no more, which no watch shows; runs until cancelled."""
        while True:
            await self._core.clock.sleep(self._core.durations.lease_seconds * self._core.random.uniform(0.5, 1.0))
            for record in [record for record in self._core.records.values() if record.kind == KIND]:
                if any(member.is_told for member in record.members.values()):
                    await self._look_at(record)

    async def _look_at(self, record: NamedRecord[Semaphore]) -> None:
        told = [member for member in record.members.values() if member.is_told and member.has_joined]
        try:
            semaphore = await self._fresh(record)
        except StoreDown:
            return
        for member in told:
            if record.members.get(member.holder) is member and record.asked(member.holder) is None:
                self._compare(record, member, semaphore)

    def _compare(self, record: NamedRecord[Semaphore], member: Member, semaphore: Semaphore | None) -> None:
        if semaphore is None:
            self._drop(record, member)
            member.lose("its record was deleted in the store")
        elif semaphore.standing(member.holder) is None:
            self._drop(record, member)
            self._tell_returned(member.client, record.name, member.holder)

    def _confirmation(self, record: NamedRecord[Semaphore], member: Member, token: int | None) -> Any:
        claimant = member.claimant

        def change(semaphore: Semaphore | None, at: At) -> tuple[Semaphore, bool]:
            if semaphore is None or not any(is_same(found, claimant) for found in semaphore.claimants()):
                raise NotThere(claimant.hold.holder)
            member.was_admitted = True
            return semaphore.confirm(claimant, token, at), True

        operation = f"{self._core.random.getrandbits(128):032x}"
        return record.request(operation, change, lambda _: True, is_remembered=False)

    def _lost(self, name: str, member: Member, reason: str) -> None:
        """A permit that its client believes in is worth nothing any more."""
        self._core.dead.add(member.holder)
        if member.is_told:
            self._core.count("losses")
            member.client.tell_loss(Loss(KIND, name, member.holder, reason))


def _is_decided(member: Member, _: Semaphore | None) -> bool | None:
    """Whether a permit that was presented stands; None while nobody knows."""
    if member.lost is not None or isinstance(member.refused, NotThere):
        return False
    return True if member.has_joined else None
