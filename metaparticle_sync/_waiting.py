"""How long to wait: the argument rules of `threading.Lock.acquire`, and the patience with an elector that is away."""

from __future__ import annotations

import math
import operator
import threading
from collections.abc import Callable
from threading import TIMEOUT_MAX
from time import sleep
from typing import Any, Final

from metaparticle_sync import wire
from metaparticle_sync._clock import now
from metaparticle_sync.errors import ElectorUnavailable

FIRST_CONTACT_SECONDS: Final = 5.0
"""How long a call waits for an elector of which nothing was heard yet: a sidecar may start later than we do."""

UNAVAILABLE_SECONDS_DEFAULT: Final = 30.0

_NANOSECONDS_MAX: Final = 2**63 - 1
"""CPython counts in these; what they can not say is refused before anything else is looked at."""

_TRY_SECONDS: Final = 0.9
"""How long a call that must not wait may take, from its start; its caller is promised one second."""

_SLACK_SECONDS_MAX: Final = 5.0
"""How much later than asked for the answer to a parked request may come, if the caller has the time."""

_LAST_ANSWER_SECONDS: Final = 0.5
"""How much later than the caller's deadline the answer to the last request may come."""

_GIVE_UP_SECONDS: Final = 0.95
"""How much later than the caller's deadline a call may go on giving up its place."""

_INTERRUPTED_SECONDS: Final = 0.5
"""How long an interrupted call may go on giving up its place."""

_WAIT_SECONDS_MIN: Final = 0.001
"""0 would not wait its turn, but be a single try."""

_NEWS_SECONDS: Final = 1.0
"""An answer no older than this tells how it is at the end of a call; a call may be late by as much."""

_BACKOFF_SECONDS_MIN: Final = 0.02
_BACKOFF_SECONDS_MAX: Final = 0.5
_STUMBLES_MAX: Final = 3

_LATCH_TURN_SECONDS: Final = 0.5
"""By how much a signal handler may be late if its signal came in the moment in which a waiter began to wait."""


def seconds_to_wait(blocking: object, timeout: Any) -> float | None:
    """What the arguments of `acquire` mean: 0 is a single try, None is for ever.

    Raises:
        ValueError, OverflowError, TypeError: exactly where `threading.Lock` raises them.
    """
    seconds = -1 if timeout is None else timeout
    if not isinstance(seconds, float):
        seconds = operator.index(seconds)
    elif math.isnan(seconds):
        raise ValueError("Invalid value NaN (not a number)")
    if abs(seconds) > _NANOSECONDS_MAX / 10**9:
        raise OverflowError("timeout value is too large")
    if seconds != -1:
        if not blocking:
            raise ValueError("can't specify a timeout for a non-blocking call")
        if seconds < 0:
            raise ValueError("timeout value must be a non-negative number")
        if seconds > TIMEOUT_MAX:
            raise OverflowError("timeout value is too large")
        return float(seconds)
    return None if blocking else 0.0


def seconds_of_timeout(timeout: float | None) -> float | None:
    """What the `timeout` of a `wait` means: None is for ever, and nothing above 0 is a single look.

    Raises:
        OverflowError, TypeError: where `threading.Condition.wait` raises them.
    """
    if timeout is None:
        return None
    if not timeout > 0:  # NaN, too, as in `threading`.
        return 0.0
    if timeout > TIMEOUT_MAX:
        raise OverflowError("timeout value is too large")
    return float(timeout)


def checked_unavailable_seconds(seconds: Any) -> float:
    """The setting `unavailable_seconds`, if it is one."""
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise TypeError(f"unavailable_seconds is a number, not {type(seconds).__name__}")
    if not 0 < seconds < math.inf:
        raise ValueError(f"unavailable_seconds is {seconds}: it must be a finite number above 0")
    return float(seconds)


class Backoff:
    """Pauses that double, from 20 ms to half a second."""

    def __init__(self) -> None:
        self._next = _BACKOFF_SECONDS_MIN

    def pause_seconds(self, most: float = _BACKOFF_SECONDS_MAX) -> float:
        """How long to wait before the next try."""
        pause, self._next = self._next, min(self._next * 2, most)
        return pause

    def reset(self) -> None:
        """It worked: begin with short pauses again."""
        self._next = _BACKOFF_SECONDS_MIN


class NotReady(ElectorUnavailable):
    """There is an elector, which can not grant anything yet: nobody needs to be told how to start one."""


