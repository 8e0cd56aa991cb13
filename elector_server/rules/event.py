"""The rules of an event record: a flag, and how often it was set.

              set: generation + 1
    (unset) ───────────────────────> (set) ── set: generation + 1 ──> (set)
       ^                               │
       └────────────── clear ──────────┘

A waiter passes if the flag is set, or if the generation is another one than when its wait began: so it wakes even if
`clear` follows `set` at once. An event without a record is unset. Nobody holds anything, so nothing is lost when a
process dies: what is set stays set.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from elector_server.rules.shared import NO_OPERATIONS, At, Operations

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from elector_server.rules.claimant import Claimant, Hold

KIND: Final = "event"


@dataclass(frozen=True, slots=True)
class Event:
    """What an event record says."""

    is_set: bool = False
    generation: int = 0
    changed_at: str = ""
    operations: Operations = NO_OPERATIONS

    def to_spec(self) -> dict[str, Any]:
        """The stored form."""
        return {
            "is_set": self.is_set,
            "generation": self.generation,
            "changed_at": self.changed_at,
        } | self.operations.to_spec()

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Event:
        """Read the stored form."""
        return cls(
            is_set=spec.get("is_set", False),
            generation=spec.get("generation", 0),
            changed_at=spec.get("changed_at", ""),
            operations=Operations.from_spec(spec),
        )

    def claimants(self) -> Iterable[Claimant]:
        """Nobody: who waits leaves no trace."""
        return ()

    def leave(self, hold: Hold, at: At) -> Event:  # noqa: ARG002 -- nobody is in it
        """As it is."""
        return self

    def advanced(self, at: At) -> Event:  # noqa: ARG002 -- nothing is ever due
        """As it is."""
        return self

    def forget(self, hold: Hold) -> Event:  # noqa: ARG002 -- nobody is in it
        """As it is."""
        return self

    def confirm(self, claimant: Claimant, token: int | None, at: At) -> Event:  # noqa: ARG002 -- nobody is in it
        """As it is."""
        return self

    def written_over(self, version: int) -> Event:  # noqa: ARG002 -- no tokens
        """As it is."""
        return self

    def depends_on(self, session: str) -> dict[str, float]:  # noqa: ARG002 -- nobody is in it
        """Nobody."""
        return {}

    def remembering(self, operation: str) -> Event:
        """With one more operation that was applied."""
        return replace(self, operations=self.operations.plus(operation))


def put(event: Event | None, at: At, *, is_set: bool) -> Event:
    """Set or clear it. To set it counts, even if it is set: who waits since an earlier moment passes."""
    event = event or Event()
    return replace(event, is_set=is_set, generation=event.generation + is_set, changed_at=at.wall)


def is_passed(event: Event | None, since: int | None) -> bool:
    """Whether a waiter passes that saw the generation `since` when its wait began; None: it begins now.

    An event whose record is gone tells nothing of what was before, nor does one that was made anew by `clear`.
    """
    if event is None:
        return False
    return event.is_set or (since is not None and event.generation not in (0, since))


def generation_of(event: Event | None) -> int:
    """How often it was set."""
    return 0 if event is None else event.generation
