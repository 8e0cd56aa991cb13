"""Semaphores for clients: acquire, release, give up. What is decided stands in `rules.semaphore`."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from elector_server.dead_holders import DeadHolders
from elector_server.named_record import NamedRecord
from elector_server.parking import Departed, Departure
from elector_server.participants import (
    CLAIM_SECONDS,
    GAP_SECONDS,
    UNDECIDED_SECONDS,
    Member,
    end_of,
    once,
)
from elector_server.permits import NotThere, Permits
from elector_server.problems import (
    HeldBy,
    HolderDead,
    LimitMismatch,
    NoPermit,
    NotAHolder,
    OutcomeLost,
    SemaphoreFull,
    StoreDown,
)
from elector_server.rules import semaphore as rules
from elector_server.rules.semaphore import KIND, Permit, Semaphore, Terms
from elector_server.rules.shared import At, Refusal, TermsDiffer, digest, is_same

if TYPE_CHECKING:
    from elector_server.client_sessions import ClientSessions
    from elector_server.clients import Client
    from elector_server.core import Core
    from elector_server.rules.claimant import Claimant


@dataclass(frozen=True, slots=True)
class PermitGranted:
    """The answer to an acquire that succeeded. `value` is what is left, `operations` how many were ever applied."""

    name: str
    holder: str
    token: int
    valid_seconds: float
    incarnation: str
    value: int
    operations: int


@dataclass(frozen=True, slots=True)
class Heard:
    """What a client had heard when it first asked for an operation: of which elector, and how many there had been."""

    incarnation: str
    operations: int


@dataclass(frozen=True, slots=True)
class PermitsReleased:
    """The answer to a release. `value` is how many permits are free, `operations` how many were ever applied."""

    name: str
    value: int
    operations: int


_QUEUED: Final = object()


class NothingLeft(Refusal):
    """All permits that are to be released were released or lost before."""


class Semaphores(Permits):
    """The semaphores of this elector's clients."""

    def __init__(self, core: Core, client_sessions: ClientSessions) -> None:
        super().__init__(core, client_sessions)
        self._released = DeadHolders(core.clock)
        """Permits that their own clients released, or are about to. To give one up besides frees nothing more."""

    async def acquire(
        self, name: str, client_id: str, holder: str, terms: Terms, wait_seconds: float, departure: Departure
    ) -> PermitGranted | None:
        """Acquire a permit, waiting for at most `wait_seconds`; 0 is a single try. None: still waiting.

        Raises:
            UnknownClient, HolderDead: as for a lock.
            NoPermit: a single try found all permits held.
            LimitMismatch: somebody else uses this name on other terms.
            StoreDown, NoRoom: not now.
        """
        client, record, started_at = self._heard(client_id, name), self._record(name), self._core.clock.now()
        member = self._member(record, client, holder)
        queues = wait_seconds > 0
        if member is None:
            member = await self._from_before(record, client, holder) or self._join(
                record, client, holder, terms, queues=queues
            )
        polls = member.polls
        try:
            permit = await self._outcome(record, member, started_at, wait_seconds, departure)
        except (TimeoutError, Departed):
            if not queues:
                self._withdraw(record, member)
            else:
                self._keep_for_a_moment(record, member, polls)
            if not member.has_joined:
                raise StoreDown(record.hindrance(0.0) or "no answer in time") from None
            self._check_silence(record)
            return None
        if isinstance(permit, BaseException):
            self._drop(record, member)
            raise self._refusal(name, permit) from None
        if departure.is_gone():
            self._keep_for_a_moment(record, member, polls)
        return self._granted(record, member, permit)

    def _join(
        self, record: NamedRecord[Semaphore], client: Client, holder: str, terms: Terms, *, queues: bool
    ) -> Member:
        member = self._begin(record, client, self._claimant(client, holder))
        member.on_lost = partial(self._lost, record.name)

        def change(semaphore: Semaphore | None, at: At) -> tuple[Semaphore, int]:
            if semaphore is not None and any(is_same(found, member.claimant) for found in semaphore.claimants()):
                return semaphore, 1  # So much has happened since it came that the record forgot it.
            member.was_admitted = False
            alone = self._core.users.is_alone(client, KIND, record.name)
            acquired = rules.acquire(semaphore, member.claimant, terms, at, queues=queues, alone=alone)
            if not any(found.hold == member.claimant.hold for found in acquired.claimants()):
                return acquired, 0  # It still stands there under a session of before, and goes with that.
            member.was_admitted = True
            return acquired, acquired.operations.count + 1

        def again(semaphore: Semaphore) -> int:
            return int(digest(holder) in semaphore.taken_over)  # It had its permit, of which nobody told it.

        def on_forgotten() -> None:
            member.was_admitted = False

        self._joins(record, member, record.request(holder, change, again, on_forgotten=on_forgotten))
        return member

    async def _from_before(self, record: NamedRecord[Semaphore], client: Client, holder: str) -> Member | None:
        """The waiter of a client that asks again after this elector has restarted."""
        session = self._session()
        if session.adopted_at is None:
            return None
        found = await self._fresh(record, UNDECIDED_SECONDS)
        if found is None or not any(_is_before(claimant, holder, session.id) for claimant in found.claimants()):
            return None
        member = self._begin(record, client, self._claimant(client, holder))
        member.on_lost = partial(self._lost, record.name)
        self._joins(record, member, self._confirmation(record, member, None))
        return member

    async def _outcome(
        self,
        record: NamedRecord[Semaphore],
        member: Member,
        started_at: float,
        wait_seconds: float,
        departure: Departure,
    ) -> Any:
        """What becomes of it. The store's first word is waited for even if the caller has less time than that takes."""
        see, spent = partial(self._seen, record, member), self._core.clock.now() - started_at
        first_seconds = max(wait_seconds, UNDECIDED_SECONDS) if wait_seconds else CLAIM_SECONDS - spent

        def first(semaphore: Semaphore | None) -> Any:
            return see(semaphore) or (_QUEUED if member.has_joined else None)

        outcome = await record.until(first, first_seconds, departure)
        if outcome is not _QUEUED:
            return outcome
        return await record.until(see, started_at + wait_seconds - self._core.clock.now(), departure)

    def _seen(self, record: NamedRecord[Semaphore], member: Member, semaphore: Semaphore | None) -> Any:
        """What is to be answered now, if anything: a permit, or why there will be none."""
        if member.lost is not None or member.holder in self._core.dead:
            return HolderDead(record.name, member.holder, KIND)
        if member.refused is not None or not member.has_joined:
            return member.refused
        standing = None if semaphore is None else semaphore.standing(member.holder)
        if standing is None:
            return self._of_one_that_is_gone(record, member, semaphore)
        hold = standing.claimant.hold if isinstance(standing, Permit) else standing.hold
        if hold.session == member.claimant.hold.session and hold.epoch != member.claimant.hold.epoch:
            # Of the process before, and nobody knew when the client asked again: the read was an old one.
            member.has_joined = False
            self._joins(record, member, self._confirmation(record, member, None))
            return None
        return standing if isinstance(standing, Permit) and hold == member.claimant.hold else None

    def _of_one_that_is_gone(
        self, record: NamedRecord[Semaphore], member: Member, semaphore: Semaphore | None
    ) -> Permit | HolderDead:
        """Granted and given back by somebody else's release before anybody looked: it counts. Else removed by hand."""
        # Without a place, it joined in another session, and that has ended.
        if member.place and semaphore is not None and _was_taken_over(semaphore, member):
            return Permit(member.claimant, "", record.version)
        return HolderDead(record.name, member.holder, KIND)

    def _granted(self, record: NamedRecord[Semaphore], member: Member, permit: Permit) -> PermitGranted:
        session, semaphore = self._core.session, record.record
        # The second look at the deadline: the write may have taken long, or this process may have been paused.
        if session is None or not session.is_valid() or session.id != member.claimant.hold.session:
            raise HolderDead(record.name, member.holder, KIND)
        if not member.is_told:
            member.is_told = True
            self._core.count("grants")
        token = record.version if permit.token is None else permit.token
        return PermitGranted(
            record.name,
            member.holder,
            token,
            self._clients.valid_seconds(member.client),
            session.incarnation,
            0 if semaphore is None else semaphore.value,
            0 if semaphore is None else semaphore.operations.count,
        )

    def _keep_for_a_moment(self, record: NamedRecord[Semaphore], member: Member, polls: int) -> None:
        self._core.background.start(self._leave_unless_back(record, member, polls))

    async def _leave_unless_back(self, record: NamedRecord[Semaphore], member: Member, polls: int) -> None:
        await self._core.clock.sleep(GAP_SECONDS)
        if member.polls == polls and record.members.get(member.holder) is member:
            self._withdraw(record, member)

    def _withdraw(self, record: NamedRecord[Semaphore], member: Member) -> Any:
        """Its client does not know that it succeeded, or does not want it any more. Gives the future of its end."""
        hold = member.claimant.hold
        self._core.dead.add(hold.holder)

        def change(semaphore: Semaphore | None, at: At) -> tuple[Semaphore, None]:
            if semaphore is None or hold.session != at.session:
                raise NotThere(hold.holder)
            if hold.holder in self._released:
                return semaphore.leave(hold, at), None
            return rules.withdraw(semaphore, hold, at, has_joined=member.was_admitted), None

        withdrawn = record.request(end_of(hold.holder), change, lambda _: None)
        self._drop(record, member)
        record.show()
        return withdrawn

    def _refusal(self, name: str, error: BaseException) -> BaseException:
        if isinstance(error, rules.NoPermit):
            return self._no_permit(name)
        if isinstance(error, TermsDiffer):
            return self._mismatch(name, error)
        return HolderDead(name, error.holder, KIND) if isinstance(error, NotThere) else self._problem(name, error)

    def _permits(self, name: str) -> tuple[Permit, ...]:
        semaphore = self._record(name).record
        return () if semaphore is None else semaphore.permits

    def _no_permit(self, name: str) -> NoPermit:
        """Who holds them; and see whether they are still alive, on behalf of whoever tries again later."""
        record = self._record(name)
        permits = self._permits(name)
        for permit in permits:
            self._core.glance(permit.claimant)
        return NoPermit(name, len(permits), _held_by(permits[0], record.version) if permits else None)

    def _mismatch(self, name: str, error: TermsDiffer) -> LimitMismatch:
        if error.used_by is not None:
            self._core.glance(error.used_by)
        return LimitMismatch(name, error.ours, error.theirs, described(error.used_by))

    async def release(
        self,
        name: str,
        client_id: str,
        operation: str,
        terms: Terms,
        permits: int,
        holders: Sequence[str],
        heard: Heard | None = None,
    ) -> PermitsReleased:
        """Give `permits` back in one step, those of `holders` first.

        Args:
            name: of the semaphore.
            client_id: who asks.
            operation: the id under which it is done once.
            terms: what the semaphore is.
            permits: how many.
            holders: whose, as far as they stand in the record.
            heard: what the caller had heard when it first asked. If that was another process, and the record may have
                forgotten since what was done, permits of `holders` go back if they are still there, and no others.

        Raises:
            UnknownClient: the client has no session here.
            SemaphoreFull: it is bounded, and fewer are held: nothing was given back.
            LimitMismatch, StoreDown: as for `acquire`.
        """
        client, record, started_at = self._heard(client_id, name), self._record(name), self._core.clock.now()
        user, incarnation = self._claimant(client, operation), self._session().incarnation
        repeated_after = heard.operations if heard is not None and heard.incarnation != incarnation else None
        self._released.add(*holders)

        def change(semaphore: Semaphore | None, at: At) -> tuple[Semaphore, int]:
            standing = frozenset() if semaphore is None else {found.hold.holder for found in semaphore.claimants()}
            # What is over and does not stand there any more was lost or given back before, or since this was asked: it
            # frees nothing again.
            over = frozenset(holder for holder in holders if holder in self._core.dead)
            left = permits - len(over - standing)
            if left == 0:
                raise NothingLeft
            alone = self._core.users.is_alone(client, KIND, name)
            changed = rules.release(semaphore, user, terms, at, permits=left, own=holders, alone=alone)
            return changed, changed.value

        try:
            released = record.operation(
                once(operation), change, lambda semaphore: semaphore.value, repeated_after=repeated_after
            )
            value: int = await self._in_time(record, released)
        except NothingLeft:
            return self._released_now(record, terms.limit if record.record is None else record.record.value)
        except OutcomeLost:
            if permits > len(holders):
                raise
            value = await self._return_all(record, holders, started_at)
        except rules.SemaphoreFull:
            raise SemaphoreFull(name, permits, len(self._permits(name))) from None
        except Refusal as refusal:
            raise self._refusal(name, refusal) from None
        for holder in holders:
            self._core.dead.add(holder)
            member = record.members.get(holder)
            if member is not None:
                self._drop(record, member)
        return self._released_now(record, value)

    @staticmethod
    def _released_now(record: NamedRecord[Semaphore], value: int) -> PermitsReleased:
        operations = 0 if record.record is None else record.record.operations.count
        return PermitsReleased(record.name, value, operations)

    async def _return_all(self, record: NamedRecord[Semaphore], holders: Sequence[str], since: float) -> int:
        """Nobody knows whether these permits were given back: a permit itself can be given back only once."""
        for left in [record.leave(holder) for holder in holders]:
            await self._in_time(record, left, since)
        return 0 if record.record is None else record.record.value

    async def give_up(self, name: str, client_id: str, holder: str) -> bool:
        """Withdraw a waiter, or return the permit of exactly this holder. True once it is written.

        Raises:
            NotAHolder: it neither holds nor waits.
        """
        client, started_at = self._clients.clients.find(client_id), self._core.clock.now()
        if client is not None:
            client.heard_at = started_at
        record = self._record(name)
        member = record.members.get(holder)
        if member is not None and member.client.id != client_id:
            raise NotAHolder(name, holder, is_anothers=True)
        is_known = member is not None or holder in self._core.dead
        self._core.dead.add(holder)
        try:
            if not is_known and not await self._stands(record, holder):
                raise NotAHolder(name, holder)
            left = self._left(record, holder) if member is None else self._withdraw(record, member)
            await self._in_time(record, left, started_at)
        except NotThere:
            return True
        except StoreDown:
            if member is None:
                self._left(record, holder)
            return False
        return True

    def _left(self, record: NamedRecord[Semaphore], holder: str) -> asyncio.Future[None]:
        """The end of one that is no member. One that withdraws already waits for its acquire to be decided."""
        return record.asked(end_of(holder)) or record.leave(holder)

    async def _stands(self, record: NamedRecord[Semaphore], holder: str) -> bool:
        """Whether it stands in the record: perhaps a permit or a ticket of the process before."""
        semaphore = await self._fresh(record)
        return semaphore is not None and any(found.hold.holder == holder for found in semaphore.claimants())


def _was_taken_over(semaphore: Semaphore, member: Member) -> bool:
    """Whether one that has joined, and stands nowhere, had its permit before somebody else gave it back.

    A record that counts fewer operations than when it joined is another one, made after somebody had deleted that.
    """
    if member.holder in semaphore.operations:
        return True
    return not semaphore.terms.bounded and semaphore.operations.count >= member.place


def described(user: Claimant | None) -> str:
    """Who it is, in words."""
    return "somebody else" if user is None else f"{user.process or 'a process'} at {user.owner}"


def _held_by(permit: Permit, version: int) -> HeldBy:
    token = version if permit.token is None else permit.token
    claimant = permit.claimant
    return HeldBy(owner=claimant.owner, process=claimant.process, since=permit.acquired_at, token=str(token))


def _is_before(claimant: Claimant, holder: str, session: str) -> bool:
    return claimant.hold.holder == holder and claimant.hold.session == session
