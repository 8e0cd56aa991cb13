"""What clients do with semaphores, conditions, barriers and events has in common: who asks, for what, and for how long.

A *member* is one acquisition, wait or arrival of a client of this elector that stands in a record, or is about to. It
stays until it is told its outcome, gives up, or its client is gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic

from elector_server.deciding import R
from elector_server.named_record import Answer, NamedRecord
from elector_server.parking import is_done_soon
from elector_server.problems import BadBody, HolderDead, NoRoom, StoreDown, UnknownClient
from elector_server.rules.claimant import Claimant, Hold
from elector_server.rules.shared import RecordFull
from elector_server.store import Record, StoreUnavailable
from elector_server.writes import attempt
from metaparticle_sync import wire

if TYPE_CHECKING:
    from elector_server.client_sessions import ClientSessions
    from elector_server.clients import Client
    from elector_server.core import Core
    from elector_server.own_session import OwnSession

CLAIM_SECONDS: Final = 0.8
"""How long a single step may wait for the store: callers have one second."""

UNDECIDED_SECONDS: Final = 0.4
"""How much longer than asked for a caller waits for the first word of the store. Its client allows half a second."""

GAP_SECONDS: Final = 2.0
"""How long what was granted, or notified, waits for a client between two polls."""


def once(operation: str) -> str:
    """The id of a request for a one-shot operation, whatever else may have the same id."""
    return f"operation {operation}"


def end_of(holder: str) -> str:
    """The id of the request that ends what the request of that holder's own id has begun."""
    return f"end {holder}"


class Member:
    """One acquisition, wait or arrival here. `polls` counts its requests.

    `place` is what its joining gave: where it stands in a barrier, or whether it is this session that it joined a
    semaphore in. `was_admitted`: whether the newest decision of this process on its joining, be it written yet or not,
    gave it a permit or a ticket.
    """

    __slots__ = (
        "claimant",
        "client",
        "has_joined",
        "is_told",
        "lost",
        "on_lost",
        "place",
        "polls",
        "refused",
        "was_admitted",
    )

    def __init__(self, client: Client, claimant: Claimant) -> None:
        self.client = client
        self.claimant = claimant
        self.polls = 0
        self.has_joined = False
        self.is_told = False
        self.lost: str | None = None
        self.refused: BaseException | None = None
        self.on_lost: Callable[[Member, str], None] | None = None
        self.place: Any = None
        self.was_admitted = False

    @property
    def holder(self) -> str:
        """The id of the acquisition."""
        return self.claimant.hold.holder

    def lose(self, reason: str) -> None:
        """Its place in the record is worth nothing any more."""
        self.lost = reason
        if self.on_lost is not None:
            self.on_lost(self, reason)


