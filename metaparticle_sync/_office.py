"""One time in office of a leader: what its work is given, and how that work learns that the time is over.

A hold is granted to an `Office`. Whoever leads by it works with a `Leadership`. If the hold is lost, the office sets
`Leadership.stopping`, carries out the loss policy, and lets nobody go on before that is through.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from metaparticle_sync import _loss
from metaparticle_sync._clock import now
from metaparticle_sync._holds import Hold
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync._waiting import Latch
from metaparticle_sync.errors import LockLost

if TYPE_CHECKING:
    from metaparticle_sync._holds import SharedLock
    from metaparticle_sync._keeper import Keeper


class Leadership:
    """One time in office, for the work that is done as the leader.

    Attributes:
        stopping: Set when that work should come to an end: `is_set()`, `wait(timeout)`.
    """

    __module__ = "metaparticle_sync"

    def __init__(self, hold: Hold) -> None:
        self._hold = hold
        self.stopping = Latch()

    @property
    def name(self) -> str:
        """The name of the election."""
        return self._hold.shared.name

    @property
    def token(self) -> int:
        """The fencing number of this time in office: larger than that of every leader before."""
        return self._hold.token

    @property
    def held(self) -> bool:
        """Whether this process certainly leads at this moment."""
        return self._hold.shared.believes_in(self._hold) and self._hold.is_valid(now())

    def __repr__(self) -> str:
        state = "held" if self.held else "over"
        return f"<{state} metaparticle_sync.Leadership name={self.name!r} token={self.token}>"


class Office:
    """One time in office, seen from the loss: tells the work to stop, carries out the policy, and is waited for."""

    def __init__(self, policy: LossPolicy | None) -> None:
        self._policy = policy
        self._leadership: Leadership | None = None
        self._is_told = Latch()
        self.loss: LockLost | None = None
        """The loss that ended it, if one did."""

    def begin(self, leadership: Leadership) -> None:
        """The work is about to begin."""
        self._leadership = leadership
        if self.loss is not None:
            leadership.stopping.set()

    def lost(self, loss: LockLost) -> None:
        """The leadership is lost."""
        self.loss = loss
        if self._leadership is not None:
            self._leadership.stopping.set()
        _loss.tell(loss, self._policy, self._is_told.set)

    def wait_until_told(self) -> None:
        """If it was lost, wait until `on_lost` is through."""
        if self.loss is not None:
            self._is_told.wait()

    def raise_loss(self) -> None:
        """Raise the loss, if there was one and that is the policy."""
        if self.loss is not None and _loss.is_raised(self._policy):
            raise self.loss


def leave_office(keeper: Keeper, shared: SharedLock, hold: Hold) -> None:
    """Release the lock by which somebody led, unless it was lost, which its office knows."""
    if keeper.holds.drop(shared, now(), hold) is not None:
        try:
            keeper.give_back(hold)
        except LockLost:
            pass  # The office knows.
    if shared.lost is hold:
        shared.lost = None
