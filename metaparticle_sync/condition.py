"""`threading.Condition`, but one queue of waiters for every process on every machine of the cluster."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any, Final, TypeVar

from metaparticle_sync import _waiting, wire
from metaparticle_sync._address import resolve
from metaparticle_sync._calling import call_once
from metaparticle_sync._clock import now
from metaparticle_sync._holds import Shared, this_thread
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync._named_lock import NamedLock
from metaparticle_sync._ticket import Ticket
from metaparticle_sync.rlock import RLock

Outcome = TypeVar("Outcome")

_LOCK_PREFIX: Final = "condition:"
_NAME_CHARACTERS_MAX: Final = wire.NAME_CHARACTERS_MAX - len(_LOCK_PREFIX)
"""Of a condition that makes its lock by itself."""


class SharedCondition(Shared):
    """A condition. `tickets` are those of this process."""

    __slots__ = ("tickets",)

    kind = "condition"
    collection = wire.CONDITIONS_PATH

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.tickets: set[Ticket] = set()

    def forget_all(self) -> None:
        """Nobody waits here any more."""
        self.tickets = set()


class Condition:
    """Lets threads of all processes of the cluster wait, with a lock released, until another one notifies them.

    Everything that `threading.Condition` does is done in the same way. Two conditions of one name (at the same elector)
    are the same condition; they should have the same lock. What is new:

    * A waiter whose process ended is skipped by `notify`; a notification that it did not come for goes to the next one.
    * Rarely a waiter wakes though nobody notified it: when its elector started anew meanwhile. So wait in a loop, or
      with `wait_for`, as one always should.
    * Each method raises `ElectorUnavailable` if the elector can not be reached for too long. If `wait` does so, the
      lock is held again, unless that is what failed.

    Args:
        lock: An `RLock`, a `Lock`, or any other lock. Default: an `RLock` of its own; of a named condition it is
            `RLock("condition:<name>")`.
        name: Any text of 1 to 502 characters; up to 512 if a lock is given. Without one it has a fresh name, and is
            shared by passing it on.
        base_uri: The elector. Default: that of the lock.
        on_lost: What the loss of its own lock does; a given lock has its own.
        unavailable_seconds: How long each method puts up with an elector that went away.
    """

    __module__ = "metaparticle_sync"
    __slots__ = ("__weakref__", "_base_uri", "_keeper", "_lock", "_shared", "_unavailable_seconds", "_unrestored")

    def __init__(
        self,
        lock: Any = None,
        name: str | None = None,
        base_uri: str | None = None,
        *,
        on_lost: LossPolicy | None = None,
        unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
    ) -> None:
        self._unavailable_seconds = _waiting.checked_unavailable_seconds(unavailable_seconds)
        if lock is None:
            lock_name = None if name is None else _name_of_its_lock(name)
            lock = RLock(lock_name, base_uri, on_lost=on_lost, unavailable_seconds=unavailable_seconds)
        elif not hasattr(lock, "acquire"):
            raise TypeError(f"lock is a lock, not {lock!r}; the name of a condition is given by name=")
        elif on_lost is not None:
            raise TypeError("on_lost belongs to the lock, which is given here; give it to that one")
        if base_uri is None and isinstance(lock, NamedLock):
            base_uri = lock._base_uri  # noqa: SLF001 -- a lock knows its elector, and its users need not
        self._lock = lock
        self._base_uri = base_uri
        self._keeper: Keeper = keeper_of(resolve(base_uri))
        self._shared = self._keeper.holds.shared_of(SharedCondition, self._keeper.name_of(name))
        self._unrestored: set[int] = set()
        """Threads whose `wait` failed to acquire the lock again, until they acquire it."""

    @property
    def name(self) -> str:
        """The name of the condition."""
        return self._shared.name

    # The lock -------------------------------------------------------------------------------------------------------

    def acquire(self, *args: Any, **kwargs: Any) -> bool:
        """Acquire the lock, as its own `acquire` does."""
        acquired: bool = self._lock.acquire(*args, **kwargs)
        if acquired:
            self._unrestored.discard(this_thread())
        return acquired

    def release(self) -> None:
        """Release the lock, as its own `release` does."""
        self._lock.release()

    def locked(self) -> bool:
        """Whether anybody holds the lock, as its own `locked` says."""
        return bool(self._lock.locked())

    def __enter__(self) -> bool:
        entered = bool(self._lock.__enter__())
        self._unrestored.discard(this_thread())
        return entered

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is None or this_thread() not in self._unrestored:
            self._lock.__exit__(kind, error, traceback)
        elif isinstance(self._lock, NamedLock):
            # There is nothing to release, and why is on its way up; it must not be replaced by "un-acquired lock".
            self._lock._left()  # noqa: SLF001 -- only a condition leaves a `with` in this way

    def _is_owned(self) -> bool:
        owned = getattr(self._lock, "_is_owned", None)
        if owned is not None:
            return bool(owned())
        semaphore = _multiprocessing_semaphore(self._lock)
        if semaphore is not None:
            return bool(semaphore._is_mine())  # noqa: SLF001 -- what multiprocessing.Condition asks
        if self._lock.acquire(False):
            self._lock.release()
            return False
        return True

    def _recursion_count(self) -> int:
        count: int = self._lock._recursion_count()  # noqa: SLF001 -- CPython's name for it, as for the others here
        return count

    def _release_save(self) -> Any:
        save = getattr(self._lock, "_release_save", None)
        if save is not None:
            return save()
        semaphore = _multiprocessing_semaphore(self._lock)
        acquired = 1 if semaphore is None else semaphore._count()  # noqa: SLF001 -- as multiprocessing.Condition
        for _ in range(acquired):
            self._lock.release()
        return acquired

    def _acquire_restore(self, state: Any) -> None:
        restore = getattr(self._lock, "_acquire_restore", None)
        if restore is not None:
            restore(state)
            return
        for _ in range(state):
            self._lock.acquire()

    # Waiting --------------------------------------------------------------------------------------------------------

    def wait(self, timeout: float | None = None) -> bool:
        """Release the lock, wait until notified or for at most `timeout` seconds, and acquire the lock again.

        Returns whether it was notified; False: not in that time.

        Raises:
            RuntimeError: the caller does not hold the lock; `LockLost`, if it did and lost it.
            ElectorUnavailable: it can not be known whether it is notified. If it could not even begin to wait, the lock
                was not released.
        """
        self._check_owned("wait")
        seconds = _waiting.seconds_of_timeout(timeout)
        ticket = Ticket(self._keeper, self._shared.path, seconds, self._unavailable_seconds)
        self._shared.tickets.add(ticket)
        try:
            state = self._enqueue_and_release(ticket)
            try:
                return ticket.wait()
            except BaseException as error:
                ticket.leave(error)
                raise
            finally:
                self._restore(state)
        finally:
            self._shared.tickets.discard(ticket)

    def _enqueue_and_release(self, ticket: Ticket) -> Any:
        """In this order, else a notification between the two would be missed."""
        try:
            ticket.enqueue()
            return self._release_save()
        except BaseException as error:
            ticket.leave(error)
            raise

    def _restore(self, state: Any) -> None:
        try:
            self._acquire_restore(state)
        except BaseException:
            self._unrestored.add(this_thread())
            raise

    def wait_for(self, predicate: Callable[[], Outcome], timeout: float | None = None) -> Outcome:
        """Wait until `predicate()` is true, or for at most `timeout` seconds. Returns what it said last.

        If it is not true at first, there is one `wait` at least, even if `timeout` is 0 or less, as in `threading`.

        Raises:
            RuntimeError, ElectorUnavailable: as `wait`.
        """
        outcome, left = predicate(), timeout
        until = None if outcome or timeout is None else now() + timeout
        while not outcome:
            self.wait(left)  # Once at least: even without time it releases the lock for a moment.
            outcome = predicate()
            if until is not None and (left := until - now()) <= 0:
                break
        return outcome

    def notify(self, n: int = 1) -> None:
        """Wake the `n` threads that have waited for longest, in whatever process they are; fewer if fewer wait.

        Raises:
            RuntimeError: the caller does not hold the lock; `LockLost`, if it did and lost it.
            ElectorUnavailable: it is not known whether they are notified.
        """
        self._check_owned("notify")
        number = int(operator.index(n))
        if number > 0:
            self._notify(min(number, wire.LIMIT_MAX))

    def notify_all(self) -> None:
        """Wake all threads that wait.

        Raises:
            RuntimeError, ElectorUnavailable: as `notify`.
        """
        self._check_owned("notify")
        self._notify(None)

    def notifyAll(self) -> None:  # noqa: N802 -- threading's old spelling
        """The old spelling of `notify_all`."""
        warnings.warn("notifyAll() is deprecated, use notify_all() instead", DeprecationWarning, stacklevel=2)
        self.notify_all()

    def _check_owned(self, to_do: str) -> None:
        if self._is_owned():
            return
        lost = self._lock._lost() if isinstance(self._lock, NamedLock) else None  # noqa: SLF001 -- to say what happened
        if lost is not None:
            raise lost.loss()
        raise RuntimeError(f"cannot {to_do} on un-acquired lock")

    def _notify(self, waiters: int | None) -> None:
        keeper, path, operation = self._keeper, self._shared.path, wire.new_id()
        call_once(
            keeper,
            _waiting.Patience(None, self._unavailable_seconds, keeper.heard_at),
            lambda client, timeout: keeper.sidecar.notify(path, client, operation, waiters, timeout),
        )

    def _at_fork_reinit(self) -> None:
        """For the standard library after a fork: nobody waits, and the lock is as it says."""
        self._lock._at_fork_reinit()  # noqa: SLF001 -- the name that the standard library gave it
        self._shared.forget_all()

    def __getstate__(self) -> dict[str, Any]:
        self._keeper.hand_on(self.name)
        return {
            "lock": self._lock,
            "name": self.name,
            "base_uri": self._base_uri,
            "unavailable_seconds": self._unavailable_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"<Condition({self._lock!r}, {len(self._shared.tickets)})>"


def _multiprocessing_semaphore(lock: Any) -> Any:
    """What is inside a lock of `multiprocessing`, and knows whose it is; None: it is another lock."""
    return getattr(lock, "_semlock", None)


def _name_of_its_lock(name: str) -> str:
    """The name of the lock that a condition makes by itself."""
    if isinstance(name, str) and len(name) > _NAME_CHARACTERS_MAX:
        raise ValueError(
            f"the name of a condition has at most {_NAME_CHARACTERS_MAX} characters, this one has {len(name)} "
            f"(its lock is named {_LOCK_PREFIX!r} and the name; if a lock is given, {wire.NAME_CHARACTERS_MAX})"
        )
    return f"{_LOCK_PREFIX}{wire.check_name(name)}"
