"""One candidate for an office that lasts as long as the body of a `leader_only`: a call of a function, or one `with`.

    candidate ── granted ──> leading: the body runs ── it ends ──> released
        │                        │
        │                        └── lost: `stopping` is set, `on_lost` carried out; LockLost when the body ends
        └── somebody else leads, and `mode="skip"` or the timeout is over ──> the body does not run

Whoever works under a term already and enters again shares it, as with an `RLock`. Tasks that a body started may outlive
it: the term ends when the last of those who entered leaves.
"""

from __future__ import annotations

import os
import sys
import threading
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from metaparticle_sync import _waiting
from metaparticle_sync._acquiring import Acquisition, Withdrawal
from metaparticle_sync._office import Leadership, Office, leave_office
from metaparticle_sync.errors import ElectorUnavailable, NotHeld

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from metaparticle_sync._holds import Hold, SharedLock
    from metaparticle_sync._keeper import Keeper
    from metaparticle_sync._loss import LossPolicy


class Settings(NamedTuple):
    """What one `leader_only` was told. `tries`: not to wait for the office."""

    keeper: Keeper
    shared: SharedLock
    tries: bool
    seconds: float | None
    on_lost: LossPolicy | None
    unavailable_seconds: float
    terms: str


class Term:
    """One time in office, shared by all who entered under it; the last one to leave releases."""

    def __init__(self, keeper: Keeper, shared: SharedLock, hold: Hold, office: Office) -> None:
        self.leadership = Leadership(hold)
        self._keeper = keeper
        self._shared = shared
        self._hold = hold
        self._office = office
        self._users = 1
        self._mutex = threading.Lock()
        office.begin(self.leadership)

    def is_of(self, shared: SharedLock) -> bool:
        """Whether it is this process's, of that name."""
        return self._shared is shared and self._hold.process == os.getpid()

    def join(self) -> bool:
        """Enter it once more; False if it is over.

        Raises:
            LockLost: it was lost, and whoever leads by it has not ended yet.
        """
        with self._mutex:
            if self._users == 0:
                return False
            if not self.leadership.held:
                raise self._hold.loss()
            self._users += 1
            return True

    def leave(self, *, failed: bool) -> None:
        """Release, if nobody else works under it. A forked child has nothing to release.

        Raises:
            LockLost: it was lost; not if the work failed by itself.
        """
        if self._hold.process != os.getpid():
            return
        with self._mutex:
            self._users -= 1
            is_last = self._users == 0
        if is_last:
            self.leadership.stopping.set()
            leave_office(self._keeper, self._shared, self._hold)
            self._office.wait_until_told()
        if self._office.loss is not None and not failed:
            raise self._office.loss


_terms: ContextVar[tuple[Term, ...]] = ContextVar("metaparticle_sync terms", default=())
"""What this thread or task works under, the innermost last."""


def current_leadership() -> Leadership:
    """The leadership under which the caller runs: that of the innermost `leader_only` around it.

    It is known to whatever the body calls, and to the tasks that it starts, but not to other threads.

    Raises:
        NotHeld: there is no `leader_only` around.
    """
    terms = _terms.get()
    if not terms:
        raise NotHeld("no leader_only is around this call, so there is no current leadership")
    return terms[-1].leadership


