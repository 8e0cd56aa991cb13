"""What happened in a run, as its clients saw it: the input of the invariants, beside the recorder's commits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Belief:
    """One span during which a client, had it asked, would have been told that it holds.

    `ended` is None while it lasts. A pause of the process does not end a span: it could ask when it resumes.
    """

    name: str
    client: str
    holder: str
    token: int
    began: float
    ended: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """One moment at which a program asked whether it holds, and used the token on a guarded resource."""

    at: float
    name: str
    client: str
    holder: str
    token: int
    believed: bool


@dataclass(frozen=True, slots=True)
class Call:
    """One request to an elector: how it ended, how long it took by the elector's clock, and how long it may take.

    The bound counts only if the elector was not paused meanwhile.
    """

    what: str
    client: str
    began: float
    took_seconds: float
    bound_seconds: float
    outcome: object


@dataclass(frozen=True, slots=True)
class Attempt:
    """One acquisition: from its call to its return, and whether it holds."""

    name: str
    client: str
    began: float
    ended: float
    is_granted: bool


@dataclass(slots=True)
class SharedCall:
    """One call of a program on a semaphore, event, condition or barrier.

    `id` is the holder or operation id by which the records know it. `outcome` is None as long as nobody knows it: the
    call has not returned, its process has died, or no answer came in time.
    """

    kind: str
    name: str
    what: str
    id: str
    client: str
    began: float
    details: dict[str, Any] = field(default_factory=dict)
    ended: float | None = None
    outcome: Any = None


@dataclass(slots=True)
class History:
    """All of it, in the order in which it happened."""

    beliefs: list[Belief] = field(default_factory=list)
    permits: list[Belief] = field(default_factory=list)
    """The same, of the permits of semaphores."""
    shared: list[SharedCall] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    dead: set[str] = field(default_factory=set)
    """The clients that have crashed or ended."""
    attempts: list[Attempt] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    notes: list[tuple[float, str]] = field(default_factory=list)
    first_fault_at: float | None = None
    healed_at: float | None = None
    ended_at: float = 0.0
    final_bound_seconds: float = 0.0

    def note(self, at: float, what: str) -> None:
        """Write down what helps to read the run; nothing judges by it."""
        self.notes.append((at, what))

    def note_fault(self, kind: str, at: float) -> None:
        """Count a fault; the first one ends the quiet part of the run."""
        self.faults[kind] += 1
        self.note(at, f"FAULT {kind}")
        if self.first_fault_at is None:
            self.first_fault_at = at
