"""Other electors' sessions, as far as somebody here waits for one of them: observed, and ended when silent.

One task per session, however many local waiters and names depend on it. Only a session's own record decides (its state
`ended`), and only a conditional write ends it; see `rules.session` for why nothing shorter is safe.
"""

from __future__ import annotations

import logging
import random
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from elector_server.durations import LEASE_SECONDS_MIN
from elector_server.rules import session as rules
from elector_server.rules.session import KIND, Observation, Session, State
from elector_server.store import Conflict, Exists, Record, Store, StoreUnavailable
from elector_server.writes import attempt

if TYPE_CHECKING:
    import asyncio

    from elector_server.background import Background
    from elector_server.clock import Clock

ENDED_REMEMBERED: Final = 10_000

Wake = Callable[[], None]

log = logging.getLogger("elector")


class ForeignSessions:
    """What this elector knows of the sessions of others."""

    def __init__(self, store: Store, clock: Clock, rng: random.Random, background: Background) -> None:
        self._store = store
        self._clock = clock
        self._random = rng
        self._background = background
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._observers: dict[str, _Observer] = {}

    def is_ended(self, session_id: str) -> bool:
        """Whether the session is known to have ended. It never comes back, so remembering is enough."""
        return session_id in self._ended

    def note_ended(self, session_id: str) -> None:
        """Remember a session that was seen ended, and wake whoever waits for that."""
        self._ended[session_id] = None
        while len(self._ended) > ENDED_REMEMBERED:
            self._ended.popitem(last=False)
        observer = self._observers.pop(session_id, None)
        if observer is not None:
            observer.finish()

    def observe(self, session_id: str, lease_seconds: float, wake: Wake) -> None:
        """Observe a session until it ends or `forget` is called; `wake` is called when it has ended.

        `lease_seconds` is what the lock record names: it counts only if the session record is missing.
        """
        observer = self._observers.get(session_id)
        if observer is None:
            observer = self._observers[session_id] = _Observer(self, session_id, lease_seconds)
            observer.task = self._background.start(self._watch(observer))
        observer.wakes[wake] = None

    def glance(self, session_id: str, lease_seconds: float) -> None:
        """Observe a session for one lease on behalf of a refused claim, whose caller does not wait."""
        if session_id not in self._observers and not self.is_ended(session_id):
            self._background.start(self._glance(session_id, lease_seconds))

    async def _glance(self, session_id: str, lease_seconds: float) -> None:
        def wake() -> None:
            """Nobody waits."""

        self.observe(session_id, lease_seconds, wake)
        await self._clock.sleep(2 * rules.observation_seconds(lease_seconds))
        self.forget(session_id, wake)

    def forget(self, session_id: str, wake: Wake) -> None:
        """This waiter no longer depends on that session."""
        observer = self._observers.get(session_id)
        if observer is None:
            return
        observer.wakes.pop(wake, None)
        if not observer.wakes:
            del self._observers[session_id]
            observer.finish()

    async def _watch(self, observer: _Observer) -> None:
        lease_seconds = observer.lease_seconds
        while not observer.finished:
            try:
                lease_seconds = await self._look(observer, lease_seconds)
            except (StoreUnavailable, Conflict, Exists):
                pass  # Nothing is known from this look; the next one begins with a read.
            if not observer.finished:
                await self._clock.sleep(self._until_next_look(observer, lease_seconds))

    def _until_next_look(self, observer: _Observer, lease_seconds: float) -> float:
        step = _step_seconds(lease_seconds) * self._random.uniform(0.9, 1.0)
        if observer.observation is None:
            return step
        silent_at = observer.observation.observed_at + rules.observation_seconds(lease_seconds)
        return min(step, max(silent_at - self._clock.now(), _step_seconds(lease_seconds) / 20))

    async def _look(self, observer: _Observer, lease_seconds: float) -> float:
        seconds = _step_seconds(lease_seconds)
        record = await attempt(self._clock, seconds, lambda: self._store.get(KIND, observer.id))
        if record is None:
            await self._mark_missing(observer, seconds)
            return lease_seconds
        # The clock is read after the answer was there: a pause in between only makes the wait longer.
        seen_at = self._clock.now()
        session = Session.from_spec(record.spec)
        if session.state is State.ENDED:
            self.note_ended(observer.id)
            return lease_seconds
        observer.observation = rules.observe(observer.observation, session, record.version, seen_at)
        if rules.is_silent(observer.observation, session, seen_at):
            await self._end(observer, record, session)
        return session.lease_seconds

    async def _mark_missing(self, observer: _Observer, seconds: float) -> None:
        """A read never proves absence: a record in state `gone` does, and the observation of that one."""
        observer.observation = None
        spec = rules.missing(observer.lease_seconds, self._clock.wall()).to_spec()
        await attempt(self._clock, seconds, lambda: self._store.create(KIND, observer.id, "", spec))

    async def _end(self, observer: _Observer, record: Record, session: Session) -> None:
        spec: dict[str, Any] = rules.end(session).to_spec()
        await attempt(
            self._clock,
            _step_seconds(session.lease_seconds),
            lambda: self._store.replace(KIND, record.name, record.version, record.session, spec),
        )
        log.info(
            "%s has not renewed its session for %g s or longer: it is ended, and what it held may be taken",
            session.owner or "somebody",
            rules.observation_seconds(session.lease_seconds),
        )
        self.note_ended(observer.id)


def _step_seconds(lease_seconds: float) -> float:
    """From one look to the next, and for one call. No elector has a shorter lease; a record made by hand may say 0."""
    return max(lease_seconds, LEASE_SECONDS_MIN) / 5


class _Observer:
    """One observed session."""

    __slots__ = ("_owner", "finished", "id", "lease_seconds", "observation", "task", "wakes")

    def __init__(self, owner: ForeignSessions, session_id: str, lease_seconds: float) -> None:
        self._owner = owner
        self.id = session_id
        self.lease_seconds = lease_seconds
        self.observation: Observation | None = None
        self.wakes: dict[Wake, None] = {}
        self.task: asyncio.Task[Any] | None = None
        self.finished = False

    def finish(self) -> None:
        """Stop looking, and wake everybody who is left."""
        self.finished = True
        for wake in list(self.wakes):
            wake()