class Patience:
    """The time of one call: its own timeout, and how long it puts up with an elector that does not answer.

    A single try has no patience. An elector of which this process never heard gets 5 s; one that went away later gets
    `unavailable_seconds` since it was last heard, and no call less than the 5 s (or that setting, if it is shorter).
    """

    def __init__(self, seconds: float | None, unavailable_seconds: float, heard_at: float | None) -> None:
        self.started_at = now()
        self.is_single_try = seconds == 0
        self.deadline = math.inf if seconds is None else self.started_at + seconds
        self._unavailable_seconds = unavailable_seconds
        self._heard_at = heard_at
        self._answered_at = -math.inf
        self._backoff = Backoff()
        self._stumbles = 0

    def next_wait(self) -> float:
        """How long the next request may stay parked."""
        left = self.deadline - now()
        if self.is_single_try:
            return 0.0
        return max(_WAIT_SECONDS_MIN, min(left, wire.WAIT_SECONDS_MAX, 0.8 * self._unavailable_seconds))

    def request_until(self, wait_seconds: float) -> float:
        """Until when the next request, parked for at most `wait_seconds`, must be answered."""
        if self.is_single_try:
            return self.started_at + _TRY_SECONDS
        slack = max(_LAST_ANSWER_SECONDS, min(0.2 * self._unavailable_seconds, _SLACK_SECONDS_MAX))
        return min(now() + wait_seconds + slack, self.deadline + _LAST_ANSWER_SECONDS)

    def attach_until(self) -> float:
        """Until when the opening of a session must be answered: sooner than a request that may stay parked."""
        return min(self.request_until(0.0), max(self._limit(), now() + _LAST_ANSWER_SECONDS))

    def give_up_seconds(self, *, interrupted: bool) -> float:
        """How long the call may go on giving up its place."""
        if interrupted:
            return _INTERRUPTED_SECONDS
        return min(1.0, max(0.05, self.deadline + _GIVE_UP_SECONDS - now()))

    def is_over(self) -> bool:
        """Whether the caller's own time is over."""
        return now() >= self.deadline

    def met(self, heard_at: float | None) -> None:
        """The elector was heard of for the first time."""
        if self._heard_at is None:
            self._heard_at = heard_at

    def answered(self) -> None:
        """The elector answered what was asked, though not with the lock: somebody else has it."""
        self._answered_at = self._heard_at = now()
        self._backoff.reset()
        self._stumbles = 0

    def stumbled(self, error: ElectorUnavailable, pause: Callable[[float], object] = sleep) -> bool:
        """The elector wants something else first. That may happen a few times in a row; then it counts as a failure."""
        self._stumbles += 1
        return True if self._stumbles <= _STUMBLES_MAX else self.failed(error, pause)

    def failed(self, error: ElectorUnavailable, pause: Callable[[float], object] = sleep) -> bool:
        """Nothing was learnt. True, after a pause: try again. False: the time is over, and somebody else has the lock.

        Raises:
            ElectorUnavailable: the patience is at its end.
        """
        left = min(self._limit(), self.deadline) - now()
        if left > 0 and not self.is_single_try:
            pause(min(left, self._backoff.pause_seconds()))
            return True
        if self.is_over() and now() - self._answered_at <= _NEWS_SECONDS:
            return False
        raise ElectorUnavailable(self._explained(error), address=error.address) from error

    def _limit(self) -> float:
        if self._heard_at is None:
            return self.started_at + FIRST_CONTACT_SECONDS
        at_least = self.started_at + min(FIRST_CONTACT_SECONDS, self._unavailable_seconds)
        return max(at_least, self._heard_at + self._unavailable_seconds)

    def _explained(self, error: ElectorUnavailable) -> str:
        if self._heard_at is not None:
            return f"{error} (last heard of {now() - self._heard_at:.1f} s ago)"
        tried = f"{error} (tried for {now() - self.started_at:.1f} s)"
        if isinstance(error, NotReady):
            return tried
        return (
            f"{tried}. Start an elector there with the command `elector`, "
            "or in Kubernetes add the elector sidecar to this pod; another address is named by base_uri= or by the "
            "environment variable METAPARTICLE_SYNC_URL"
        )


class Latch:
    """An event that can also be set by a signal handler that interrupted a waiter: no lock is held for a moment."""

    def __init__(self) -> None:
        self._is_set = False
        self._closed = threading.Lock()
        self._closed.acquire()

    def __repr__(self) -> str:
        return f"<Latch: {'set' if self._is_set else 'unset'}>"

    def set(self) -> None:
        """Let everybody pass, for ever."""
        self._is_set = True
        self._open()

    def is_set(self) -> bool:
        """Whether `set` was called."""
        return self._is_set

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, or for `timeout` seconds. Says whether it is set."""
        until = math.inf if timeout is None else now() + timeout
        while not self._is_set and (left := until - now()) > 0:
            # In turns: a signal that comes just before the main thread blocks is handled only when it wakes.
            if self._closed.acquire(timeout=min(left, _LATCH_TURN_SECONDS)):
                self._open()  # For the next waiter.
        return self._is_set

    def _open(self) -> None:
        try:
            self._closed.release()
        except RuntimeError:
            pass  # It was open already.
