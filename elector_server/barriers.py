"""Barriers for clients: arrive and wait, open, abort, reset. What is decided stands in `rules.barrier`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from elector_server.answered import Answered
from elector_server.parking import Departed, Departure
from elector_server.participants import Member, Participants, end_of, once
from elector_server.problems import BarrierBroken, HolderDead, PartiesMismatch
from elector_server.rules import barrier as rules
from elector_server.rules.barrier import KIND, Barrier, Outcome, Place
from elector_server.rules.shared import At, Refusal, TermsDiffer
from elector_server.semaphores import described

if TYPE_CHECKING:
    import asyncio

    from elector_server.client_sessions import ClientSessions
    from elector_server.clients import Client
    from elector_server.core import Core
    from elector_server.named_record import NamedRecord

OPEN: Final = "open"
ABORT: Final = "abort"
RESET: Final = "reset"

PLACES_REMEMBERED: Final = 10_000
"""Of parties that know their outcome, or ought to: a request whose answer was lost comes again."""


class NotStanding(Refusal):
    """A party that leaves does not stand in the record (any more): this is what became of it."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


class Arrival(NamedTuple):
    """How a party stands."""

    name: str
    holder: str
    outcome: Outcome
    place: Place


class Barriers(Participants[Barrier]):
    """The parties of this elector's clients."""

    def __init__(self, core: Core, client_sessions: ClientSessions) -> None:
        super().__init__(core, client_sessions, KIND)
        self._places: dict[str, Place] = {}
        self._passed = Answered(core.clock)
        """Where parties stood that were told that they passed: who did not hear it may ask as if it had never come."""
        self._sent: dict[str, Place] = {}
        """Places that were sent to the store. They are taken only if the record says that the arrival is in it."""

    async def arrive(
        self,
        name: str,
        client_id: str,
        holder: str,
        parties: int,
        arrived: Place | None,
        wait_seconds: float,
        departure: Departure,
        *,
        acts: bool,
    ) -> Arrival:
        """Arrive, unless it has `arrived` before, and wait for the others for at most `wait_seconds`.

        Raises:
            UnknownClient, HolderDead: as for a lock.
            BarrierBroken: it is broken.
            PartiesMismatch: somebody else counts another number of parties.
            StoreDown, NoRoom: not now.
        """
        client, record = self._heard(client_id, name), self._record(name)
        if holder in self._core.dead:
            return await self._of_one_given_up(record, holder, arrived)
        member = self._member(record, client, holder)
        if member is None and (KIND, name, holder) in self._passed:
            return Arrival(name, holder, Outcome.PASSED, self._passed[KIND, name, holder])
        if member is None and arrived is not None:
            member = await self._from_before(record, client, holder, arrived)
        elif member is None:
            member = self._join(record, client, holder, parties, acts=acts)
        await self._has_arrived(record, member)
        return await self._outcome(record, member, wait_seconds, departure)

    async def _of_one_given_up(self, record: NamedRecord[Barrier], holder: str, arrived: Place | None) -> Arrival:
        """A party whose client was silent for too long: it may have passed before, and with it the others."""
        barrier = await self._fresh(record)
        place = arrived or self._place_of(barrier, holder)
        if place is None or rules.outcome(barrier, holder, place) is not Outcome.PASSED:
            raise HolderDead(record.name, holder, KIND)
        return Arrival(record.name, holder, Outcome.PASSED, place)

    async def _has_arrived(self, record: NamedRecord[Barrier], member: Member) -> None:
        """The arrival is in the record, and its place is known."""
        asked = record.asked(member.holder)
        if asked is not None:
            try:
                member.place, member.has_joined = await self._in_time(record, asked), True
            except Refusal as refusal:
                self._drop(record, member)
                raise self._refusal(record.name, refusal) from None
        elif member.refused is not None:
            self._drop(record, member)
            raise self._refusal(record.name, member.refused)

    def _join(self, record: NamedRecord[Barrier], client: Client, holder: str, parties: int, *, acts: bool) -> Member:
        member = self._begin(record, client, self._claimant(client, holder))

        def change(barrier: Barrier | None, at: At) -> tuple[Barrier, Place]:
            standing = None if barrier is None else rules.place_of(barrier, holder)
            if barrier is not None and standing is not None:
                return barrier, standing  # So much has happened since it arrived that the record forgot it.
            alone = self._core.users.is_alone(client, KIND, record.name)
            changed, place = rules.arrive(barrier, member.claimant, parties, at, acts=acts, alone=alone)
            _remember(self._sent, holder, place)  # Should the answer of the store be lost, together with the session.
            return changed, place

        def again(barrier: Barrier) -> Place:
            # Of one that nobody remembers, nobody knows the outcome either: it counts as broken.
            return self._place_of(barrier, holder) or Place(barrier.generation, 0)

        self._ask_to_join(record, member, change, again)
        return member

    def _joins(self, record: NamedRecord[Barrier], member: Member, joining: asyncio.Future[Any]) -> None:
        super()._joins(record, member, joining)

        def answered(future: asyncio.Future[Any]) -> None:
            if not future.cancelled() and future.exception() is None:
                _remember(self._places, member.holder, future.result())

        joining.add_done_callback(answered)

    async def _from_before(self, record: NamedRecord[Barrier], client: Client, holder: str, arrived: Place) -> Member:
        """The party of a client that asks again after this elector has restarted."""
        barrier = await self._fresh(record)
        claimants = [] if barrier is None else barrier.claimants()
        claimant = next((found for found in claimants if found.hold.holder == holder), None)
        member = self._begin(record, client, claimant or self._claimant(client, holder))
        member.place, member.has_joined = arrived, True
        return member

    def bring_back(self, record: NamedRecord[Barrier]) -> None:
        """The party of before that acts asks for nothing while it does: it stays as long as its client lives here.

        All others come back by asking again, as `_from_before` has it.
        """
        barrier, session = record.record, self._core.session
        acting = None if barrier is None else rules.acting_in(barrier)
        if barrier is None or acting is None or session is None:
            return
        client, hold = self._clients.clients.find(acting.client), acting.hold
        is_from_before = hold.session == session.id and hold.epoch < session.epoch
        is_over = hold.holder in self._core.dead or record.asked(end_of(hold.holder)) is not None
        if client is None or not is_from_before or is_over or hold.holder in record.members:
            return
        self._core.users.note(client, KIND, record.name)
        member = self._begin(record, client, acting)
        member.place, member.has_joined = Place(barrier.generation, barrier.parties - 1), True

    async def _outcome(
        self, record: NamedRecord[Barrier], member: Member, wait_seconds: float, departure: Departure
    ) -> Arrival:
        try:
            seen = await record.until(partial(_seen, record, member), wait_seconds, departure)
        except (TimeoutError, Departed):
            self._check_silence(record)
            seen = Outcome.WAITING
        if seen is Outcome.BROKEN:
            _remember(self._places, member.holder, member.place)
            self._core.count("barrier_breaks")
            record.told(member.holder)
            raise BarrierBroken(record.name)
        if seen is Outcome.PASSED:
            _remember(self._places, member.holder, member.place)
            self._passed.add((KIND, record.name, member.holder), member.place)
            self._core.count("barrier_passes")
            self._drop(record, member)
        return Arrival(record.name, member.holder, seen, member.place)

    def _place_of(self, barrier: Barrier | None, holder: str) -> Place | None:
        """Where a party stands or stood; None of one that is not known to have arrived."""
        if holder in self._places or barrier is None:
            return self._places.get(holder)
        sent = self._sent.get(holder) if holder in barrier.operations else None
        return rules.place_of(barrier, holder) or sent

    async def leave(
        self, name: str, client_id: str, holder: str, arrived: Place | None = None
    ) -> tuple[Outcome, Place | None]:
        """A party goes before all have come, and breaks the barrier; or it has passed just then, at that place.

        Raises:
            UnknownClient: the client has no session here.
            BadBody: the party is another client's.
            StoreDown: not now; the same call again goes on with it.
        """
        client, record = self._heard(client_id, name), self._record(name)
        member = self._own_member(record, client, holder)

        def change(barrier: Barrier | None, at: At) -> tuple[Barrier, Outcome]:
            standing = [] if barrier is None else barrier.claimants()
            hold = next((claimant.hold for claimant in standing if claimant.hold.holder == holder), None)
            if barrier is None or hold is None:
                place = arrived or self._place_of(barrier, holder)
                raise NotStanding(Outcome.BROKEN if place is None else rules.outcome(barrier, holder, place))
            return barrier.leave(hold, at), Outcome.BROKEN

        try:
            answer: Outcome = await self._in_time(
                record, record.operation(end_of(holder), change, lambda _: Outcome.BROKEN)
            )
        except NotStanding as absent:
            answer = absent.outcome
        self._core.dead.add(holder)
        place = arrived or self._place_of(record.record, holder)
        if member is not None:
            self._drop(record, member)
        return answer, place

    async def change(
        self, name: str, client_id: str, operation: str, parties: int, transition: str, holder: str | None
    ) -> Barrier:
        """Open it after the action, abort it, or reset it. Gives the record after it.

        Raises:
            UnknownClient: the client has no session here.
            BarrierBroken: it broke before it could be opened.
            StoreDown: not now.
        """
        self._heard(client_id, name)
        record = self._record(name)

        def change(barrier: Barrier | None, _: At) -> tuple[Barrier, Barrier]:
            if barrier is not None and transition == OPEN and rules.was_opened_by(barrier, holder or ""):
                changed = barrier  # The record may have forgotten the operation since.
            elif transition == OPEN:
                changed = rules.open_(barrier, holder or "")
            else:
                changed = rules.abort(barrier, parties) if transition == ABORT else rules.reset(barrier, parties)
            return changed, changed

        try:
            barrier: Barrier = await self._in_time(
                record, record.operation(once(operation), change, lambda barrier: barrier)
            )
        except rules.BarrierBroken:
            raise BarrierBroken(name, acting=holder) from None
        except Refusal as refusal:
            raise self._refusal(name, refusal) from None
        member = record.members.get(holder or "")
        if member is not None and transition == OPEN:
            _remember(self._places, member.holder, member.place)
            self._core.count("barrier_passes")
            self._drop(record, member)
        return barrier

    def _refusal(self, name: str, error: BaseException) -> BaseException:
        if isinstance(error, rules.BarrierBroken):
            return BarrierBroken(name)
        if isinstance(error, TermsDiffer):
            if error.used_by is not None:
                self._core.glance(error.used_by)
            return PartiesMismatch(name, error.ours, error.theirs, described(error.used_by))
        return self._problem(name, error)


def _remember(places: dict[str, Place], holder: str, place: Place) -> None:
    places[holder] = place
    if len(places) > PLACES_REMEMBERED:
        del places[next(iter(places))]


def _seen(record: NamedRecord[Barrier], member: Member, barrier: Barrier | None) -> Outcome | None:
    """What the record says, and nothing else: a party whose session was lost may have passed with the others."""
    if not member.has_joined:
        return None
    if barrier is None and record.version == 0:
        return None  # Of a record that was never seen here, a read proves nothing: it may be there.
    outcome = rules.outcome(barrier, member.holder, member.place)
    return None if outcome is Outcome.WAITING else outcome