class Participants(Generic[R]):
    """The members of all records of one kind."""

    def __init__(self, core: Core, client_sessions: ClientSessions, kind: str) -> None:
        self._core = core
        self._clients = client_sessions
        self.kind = kind

    def _record(self, name: str) -> NamedRecord[R]:
        record: NamedRecord[R] = self._core.recorded(self.kind, name)
        return record

    def bring_back(self, record: NamedRecord[R]) -> None:
        """Nothing: of this kind, each claimant of before is asked for, or presented, by the client that came back."""

    def _heard(self, client_id: str, name: str) -> Client:
        """The client that asks.

        Raises:
            UnknownClient: it has no session here.
        """
        client = self._clients.clients.heard(client_id)
        self._core.users.note(client, self.kind, name)
        return client

    def _member(self, record: NamedRecord[R], client: Client, holder: str) -> Member | None:
        """The member of that holder id, whose client asks again.

        Raises:
            HolderDead: the id is over.
            BadBody: it belongs to somebody or something else.
        """
        if holder in self._core.dead:
            raise HolderDead(record.name, holder, self.kind)
        member = self._own_member(record, client, holder)
        # One that was told its outcome, and asks again before that is taken for heard, is still its client's here.
        elsewhere = client.members.get(holder, record) is not record
        if member is None and (elsewhere or holder in client.waiting or holder in client.holds):
            raise BadBody(f"holder {wire.short_id(holder)}... is in use for something else: use a fresh id each time")
        if member is not None:
            member.polls += 1
        return member

    def _own_member(self, record: NamedRecord[R], client: Client, holder: str) -> Member | None:
        """The member of that holder id.

        Raises:
            BadBody: it is another client's.
        """
        member = record.members.get(holder)
        if member is not None and member.client is not client:
            raise BadBody(f"holder {wire.short_id(holder)}... belongs to another client: use a fresh id")
        return member

    def _begin(self, record: NamedRecord[R], client: Client, claimant: Claimant) -> Member:
        client = self._still_known(client)
        member = Member(client, claimant)
        before = record.members.get(member.holder)
        if before is not None:  # Two requests of one holder found it at once.
            before.client.members.pop(member.holder, None)
        record.members[member.holder] = member
        client.members[member.holder] = record
        return member

    def _still_known(self, client: Client) -> Client:
        """The client, which may have been given up while its request waited: nobody would clean up behind it."""
        known = self._clients.clients.find(client.id)
        if known is None:
            raise UnknownClient(client.id)
        return known

    def _drop(self, record: NamedRecord[R], member: Member) -> None:
        """It is over, and nothing of it stands in the record."""
        record.members.pop(member.holder, None)
        member.client.members.pop(member.holder, None)
        record.kick()

    def _ask_to_join(self, record: NamedRecord[R], member: Member, change: Any, again: Callable[[R], Any]) -> None:
        """Have the record changed for a member; what the rules refuse is told to whoever looks at the member."""
        self._joins(record, member, record.request(member.holder, change, again))

    def _joins(self, record: NamedRecord[R], member: Member, joining: asyncio.Future[Any]) -> None:
        """Once this is answered, the member stands in the record, or never will."""

        def answered(future: asyncio.Future[Any]) -> None:
            if not future.cancelled() and future.exception() is None:
                member.place, member.has_joined = future.result(), True
            elif not future.cancelled():
                member.refused = future.exception()
            record.show()

        joining.add_done_callback(answered)

    def _claimant(self, client: Client, holder: str) -> Claimant:
        session = self._session()
        return Claimant(
            hold=Hold(holder, session.id, session.epoch),
            client=client.id,
            owner=self._core.identity.owner,
            process=client.process,
            lease_seconds=session.durations.lease_seconds,
        )

    def _session(self) -> OwnSession:
        session = self._core.session
        if session is None:
            raise StoreDown("the elector has no session")
        return session

    async def _in_time(
        self, record: NamedRecord[R], future: asyncio.Future[Answer], since: float | None = None
    ) -> Answer:
        """The answer to a request, if it comes while a caller can wait; the request goes on in any case.

        Args:
            record: what it is about.
            future: the answer.
            since: when the caller began to wait, if that was before.

        Raises:
            StoreDown: it does not.
        """
        if not await is_done_soon(future):
            spent = 0.0 if since is None else self._core.clock.now() - since
            try:
                async with self._core.clock.timeout(max(0.0, CLAIM_SECONDS - spent)):
                    await asyncio.wait([future])
            except TimeoutError:
                raise StoreDown(record.hindrance(0.0) or "no answer in time") from None
        return future.result()

    async def _fresh(self, record: NamedRecord[R], seconds: float = CLAIM_SECONDS) -> R | None:
        """The record as it is now.

        Raises:
            StoreDown: the store did not answer.
        """
        try:
            async with self._core.clock.timeout(seconds):
                return await record.fresh()
        except StoreUnavailable as error:
            raise StoreDown(str(error)) from error
        except TimeoutError:
            raise StoreDown("no answer in time") from None

    def _check_silence(self, record: NamedRecord[R]) -> None:
        """Whoever waited for an answer of the store in vain shall not hear that he has to wait.

        Raises:
            StoreDown: nothing is known.
        """
        reason = "the elector has no session" if self._core.session is None else record.hindrance(CLAIM_SECONDS)
        if reason is not None:
            raise StoreDown(reason)

    def _problem(self, name: str, error: BaseException) -> BaseException:
        """What the rules refuse, for the client."""
        if isinstance(error, RecordFull):
            return NoRoom(self.kind, name, str(error))
        return error

    async def read(self, name: str) -> Record | None:
        """Read one record.

        Raises:
            StoreDown: the store did not answer.
        """
        core = self._core
        try:
            return await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.get(self.kind, name))
        except StoreUnavailable as error:
            raise StoreDown(str(error)) from error

    async def list(self) -> tuple[Record, ...]:
        """Read all records.

        Raises:
            StoreDown: the store did not answer.
        """
        core = self._core
        try:
            listing = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.list(self.kind))
        except StoreUnavailable as error:
            raise StoreDown(str(error)) from error
        return listing.records
