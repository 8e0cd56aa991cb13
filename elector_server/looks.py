"""Callers who wait for a record to show something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from elector_server.parking import Departure, park

if TYPE_CHECKING:
    from elector_server.background import Background
    from elector_server.clock import Clock

Seen = TypeVar("Seen")
Answer = TypeVar("Answer")

BROADCAST_MAX: Final = 100
"""How many callers are woken in one turn of the loop: heartbeats must not wait for a thousand answers."""


@dataclass(slots=True, eq=False)
class _Look(Generic[Seen]):
    see: Callable[[Seen], Any]
    future: asyncio.Future[Any]

    def show(self, seen: Seen) -> None:
        if not self.future.done():
            answer = self.see(seen)
            if answer is not None:
                self.future.set_result(answer)


class Looks(Generic[Seen]):
    """All who look at one record. `latest` gives what there is to see; it raises LookupError while nothing is known."""

    def __init__(self, clock: Clock, background: Background, latest: Callable[[], Seen]) -> None:
        self._clock = clock
        self._background = background
        self._latest = latest
        self._looks: dict[_Look[Seen], None] = {}
        self._due: dict[_Look[Seen], None] = {}
        """Those who have not seen the latest yet, in the order in which it is their turn."""
        self._broadcasting: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._looks)

    async def until(self, see: Callable[[Seen], Answer | None], seconds: float, departure: Departure) -> Answer:
        """Wait until `see` gives something, for at most `seconds`.

        Raises:
            TimeoutError: it did not.
            Departed: the caller is gone.
        """
        look = _Look(see, asyncio.get_running_loop().create_future())
        self._looks[look] = None
        self._show([look])
        try:
            async with self._clock.timeout(seconds):
                answer: Answer = await park(self._clock, look.future, departure, seconds)
        except TimeoutError:
            self._show([look])  # It may have come in the last moment.
            if not look.future.done() or look.future.cancelled():
                raise
            answer = look.future.result()
        finally:
            del self._looks[look]
        return answer

    def show(self) -> None:
        """There is something new to see. Many are shown it a few at a time, and once for all changes meanwhile."""
        if len(self._looks) <= BROADCAST_MAX:
            self._show(list(self._looks))
            return
        self._due |= self._looks  # Whoever is due already keeps its turn.
        if self._broadcasting is None:
            self._broadcasting = self._background.start(self._broadcast())

    def fail(self, error: Exception) -> None:
        """End every wait with `error`."""
        for look in self._looks:
            if not look.future.done():
                look.future.set_exception(error)

    async def _broadcast(self) -> None:
        try:
            while self._due:
                some = list(islice(self._due, BROADCAST_MAX))
                for look in some:
                    del self._due[look]
                self._show(some)
                await asyncio.sleep(0)
        finally:
            self._broadcasting = None

    def _show(self, looks: list[_Look[Seen]]) -> None:
        try:
            seen = self._latest()
        except LookupError:
            return
        for look in looks:
            look.show(seen)
