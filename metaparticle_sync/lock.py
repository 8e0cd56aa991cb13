"""`threading.Lock`, but one lock for every process on every machine of the cluster."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Any

from metaparticle_sync import _loss, _waiting, wire
from metaparticle_sync._acquiring import Acquisition
from metaparticle_sync._address import resolve
from metaparticle_sync._answers import Refused
from metaparticle_sync._clock import now
from metaparticle_sync._holds import Hold
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync.errors import ElectorRefused, ElectorUnavailable, LockLost, NotHeld

_NOT_GIVEN: Any = object()


class Lock:
    """A lock that at most one process of the cluster holds at a time.

    Everything that `threading.Lock` does is done in the same way. Two locks of one name (at the same elector) are the
    same lock. What is new:

    * It can be lost, when this process or its elector is cut off for too long. Then `on_lost` is carried out, by
      default the end of the process; see `set_loss_policy`.
    * `held` says whether this process certainly holds it now, `token` numbers the holds of a name in rising order: a
      resource that refuses a smaller token than it has seen is safe even from a holder that has not noticed its loss.
    * `acquire` raises `ElectorUnavailable` when it can not be known who has the lock. False always means: somebody.

    Args:
        name: Any text of 1 to 512 characters. Without one the lock has a fresh name, and is shared by passing it on.
        base_uri: The elector. Default: the environment variable METAPARTICLE_SYNC_URL, else http://127.0.0.1:13131.
        lock_callback: Called without arguments after each acquisition, by the thread that acquired.
        lock_lost_callback: The older spelling of `on_lost`.
        on_lost: What a loss does: `"exit"`, `"signal"`, `"raise"`, or a callable.
        unavailable_seconds: How long a waiting `acquire` puts up with an elector that went away.
    """

    __module__ = "metaparticle_sync"
    __slots__ = (
        "__weakref__",
        "_base_uri",
        "_entered",
        "_keeper",
        "_lock_callback",
        "_lock_lost_callback",
        "_on_lost",
        "_shared",
        "_tell",
        "_unavailable_seconds",
    )

    def __init__(
        self,
        name: str | None = None,
        base_uri: str | None = None,
        lock_callback: Callable[[], object] | None = None,
        lock_lost_callback: Callable[..., object] | None = None,
        *,
        on_lost: LossPolicy | None = None,
        unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
    ) -> None:
        if on_lost is not None and lock_lost_callback is not None:
            raise TypeError("on_lost and lock_lost_callback mean the same; give one of them")
        if lock_callback is not None and not callable(lock_callback):
            raise TypeError(f"lock_callback is a callable, not {lock_callback!r}")
        self._on_lost = _loss.checked_policy(on_lost, "on_lost")
        self._lock_lost_callback = _loss.checked_policy(lock_lost_callback, "lock_lost_callback")
        self._tell = partial(_loss.tell, policy=self._on_lost or self._lock_lost_callback)
        self._unavailable_seconds = _waiting.checked_unavailable_seconds(unavailable_seconds)
        self._lock_callback = lock_callback
        self._base_uri = base_uri
        self._keeper: Keeper = keeper_of(resolve(base_uri))
        self._shared = self._keeper.holds.shared(f"unnamed-{wire.new_id()}" if name is None else wire.check_name(name))
        self._entered: dict[int, Hold] = {}
        """By thread, the hold with which it entered a `with` of this object."""

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

    def acquire(  # `blocking` may be given by position, as in `threading`.
        self,
        blocking: bool = True,  # noqa: FBT001, FBT002
        timeout: float | None = -1,
        *,
        block: bool = _NOT_GIVEN,
    ) -> bool:
        """Acquire the lock; wait for it if `blocking`, for at most `timeout` seconds (-1 and None: for ever).

        Returns True if this process holds it now, and False only if somebody else does.

        Raises:
            ElectorUnavailable: it can not be known who holds it.
            ValueError, OverflowError, TypeError: exactly where `threading.Lock` raises them.
        """
        if block is not _NOT_GIVEN:
            blocking = block
        return self._acquire(_waiting.seconds_to_wait(blocking, timeout)) is not None

    acquire_lock = acquire

    def release(self) -> None:
        """Release the lock. Any thread of the process that holds it may.

        An elector that is away is no error: nobody here believes in the hold any more, and the release is sent when it
        can be.

        Raises:
            LockLost: the hold was lost before it was released.
            RuntimeError: the lock is free, or held by another process, which the message names.
        """
        try:
            self._keeper.release(self._shared)
        except Refused as refusal:
            raise ElectorRefused(str(refusal), code=refusal.code, status=refusal.status) from None

    release_lock = release

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

    locked_lock = locked

    def __enter__(self) -> bool:
        hold = self._acquire(None)
        if hold is not None:  # It always is: without a timeout, there is nothing but this and errors.
            self._entered[threading.get_ident()] = hold
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered = self._entered.pop(threading.get_ident(), None)
        try:
            if entered is None or entered.process == os.getpid():
                self._release_entered(entered)
        except LockLost:
            if kind is None:
                raise

    def _release_entered(self, entered: Hold | None) -> None:
        """Release; but if the hold of the `with` was lost, another thread's newer hold is none of our business."""
        if entered is not None and entered.lost is not None:
            if self._shared.lost is entered:
                self._shared.lost = None
            raise entered.loss()
        self.release()

    def _acquire(self, seconds: float | None) -> Hold | None:
        if seconds == 0 and self._shared.valid_hold() is not None:
            return None
        patience = _waiting.Patience(seconds, self._unavailable_seconds, self._keeper.heard_at)
        hold = Acquisition(self._keeper, self._shared, patience, self._tell).run()
        if hold is not None and self._lock_callback is not None:
            try:
                self._lock_callback()
            except BaseException:
                self.release()
                raise
        return hold

    def _at_fork_reinit(self) -> None:
        """For the standard library after a fork: the lock is free, as far as this process is concerned."""
        self._entered.clear()
        if self._shared.hold is not None:
            with suppress(LockLost):
                self.release()

    def __getstate__(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "base_uri": self._base_uri,
            "lock_callback": self._lock_callback,
            "lock_lost_callback": self._lock_lost_callback,
            "on_lost": self._on_lost,
            "unavailable_seconds": self._unavailable_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        hold = self._shared.valid_hold()
        state, token = ("unlocked", "") if hold is None else ("locked", f" token={hold.token}")
        kind = type(self)
        return f"<{state} {kind.__module__}.{kind.__qualname__} object name={self.name!r}{token} at {id(self):#x}>"
