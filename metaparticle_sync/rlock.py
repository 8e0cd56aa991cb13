"""`threading.RLock`, but one lock for every process on every machine of the cluster."""

from __future__ import annotations

from metaparticle_sync import _waiting
from metaparticle_sync._clock import now
from metaparticle_sync._holds import Hold, this_thread
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync._named_lock import NOT_GIVEN, NamedLock
from metaparticle_sync.errors import NotHeld

_UN_ACQUIRED = "cannot release un-acquired lock"


class RLock(NamedLock):
    """A lock that one thread of one process of the cluster holds at a time, and may acquire again while it does.

    Everything that `threading.RLock` does is done in the same way; to acquire again what one owns costs nothing. Owner
    and count belong to the name: two `RLock` objects of one name are the same lock for the thread that owns it. For
    everybody else an `RLock` and a `Lock` of one name are the same lock, too.

    What is new is what is new in a `Lock`: `held`, `token`, `on_lost`, `ElectorUnavailable`. If the hold is lost, the
    count is 0, and each `acquire` and `release` of its owner raises `LockLost` until there were as many releases as
    acquisitions: what surrounds a nested `with` must not go on either.

    Args:
        name: Any text of 1 to 512 characters. Without one the lock has a fresh name, and is shared by passing it on.
        base_uri: The elector. Default: the environment variable METAPARTICLE_SYNC_URL, else http://127.0.0.1:13131.
        on_lost: What a loss does: `"exit"`, `"signal"`, `"raise"`, or a callable.
        unavailable_seconds: How long a waiting `acquire` puts up with an elector that went away.
    """

    __module__ = "metaparticle_sync"
    __slots__ = ()

    def __init__(
        self,
        name: str | None = None,
        base_uri: str | None = None,
        *,
        on_lost: LossPolicy | None = None,
        unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
    ) -> None:
        super().__init__(name, base_uri, on_lost, unavailable_seconds)

    def acquire(  # `blocking` may be given by position, as in `threading`.
        self,
        blocking: bool = True,  # noqa: FBT001, FBT002
        timeout: float | None = -1,
        *,
        block: bool = NOT_GIVEN,
    ) -> bool:
        """Acquire the lock, or once more if this thread owns it; else as `Lock.acquire`.

        Raises:
            LockLost: this thread owned it, and lost it.
            ElectorUnavailable: it can not be known who holds it.
            ValueError, OverflowError, TypeError: exactly where `threading.RLock` raises them.
        """
        if block is not NOT_GIVEN:
            blocking = block
        return self._acquire(_waiting.seconds_to_wait(blocking, timeout)) is not None

    acquire_lock = acquire

    def release(self) -> None:
        """Take back one acquisition of this thread; the last one releases the lock, as `Lock.release` does.

        Raises:
            LockLost: the hold was lost before.
            RuntimeError: this thread does not own it.
        """
        hold = self._owned()
        if hold is None:
            raise self._own_loss() or NotHeld(_UN_ACQUIRED)
        if hold.recursion > 1:
            hold.recursion -= 1
        else:
            self._let_go()

    release_lock = release
    locked_lock = NamedLock.locked

    def _acquire(self, seconds: float | None) -> Hold | None:
        hold = self._owned()
        if hold is None:
            self._refuse_after_loss()
            hold = super()._acquire(seconds)
        if hold is not None:
            hold.recursion += 1
        return hold

    def _owned(self) -> Hold | None:
        """The hold of this thread, if it is certain now."""
        hold = self._shared.hold
        if hold is None or not hold.recursion or hold.thread != this_thread():
            return None
        if hold.is_valid(now()):
            return hold
        self._keeper.expire()
        return None

    def _lost(self) -> Hold | None:
        """The hold that this thread lost and has not released since as often as it had acquired it."""
        lost = super()._lost()
        return lost if lost is not None and lost.recursion else None

    def _refuse_after_loss(self) -> None:
        lost = self._lost()
        if lost is not None:
            raise lost.loss()

    def _own_loss(self) -> Exception | None:
        lost = self._lost()
        if lost is None:
            return None
        self._told(lost)
        return lost.loss()

    def _about(self, hold: Hold) -> str:
        owner = f" owner={hold.thread_ident} count={hold.recursion}" if hold.recursion else ""
        return f"{owner}{super()._about(hold)}"

    # For `threading.Condition` and the rest of the standard library --------------------------------------------------

    def _is_owned(self) -> bool:
        """Whether this thread owns it."""
        return self._owned() is not None

    def _recursion_count(self) -> int:
        """How often this thread has acquired it and not released it since."""
        hold = self._owned()
        return 0 if hold is None else hold.recursion

    def _release_save(self) -> tuple[int, int]:
        """Release it altogether; what it returns is for `_acquire_restore`."""
        hold = self._owned()
        if hold is None:
            raise self._own_loss() or NotHeld(_UN_ACQUIRED)
        state = (hold.recursion, hold.thread)
        self._let_go()
        return state

    def _acquire_restore(self, state: tuple[int, int]) -> None:
        """Acquire it as often as before `_release_save`."""
        hold = super()._acquire(None)
        if hold is not None:  # It always is, without a timeout.
            hold.recursion = state[0]
