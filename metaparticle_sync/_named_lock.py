"""What `Lock` and `RLock` have in common: a name, at most one hold of it in this process, and how it is let go."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import Any

from metaparticle_sync import _loss, _waiting, wire
from metaparticle_sync._acquiring import Acquisition
from metaparticle_sync._address import resolve
from metaparticle_sync._answers import Refused
from metaparticle_sync._clock import now
from metaparticle_sync._entering import Entering
from metaparticle_sync._holds import Hold, this_thread
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable, LockLost, NotHeld

NOT_GIVEN: Any = object()
"""The default of `block`, the other spelling of `blocking`."""


class NamedLock(Entering):
    """The lock of a name. Who of this process owns it, and how often, is for the subclasses to say."""

    __slots__ = (
        "_base_uri",
        "_keeper",
        "_on_lost",
        "_shared",
        "_tell",
        "_unavailable_seconds",
    )

    def __init__(
        self, name: str | None, base_uri: str | None, on_lost: LossPolicy | None, unavailable_seconds: float
    ) -> None:
        super().__init__()
        self._on_lost = _loss.checked_policy(on_lost, "on_lost")
        self._tell = partial(_loss.tell, policy=self._on_lost)
        self._unavailable_seconds = _waiting.checked_unavailable_seconds(unavailable_seconds)
        self._base_uri = base_uri
        self._keeper: Keeper = keeper_of(resolve(base_uri))
        self._shared = self._keeper.holds.shared(f"unnamed-{wire.new_id()}" if name is None else wire.check_name(name))

    @property
    def name(self) -> str:
        """The name of the lock."""
        return self._shared.name

    @property
    def held(self) -> bool:
        """Whether this process certainly holds the lock at this moment."""
        return self._shared.valid_hold() is not None

    @property
    def token(self) -> int:
        """The fencing number of this process's hold: larger than that of every hold of this name before it.

        Raises:
            LockLost: the hold was lost.
            NotHeld: this process has none.
        """
        hold = self._shared.hold or self._shared.lost
        if hold is None:
            raise NotHeld(f"this process does not hold the lock {self.name!r}, so there is no token")
        if not hold.is_valid(now()):
            raise hold.loss()
        return hold.token

    def locked(self) -> bool:
        """Whether anybody holds the lock.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        try:
            return self._keeper.is_locked(self._shared)
        except ElectorUnavailable as error:
            return _waiting.Patience(0.0, self._unavailable_seconds, self._keeper.heard_at).failed(error)
        except Refused as refusal:
            raise ElectorRefused(str(refusal), code=refusal.code, status=refusal.status) from None

    def release(self) -> None:
        """Release the lock."""
        raise NotImplementedError

    def _release_entered(self, entered: Hold | None) -> None:
        """Release; but if the hold of the `with` was lost, another thread's newer hold is none of our business."""
        if entered is not None and entered.lost is not None:
            self._told(entered)
            raise entered.loss()
        self.release()

    def _told(self, lost: Hold) -> None:
        """Whoever would have released it is told that it was lost; an `RLock` tells each who has acquired it."""
        lost.recursion -= 1
        if lost.recursion <= 0 and self._shared.lost is lost:
            self._shared.lost = None

    def _lost(self) -> Hold | None:
        """The hold that this thread lost and has not tried to release since."""
        lost = self._shared.lost
        return lost if lost is not None and lost.thread == this_thread() else None

    def _acquire(self, seconds: float | None) -> Hold | None:
        """Acquire; None: somebody else has it, and the time is over."""
        if seconds == 0 and self._shared.valid_hold() is not None:
            return None
        patience = _waiting.Patience(seconds, self._unavailable_seconds, self._keeper.heard_at)
        return Acquisition(self._keeper, self._shared, patience, self._tell).run()

    def _let_go(self) -> None:
        """Release what this process holds."""
        try:
            self._keeper.release(self._shared)
        except Refused as refusal:
            raise ElectorRefused(str(refusal), code=refusal.code, status=refusal.status) from None

    def _at_fork_reinit(self) -> None:
        """For the standard library after a fork: the lock is free, as far as this process is concerned."""
        self._entered.clear()
        hold = self._shared.hold
        # A hook that was registered before ours may call this in a child that has not forgotten its parent's hold yet.
        if hold is not None and hold.process == os.getpid():
            with suppress(LockLost):
                self._let_go()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "base_uri": self._base_uri,
            "on_lost": self._on_lost,
            "unavailable_seconds": self._unavailable_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        hold = self._shared.valid_hold()
        state, about = ("unlocked", "") if hold is None else ("locked", self._about(hold))
        kind = type(self)
        return f"<{state} {kind.__module__}.{kind.__qualname__} object name={self.name!r}{about} at {id(self):#x}>"

    def _about(self, hold: Hold) -> str:
        """What `repr` says of a hold."""
        return f" token={hold.token}"
