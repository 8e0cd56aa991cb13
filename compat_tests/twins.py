"""Two worlds side by side: the same calls by the same actors, and every outcome compared."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any

from compat_tests.actors import ANSWER_SECONDS_MAX, Call, ProcessActor, ThreadActor

Actor = ThreadActor | ProcessActor
World = Sequence[Actor]

SETTLE_SECONDS_MIN = 0.1
PROBES_TO_SETTLE = 20
"""After as long as so many probes take, a call is taken for one that blocks; if it was only slow, that is found out
later."""


class Twins:
    """The standard library's world, and ours. Where several callers block, either may wake any of them first.

    `probe` is something that takes as long as a call that does not block, on this machine at this moment.
    """

    def __init__(self, theirs: World, ours: World, probe: Callable[[], object]) -> None:
        self._worlds = (theirs, ours)
        self._probe = probe
        self._under_way: tuple[dict[int, tuple[Call, Future[Any]]], ...] = ({}, {})
        self.told: list[str] = []
        self.held: Counter[int] = Counter()
        """How often each actor has acquired and not released."""

    def idle(self) -> list[int]:
        """Actors that have no call under way in either world."""
        busy = self._under_way[0].keys() | self._under_way[1].keys()
        return [actor for actor in range(len(self._worlds[0])) if actor not in busy]

    @property
    def blocked(self) -> int:
        """How many calls block."""
        return len(self._under_way[0])

    def call(self, actor: int, call: Call) -> None:
        """Have a call made in both worlds, and compare all outcomes that there are now."""
        self.told.append(f"{actor}: {call[0]}{call[1]}")
        for world, under_way in zip(self._worlds, self._under_way, strict=True):
            under_way[actor] = (call, world[actor].begin(call))
        self.settle()

    def settle(self) -> None:
        """Take in what has come to an end. What ends in one world ends in the other, with the same outcome."""
        unmatched: Counter[tuple[str, str]] = Counter()
        give_up_at = time.monotonic() + ANSWER_SECONDS_MAX
        while True:
            seconds = self._settle_seconds()
            ended = [self._ended(under_way, seconds) for under_way in self._under_way]
            for actor, method, outcome in ended[0]:
                self.held[actor] += {("acquire", "True"): 1, ("release", "None"): -1}.get((method, outcome), 0)
            theirs, ours = ([(method, outcome) for _, method, outcome in world] for world in ended)
            unmatched.update(theirs)
            unmatched.subtract(ours)
            if not theirs and not ours and not any(unmatched.values()):
                return
            assert time.monotonic() < give_up_at, f"{_told(unmatched)} after {self.told}"

    def _settle_seconds(self) -> float:
        began = time.monotonic()
        self._probe()
        return max(SETTLE_SECONDS_MIN, PROBES_TO_SETTLE * (time.monotonic() - began))

    @staticmethod
    def _ended(under_way: dict[int, tuple[Call, Future[Any]]], seconds: float) -> list[tuple[int, str, str]]:
        wait([future for _, future in under_way.values()], seconds, FIRST_COMPLETED)
        ended = [actor for actor, (_, future) in under_way.items() if future.done()]
        calls = [(actor, *under_way.pop(actor)) for actor in ended]
        return [(actor, call[0], repr(future.result())) for actor, call, future in calls]

    def end(self) -> None:
        """Nothing is under way any more."""
        self.settle()
        assert not self.blocked, f"a call still blocks in both worlds: {self._under_way[0]} after {self.told}"
        for world in self._worlds:
            for actor in world:
                actor.end()


def _told(unmatched: Counter[tuple[str, str]]) -> str:
    theirs = [outcome for outcome, surplus in unmatched.items() if surplus > 0]
    ours = [outcome for outcome, surplus in unmatched.items() if surplus < 0]
    return f"only the standard library has {theirs}, only we have {ours}"
