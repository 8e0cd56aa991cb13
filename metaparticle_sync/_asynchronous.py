"""For callers in an event loop: what blocks is done in a thread of its own, and is never left half done.

Not in the loop's pool of threads: that has room for a few only, and a wait for a leader may last for ever. Nor would an
interpreter that ends wait for a thread that is a daemon.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

Result = TypeVar("Result")


def started(function: Callable[[], Result], name: str) -> asyncio.Future[Result]:
    """Begin `function` in a thread of its own. The future is only to be waited for: a thread can not be cancelled."""
    outcome: Future[Result] = Future()

    def run() -> None:
        try:
            outcome.set_result(function())
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it belongs to whoever waits
            outcome.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(outcome)


async def done(future: asyncio.Future[Any]) -> asyncio.CancelledError | None:
    """Wait until it is done, come what may. Returns the cancellation of this task that came meanwhile, to be raised."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def finished(future: asyncio.Future[Result]) -> Result:
    """The result; if this task is cancelled meanwhile, that is raised, but not before the end."""
    cancelled = await done(future)
    if cancelled is not None:
        future.exception()  # It counts as seen.
        raise cancelled
    return future.result()
