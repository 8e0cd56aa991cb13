"""Conditions for clients: enqueue, wait, withdraw, notify. What is decided stands in `rules.condition`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from elector_server.parking import Departed, Departure
from elector_server.participants import GAP_SECONDS, Member, Participants, end_of, once
from elector_server.problems import StoreDown
from elector_server.rules import condition as rules
from elector_server.rules.condition import KIND, Condition
from elector_server.rules.shared import At, Refusal

if TYPE_CHECKING:
    from elector_server.client_sessions import ClientSessions
    from elector_server.core import Core
    from elector_server.named_record import NamedRecord

NOTIFIED: Final = "notified"
WITHDRAWN: Final = "withdrawn"


class NoTicket(Refusal):
    """There is no ticket to withdraw (any more)."""


class Conditions(Participants[Condition]):
    """The waiters of this elector's clients."""

    def __init__(self, core: Core, client_sessions: ClientSessions) -> None:
        super().__init__(core, client_sessions, KIND)

    async def enqueue(self, name: str, client_id: str, holder: str) -> None:
        """Put a ticket into the record; done when it certainly is there.

        Raises:
            UnknownClient, HolderDead: as for a lock.
            StoreDown, NoRoom: not now.
        """
        client, record = self._heard(client_id, name), self._record(name)
        member = self._member(record, client, holder)
        if member is None:
            member = self._begin(record, client, self._claimant(client, holder))
        claimant = member.claimant

        def change(condition: Condition | None, _: At) -> tuple[Condition, None]:
            if condition is not None and condition.ticket_of(holder) is not None:
                return condition, None  # So much has happened since it came that the record forgot it.
            return rules.enqueue(condition, claimant), None

        if not member.is_told:
            try:
                await self._in_time(record, record.request(holder, change, lambda _: None))
            except Refusal as refusal:
                self._drop(record, member)
                raise self._problem(name, refusal) from None
            member.is_told = True
            self._core.background.start(self._mind(record, member, member.polls))

    async def wait(self, name: str, client_id: str, holder: str, wait_seconds: float, departure: Departure) -> bool:
        """Wait for at most `wait_seconds` to be notified; whether that has happened.

        A ticket that is no longer there counts as notified: rather one wake-up too many than one too few.

        Raises:
            UnknownClient: the client has no session here.
            StoreDown: nothing can be known now.
        """
        client, record = self._heard(client_id, name), self._record(name)
        if holder in self._core.dead:
            return True
        member = self._member(record, client, holder) or await self._from_before(record, client.id, holder)
        if member is None:
            return True
        polls = member.polls
        try:
            await record.until(partial(_seen, member), wait_seconds, departure)
        except (TimeoutError, Departed):
            self._core.background.start(self._mind(record, member, polls))
            self._check_silence(record)
            return False
        if departure.is_gone():
            self._core.background.start(self._mind(record, member, polls))
        else:
            record.told(holder)
        return True

    async def _from_before(self, record: NamedRecord[Condition], client_id: str, holder: str) -> Member | None:
        """The waiter of a client that asks again after this elector has restarted."""
        condition = await self._fresh(record)
        ticket = None if condition is None else condition.ticket_of(holder)
        client = self._clients.clients.find(client_id)
        if ticket is None or client is None or ticket.claimant.hold.session != self._session().id:
            return None
        member = self._begin(record, client, ticket.claimant)
        member.is_told = True
        return member

    async def _mind(self, record: NamedRecord[Condition], member: Member, polls: int) -> None:
        """A notification whose waiter does not come for it goes to the next one."""
        was_notified = False
        while member.polls == polls and record.members.get(member.holder) is member:
            await self._core.clock.sleep(GAP_SECONDS)
            try:
                condition = await self._fresh(record)  # Nobody looks at the record, so nobody watches it.
            except StoreDown:
                continue
            ticket = None if condition is None else condition.ticket_of(member.holder)
            is_notified = ticket is not None and ticket.notified
            if member.polls == polls and was_notified and is_notified:
                record.leave(member.holder)
            was_notified = is_notified

    async def withdraw(self, name: str, client_id: str, holder: str, *, pass_on: bool) -> str:
        """A waiter goes. Whether it was notified just then, unless that is to be passed on.

        A ticket that is gone counts as notified: its client may have been told, and may not have heard it.

        Raises:
            UnknownClient: the client has no session here.
            BadBody: the waiter is another client's.
            StoreDown: not now; the same call again goes on with it.
        """
        client, record = self._heard(client_id, name), self._record(name)
        member = self._own_member(record, client, holder)
        unknown = WITHDRAWN if pass_on else NOTIFIED

        def change(condition: Condition | None, at: At) -> tuple[Condition, str]:
            ticket = None if condition is None else condition.ticket_of(holder)
            if condition is None or (ticket is None and not pass_on):
                raise NoTicket
            if ticket is None:
                return rules.notify(condition, at, 1)[0], WITHDRAWN
            if pass_on:
                return condition.leave(ticket.claimant.hold, at), WITHDRAWN
            return condition.forget(ticket.claimant.hold), NOTIFIED if ticket.notified else WITHDRAWN

        try:
            # Who repeats this does not know whether it was notified: then it was. To pass that on is another request.
            operation = f"pass on {holder}" if pass_on else end_of(holder)
            answer: str = await self._in_time(record, record.operation(operation, change, lambda _: unknown))
        except NoTicket:
            answer = unknown
        self._core.dead.add(holder)
        if member is not None:
            self._drop(record, member)
        return answer

    async def notify(self, name: str, client_id: str, operation: str, waiters: int | None) -> int:
        """Notify the oldest `waiters`, None for all. Gives how many there were.

        Raises:
            UnknownClient: the client has no session here.
            StoreDown: not now.
        """
        self._heard(client_id, name)

        def change(condition: Condition | None, at: At) -> tuple[Condition, int]:
            return rules.notify(condition, at, waiters)

        record = self._record(name)
        notified: int = await self._in_time(record, record.operation(once(operation), change, lambda _: 0))
        self._core.count("notifications", notified)
        return notified


def _seen(member: Member, condition: Condition | None) -> Any:
    if member.lost is not None or condition is None:
        return True
    ticket = condition.ticket_of(member.holder)
    return True if ticket is None or ticket.notified else None
