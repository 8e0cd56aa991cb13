"""Answers to one-shot operations that were given already, for whoever did not hear them and asks again.

A record remembers the last operations, so that an elector knows after a lost answer of the store what was done. A busy
record has forgotten one before its caller asks again; the elector that did it has not. Only an answer that was lost in
a crash of the elector may have been forgotten by both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from elector_server.clock import Clock

REMEMBERED_SECONDS: Final = 60.0
"""A caller gives up sooner."""

REMEMBERED_ANSWERS: Final = 4_000

Key = tuple[str, str, str]
"""A kind, a name, and the id of a request."""


class Answered:
    """Two generations of answers; the older one is dropped when the younger is old or full."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._young: dict[Key, Any] = {}
        self._old: dict[Key, Any] = {}
        self._turned_at = clock.now()

    def __contains__(self, key: Key) -> bool:
        return key in self._young or key in self._old

    def __getitem__(self, key: Key) -> Any:
        """The answer, be it an exception."""
        return self._young[key] if key in self._young else self._old[key]

    def add(self, key: Key, answer: Any) -> None:
        """This is what that request was answered."""
        now = self._clock.now()
        if len(self._young) >= REMEMBERED_ANSWERS // 2 or now - self._turned_at >= REMEMBERED_SECONDS:
            self._old, self._young, self._turned_at = self._young, {}, now
        self._young[key] = answer
