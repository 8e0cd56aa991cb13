"""Conditional writes whose outcome is settled: the identical write is sent again until the store gives an answer.

A write that was sent and not answered may have had its effect, or may have it later. Sending the identical conditional
write again is safe: of a `replace` or `delete` at most one copy lands. Of a `create` a copy may land later, when the
first one was released already; `reconcile` finds that one.

A refusal (Exists, Conflict) after an unanswered copy says only that the record must be read: whoever reads it compares
the whole triple (holder, session, epoch), and so recognises what became of the first copy.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from elector_server.clock import Clock
from elector_server.store import OutcomeUnknown, StoreUnavailable

Answer = TypeVar("Answer")

BACKOFF_SECONDS_MIN: Final = 0.02
BACKOFF_SECONDS_MAX: Final = 1.0


class Abandoned(Exception):
    """The session under which the write was made is over. The write may still land, and harms nobody."""


class Backoff:
    """Growing, jittered pauses between tries. `seconds_max` keeps them below what the caller can spare."""

    def __init__(self, clock: Clock, rng: random.Random, seconds_max: float = BACKOFF_SECONDS_MAX) -> None:
        self._clock = clock
        self._random = rng
        self._seconds_max = seconds_max
        self._seconds = BACKOFF_SECONDS_MIN

    async def pause(self) -> None:
        """Wait, and longer the next time."""
        await self._clock.sleep(min(self._seconds, self._seconds_max) * self._random.uniform(0.5, 1.5))
        self._seconds = min(self._seconds * 2, BACKOFF_SECONDS_MAX)


async def attempt(clock: Clock, seconds: float, send: Callable[[], Awaitable[Answer]]) -> Answer:
    """Send once. No answer within `seconds` is an unknown outcome."""
    try:
        async with clock.timeout(seconds):
            return await send()
    except TimeoutError as error:
        raise OutcomeUnknown(f"no answer within {seconds:.1f} s") from error


async def settle(
    clock: Clock,
    rng: random.Random,
    seconds: float,
    send: Callable[[], Awaitable[Answer]],
    still_ours: Callable[[], bool],
) -> Answer:
    """Send a conditional write until its outcome is known.

    Args:
        clock: the elector's time.
        rng: jitter of the pauses.
        seconds: how long one attempt may take.
        send: carries out the identical write, once.
        still_ours: whether the session under which the write is made is still valid.

    Raises:
        StoreUnavailable: the store refused and no copy of the write is on its way.
        Abandoned: the session ended before the outcome was known.
        Exists, Conflict: see there.
    """
    backoff = Backoff(clock, rng)
    unanswered = False
    while still_ours():
        try:
            return await attempt(clock, seconds, send)
        except OutcomeUnknown:
            unanswered = True
        except StoreUnavailable:
            if not unanswered:
                raise
        await backoff.pause()
    raise Abandoned
