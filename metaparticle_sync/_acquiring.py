"""One acquisition: a row of requests with one holder id, until it is held, refused, or not worth waiting for.

            ┌── 202: somebody else has it, still ──┐
            v                                      │
    ask ── PUT, parked ────────────────────────────┤── 200 ──> admitted ── certain? ──> held
            ^                                      ├── 409 unknown_client: attach ──> ask again
            │                                      ├── 409 holder_dead: a fresh id ──> ask again
            └── pause, within the patience ────────┴── nothing, or "not now"

Requests may be repeated freely, because the holder id makes them one. Whatever ends an acquisition without the lock,
be it an interrupt, gives the holder id up, so that no hold is left behind that nobody knows of.
"""

from __future__ import annotations

from collections import deque
from time import sleep
from typing import TYPE_CHECKING, Final

from metaparticle_sync import wire
from metaparticle_sync._answers import Granted, Refused
from metaparticle_sync._clock import now
from metaparticle_sync._holds import Hold, OnLoss, Shared
from metaparticle_sync._waiting import Latch, Patience
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable

if TYPE_CHECKING:
    from metaparticle_sync._connections import Connection
    from metaparticle_sync._keeper import Keeper

_TAKEN_CODES: Final = frozenset({"lock_held", "no_permit"})
"""What a single try is refused with, if somebody else has it."""


class Withdrawal:
    """A way for another thread, or a signal handler, to end an acquisition while it waits."""

    def __init__(self) -> None:
        self.latch = Latch()
        self._connections: deque[Connection] = deque(maxlen=1)
        self._acquisition: Acquisition | None = None

    def watch(self, acquisition: Acquisition) -> None:
        """This is the acquisition; its thread calls."""
        self._acquisition = acquisition
        acquisition.keeper.sidecar.watch_requests(self._connections)

    def unwatch(self, acquisition: Acquisition) -> None:
        """It is over."""
        self._acquisition = None
        acquisition.keeper.sidecar.watch_requests(None)

    def withdraw(self) -> None:
        """End it: first by a word to the elector, then by ending the connection on which its thread waits."""
        self.latch.set()
        acquisition = self._acquisition
        if acquisition is not None:
            acquisition.withdraw()
            for connection in list(self._connections):
                connection.sever()


class Acquisition:
    """One call of `acquire`. `terms` is what its requests say besides, in the form that `Sidecar.acquire` takes."""

    def __init__(
        self,
        keeper: Keeper,
        shared: Shared,
        patience: Patience,
        on_loss: OnLoss,
        withdrawal: Withdrawal | None = None,
        terms: str = "",
    ) -> None:
        self.keeper = keeper
        self._shared = shared
        self._patience = patience
        self._on_loss = on_loss
        self._withdrawal = withdrawal
        self._terms = terms
        self._holder = wire.new_id()
        self._client = ""
        """The client in whose name this holder id has been sent; none at first."""
        self._seen = 0

    def run(self) -> Hold | None:
        """Acquire. None: somebody else has the lock, and the time is over (or this was withdrawn).

        Raises:
            ElectorUnavailable: nothing is known about the lock, and the patience is at its end.
            ElectorRefused: the elector will never grant this.
        """
        holds = self.keeper.holds
        holds.expect(self._holder)
        hold = None
        interrupted = True
        try:
            hold = self._contend()
            interrupted = False
        except (ElectorUnavailable, ElectorRefused):
            interrupted = False
            raise
        finally:
            if hold is None:
                holds.discard(self._holder)
                self.give_up(interrupted=interrupted)
            holds.expect_no_more(self._holder)
        return hold

    def withdraw(self) -> None:
        """From another thread: nobody shall believe in what this may still get; only then the elector is told."""
        self.keeper.holds.discard(self._holder)
        self.give_up(interrupted=True)

    def give_up(self, *, interrupted: bool) -> None:
        """Nobody wants this holder id any more."""
        if self._client:
            seconds = self._patience.give_up_seconds(interrupted=interrupted)
            self.keeper.give_up(self._shared.path, self._client, self._holder, seconds)

    def _contend(self) -> Hold | None:
        while not self._is_withdrawn():
            try:
                granted = self._ask()
            except ElectorUnavailable as error:
                if self._is_withdrawn() or not self._patience.failed(error, self._pause):
                    return None
                continue
            except Refused as refusal:
                if not self._may_go_on(refusal):
                    return None
                continue
            if granted is None:
                self._patience.answered()
                if self._patience.is_over():
                    return None
                continue
            hold = self._take(granted)
            if hold is not None:
                return hold
            if not self._may_stumble("its grants count for too short a time"):
                return None
        return None

    def _ask(self) -> Granted | None:
        keeper = self.keeper
        if not keeper.is_attached:
            keeper.attach(self._patience.attach_until())
            self._patience.met(keeper.heard_at)
        self._seen, self._client = keeper.attachments, keeper.client
        if self._is_withdrawn():  # Whoever withdrew a moment ago may not have seen that there is something to give up.
            return None
        wait_seconds = self._patience.next_wait()
        timeout = max(0.05, self._patience.request_until(wait_seconds) - now())
        path = self._shared.path
        granted = keeper.sidecar.acquire(path, self._client, self._holder, wait_seconds, timeout, self._terms)
        keeper.heard_at = now()
        return granted

    def _may_go_on(self, refusal: Refused) -> bool:
        """Do what the elector wants first, a few times; then it is as good as away. False: somebody has the lock.

        Raises:
            ElectorRefused: it wants something that we can not do.
        """
        if refusal.code in _TAKEN_CODES and self._patience.is_single_try:
            self._client = ""  # A single try queues nowhere.
            return False
        if refusal.code == "unknown_client":
            self.keeper.detached(self._seen)
        elif refusal.code == "holder_dead" or refusal.code in _TAKEN_CODES:
            self._begin_anew()
        else:
            self._client = ""  # It was refused as a whole: there is nothing to give up.
            raise ElectorRefused(str(refusal), code=refusal.code, status=refusal.status)
        return self._may_stumble(f"it goes on refusing: {refusal}")

    def _may_stumble(self, why: str) -> bool:
        url = self.keeper.address.url
        error = ElectorUnavailable(f"the elector at {url} is not available: {why}", address=url)
        return not self._is_withdrawn() and self._patience.stumbled(error, self._pause)

    def _take(self, granted: Granted) -> Hold | None:
        """Make the grant a hold, if it is certain; else give it up and begin anew."""
        holds = self.keeper.holds
        hold = holds.admit(self._shared, self._client, granted, self._on_loss, now())
        if not holds.is_certain(hold, now()):
            self.keeper.confirm(self._patience.attach_until())
        if holds.deliver(hold, now()):
            return hold
        self.give_up(interrupted=False)
        self._begin_anew()
        return None

    def _begin_anew(self) -> None:
        """The holder id is dead: go on with a fresh one."""
        holds = self.keeper.holds
        holds.expect_no_more(self._holder)
        self._holder = wire.new_id()
        self._client = ""
        holds.expect(self._holder)

    def _is_withdrawn(self) -> bool:
        return self._withdrawal is not None and self._withdrawal.latch.is_set()

    def _pause(self, seconds: float) -> None:
        if self._withdrawal is None:
            sleep(seconds)
        else:
            self._withdrawal.latch.wait(seconds)
