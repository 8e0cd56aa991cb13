"""Holder ids that are over: released, given up or lost. None of them is ever granted again.

They are remembered for as long as a late copy of a request or of a write can still turn up, within a bound of memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from elector_server.clock import Clock

REMEMBERED_SECONDS: Final = 600.0
REMEMBERED_IDS: Final = 100_000


class DeadHolders:
    """Two generations of ids; the older one is dropped when the younger is old or full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._young: set[str] = set()
        self._old: set[str] = set()
        self._turned_at = clock.now()

    def __contains__(self, holder: str) -> bool:
        return holder in self._young or holder in self._old

    def add(self, *holders: str) -> None:
        """These holder ids never come back."""
        now = self._clock.now()
        if len(self._young) >= REMEMBERED_IDS // 2 or now - self._turned_at >= REMEMBERED_SECONDS:
            self._old, self._young, self._turned_at = self._young, set(), now
        self._young.update(holders)
