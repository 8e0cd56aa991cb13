"""What can go wrong between one elector and the store: by chance, or by the script of one schedule."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulation.recorder import Operation, Verb

DELAY_SECONDS_MAX = 60.0
LATENCY_SECONDS = 0.01


@dataclass(slots=True)
class Faults:
    """How often each fault strikes one elector's store connection, as probabilities. All zero: a healthy network."""

    lose_request: float = 0.0
    lose_answer: float = 0.0
    delay_request: float = 0.0
    delay_answer: float = 0.0
    repeat: float = 0.0
    refuse: float = 0.0
    stale: float = 0.0
    watch_skip: float = 0.0
    watch_late: float = 0.0
    watch_end: float = 0.0
    watch_hang: float = 0.0
    outage: bool = False
    latency_seconds: float = LATENCY_SECONDS

    def heal(self) -> None:
        """No faults from now on."""
        for probability in PROBABILITIES:
            setattr(self, probability, 0.0)
        self.outage = False
        self.latency_seconds = LATENCY_SECONDS


PROBABILITIES = (
    "lose_request",
    "lose_answer",
    "delay_request",
    "delay_answer",
    "repeat",
    "refuse",
    "stale",
    "watch_skip",
    "watch_late",
    "watch_end",
    "watch_hang",
)


class Gate:
    """Callbacks that wait until somebody opens it."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], object]] = []
        self._is_open = False

    def open(self) -> None:
        """Run those that wait, and from now on everyone at once."""
        self._is_open = True
        waiting, self._waiting = self._waiting, []
        for callback in waiting:
            callback()

    def when_open(self, callback: Callable[[], object]) -> None:
        """Run `callback` as soon as the gate is open."""
        if self._is_open:
            callback()
        else:
            self._waiting.append(callback)


@dataclass(eq=False, slots=True)
class Plan:
    """The script for the next operations that match, `times` of them. Made by `StoreHandle.plan`.

    A request that is held lands at `deliver()`, an answer that is held leaves at `answer()`; a second copy of a
    repeated request lands at `deliver_copy()`. `sent`, `applied` and `copied` say how far it got.
    """

    matches: Callable[[Operation], bool]
    times: int = 1
    hold_request: bool = False
    hold_answer: bool = False
    lose_request: bool = False
    lose_answer: bool = False
    fail_after_seconds: float | None = None
    repeat: bool = False
    refuse: bool = False
    stale_at: float | None = None
    operations: list[Operation] = field(default_factory=list)
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    applied: asyncio.Event = field(default_factory=asyncio.Event)
    copied: asyncio.Event = field(default_factory=asyncio.Event)
    request_gate: Gate = field(default_factory=Gate)
    answer_gate: Gate = field(default_factory=Gate)
    copy_gate: Gate = field(default_factory=Gate)

    def take(self, operation: Operation) -> bool:
        """Whether this plan decides the fate of `operation`; if so it is used up by one."""
        if self.times <= 0 or not self.matches(operation):
            return False
        self.times -= 1
        self.operations.append(operation)
        return True

    def deliver(self) -> None:
        """Let held requests land."""
        self.request_gate.open()

    def answer(self) -> None:
        """Let held answers go."""
        self.answer_gate.open()

    def deliver_copy(self) -> None:
        """Let the second copies land."""
        self.copy_gate.open()


def operation_like(
    verb: Verb | None, kind: str | None, name: str | None, where: Callable[[Operation], bool] | None
) -> Callable[[Operation], bool]:
    """A condition on operations; what is None does not matter. `name` may be the beginning of a name."""

    def matches(operation: Operation) -> bool:
        return (
            (verb is None or operation.verb == verb)
            and (kind is None or operation.kind == kind)
            and (name is None or operation.name.startswith(name))
            and (where is None or where(operation))
        )

    return matches
