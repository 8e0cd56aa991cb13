"""This elector's own session in the store: found or begun, renewed, watched for its deadline, lost, ended.

    open() ──> valid ──────────────── lose() ──> lost ── retire() ──> ended in the store
                │  renew every D/5     ^
                └── deadline, foreign ─┘
                    writer, ended

The deadline is `t_send + H`, with `t_send` read before the send of the write that turned out to commit (of an
unanswered one: the earliest copy). It is compared whenever somebody asks, so no timer has to fire for it to hold. A
lost session is never revived: the elector begins another one.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Final

from elector_server.clock import Clock
from elector_server.durations import Durations
from elector_server.rules import session as rules
from elector_server.rules.session import KIND, ForeignWriter, IllegalTransition, Session, State
from elector_server.seen_versions import SeenVersions, StoreWentBack
from elector_server.store import Conflict, Exists, Record, Store, StoreUnavailable
from elector_server.trouble import Trouble
from elector_server.writes import Backoff, attempt

log = logging.getLogger("elector")

RENEW_JITTER: Final = 0.1


@dataclass(frozen=True, slots=True)
class Identity:
    """Who this elector is across restarts.

    Attributes:
        owner: for people: pod name, or host and port.
        key: the index of its sessions in the store (pod UID, or a digest of state folder and port): a-z, 0-9 and '-'.
        boot_id: of the machine; another one means that no client of the process before can be left.
    """

    owner: str
    key: str
    boot_id: str


class _Found(Enum):
    """What a read shows after a conflict."""

    COMMITTED = auto()
    MOVED = auto()
    NOTHING_NEW = auto()


def _mark(session: Session) -> tuple[str, int, int, State]:
    return session.nonce, session.epoch, session.seq, session.state


class OwnSession:
    """One session of this elector, from its first write to its last."""

    def __init__(
        self,
        store: Store,
        identity: Identity,
        durations: Durations,
        clock: Clock,
        rng: random.Random,
        versions: SeenVersions,
        count: Callable[[str], None],
    ) -> None:
        self._store = store
        self._identity = identity
        self._settings = durations
        self._clock = clock
        self._random = rng
        self._versions = versions
        self._count = count
        self._nonce = ""
        self._deadline = float("-inf")
        self._session: Session | None = None
        self._version = 0
        self._renew_now = asyncio.Event()
        self._renewed = asyncio.Event()
        self._lost = asyncio.Event()
        self.durations = durations
        self.id = ""
        self.adopted_at: float | None = None
        self.lost_reason: str | None = None
        self.left_over: list[str] = []
        """Sessions of this identity and boot that go on without anybody: they end by observation."""
        self.left_from_before_boot: list[str] = []
        """Those of an earlier boot, whose writers are certainly gone."""
        self.trouble = Trouble()

    @property
    def epoch(self) -> int:
        """How often the session changed hands, plus one."""
        return self._session.epoch if self._session else 0

    @property
    def incarnation(self) -> str:
        """What clients compare: another one means that each hold has to be confirmed."""
        return f"{self.id[-12:]}.{self.epoch}"

    def was_that_of(self, incarnation: str) -> bool:
        """Whether an incarnation is one of this session, be it of a process before."""
        return incarnation.partition(".")[0] == self.id[-12:]

    @property
    def deadline(self) -> float:
        """Until when, by this elector's clock, what hangs on the session is certain."""
        return self._deadline

    def is_valid(self) -> bool:
        """Whether this elector may still claim, and say "yours", by its own clock, right now.

        The first look past the deadline loses the session for good: a renewal that comes back late revives nothing.
        """
        if self.lost_reason is None and self._clock.now() >= self._deadline > float("-inf"):
            cause = self.trouble.cause
            self.lose("no renewal reached the store in time" + (f": {cause.reason}" if cause else ""))
        return self.lost_reason is None and self._deadline > float("-inf")

    def valid_seconds(self) -> float:
        """How long that remains so; 0 if it no longer is."""
        return max(0.0, self._deadline - self._clock.now()) if self.is_valid() else 0.0

    def grace_seconds(self) -> float:
        """How long clients of the process before may still come back for their holds."""
        if self.adopted_at is None:
            return 0.0
        return max(0.0, self.adopted_at + self.durations.adoption_grace_seconds - self._clock.now())

    def in_grace(self) -> bool:
        """Whether clients of the process before may still come back for their holds."""
        return self.grace_seconds() > 0

    async def open(self, *, adopt: bool) -> None:
        """Go on with the session of the process before, or begin a new one. Tries until it succeeds.

        Only a process that has just started adopts: one that lost its session would take it from whoever runs under
        the same identity. Returns once the session is renewed for the first time, hence usable.
        """
        backoff = Backoff(self._clock, self._random)
        while not await self._try_to_open(adopt=adopt):
            await backoff.pause()

    async def _try_to_open(self, *, adopt: bool) -> bool:
        # One for each try: a write of an earlier try that lands late must not pass for one of this.
        self._nonce = f"{self._random.getrandbits(128):032x}"
        try:
            return (adopt and await self._adopt_any()) or await self._begin()
        except (StoreUnavailable, IllegalTransition, Conflict) as error:
            self.trouble.note(error, "not ready yet")
            return False

    async def _adopt_any(self) -> bool:
        listing = await attempt(
            self._clock, self._attempt_seconds(), lambda: self._store.list(KIND, session=self._identity.key)
        )
        adopted = False
        self.left_over, self.left_from_before_boot = [], []
        for record in sorted(listing.records, key=lambda record: -record.version):
            session = Session.from_spec(record.spec)
            if not adopted and rules.is_adoptable(session, self._identity.boot_id):
                adopted = await self._adopt(record, session)
            elif session.state is not State.ENDED:
                is_of_this_boot = session.boot_id == self._identity.boot_id
                (self.left_over if is_of_this_boot else self.left_from_before_boot).append(record.name)
        return adopted

    async def _adopt(self, record: Record, session: Session) -> bool:
        self.id = record.name
        self.durations = replace(self._settings, lease_seconds=session.lease_seconds)
        self._session, self._version = session, record.version
        adopted = rules.adopt(session, self._nonce, self._identity.boot_id, self._clock.wall())
        await self._write(adopted, self._clock.now() + self.durations.validity_seconds)
        self.adopted_at = self._clock.now()
        log.info("went on with session %s of the process before, epoch %d", self.id, self.epoch)
        return True

    async def _begin(self) -> bool:
        self.durations = self._settings
        self.id = rules.new_session_id(self._identity.key, self._random.getrandbits(128))
        session = rules.begin(
            self._identity.key,
            self._identity.owner,
            self.durations.lease_seconds,
            self._nonce,
            self._identity.boot_id,
            self._clock.wall(),
        )
        newest_before = self._versions.newest
        record = await self._create(session)
        self._versions.check(record.version, newest_before)
        self._session, self._version = session, record.version
        await self._renew(self._clock.now() + self.durations.validity_seconds)
        log.info("began session %s, lease %g s", self.id, self.durations.lease_seconds)
        return True

    async def _create(self, session: Session) -> Record:
        try:
            return await attempt(
                self._clock,
                self._attempt_seconds(),
                lambda: self._store.create(KIND, self.id, self._identity.key, session.to_spec()),
            )
        except Exists as error:
            raise StoreUnavailable(f"a fresh session id is taken: {self.id}") from error

    async def keep(self) -> None:
        """Renew until the session is lost, then return."""
        renewing = asyncio.ensure_future(self._renew_for_ever())
        try:
            while self.is_valid():
                await self._until_lost(self.valid_seconds())
        finally:
            renewing.cancel()
            await asyncio.gather(renewing, return_exceptions=True)

    async def _until_lost(self, seconds: float) -> None:
        try:
            async with self._clock.timeout(max(0.001, seconds)):
                await self._lost.wait()
        except TimeoutError:
            return

    async def _renew_for_ever(self) -> None:
        try:
            while True:
                await self._until_next_renewal()
                await self._renew(self._deadline)
        except IllegalTransition as error:
            self.lose(str(error))
        except StoreWentBack as error:
            self.lose(str(error))
        except StoreUnavailable:
            return  # The deadline has passed meanwhile, and says so itself.

    async def _until_next_renewal(self) -> None:
        seconds = self.durations.renew_seconds * self._random.uniform(1 - RENEW_JITTER, 1 + RENEW_JITTER)
        try:
            async with self._clock.timeout(seconds):
                await self._renew_now.wait()
        except TimeoutError:
            pass
        self._renew_now.clear()

    async def renew_soon(self, seconds: float) -> None:
        """Ask for a renewal now, and wait for it for at most `seconds`."""
        self._renewed.clear()
        self._renew_now.set()
        try:
            async with self._clock.timeout(seconds):
                await self._renewed.wait()
        except TimeoutError:
            return

    async def _renew(self, give_up_at: float) -> None:
        session = self._current()
        await self._write(rules.renew(session, self._nonce, session.epoch, self._clock.wall()), give_up_at)

    async def _write(self, wanted: Session, give_up_at: float) -> None:
        """Write `wanted` over what this process read or wrote last, until the outcome is known.

        Raises:
            IllegalTransition: the session is no longer ours, or has ended.
            StoreWentBack: its version is not above what was seen before it was sent.
            StoreUnavailable: nothing was certain by `give_up_at`.
        """
        backoff = Backoff(self._clock, self._random, self.durations.renew_seconds / 4)
        earliest_sent_at: float | None = None
        newest_before = self._versions.newest
        while self._clock.now() < give_up_at:
            sent_at = self._clock.now()
            # An unanswered copy may be the one that commits, so its earlier send counts.
            earliest_sent_at = sent_at if earliest_sent_at is None else earliest_sent_at
            try:
                record = await self._send(wanted)
            except StoreUnavailable as error:
                self._note_failed_renewal(error)
                await backoff.pause()
            except Conflict:
                found = await self._found_after_conflict(wanted)
                if found is _Found.COMMITTED:
                    self._versions.check(self._version, newest_before)
                    return self._committed(wanted, self._version, earliest_sent_at)
                if found is _Found.MOVED:
                    earliest_sent_at = None
            else:
                self._versions.check(record.version, newest_before)
                return self._committed(wanted, record.version, earliest_sent_at)
        raise StoreUnavailable("the store did not answer in time")

    def _note_failed_renewal(self, error: StoreUnavailable) -> None:
        if self._deadline > float("-inf"):
            self.trouble.note(error, "the session can not be renewed, and every hold is lost if that goes on")

    async def _send(self, wanted: Session) -> Record:
        spec = wanted.to_spec()
        return await attempt(
            self._clock,
            self._attempt_seconds(),
            lambda: self._store.replace(KIND, self.id, self._version, self._identity.key, spec),
        )

    async def _found_after_conflict(self, wanted: Session) -> _Found:
        """What stands in the record now. If only its version moved, that one is taken for the next send.

        Copies guarded by the old version can no longer land then, so the next send begins a count of its own.
        """
        record = await self._read()
        if record is None or record.version <= self._version:
            await self._clock.sleep(self.durations.renew_seconds / 8)
            return _Found.NOTHING_NEW
        found, before = Session.from_spec(record.spec), self._current()
        if _mark(found) == _mark(wanted):
            self._version = record.version
            return _Found.COMMITTED
        if found.state is not State.LIVE:
            raise IllegalTransition(f"the session was ended by somebody else: it is {found.state.value}")
        if _mark(found) != _mark(before):
            raise ForeignWriter("another elector runs under the same identity and renews this session")
        self._version = record.version
        return _Found.MOVED

    async def _read(self) -> Record | None:
        try:
            return await attempt(self._clock, self._attempt_seconds(), lambda: self._store.get(KIND, self.id))
        except StoreUnavailable:
            return None

    def _committed(self, session: Session, version: int, sent_at: float) -> None:
        self._session, self._version = session, version
        if self._deadline > float("-inf") and not self.is_valid():
            return
        self._count("renewals")
        self.trouble.over("the session is renewed again" if self._deadline > float("-inf") else "ready")
        self._deadline = max(self._deadline, sent_at + self.durations.validity_seconds)
        self._renewed.set()

    def lose(self, reason: str) -> None:
        """From now on nothing of this session is certain."""
        if self.lost_reason is None:
            self.lost_reason = reason
            self._lost.set()
            self._renewed.set()

    async def remove(self) -> None:
        """Leave no record of a session on which nothing hangs: where pods are short-lived, nobody would sweep it up.

        Whoever meets a late write that names it waits as for any session that is missing.
        """
        try:
            await attempt(
                self._clock, self._attempt_seconds(), lambda: self._store.delete(KIND, self.id, self._version)
            )
        except (Conflict, StoreUnavailable):
            await self.retire()

    async def retire(self) -> bool:
        """End the record in the store, so that nobody has to wait for its lease. True if it has ended.

        Only for a session that is lost, or that no client believes in any more.
        """
        backoff = Backoff(self._clock, self._random)
        while True:
            try:
                ended = await self._try_to_end()
            except StoreUnavailable:
                ended = None
            if ended is not None:
                return ended
            await backoff.pause()

    async def _try_to_end(self) -> bool | None:
        record = await attempt(self._clock, self._attempt_seconds(), lambda: self._store.get(KIND, self.id))
        if record is None:
            return False
        session = Session.from_spec(record.spec)
        if session.state is State.ENDED:
            return True
        if session.nonce != self._nonce:
            return False
        try:
            await attempt(
                self._clock,
                self._attempt_seconds(),
                lambda: self._store.replace(
                    KIND, self.id, record.version, self._identity.key, rules.end(session).to_spec()
                ),
            )
        except Conflict:
            return None
        return True

    def _attempt_seconds(self) -> float:
        return self.durations.attempt_seconds

    def _current(self) -> Session:
        if self._session is None:
            raise IllegalTransition("the session is not open")
        return self._session
