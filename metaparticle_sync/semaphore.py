"""`threading.Semaphore` and `threading.BoundedSemaphore`, counted over every process of the cluster."""

from __future__ import annotations

import operator
import os
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from metaparticle_sync import _loss, _waiting, wire
from metaparticle_sync._acquiring import Acquisition
from metaparticle_sync._address import resolve
from metaparticle_sync._entering import Entering
from metaparticle_sync._holds import Hold
from metaparticle_sync._keeper import Keeper, keeper_of
from metaparticle_sync._looking import look
from metaparticle_sync._loss import LossPolicy
from metaparticle_sync._permits import SharedSemaphore, explained, forget_surplus, release
from metaparticle_sync.errors import ElectorRefused, LockLost

_NOT_GIVEN: Any = object()


class Semaphore(Entering):
    """A counter of permits, of which every process of the cluster takes and gives back.

    Everything that `threading.Semaphore` does is done in the same way. Two semaphores of one name (at the same elector)
    are the same semaphore; whoever uses a name with another value than the others gets a ValueError. What is new:

    * The permits of a process that dies come back. A permit can be lost, when this process or its elector is cut off
      for too long; then `on_lost` is carried out, by default the end of the process; see `set_loss_policy`.
    * `release` gives back the permits of this thread first, then those of this process; only then those of others.
    * `acquire` raises `ElectorUnavailable` when it can not be known whether there is a permit. False always means that
      others have them all.

    Args:
        value: How many permits there are at first.
        name: Any text of 1 to 512 characters. Without one it has a fresh name, and is shared by passing it on.
        base_uri: The elector. Default: the environment variable METAPARTICLE_SYNC_URL, else http://127.0.0.1:13131.
        on_lost: What the loss of a permit does: `"exit"`, `"signal"`, `"raise"`, or a callable.
        unavailable_seconds: How long a waiting `acquire` puts up with an elector that went away.
    """

    __module__ = "metaparticle_sync"
    __slots__ = ("_base_uri", "_keeper", "_on_lost", "_shared", "_unavailable_seconds")

    _is_bounded: ClassVar[bool] = False

    def __init__(
        self,
        value: int = 1,
        *,
        name: str | None = None,
        base_uri: str | None = None,
        on_lost: LossPolicy | None = None,
        unavailable_seconds: float = _waiting.UNAVAILABLE_SECONDS_DEFAULT,
    ) -> None:
        super().__init__()
        limit = _checked_value(value)
        self._on_lost = _loss.checked_policy(on_lost, "on_lost")
        self._unavailable_seconds = _waiting.checked_unavailable_seconds(unavailable_seconds)
        self._base_uri = base_uri
        self._keeper: Keeper = keeper_of(resolve(base_uri))
        known_as = self._keeper.name_of(name)
        self._shared = self._keeper.holds.shared_of(SharedSemaphore, known_as, limit, self._is_bounded)
        if (self._shared.limit, self._shared.bounded) != (limit, self._is_bounded):
            ours, theirs = _described(limit, self._is_bounded), _described(self._shared.limit, self._shared.bounded)
            raise ValueError(f"{known_as!r} can not be {ours}: in this process it is {theirs} already")

    @property
    def name(self) -> str:
        """The name of the semaphore."""
        return self._shared.name

    @property
    def held(self) -> int:
        """How many permits this process certainly holds at this moment."""
        return self._shared.held()

    @property
    def _value(self) -> int:
        """How many permits were free when the elector last told."""
        return self._shared.value

    def get_value(self) -> int:
        """How many permits are free.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        shared, sidecar = self._shared, self._keeper.sidecar
        value = look(self._keeper, self._unavailable_seconds, partial(sidecar.read_semaphore, shared.path))
        shared.value = shared.limit if value is None else value
        return shared.value

    def locked(self) -> bool:
        """Whether no permit is free.

        Raises:
            ElectorUnavailable: that can not be known.
        """
        return self.get_value() == 0

    def acquire(  # `blocking` may be given by position, as in `threading`.
        self,
        blocking: bool = True,  # noqa: FBT001, FBT002
        timeout: float | None = None,
        *,
        block: bool = _NOT_GIVEN,
    ) -> bool:
        """Acquire a permit; wait for one if `blocking`, for at most `timeout` seconds (None: for ever).

        Returns True if this process has one more permit now, and False only if others have them all.

        Raises:
            ElectorUnavailable: it can not be known whether there is one.
            ValueError: a timeout for a call that does not block; or others name another value for this semaphore.
        """
        if block is not _NOT_GIVEN:
            blocking = block
        return self._acquire(_seconds_to_wait(blocking, timeout)) is not None

    def release(self, n: int = 1) -> None:
        """Release `n` permits at once: first those of this thread, then those of this process, then anybody's.

        When nobody holds one, there is one more than before. Any thread may release. For permits of this process, an
        elector that is away is no error: they are not held any more, and are given back when that can be done.

        Raises:
            LockLost: a permit of this thread was lost before. It counts as one of those that are released.
            ElectorUnavailable: this process does not hold as many, and whether it worked is not known.
            ValueError: `n` is less than one; or others name another value for this semaphore.
        """
        self._release(n, None)

    def _release_entered(self, entered: Hold | None) -> None:
        self._keeper.expire()
        if entered is not None and entered.lost is not None:
            self._shared.take_loss(entered)
            raise entered.loss()
        self._release(1, entered)

    def _release(self, n: int, entered: Hold | None) -> None:
        patience = _waiting.Patience(None, self._unavailable_seconds, self._keeper.heard_at)
        release(self._keeper, self._shared, patience, _checked_count(n), entered)

    def _acquire(self, seconds: float | None) -> Hold | None:
        keeper, shared = self._keeper, self._shared
        patience = _waiting.Patience(seconds, self._unavailable_seconds, keeper.heard_at)
        tell = partial(_loss.tell, policy=self._on_lost)
        try:
            hold = Acquisition(keeper, shared, patience, tell, terms=shared.terms).run()
        except ElectorRefused as error:
            raise explained(error) from None
        forget_surplus(keeper, shared)
        if hold is not None and hold.left is not None:
            shared.note(hold.left)
        else:
            shared.value = 0
        return hold

    def _at_fork_reinit(self) -> None:
        """For the standard library after a fork: nothing is held, as far as this process is concerned."""
        self._entered.clear()
        self._shared.losses.clear()
        # A hook that was registered before ours may call this in a child that has not forgotten its parent's yet.
        held = sum(permit.process == os.getpid() for permit in self._shared.permits.values())
        if held:
            with suppress(LockLost):
                self._release(held, None)

    def __getstate__(self) -> dict[str, Any]:
        self._keeper.hand_on(self.name)
        return {
            "value": self._shared.limit,
            "name": self.name,
            "base_uri": self._base_uri,
            "on_lost": self._on_lost,
            "unavailable_seconds": self._unavailable_seconds,
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        kind = type(self)
        return f"<{kind.__module__}.{kind.__qualname__} at {id(self):#x}: value={self._shared.value}>"


class BoundedSemaphore(Semaphore):
    """A semaphore of which nobody can release more permits than are held, as with `threading.BoundedSemaphore`.

    `release` raises ValueError then, and nothing is released. All else is said at `Semaphore`.
    """

    __module__ = "metaparticle_sync"
    __slots__ = ()

    _is_bounded = True

    def __repr__(self) -> str:
        kind, shared = type(self), self._shared
        return f"<{kind.__module__}.{kind.__qualname__} at {id(self):#x}: value={shared.value}/{shared.limit}>"


def _described(limit: int, is_bounded: bool) -> str:  # noqa: FBT001 -- one word of two
    return f"a {'bounded ' if is_bounded else ''}semaphore of {limit}"


def _checked_value(value: Any) -> int:
    if isinstance(value, str):  # Of most primitives the name is the first argument.
        raise TypeError(f"value is a number, not {value!r}; the name of a semaphore is given by name=")
    limit = operator.index(value)
    if limit < 0:
        raise ValueError("semaphore initial value must be >= 0")
    if limit > wire.LIMIT_MAX:
        raise OverflowError(f"semaphore initial value must be at most {wire.LIMIT_MAX}, not {limit}")
    return limit


def _checked_count(n: Any) -> int:
    count = operator.index(n)
    if count < 1:
        raise ValueError("n must be one or more")
    if count > wire.PERMITS_MAX:
        raise OverflowError(f"at most {wire.PERMITS_MAX} permits can be released at once, not {count}")
    return count


def _seconds_to_wait(blocking: object, timeout: Any) -> float | None:
    """What the arguments of `acquire` mean: 0 is a single try, None is for ever."""
    if not blocking:
        if timeout is not None:
            raise ValueError("can't specify timeout for non-blocking acquire")
        return 0.0
    return _waiting.seconds_of_timeout(timeout)
