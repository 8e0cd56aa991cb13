"""One wait at a condition: a place in its queue, from before the lock is released until it is over.

enqueue ──> (the lock is released) ──> wait ── notified ─────────────────────────────> True
                                         └── the time is over: withdraw ── notified just then ──> True
                                                                         └─────────────────────> False
and whatever else ends it, be it an interrupt: leave, and a notification goes to the next one.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from metaparticle_sync import wire
from metaparticle_sync._answers import Refused
from metaparticle_sync._calling import call_once, call_parked
from metaparticle_sync._clock import now
from metaparticle_sync._farewells import said_again_to_who_does_not_know_us
from metaparticle_sync._waiting import Patience
from metaparticle_sync.errors import ElectorUnavailable

if TYPE_CHECKING:
    from metaparticle_sync._keeper import Keeper
    from metaparticle_sync._sidecar import Sidecar

_WITHDRAW_SECONDS: Final = 0.45
"""How long a wait whose time is over tries to find out whether it was notified just then; the answer may take as long
again."""

_INTERRUPTED_SECONDS: Final = 0.5
"""How long an interrupted wait tries to leave, before that is left to the keeper."""

_FAILED_SECONDS: Final = 0.05
"""The same for one that ends because the elector could not be reached, which may have taken all its time."""


class _Leaving(NamedTuple):
    """A ticket of which nobody here will hear any more."""

    path: str
    client: str
    holder: str

    @property
    def key(self) -> str:
        return self.holder

    def say(self, sidecar: Sidecar, timeout: float) -> None:
        with said_again_to_who_does_not_know_us(sidecar):
            sidecar.withdraw_ticket(self.path, self.client, self.holder, timeout, pass_on=True)

    def refused(self) -> None:
        """It was gone already."""


class Ticket:
    """One wait, for at most `seconds` from now."""

    def __init__(self, keeper: Keeper, path: str, seconds: float | None, unavailable_seconds: float) -> None:
        self._keeper = keeper
        self._path = path
        self._until = math.inf if seconds is None else now() + seconds
        self._unavailable_seconds = unavailable_seconds
        self._holder = wire.new_id()
        self._client = ""
        """The client in whose name the ticket was sent; none at first."""

    def enqueue(self) -> None:
        """Queue, and return when that is certain.

        Raises:
            ElectorUnavailable: it is not.
        """
        call_once(self._keeper, self._patience(), self._send)

    def wait(self) -> bool:
        """Wait until it is notified; False: it was not, and the time is over.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        if call_parked(self._keeper, self._patience(), self._ask) is not None:
            return True
        patience = Patience(_WITHDRAW_SECONDS, self._unavailable_seconds, self._keeper.heard_at)
        return call_once(self._keeper, patience, self._withdraw) == "notified"

    def leave(self, error: BaseException) -> None:
        """Wait no longer, because of an error or an interrupt."""
        if self._client:
            seconds = _FAILED_SECONDS if isinstance(error, ElectorUnavailable) else _INTERRUPTED_SECONDS
            self._keeper.say(_Leaving(self._path, self._client, self._holder), seconds)

    def _patience(self) -> Patience:
        seconds = None if self._until == math.inf else max(0.0, self._until - now())
        return Patience(seconds, self._unavailable_seconds, self._keeper.heard_at)

    def _send(self, client: str, timeout: float) -> str:
        self._client = client
        enqueue = self._keeper.sidecar.enqueue_ticket
        try:
            return enqueue(self._path, client, self._holder, timeout)
        except Refused as refusal:
            if refusal.code != "holder_dead":
                raise
            self._holder = wire.new_id()  # The elector gave the first one up, while nothing was heard of us.
            return enqueue(self._path, client, self._holder, timeout)

    def _ask(self, client: str, wait_seconds: float, timeout: float) -> str | None:
        self._client = client
        state = self._keeper.sidecar.await_notification(self._path, client, self._holder, wait_seconds, timeout)
        return None if state == "waiting" else state

    def _withdraw(self, client: str, timeout: float) -> str:
        return self._keeper.sidecar.withdraw_ticket(self._path, client, self._holder, timeout, pass_on=False)
