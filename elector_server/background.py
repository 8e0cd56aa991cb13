"""Tasks that nobody awaits: kept from the garbage collector, ended together, and never silent about a failure."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

log = logging.getLogger("elector")


class Background:
    """The elector's running tasks."""

    def __init__(self) -> None:
        # A dict, because its order is the order of starting: a simulation must replay exactly.
        self._tasks: dict[asyncio.Task[Any], None] = {}
        self.failures = 0

    def start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` on its own. An exception that leaves it is logged and counted."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks[task] = None
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(task, None)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self.failures += 1
            log.error("a background task of the elector failed: %r", error, exc_info=error)

    async def close(self) -> None:
        """Cancel whatever still runs, and wait for it."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
