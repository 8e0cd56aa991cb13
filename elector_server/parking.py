"""A request that waits: for its answer, for its time to be over, or for its caller to go away."""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from elector_server.clock import Clock

Answer = TypeVar("Answer")

PARK_SECONDS: Final = 0.05
"""A request that is answered sooner than this is not watched for its caller's departure."""

FEW_TURNS: Final = 3


class Departure(Protocol):
    """The caller's end of one request."""

    async def wait(self) -> None:
        """Return when the caller's connection is gone."""

    def is_gone(self) -> bool:
        """Whether it is gone by now."""


class Staying:
    """The departure of a caller that looks after its time by itself."""

    async def wait(self) -> None:
        """It does not go."""
        await asyncio.get_running_loop().create_future()

    def is_gone(self) -> bool:
        """It is not."""
        return False


class Departed(Exception):
    """The caller of a parked request is gone."""


async def park(clock: Clock, future: asyncio.Future[Answer], departure: Departure, seconds: float) -> Answer:
    """Wait for an answer or for the caller's departure, which is looked for only if it takes a while.

    Raises:
        Departed: the caller is gone.
    """
    if await _comes_soon(clock, future, seconds):
        return future.result()
    leaving = asyncio.get_running_loop().create_task(_wait_for(departure))
    leaving.add_done_callback(functools.partial(_depart, future))
    try:
        return await future
    finally:
        leaving.cancel()


async def is_done_soon(future: asyncio.Future[Any]) -> bool:
    """Whether the outcome is there after a few turns of the loop, which is cheaper than a timer."""
    for _ in range(FEW_TURNS):
        if future.done():
            return True
        await asyncio.sleep(0)
    return future.done()


async def _comes_soon(clock: Clock, future: asyncio.Future[Any], seconds: float) -> bool:
    try:
        async with clock.timeout(min(seconds, PARK_SECONDS)):
            await asyncio.wait([future])
    except TimeoutError:
        return False
    return True


def _depart(future: asyncio.Future[Any], _: asyncio.Task[None]) -> None:
    if not future.done():
        future.set_exception(Departed())


async def _wait_for(departure: Departure) -> None:
    await departure.wait()
