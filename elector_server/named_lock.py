"""One lock as this elector sees it: its local waiters, its hold, and the loop that carries out `rules.turn`.

All that this elector does to one record happens in one loop at a time (`_pump`), so two of its own writes never race.
Callers only change what is wanted (join, leave, release, present) and wait for a future; if they give up, the loop goes
on until the outcome of what it sent is known.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TypeVar

from elector_server.problems import HeldBy, LockHeld, QueueFull, StoreDown
from elector_server.record_watch import RecordWatch
from elector_server.rules import lock as rules
from elector_server.rules.claimant import Hold
from elector_server.rules.lock import KIND, Lock
from elector_server.rules.turn import Known, Sight, Step, next_step
from elector_server.seen_versions import StoreWentBack
from elector_server.store import Conflict, Exists, Record, StoreUnavailable
from elector_server.trouble import Silence, Trouble
from elector_server.waiters import Grant, LocalHold, Presented, Waiter, held_by
from elector_server.writes import Abandoned, Backoff, attempt, settle

if TYPE_CHECKING:
    from elector_server.clients import Client
    from elector_server.core import Core
    from elector_server.own_session import OwnSession

Answer = TypeVar("Answer")

RECLAIM_SECONDS: Final = 1.0
"""How long a grant waits for a waiter that is between two polls."""

STALE_READ_SECONDS: Final = 0.05


class NamedLock:
    """One name. It exists while somebody here holds, waits, or has something left to write."""

    def __init__(self, name: str, core: Core) -> None:
        self.name = name
        self.hold: LocalHold | None = None
        self._core = core
        self._waiters: dict[str, Waiter] = {}
        self._presented: dict[str, Presented] = {}
        self._given_up: dict[str, asyncio.Future[bool]] = {}
        self._known = Known.NOTHING
        self._lock: Lock | None = None
        self._version = 0
        self._pumping: asyncio.Task[None] | None = None
        self._watch = RecordWatch(core, KIND, self)
        self._trouble = Trouble()
        self.silence = Silence(core.clock)

    # What is wanted -------------------------------------------------------------------------------------------------

    @property
    def waiters(self) -> int:
        """How many wait here."""
        return len(self._waiters)

    @property
    def version(self) -> int:
        """The newest version known of the record."""
        return self._version

    def local_waiters(self) -> tuple[Waiter, ...]:
        """Those who wait here, first come first."""
        return tuple(self._waiters.values())

    def find(self, holder: str) -> Waiter | None:
        """The waiter of that holder id, if it waits here."""
        return self._waiters.get(holder)

    def join(self, waiter: Waiter) -> None:
        """Queue up behind the other local waiters; a single try is refused at once if there is anybody before it."""
        if not waiter.queues and (self.hold is not None or self._waiters):
            raise LockHeld(self.name, self.describe_holder())
        self._waiters[waiter.holder] = waiter
        self.kick()

    def leave(self, holder: str) -> None:
        """A waiter is gone; whatever was sent in its name is put right once its outcome is known."""
        if self._waiters.pop(holder, None) is not None:
            self.kick()

    def client_of(self, holder: str) -> Client | None:
        """Whose holder id it is, if it holds or waits here."""
        if self.hold is not None and self.hold.holder == holder:
            return self.hold.client
        waiter = self._waiters.get(holder)
        return waiter.client if waiter is not None else None

    def release(self, holder: str) -> asyncio.Future[bool]:
        """The holder is done. The future is set once the record says so: whether it was this holder's until now."""
        if self.hold is not None and self.hold.holder == holder:
            self.hold = None
        released = self._given_up.get(holder)
        if released is None:
            released = self._given_up[holder] = asyncio.get_running_loop().create_future()
            self.kick()
        return released

    def present(self, presented: Presented) -> None:
        """A client of the process before comes back with its hold; its future says whether it still is one."""
        self._presented[presented.holder] = presented
        self.kick()

    def lose_hold(self, reason: str) -> None:
        """The hold is no longer certain: tell its client. Nothing is written."""
        hold, self.hold = self.hold, None
        if hold is not None:
            self._core.tell_loss(hold, reason)

    def session_changed(self) -> None:
        """The elector has another session: nothing that was known is worth anything, except to be read again."""
        self.lose_hold("the elector's own session is over")
        self._forget()
        self.kick()

    def fail_waiters(self, error: Exception) -> None:
        """End every wait here with `error`."""
        waiters, self._waiters = list(self._waiters.values()), {}
        for waiter in waiters:
            waiter.fail(error)
        self.kick()

    async def settled(self) -> None:
        """Wait until nothing is left to write for now."""
        while self._pumping is not None:
            await asyncio.wait([self._pumping])

    def is_idle(self) -> bool:
        """Whether nobody needs this object any more."""
        return not (self.hold or self._waiters or self._presented or self._given_up or self._pumping)

    def legacy_hold_before(self) -> str | None:
        """The holder id of a legacy hold that the process before us had, as far as is known here."""
        session, lock = self._core.session, self._lock
        if session is None or lock is None or not lock.claimant.legacy:
            return None
        is_before = lock.hold.session == session.id and lock.hold.epoch != session.epoch
        return lock.hold.holder if is_before else None

    def describe_holder(self) -> HeldBy | None:
        """Who holds, as far as is known here, for an error message."""
        return held_by(self._lock, self._version) if self._lock is not None else None

    # What is known --------------------------------------------------------------------------------------------------

    def see(self, version: int, record: Record | None) -> None:
        """Take in a change or a read, unless something newer is known."""
        if version <= self._version:
            return
        self._know(version, record)
        self._check_hold()
        self.kick()

    def _know(self, version: int, record: Record | None) -> None:
        self._version = version
        self.silence.answered()
        self._core.versions.see(version)
        self._lock = Lock.from_spec(record.spec) if record is not None else None
        self._known = Known.HELD if record is not None else Known.FREE

    def _forget(self) -> None:
        self._known, self._lock = Known.NOTHING, None

    def _check_hold(self) -> None:
        """A record newer than our hold that no longer shows it: somebody removed it by hand."""
        hold = self.hold
        if hold is None or self._version <= hold.version:
            return
        if self._lock is None or self._lock.hold != hold.claimant.hold:
            self.lose_hold("its record was deleted or overwritten in the store")

    def miss(self) -> None:
        """A read did not find the record. That proves nothing, but it is worth a try to create."""
        if self._known is Known.HELD and self.hold is None and self._pumping is None:
            self._forget()
            self.kick()

    def left_our_session(self, version: int) -> None:
        """At `version`, the store shows no record of this name under our session. A newer hold is not concerned."""
        if self.hold is not None and self.hold.version < version:
            self._forget()
            self.lose_hold("its record was deleted or overwritten in the store")
            self.kick()

    # The loop -------------------------------------------------------------------------------------------------------

    def kick(self) -> None:
        """Look again at what is to be done."""
        if self._pumping is None:
            self._pumping = self._core.background.start(self._pump())

    async def _pump(self) -> None:
        backoff: Backoff | None = None
        try:
            while True:
                session = self._core.session
                if session is None or not session.is_valid():
                    break
                step = self._next_step(session)
                if step is Step.REST:
                    break
                version = self._version
                self.silence.asked()
                try:
                    await self._carry_out(step, session)
                    backoff = None
                    self.silence.answered()
                    self._trouble.over(f"lock {self.name!r} can be written again")
                except (Exists, Conflict):
                    self._was_refused(version)
                except Abandoned:
                    self._forget()
                except StoreWentBack as error:
                    session.lose(str(error))
                except rules.QueueFull as full:
                    self.fail_waiters(QueueFull(self.name, full.tickets))
                except StoreUnavailable as error:
                    self.silence.refused(error)
                    self._refuse_tries(StoreDown(str(error)))
                    if session.trouble.cause is None:  # Else the whole store is away, and that is said already.
                        self._trouble.note(error, f"lock {self.name!r} can not be written")
                    backoff = backoff or Backoff(self._core.clock, self._core.random)
                    await backoff.pause()
        finally:
            self._pumping = None
            self._settle_down()

    def _was_refused(self, version: int) -> None:
        """A write over `version` found another one. A watch may have shown that meanwhile: then no read is needed."""
        if self._known is not Known.HELD or self._version <= version:
            self._known, self._lock = Known.EXISTS, None

    def _next_step(self, session: OwnSession) -> Step:
        first = next(iter(self._waiters.values()), None)
        sight = Sight(
            known=self._known,
            lock=self._lock,
            session=session.id,
            epoch=session.epoch,
            told=self.hold.holder if self.hold else None,
            first=first.claimant(session) if first else None,
            first_queues=first is not None and first.queues,
            wanted=self._wanted(),
            given_up=self._given_up,
            asked=bool(self._presented or self._given_up),
            in_grace=session.in_grace(),
            ended=self._core.foreign.is_ended,
        )
        step = next_step(sight)
        if step in (Step.REST, Step.LEAVE) and self._settle_asked():
            return self._next_step(session)
        if step is Step.REST and first is not None and not first.queues and self._known is Known.HELD:
            self._refuse_tries(LockHeld(self.name, self.describe_holder()))
            return self._next_step(session)
        return step

    def _wanted(self) -> set[str] | dict[str, Waiter]:
        return self._waiters.keys() | self._presented.keys() if self._presented else self._waiters

    def _settle_asked(self) -> bool:
        """Answer whoever presented or released a hold that the record does not show. True if anything changed."""
        session = self._core.session
        if self._known in (Known.NOTHING, Known.EXISTS) or session is None:
            return False
        ours = self._lock is not None and self._lock.hold.session == session.id
        holder = self._lock.hold.holder if self._lock is not None and ours else None
        presented = [entry for entry in self._presented if entry != holder]
        for entry in presented:
            self._presented.pop(entry).give(None)
        given_up = [entry for entry in self._given_up if entry != holder]
        for entry in given_up:
            self._released(entry, was_held=False)
        return bool(presented or given_up)

    def _released(self, holder: str, *, was_held: bool) -> None:
        future = self._given_up.pop(holder, None)
        if future is not None and not future.done():
            future.set_result(was_held)

    def _refuse_tries(self, error: Exception) -> None:
        for waiter in [waiter for waiter in self._waiters.values() if not waiter.queues]:
            del self._waiters[waiter.holder]
            waiter.fail(error)
            if self._lock is not None:
                self._core.glance(self._lock.claimant)

    async def _carry_out(self, step: Step, session: OwnSession) -> None:
        if step is Step.CREATE:
            await self._create(session)
        elif step is Step.READ:
            await self._read()
        elif step is Step.GRANT:
            self._grant_as_recorded(session)
        elif step is Step.HAND_ON:
            await self._hand_on(session)
        elif step is Step.CONFIRM:
            await self._confirm(session)
        elif step is Step.ENQUEUE:
            await self._enqueue(session)
        elif step is Step.LOSE:
            session.lose("another elector runs under the same identity and has adopted this session")
        else:
            await self._replace(session, rules.leave(self._locked(), self._version, session.id))

    async def _create(self, session: OwnSession) -> None:
        claimant = next(iter(self._waiters.values())).claimant(session)
        lock = rules.claim(claimant, self._core.clock.wall())
        spec = lock.to_spec()
        newest_before = self._core.versions.newest
        record = await self._settle(session, lambda: self._core.store.create(KIND, self.name, session.id, spec))
        self._core.versions.check(record.version, newest_before)
        self._wrote(record.version, lock)
        self._grant_as_recorded(session)

    async def _read(self) -> None:
        core, before, refused = self._core, self._version, self._known is Known.EXISTS
        record = await attempt(core.clock, core.durations.attempt_seconds, lambda: core.store.get(KIND, self.name))
        if record is not None and record.version >= self._version:
            self._know(record.version, record)
            self._check_hold()
        elif record is None and self._version == before and await self._is_proven_free():
            self._known, self._lock = Known.FREE, None
        if self._known is Known.HELD and (self._version > before or not refused):
            return  # By this read, or by a watch, which has shown something newer meanwhile.
        # The record went away, or the read shows nothing newer than what was refused: the next write tells, and a
        # pause keeps this from spinning.
        await core.clock.sleep(STALE_READ_SECONDS * core.random.uniform(0.5, 1.5))

    async def _is_proven_free(self) -> bool:
        """Whether a read that found nothing can be believed: a presented hold may be younger than what was read."""
        youngest = max((presented.token or 0 for presented in self._presented.values()), default=0)
        if youngest == 0:
            return True
        core = self._core
        listing = await attempt(
            core.clock, core.durations.attempt_seconds, lambda: core.store.list(KIND, name=self.name)
        )
        for record in listing.records:
            self.see(record.version, record)
        return not listing.records and listing.version >= youngest

    async def _hand_on(self, session: OwnSession) -> None:
        lock, version = self._locked(), self._version
        first = next(iter(self._waiters.values()), None)
        heir = rules.hand_on(
            lock,
            version,
            self._core.clock.wall(),
            ended=self._core.foreign.is_ended,
            local=first.claimant(session) if first and (first.queues or not lock.queue) else None,
            session=session.id,
        )
        if heir is not None:
            await self._replace(session, heir)
            self._core.count("hand_offs")
        else:
            await self._settle(session, lambda: self._core.store.delete(KIND, self.name, version))
            if self._version == version:
                self._known, self._lock = Known.FREE, None
        self._released(lock.hold.holder, was_held=True)
        self._settle_asked()

    async def _confirm(self, session: OwnSession) -> None:
        lock = self._locked()
        holder = lock.hold.holder
        presented = self._presented.get(holder)
        claimant = replace(lock.claimant, hold=Hold(holder, session.id, session.epoch))
        token = presented.token if presented else None
        await self._replace(session, rules.confirm(lock, self._version, claimant, token))
        self._core.count("confirmations")

    async def _enqueue(self, session: OwnSession) -> None:
        first = next(iter(self._waiters.values()))
        await self._replace(session, rules.enqueue(self._locked(), self._version, first.claimant(session)))

    async def _replace(self, session: OwnSession, lock: Lock) -> None:
        version, spec = self._version, lock.to_spec()
        holding_session = lock.hold.session
        newest_before = self._core.versions.newest
        record = await self._settle(
            session, lambda: self._core.store.replace(KIND, self.name, version, holding_session, spec)
        )
        self._core.versions.check(record.version, newest_before)
        self._wrote(record.version, lock)
        self._grant_as_recorded(session)

    def _wrote(self, version: int, lock: Lock) -> None:
        """Our own write is there; a watch may have shown something newer before its answer came."""
        if version > self._version:
            self._version, self._lock, self._known = version, lock, Known.HELD

    async def _settle(self, session: OwnSession, send: Callable[[], Awaitable[Answer]]) -> Answer:
        core = self._core
        core.count("writes")
        return await settle(core.clock, core.random, core.durations.attempt_seconds, send, session.is_valid)

    def _grant_as_recorded(self, session: OwnSession) -> None:
        """Tell the waiter whom the record names "yours", if this elector is still sure of its session."""
        lock = self._lock
        # The second look at the deadline: the write may have taken long, or this process may have been paused.
        if not session.is_valid() or self._core.session is not session:
            self._forget()
            return
        if lock is None or (lock.hold.session, lock.hold.epoch) != (session.id, session.epoch):
            return
        holder = lock.hold.holder
        waiter = self._waiters.pop(holder, None)
        presented = self._presented.pop(holder, None)
        claimed_by = waiter or presented
        if claimed_by is None:
            return
        if holder in self._given_up:
            claimed_by.give(None)
            return
        token = rules.token_of(lock, self._version)
        self.hold = hold = LocalHold(self.name, holder, claimed_by.client, session, token, self._version, lock.claimant)
        self._core.note_grant(hold)
        if self.hold is not hold:
            return
        grant = Grant(hold)
        heard = [listener.give(grant) for listener in (waiter, presented) if listener is not None]
        if not any(heard):
            self.pass_on_unless_reclaimed(hold)

    def pass_on_unless_reclaimed(self, hold: LocalHold) -> None:
        """Nobody heard of this grant: its client has a moment to come back for it."""
        self._core.background.start(self._pass_on(hold))

    async def _pass_on(self, hold: LocalHold) -> None:
        await self._core.clock.sleep(RECLAIM_SECONDS)
        if not hold.reclaimed and self.hold is hold:
            self._core.give_up(hold.name, hold.client, hold.holder)

    def _locked(self) -> Lock:
        if self._lock is None:
            raise RuntimeError(f"lock {self.name!r}: a step that needs a record was chosen without one")
        return self._lock

    def _settle_down(self) -> None:
        """The loop has nothing to do: wait for a change if somebody here waits for another elector's hold."""
        session, lock = self._core.session, self._lock
        if lock is None or session is None or not self._waiters or lock.hold.session == session.id:
            self._watch.depend_on(None)
        else:
            self._watch.depend_on({lock.hold.session: lock.claimant.lease_seconds})
        if self.is_idle():
            self._core.drop_name(self)
