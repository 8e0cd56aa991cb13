"""One semaphore, event, condition or barrier as this elector sees it: what is wanted of it, and the loop that writes.

    request ──┐                    ┌── changed: compare-and-swap ── done: answers
    leave   ──┼── decide (rules) ──┤                                └── refused: read, decide again
    tidy    ──┘                    └── unchanged, known since the request came: answers; else read, decide again

All that this elector does to one record happens in one loop at a time (`_pump`), so its own writes never race, and each
write carries whatever is wanted at that moment. Callers wait for the answer to a request, or for a look at the record
to show what they wait for. What the record remembers of its operations makes each request happen exactly once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from elector_server.deciding import AdoptedElsewhere, Change, Decision, OutcomeForgotten, R, Request, Wishes, decide
from elector_server.looks import Looks
from elector_server.parking import Departure
from elector_server.problems import HolderDead, OutcomeLost, StoreDown
from elector_server.record_watch import RecordWatch
from elector_server.rules.shared import At
from elector_server.seen_versions import StoreWentBack
from elector_server.store import Conflict, Exists, Record, StoreUnavailable
from elector_server.trouble import Silence, Trouble
from elector_server.users import is_unnamed
from elector_server.writes import Abandoned, Backoff, attempt, settle

if TYPE_CHECKING:
    from elector_server.core import Core
    from elector_server.own_session import OwnSession
    from elector_server.participants import Member

Answer = TypeVar("Answer")

TIDY_SECONDS: Final = 1.0
"""How long claimants that are through stay in the record, should no other write take them along."""

LINGER_SECONDS: Final = 2.5
"""How long a record is watched after the last one who waited for it: they come back within `GAP_SECONDS`."""

STALE_READ_SECONDS: Final = 0.05


class NamedRecord(Generic[R]):
    """One name of one kind. It exists while somebody here uses it or has something left to write."""

    def __init__(self, kind: str, name: str, core: Core, read: Callable[[Any], R]) -> None:
        self.kind = kind
        self.name = name
        self.members: dict[str, Member] = {}
        self._core = core
        self._read_spec = read
        self._requests: dict[str, Request[R]] = {}
        self._answers: dict[str, asyncio.Future[Any]] = {}
        self._operations: set[str] = set()
        """The requests whose answers are kept."""
        self._number = 0
        self._read_number = -1
        """Requests up to this number came before the record was known as it is known now."""
        self._leaving: dict[str, asyncio.Future[None]] = {}
        self._told: dict[str, tuple[Member, float]] = {}
        """Who was told its outcome, and when. It counts as heard when its client is heard of after that."""
        self._tidying: asyncio.Task[None] | None = None
        self._tidy_due = False
        self._lingering: asyncio.Task[None] | None = None
        self._removing = False
        self._looks: Looks[R | None] = Looks(core.clock, core.background, self._latest)
        self._readers = 0
        self._is_known = False
        self._record: R | None = None
        self._version = 0
        self._refused_version = -1
        self._index = ""
        self._pumping: asyncio.Task[None] | None = None
        self._watch = RecordWatch(core, kind, self)
        self._trouble = Trouble()
        self._silence = Silence(core.clock)
        self._writes = 0

    # What is wanted -------------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """The newest version known of the record."""
        return self._version

    @property
    def record(self) -> R | None:
        """The record, as far as it is known."""
        return self._record

    @property
    def waits(self) -> int:
        """How many callers wait for it to show something."""
        return len(self._looks)

    def request(
        self,
        request_id: str,
        change: Change[R],
        again: Callable[[R], Any],
        *,
        is_remembered: bool = True,
        repeated_after: int | None = None,
        on_forgotten: Callable[[], None] = lambda: None,
    ) -> asyncio.Future[Any]:
        """Have a change made, exactly once, and give its answer; the same id again waits for the same one.

        The future raises what the rules refuse (`Refusal`), and `StoreDown` if nobody can know what became of it.
        """
        answer = self._answers.get(request_id)
        if answer is None:
            answer = self._answers[request_id] = asyncio.get_running_loop().create_future()
            if (self.kind, self.name, request_id) in self._core.answered:
                self._answer(request_id, self._core.answered[self.kind, self.name, request_id])
            else:
                self._number += 1
                self._requests[request_id] = Request(
                    request_id, change, again, self._number, is_remembered, repeated_after, on_forgotten=on_forgotten
                )
            self.kick()
        return answer

    def operation(
        self, operation: str, change: Change[R], again: Callable[[R], Any], *, repeated_after: int | None = None
    ) -> asyncio.Future[Any]:
        """A request whose answer stays the same, however long after its caller asks again."""
        self._operations.add(operation)
        return self.request(operation, change, again, repeated_after=repeated_after)

    def asked(self, request_id: str) -> asyncio.Future[Any] | None:
        """The future of a request that has not been answered yet."""
        return self._answers.get(request_id)

    async def fresh(self) -> R | None:
        """The record, read after this call began.

        Raises:
            StoreUnavailable: the store did not answer.
        """
        self._number += 1
        self._readers += 1
        try:
            await self._read()
        finally:
            self._readers -= 1
            self._stay()  # Whoever asked goes on with this object: there must not be another one of the same record.
        return self._record

    async def until(self, see: Callable[[R | None], Answer | None], seconds: float, departure: Departure) -> Answer:
        """Wait until a look at the record gives something, for at most `seconds`.

        Raises:
            TimeoutError: nothing was seen.
            Departed: the caller is gone.
        """
        waiting = self._looks.until(see, seconds, departure)
        self.kick()
        try:
            return await waiting
        finally:
            self.kick()

    def leave(self, holder: str) -> asyncio.Future[None]:
        """This claimant is to leave the record, wherever it stands; the future is set once it has."""
        member = self.members.pop(holder, None) or self._told.pop(holder, (None, 0.0))[0]
        if member is not None:
            member.client.members.pop(holder, None)
        self._drop_request(holder)
        left = self._leaving.get(holder)
        if left is None:
            left = self._leaving[holder] = asyncio.get_running_loop().create_future()
            self.kick()
        self._looks.show()
        return left

    def told(self, holder: str) -> None:
        """This claimant is through: its place in the record is taken away once its client is heard of again.

        Until then it stays its client's: should that die before, it leaves, and what it was told is passed on.
        """
        member = self.members.pop(holder, None)
        if member is not None:
            self._told[holder] = member, self._core.clock.now()
        if self._tidying is None:
            self._tidying = self._core.background.start(self._tidy_later())

    async def _tidy_later(self) -> None:
        while self._told:
            await self._core.clock.sleep(TIDY_SECONDS)
            self.tidy()
            await self.settled()
        self._tidying = None
        self.kick()

    def tidy(self) -> None:
        """Remove what is over, even if nothing else is to be written."""
        self._tidy_due = True
        self.kick()

    def remove(self) -> None:
        """Nobody is left here who could use this record: delete it, unless it names clients of other electors."""
        self._removing = self._tidy_due = True
        self.kick()

    def session_changed(self) -> None:
        """The elector has another session: what stood in the record under the one before is lost, or soon will be."""
        session = self._core.session
        for member in list(self.members.values()):
            if session is None or member.claimant.hold.session != session.id:
                self._lose(member)
        self._looks.show()
        self._is_known = False
        self.kick()

    def _lose(self, member: Member) -> None:
        self.members.pop(member.holder, None)
        member.client.members.pop(member.holder, None)
        self._requests.pop(member.holder, None)
        # What was sent may have landed: whoever asks again, under another session, finds out.
        self._answer(member.holder, StoreDown("the elector's own session is over"))
        member.lose("the elector's own session is over")

    def _drop_request(self, holder: str) -> None:
        self._requests.pop(holder, None)
        self._answer(holder, HolderDead(self.name, holder, self.kind))

    def fail(self, error: Exception) -> None:
        """End every wait here with `error`."""
        self._looks.fail(error)
        for answer in self._answers.values():
            if not answer.done():
                _refuse(answer, error)

    def hindrance(self, patience_seconds: float) -> str | None:
        """Why the store does not do what was asked; None if it does, or was asked less than `patience_seconds` ago."""
        cause = self._trouble.cause
        return self._silence.reason(patience_seconds) if cause is None else cause.reason

    async def settled(self) -> None:
        """Wait until nothing is left to write for now."""
        while self._pumping is not None:
            await asyncio.wait([self._pumping])

    def is_idle(self) -> bool:
        """Whether nobody needs this object any more."""
        in_use = self.members or self._told or self._looks or self._readers or self._tidying or self._lingering
        return not (in_use or self._has_work() or self._pumping)

    # What is known --------------------------------------------------------------------------------------------------

    def see(self, version: int, record: Record | None) -> None:
        """Take in a change or a read, unless something newer is known."""
        if version <= self._version and self._is_known:
            return
        if version < self._version:
            return
        self._know(version, record)
        self.kick()

    def miss(self) -> None:
        """A read did not find the record. That proves nothing, but a write will tell."""
        if self._is_known and self._record is not None and self._pumping is None:
            self._is_known = False
            self.kick()

    def _know(self, version: int, record: Record | None) -> None:
        self._version = version
        self._core.versions.see(version)
        self._set(None if record is None else self._read_spec(record.spec), "" if record is None else record.session)

    def _set(self, record: R | None, index: str) -> None:
        self._silence.answered()
        self._record, self._index, self._is_known = record, index, True
        self._looks.show()

    def show(self) -> None:
        """Something besides the record has changed that a look depends on."""
        self._looks.show()

    def _latest(self) -> R | None:
        if not self._is_known:
            raise LookupError
        return self._record

    # The loop -------------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Look again at what is to be done."""
        if self._pumping is None:
            self._pumping = self._core.background.start(self._pump())

    def _has_work(self) -> bool:
        return bool(self._requests or self._leaving or self._tidy_due or self._removing)

    async def _pump(self) -> None:
        backoff: Backoff | None = None
        try:
            while (session := self._core.session) is not None and session.is_valid():
                writes = self._writes
                try:
                    if not await self._guarded_step(session):
                        break
                except StoreUnavailable as error:
                    self._note_trouble(session, error)
                    backoff = backoff or Backoff(self._core.clock, self._core.random)
                    await backoff.pause()
                if self._writes > writes:
                    backoff = None
                    self._trouble.over(f"{self.kind} {self.name!r} can be written again")
        finally:
            self._pumping = None
            self._settle_down()

    def _note_trouble(self, session: OwnSession, error: StoreUnavailable) -> None:
        self._silence.refused(error)
        if session.trouble.cause is None:  # Else the whole store is away, and that is said already.
            self._trouble.note(error, f"{self.kind} {self.name!r} can not be written")

    async def _guarded_step(self, session: OwnSession) -> bool:
        """One round; what turns out to be otherwise than it was known is read again in the next one."""
        try:
            return await self._step(session)
        except (Exists, Conflict):
            self._refused_version, self._is_known = self._version, False
        except Abandoned:
            self._is_known = False
        except StoreWentBack as error:
            session.lose(str(error))
        except AdoptedElsewhere:
            session.lose("another elector runs under the same identity and has adopted this session")
        return True

    async def _step(self, session: OwnSession) -> bool:
        """One round of read, decide and write. False: nothing is left to do."""
        if not (self._has_work() or self._looks):
            return False
        self._silence.asked()
        if not self._is_known:
            await self._read()
            return True
        decision = self._decide(session)
        if decision.changed:
            await self._write(session, decision)
            return True
        if self._is_to_go():
            await self._delete(session)
            return True
        self._removing = False
        if any(request.number > self._read_number for request, _ in decision.answers):
            await self._read()  # A refusal, or an answer without a write, from what was known before it was asked.
            return True
        self._settle(decision, list(self._leaving))
        self._silence.answered()
        return False

    def _is_to_go(self) -> bool:
        """Whether nobody uses the record any more: neither clients of ours, nor those who stand in it."""
        if not self._removing or self._record is None or self._core.users.is_used(self.kind, self.name):
            return False
        return not any(self._record.claimants())

    def _decide(self, session: OwnSession) -> Decision[R]:
        core, before = self._core, self._record
        core.bring_back(self)
        at = At(0 if before is None else self._version, core.clock.wall(), session.id, core.foreign.is_ended)
        decision = decide(before, at, self._wishes(session))
        if self._tidy_due and before is not None and self._index_under(session) != self._index:
            decision.changed = True  # The record of an unnamed primitive must not go with a session that is over.
        return decision

    def _wishes(self, session: OwnSession) -> Wishes[R]:
        return Wishes(
            requests=list(self._requests.values()),
            leaving=self._leaving,
            here=self.members.keys() | self._requests.keys() | self._told.keys(),
            told=self._heard(),
            session=session.id,
            epoch=session.epoch,
            in_grace=session.in_grace(),
            is_awaited=bool(self._looks),
            tidy=self._tidy_due,
        )

    def _heard(self) -> set[str]:
        return {holder for holder, (member, told_at) in self._told.items() if member.client.heard_at > told_at}

    def _forget(self, holders: Iterable[str]) -> None:
        for holder in holders:
            member, _ = self._told.pop(holder)
            member.client.members.pop(holder, None)

    async def _read(self) -> None:
        core, number = self._core, self._number
        record = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.get(self.kind, self.name))
        if record is None:
            await self._read_nothing()
        elif record.version >= self._version:
            self._know(record.version, record)
        if not self._is_known or (record is not None and record.version == self._refused_version):
            # The read shows no more than what was refused: a pause keeps this from spinning.
            await core.clock.sleep(STALE_READ_SECONDS * core.random.uniform(0.5, 1.5))
        self._read_number = max(self._read_number, number)

    async def _read_nothing(self) -> None:
        """There is no record, or the read is older than what is known of one: the version of a list tells."""
        core = self._core
        if self._version == 0:
            self._set(None, "")
            return
        listing = await attempt(
            core.clock, core.durations.attempt_seconds, lambda: core.store.list(self.kind, name=self.name)
        )
        for record in listing.records:
            self.see(record.version, record)
        if not listing.records and listing.version > self._version:
            self._version = listing.version
            self._set(None, "")

    async def _write(self, session: OwnSession, decision: Decision[R]) -> None:
        core, store, record = self._core, self._core.store, decision.record
        if record is None:
            raise RuntimeError(f"{self.kind} {self.name!r}: a change was decided without a record")
        decision.note_sending(self._record)
        told, left, number, version = self._heard(), list(self._leaving), self._number, self._version
        is_new, index = self._record is None, self._index_under(session)
        record = record if is_new else record.written_over(version)
        spec = record.to_spec()
        newest_before = core.versions.newest

        async def send() -> Record:
            if is_new:
                return await store.create(self.kind, self.name, index, spec)
            return await store.replace(self.kind, self.name, version, index, spec)

        written = await self._sent(session, decision, send)
        self._writes += 1
        core.versions.check(written.version, newest_before)
        if written.version > self._version:
            self._version = written.version
            self._forget(told & self._told.keys())
            self._tidy_due = False
            self._read_number = max(self._read_number, number)
            self._settle(decision, left)
            self._set(record, index)
        else:
            self._settle(decision, left)

    async def _sent(self, session: OwnSession, decision: Decision[R], send: Callable[[], Awaitable[Record]]) -> Record:
        """Send the write until its outcome is known. What was certainly refused is as if it had never been sent."""
        core, sends = self._core, 0

        async def counted() -> Record:
            nonlocal sends
            sends += 1
            return await send()

        core.count("writes")
        try:
            return await settle(core.clock, core.random, core.durations.attempt_seconds, counted, session.is_valid)
        except (Exists, Conflict, StoreUnavailable):
            if sends == 1:
                decision.note_refused()
            raise

    async def _delete(self, session: OwnSession) -> None:
        core, version = self._core, self._version
        core.count("writes")
        await settle(
            core.clock,
            core.random,
            core.durations.attempt_seconds,
            lambda: core.store.delete(self.kind, self.name, version),
            session.is_valid,
        )
        self._removing = False
        if self._version == version:
            self._set(None, "")

    def _index_under(self, session: OwnSession) -> str:
        """Unnamed records hang on the session of an elector whose clients use them, as long as it lives."""
        if not is_unnamed(self.name):
            return ""
        return session.id if not self._index or self._core.foreign.is_ended(self._index) else self._index

    def _settle(self, decision: Decision[R], left: Iterable[str]) -> None:
        """What was decided holds now."""
        for request, answer in decision.answers:
            if self._requests.get(request.id) is request:
                del self._requests[request.id]
                self._answer(request.id, answer)
        for holder in left:
            self._leaving.pop(holder).set_result(None)
        if self._tidy_due and not decision.changed:
            self._tidy_due = False
            self._forget(self._heard())

    def _answer(self, request_id: str, answer: Any) -> None:
        future = self._answers.pop(request_id, None)
        if request_id in self._operations:
            self._operations.discard(request_id)
            if not isinstance(answer, Exception) or isinstance(answer, OutcomeForgotten):
                self._core.answered.add((self.kind, self.name, request_id), answer)
        if future is None or future.done():
            return
        if isinstance(answer, OutcomeForgotten):
            _refuse(future, OutcomeLost(str(answer)))
        elif isinstance(answer, Exception):
            _refuse(future, answer)
        else:
            future.set_result(answer)

    def _settle_down(self) -> None:
        """The loop has nothing to do: wait for a change if somebody here waits for one."""
        session = self._core.session
        if not self._looks:
            if self._watch.is_open:
                self._stay()
        elif self._record is None or session is None:
            self._watch.depend_on({})
        else:
            self._watch.depend_on(self._record.depends_on(session.id))
        if self.is_idle():
            self._core.drop_record(self)

    def _stay(self) -> None:
        if self._lingering is None:
            self._lingering = self._core.background.start(self._linger())

    async def _linger(self) -> None:
        """Between two polls the watch stays open: what was observed of a session must not be observed anew."""
        await self._core.clock.sleep(LINGER_SECONDS)
        self._lingering = None
        if not self._looks:
            self._watch.depend_on(None)
        self.kick()


def _refuse(future: asyncio.Future[Any], error: Exception) -> None:
    """Whoever asked may be gone; an error that nobody hears is no error of its own, so it counts as looked at."""
    future.set_exception(error)
    future.exception()
