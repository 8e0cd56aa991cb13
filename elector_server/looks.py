"""Callers who wait for a record to show something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
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
        """There is something new to see."""
        looks = list(self._looks)
        self._show(looks[:BROADCAST_MAX])
        if len(looks) > BROADCAST_MAX:
            self._background.start(self._show_others(looks[BROADCAST_MAX:]))

    def fail(self, error: Exception) -> None:
        """End every wait with `error`."""
        for look in self._looks:
            if not look.future.done():
                look.future.set_exception(error)

    async def _show_others(self, looks: list[_Look[Seen]]) -> None:
        while looks:
            await asyncio.sleep(0)
            self._show(looks[:BROADCAST_MAX])
            del looks[:BROADCAST_MAX]

    def _show(self, looks: list[_Look[Seen]]) -> None:
        try:
            seen = self._latest()
        except LookupError:
            return
        for look in looks:
            look.show(seen)
