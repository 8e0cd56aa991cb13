"""What one application process holds, as its keeper knows it."""

from __future__ import annotations

from dataclasses import dataclass

from elector_server.rules.lock import KIND as LOCK
from tests.simulation.history import Belief


@dataclass(eq=False, slots=True)
class ClientHold:
    """One hold. It counts under `incarnation`; once that is over, until `old_deadline`, unless confirmed again."""

    name: str
    holder: str
    token: int
    incarnation: str
    belief: Belief | None = None
    old_deadline: float = float("-inf")
    kind: str = LOCK

    @property
    def key(self) -> str:
        """What it is found by: a process holds a lock once, and of a semaphore any number of permits."""
        return self.name if self.kind == LOCK else self.holder
