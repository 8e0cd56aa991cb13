"""What a function that takes a lock, or another primitive, should ask for: whatever has the methods.

    def count(lock: LockLike) -> None: ...     # of threading, of multiprocessing, or of this library

A class of the standard library in an annotation, such as `threading.Lock`, admits nothing but that class. Each protocol
here has what the three have in common, so arguments stand by position where their names differ.
"""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType
from typing import Protocol


class LockLike(Protocol):
    """A lock: `Lock`, `RLock`, and with one permit also the semaphores."""

    def acquire(self, blocking: bool = ..., timeout: float = ..., /) -> bool:  # noqa: FBT001 -- threading's order
        """Acquire it; False: not in that time."""
        ...

    def release(self) -> None:
        """Release it."""

    def __enter__(self) -> bool: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None: ...


class SemaphoreLike(LockLike, Protocol):
    """A semaphore: `Semaphore`, `BoundedSemaphore`. Only here None is a timeout, too."""

    def acquire(self, blocking: bool = ..., timeout: float | None = ..., /) -> bool:  # noqa: FBT001 -- threading's order
        """Acquire a permit; False: not in that time."""
        ...


class EventLike(Protocol):
    """An event: `Event`."""

    def is_set(self) -> bool:
        """Whether it is set."""
        ...

    def set(self) -> None:
        """Set it."""

    def clear(self) -> None:
        """Clear it."""

    def wait(self, timeout: float | None = ..., /) -> bool:
        """Wait until it is set; False: not in that time."""
        ...


class ConditionLike(LockLike, Protocol):
    """A condition with its lock: `Condition`."""

    def wait(self, timeout: float | None = ..., /) -> bool:
        """Wait until notified; False: not in that time."""
        ...

    def wait_for(self, predicate: Callable[[], bool], timeout: float | None = ..., /) -> bool:
        """Wait until the predicate is true; False: not in that time."""
        ...

    def notify(self, n: int = ..., /) -> None:
        """Wake up to `n` who wait."""

    def notify_all(self) -> None:
        """Wake all who wait."""


class BarrierLike(Protocol):
    """A barrier: `Barrier`."""

    @property
    def parties(self) -> int:
        """How many pass together."""
        ...

    @property
    def n_waiting(self) -> int:
        """How many wait for the others."""
        ...

    @property
    def broken(self) -> bool:
        """Whether it is broken."""
        ...

    def wait(self, timeout: float | None = ..., /) -> int:
        """Wait for the others; each gets another index."""
        ...

    def reset(self) -> None:
        """Make it as new."""

    def abort(self) -> None:
        """Break it."""


for _protocol in (LockLike, SemaphoreLike, EventLike, ConditionLike, BarrierLike):
    _protocol.__module__ = "metaparticle_sync"  # In the class body it would be one of its members.
