"""An application process that uses the whole family: `python -m tests.processes.member_program <history> <seconds>`.

It reads one JSON object a line, as `worker_program` does, and writes down how each call ends. Each call has a thread of
its own. `<seconds>` is how long each primitive puts up with an elector that is away.
"""

from __future__ import annotations

import json
import random
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import metaparticle_sync
from metaparticle_sync import LockLost
from tests.processes.history import HistoryWriter, now_ns
from tests.processes.running import PATIENCE_SECONDS

PERMITS_MAX = 3
"""How many permits one thread takes at most."""


class MemberProgram:
    """Its methods are the commands."""

    def __init__(self, history: HistoryWriter, unavailable_seconds: float) -> None:
        self._history = history
        self._unavailable_seconds = unavailable_seconds
        self._made: dict[str, Any] = {}

    def make(self, kind: str, name: str, positional: list[Any], action: str) -> None:
        """Make a primitive; `action` is a method of this class, for a barrier."""
        keywords: dict[str, Any] = {"name": name, "unavailable_seconds": self._unavailable_seconds}
        if kind in {"Semaphore", "BoundedSemaphore", "Lock"}:
            keywords["on_lost"] = self._told
        if action:
            keywords["action"] = getattr(self, action)
        self._made[name] = getattr(metaparticle_sync, kind)(*positional, **keywords)

    def call(self, number: int, name: str, method: str, keywords: dict[str, Any]) -> None:
        """Call a method in a thread of its own."""
        threading.Thread(target=self._call, args=(number, name, method, keywords), daemon=True).start()

    def _call(self, number: int, name: str, method: str, keywords: dict[str, Any]) -> None:
        fields = {"name": name, "call": number, "what": f"{type(self._made[name]).__name__}.{method}"}
        self._history.write("invoke", **fields)
        try:
            result = self._result(self._made[name], method, keywords)
        except Exception as error:  # noqa: BLE001 -- whatever it is, the test asks for it
            self._history.write("fail", **fields, error=type(error).__name__, text=str(error))
        else:
            self._history.write("ok", **fields, details=result)

    def _result(self, primitive: Any, method: str, keywords: dict[str, Any]) -> Any:
        if method == "wait" and hasattr(primitive, "notify"):
            with primitive:
                return primitive.wait(**keywords)
        if method == "notify":
            with primitive:
                return primitive.notify(**keywords)
        attribute = getattr(primitive, method)
        return attribute(**keywords) if callable(attribute) else attribute

    def toil(self, name: str, turns: int, seed: int) -> None:
        """Take some permits, work for a moment, give them back, again and again, in a thread of its own."""
        dice = random.Random(seed)
        threading.Thread(target=self._do_turns, args=(name, turns, lambda: self._toil(name, dice)), daemon=True).start()

    def march(self, name: str, turns: int) -> None:
        """Pass a barrier again and again, in a thread of its own."""
        turn = self._made[name].wait
        threading.Thread(target=self._do_turns, args=(name, turns, turn), daemon=True).start()

    def alternate(self, name: str, turns: int, path: str, rank: int, others: int) -> None:
        """Write the next number to a file whenever it is this one's turn, in a thread of its own."""

        def turn() -> int:
            with self._made[name]:
                while (number := int(file.read_text() or 0)) % others != rank:
                    self._made[name].wait()
                file.write_text(str(number + 1))
                self._made[name].notify_all()
                return number

        file = Path(path)
        threading.Thread(target=self._do_turns, args=(name, turns, turn), daemon=True).start()

    def _do_turns(self, name: str, turns: int, turn: Callable[[], Any]) -> None:
        for _ in range(turns):
            try:
                self._history.write("ok", name=name, what="turn", details=turn())
            except Exception as error:  # noqa: BLE001 -- whatever it is, the test fails by it
                self._history.write("fail", name=name, what="turn", error=type(error).__name__, text=str(error))
                return
        self._history.write("done", name=name)

    def _toil(self, name: str, dice: random.Random) -> dict[str, int]:
        """How many permits this thread had, and for how long at least."""
        permits = dice.randint(1, PERMITS_MAX)
        for _ in range(permits):
            if not self._made[name].acquire(timeout=PATIENCE_SECONDS):
                raise TimeoutError("others have all permits")
        had_at = now_ns()
        threading.Event().wait(dice.uniform(0.0, 0.01))
        gave_at = now_ns()
        for count in [permits] if dice.random() < 0.5 else [1] * permits:
            self._made[name].release(count)
        return {"permits": permits, "from": had_at, "to": gave_at}

    def _told(self, loss: LockLost) -> None:
        self._history.write("told", name=loss.name, text=loss.reason)

    def act_for_ever(self) -> None:
        """An action that never ends."""
        self._history.write("acting")
        threading.Event().wait()

    def act(self) -> None:
        """An action."""
        self._history.write("acted")


def main() -> None:
    program = MemberProgram(HistoryWriter(Path(sys.argv[1])), float(sys.argv[2]))
    for line in sys.stdin:
        command = json.loads(line)
        getattr(program, command.pop("do"))(**command)


if __name__ == "__main__":
    main()
