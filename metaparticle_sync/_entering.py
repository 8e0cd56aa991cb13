"""The `with` of a lock or a semaphore: what it acquires, it releases, in the same thread of the same process."""

from __future__ import annotations

import os
from types import TracebackType

from metaparticle_sync._holds import Hold, this_thread
from metaparticle_sync.errors import LockLost


class Entering:
    """Something to enter. How it is acquired and released is for the subclasses to say."""

    __slots__ = ("__weakref__", "_entered")

    def __init__(self) -> None:
        self._entered: dict[int, list[Hold]] = {}
        """By thread, the holds with which it entered a `with` of this object."""

    def _acquire(self, seconds: float | None) -> Hold | None:
        """Acquire within so many seconds, or for ever; None: others have it."""
        raise NotImplementedError

    def _release_entered(self, entered: Hold | None) -> None:
        """Release that hold; None: nobody knows with which one the `with` was entered.

        Raises:
            LockLost: it was lost before.
        """
        raise NotImplementedError

    def __enter__(self) -> bool:
        hold = self._acquire(None)
        if hold is not None:  # It always is: without a timeout, there is nothing but this and errors.
            self._entered.setdefault(this_thread(), []).append(hold)
        return True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        entered = self._left()
        try:
            # A child that was forked within the `with` leaves it, too: the hold is its parent's.
            if entered is None or entered.process == os.getpid():
                self._release_entered(entered)
        except LockLost:
            if kind is None:
                raise

    def _left(self) -> Hold | None:
        """The hold with which this thread entered the `with` that it leaves."""
        thread = this_thread()
        entered = self._entered.get(thread)
        if not entered:
            return None
        hold = entered.pop()
        if not entered:
            del self._entered[thread]
        return hold
