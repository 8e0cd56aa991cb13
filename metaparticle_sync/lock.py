"""`threading.Lock`, but one lock for every process on every machine of the cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from metaparticle_sync import _loss, _waiting
from metaparticle_sync._holds import Hold
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync._named_lock import NOT_GIVEN, NamedLock


class Lock(NamedLock):
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
    __slots__ = ("_lock_callback", "_lock_lost_callback")

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
        super().__init__(name, base_uri, on_lost, unavailable_seconds)
        self._lock_callback = lock_callback
        self._lock_lost_callback = _loss.checked_policy(lock_lost_callback, "lock_lost_callback")
        if self._lock_lost_callback is not None:
            self._tell = partial(_loss.tell, policy=self._lock_lost_callback)

    def acquire(  # `blocking` may be given by position, as in `threading`.
        self,
        blocking: bool = True,  # noqa: FBT001, FBT002
        timeout: float | None = -1,
        *,
        block: bool = NOT_GIVEN,
    ) -> bool:
        """Acquire the lock; wait for it if `blocking`, for at most `timeout` seconds (-1 and None: for ever).

        Returns True if this process holds it now, and False only if somebody else does.

        Raises:
            ElectorUnavailable: it can not be known who holds it.
            ValueError, OverflowError, TypeError: exactly where `threading.Lock` raises them.
        """
        if block is not NOT_GIVEN:
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
        self._let_go()

    release_lock = release
    locked_lock = NamedLock.locked

    def _acquire(self, seconds: float | None) -> Hold | None:
        hold = super()._acquire(seconds)
        if hold is not None and self._lock_callback is not None:
            try:
                self._lock_callback()
            except BaseException:
                self.release()
                raise
        return hold

    def _is_owned(self) -> bool:
        """For `threading.Condition`, whose own guess would take another process's hold for this one's."""
        return self.held

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {
            "lock_callback": self._lock_callback,
            "lock_lost_callback": self._lock_lost_callback,
        }
