"""An application process that a test steers: `python -m tests.processes.worker_program <history file>`.

It reads one JSON object a line from its standard input and does what it says, one after the other, in its main thread.
A second thread asks every few milliseconds whether this process holds, and writes down each belief. At the end of its
input it leaves as any program does.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaparticle_sync import Election, Leadership, Lock, LockLost
from tests.processes.history import HistoryWriter, now_ns

ASK_SECONDS = 0.004


class Worker:
    """Its methods are the commands."""

    def __init__(self, history: HistoryWriter, arguments: argparse.Namespace) -> None:
        self._history = history
        self._arguments = arguments
        self._locks: dict[str, Lock] = {}
        self._elections: dict[str, Election] = {}
        self._holdings: dict[str, Lock | Leadership] = {}
        self._tokens: dict[str, int] = {}
        self._calls = 0
        self._stopped = threading.Event()

    # Commands -------------------------------------------------------------------------------------------------------

    def acquire(self, name: str, **arguments: Any) -> bool:
        """Acquire in this thread."""
        return self._call("acquire", name, lambda: self._lock(name).acquire(**arguments))

    def release(self, name: str) -> None:
        self._call("release", name, self._lock(name).release)

    def acquire_in_thread(self, name: str, number: int) -> None:
        """Wait for the lock in a thread of its own, show that it is held, and release it."""
        threading.Thread(target=self._have_a_turn, args=(name, number), daemon=True).start()

    def contend(self, name: str, turns: int, timeouts: list[float]) -> None:
        """Acquire with timeouts between these two, and release at once, again and again."""
        for _ in range(turns):
            if self.acquire(name, timeout=random.uniform(*timeouts)):
                self._believe(name)
                self.release(name)
        self._history.write("done", name=name)

    def toil(self, name: str) -> None:
        """Acquire, work for a moment, release, in a thread of its own, until told to stop."""
        threading.Thread(target=self._toil, args=(name,), daemon=True).start()

    def stop(self) -> None:
        """Toil no more."""
        self._stopped.set()

    def lead(self, name: str) -> None:
        """Take part in an election, in a thread of its own, until told to resign."""
        election = self._elections[name] = Election(name, self._elected, self._told)
        threading.Thread(target=election.run, daemon=True).start()

    def resign(self, name: str) -> None:
        """End the election."""
        self._elections[name].shutdown()

    def fork(self, name: str, leave: str) -> None:
        """Fork while holding. `leave` is how the child ends: "exit", "abrupt", or "stay" (until it is killed)."""
        child = os.fork()
        if child == 0:
            self._be_a_child(name, leave)
        if leave != "stay":
            _, status = os.waitpid(child, 0)
            self._history.write("forked", name=name, details=os.waitstatus_to_exitcode(status))

    # Parts ----------------------------------------------------------------------------------------------------------

    def _toil(self, name: str) -> None:
        while not self._stopped.is_set():
            if self.acquire(name, timeout=1.0):
                self._stopped.wait(random.uniform(0.0, 0.02))
                self.release(name)
        self._history.write("done", name=name)

    def _lock(self, name: str) -> Lock:
        if name not in self._locks:
            self._locks[name] = self._holdings[name] = Lock(
                name,
                on_lost=self._told if self._arguments.tell else None,
                unavailable_seconds=self._arguments.unavailable_seconds,
            )
        return self._locks[name]

    def _told(self, loss: LockLost) -> None:
        self._history.write("told", name=loss.name, token=loss.token, text=loss.reason)

    def _call(self, what: str, name: str, function: Callable[[], Any], number: int = 0) -> bool:
        """Call and write down how it ended. Only an acquisition that got the lock is true."""
        self._calls += 1
        call = number or self._calls
        token = 0 if what == "acquire" else self._tokens.pop(name, 0)
        self._history.write("invoke", name=name, call=call, what=what, token=token)
        try:
            result = function()
            if result and what == "acquire":
                token = self._tokens[name] = self._lock(name).token
        except BaseException as error:  # noqa: BLE001 - a KeyboardInterrupt is one of the ends that tests cause
            self._history.write("fail", name=name, call=call, what=what, error=type(error).__name__, text=str(error))
            return False
        if result is False:
            self._history.write("fail", name=name, call=call, what=what, error="timeout")
            return False
        self._history.write("ok", name=name, call=call, what=what, token=token)
        return what == "acquire"

    def _elected(self, leadership: Leadership) -> None:
        name, token = leadership.name, leadership.token
        self._tokens[name], self._holdings[name] = token, leadership
        self._history.write("ok", name=name, what="lead", token=token)
        leadership.stopping.wait()
        del self._tokens[name]
        self._history.write("stopped", name=name, token=token)

    def _have_a_turn(self, name: str, number: int) -> None:
        lock = self._lock(name)
        if self._call("acquire", name, lock.acquire, number):
            self._believe(name)
            self._call("release", name, lock.release, number)

    def _be_a_child(self, name: str, leave: str) -> None:
        lock = self._lock(name)
        found: dict[str, Any] = {"held": lock.held, "claimed": lock.acquire(blocking=False)}
        try:
            lock.release()
        except RuntimeError as error:
            found["release"] = f"{type(error).__name__}: {error}"
        found["own"] = Lock(f"{name} of a child").acquire()
        self._history.write("child", name=name, details=found)
        if leave == "stay":
            signal.alarm(120)  # Should its test be killed, too.
            signal.pause()
        if leave == "abrupt":
            os._exit(0)
        sys.exit(0)

    def keep_asking(self) -> None:
        """Write down every belief, for ever."""
        pause = threading.Event()
        doubted: dict[str, int] = {}
        while not pause.wait(ASK_SECONDS):
            for name in list(self._holdings):
                token = self._tokens.get(name, 0)
                if not self._believe(name) and token and doubted.get(name) != token:
                    doubted[name] = token
                    self._history.write("doubt", name=name, token=token)

    def _believe(self, name: str) -> bool:
        """Ask, and write down a belief."""
        holding = self._holdings[name]
        asked = now_ns()
        try:
            if not holding.held:
                return False
            token = holding.token
        except RuntimeError:  # It was lost or released between the two questions.
            return False
        self._history.write("belief", name=name, token=token, asked=asked)
        return True


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # It may have been inherited as ignored.
    parser = argparse.ArgumentParser()
    parser.add_argument("history", type=Path)
    parser.add_argument("--tell", action="store_true", help="write a loss down instead of ending by it")
    parser.add_argument("--unavailable-seconds", type=float, default=30.0)
    arguments = parser.parse_args()
    worker = Worker(HistoryWriter(arguments.history), arguments)
    threading.Thread(target=worker.keep_asking, daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        getattr(worker, command.pop("do"))(**command)


if __name__ == "__main__":
    main()