class Candidate:
    """One entry: a call of a function, or one `with`. Entering gives None if it is skipped."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._withdrawal = Withdrawal()
        self._term: Term | None = None
        self.place = place()
        """Who enters."""

    def __enter__(self) -> Leadership | None:
        return self._entered(self._joined() or self._elected())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        term = self._left()
        if term is not None:
            term.leave(failed=kind is not None)

    async def __aenter__(self) -> Leadership | None:
        return self._entered(self._joined() or await self._elected_in_thread())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        from metaparticle_sync import _asynchronous  # noqa: PLC0415 -- imports asyncio

        term = self._left()
        if term is not None:
            leaving = partial(term.leave, failed=kind is not None)
            await _asynchronous.finished(_asynchronous.started(leaving, "metaparticle_sync: leaving office"))

    def _entered(self, term: Term | None) -> Leadership | None:
        self._term = term
        if term is None:
            return None
        _terms.set((*_terms.get(), term))
        return term.leadership

    def _left(self) -> Term | None:
        """The term, which nobody works under any more by this entry."""
        term, self._term = self._term, None
        terms = list(_terms.get())
        if term in terms:  # Not if it was entered in another context, as a fixture's generator does.
            del terms[len(terms) - 1 - terms[::-1].index(term)]
            _terms.set(tuple(terms))
        return term

    def _joined(self) -> Term | None:
        """The term under which the caller works already, if it is one of this name."""
        for term in reversed(_terms.get()):
            if term.is_of(self._settings.shared) and term.join():
                return term
        return None

    def _elected(self) -> Term | None:
        settings = self._settings
        office = Office(settings.on_lost)
        hold = self._tried(office) if settings.tries else self._waited(office)
        return None if hold is None else Term(settings.keeper, settings.shared, hold, office)

    def _waited(self, office: Office) -> Hold | None:
        settings = self._settings
        patience = _waiting.Patience(settings.seconds, settings.unavailable_seconds, settings.keeper.heard_at)
        hold = self._acquired(office, patience)
        if hold is None and not self._withdrawal.latch.is_set():
            raise TimeoutError(f"somebody else has led {settings.shared.name!r} for {settings.seconds} s")
        return hold

    def _tried(self, office: Office) -> Hold | None:
        """Try once. The elector is waited for, the office is not."""
        settings, latch = self._settings, self._withdrawal.latch
        patience = _waiting.Patience(None, settings.unavailable_seconds, settings.keeper.heard_at)
        while settings.shared.valid_hold() is None and not latch.is_set():
            try:
                return self._acquired(office, _waiting.Patience(0.0, settings.unavailable_seconds, None))
            except ElectorUnavailable as error:
                cause = error.__cause__
                patience.failed(cause if isinstance(cause, ElectorUnavailable) else error, latch.wait)
        return None

    def _acquired(self, office: Office, patience: _waiting.Patience) -> Hold | None:
        settings = self._settings
        acquisition = Acquisition(
            settings.keeper, settings.shared, patience, office.lost, self._withdrawal, settings.terms
        )
        self._withdrawal.watch(acquisition)
        try:
            return acquisition.run()
        finally:
            self._withdrawal.unwatch(acquisition)

    async def _elected_in_thread(self) -> Term | None:
        import asyncio  # noqa: PLC0415 -- who comes here uses it already

        from metaparticle_sync import _asynchronous  # noqa: PLC0415 -- imports asyncio

        name = self._settings.shared.name
        campaign = _asynchronous.started(self._elected, f"metaparticle_sync: candidate for {name}")
        try:
            await asyncio.wait([campaign])
        except asyncio.CancelledError:
            await self._give_up(campaign)
            raise
        return campaign.result()

    async def _give_up(self, campaign: asyncio.Future[Term | None]) -> None:
        """Withdraw, and leave the office if it was won just then; this takes a moment, and is not to be cancelled."""
        from metaparticle_sync import _asynchronous  # noqa: PLC0415 -- imports asyncio

        await _asynchronous.done(_asynchronous.started(self._withdrawal.withdraw, "metaparticle_sync: withdrawing"))
        await _asynchronous.done(campaign)
        if campaign.exception() is None and (term := campaign.result()) is not None:
            leaving = _asynchronous.started(partial(term.leave, failed=True), "metaparticle_sync: leaving office")
            await _asynchronous.done(leaving)


def place() -> object:
    """The task, or else the thread, that runs now."""
    asyncio = sys.modules.get("asyncio")
    try:
        task = asyncio.current_task() if asyncio is not None else None
    except RuntimeError:  # There is no running loop.
        task = None
    return threading.get_ident() if task is None else task
