"""An application process that a test steers: `python -m tests.processes.worker_program <history file> [--tell]`.

It reads one JSON object a line from its standard input and does what it says, one after the other, in its main thread.
A second thread asks every few milliseconds whether this process holds, and writes down each belief. With `--tell`, a
loss is written down; else the library's own way is taken, which ends the process.

At the end of its input it leaves as any program does.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from metaparticle_sync import Lock
from tests.processes.history import HistoryWriter, now_ns

ASK_SECONDS = 0.004


class Worker:
    """Its methods are the commands."""

    def __init__(self, history: HistoryWriter, *, tells: bool) -> None:
        self._history = history
        self._tells = tells
        self._locks: dict[str, Lock] = {}
        self._tokens: dict[str, int] = {}
        self._calls = 0

    # Commands -------------------------------------------------------------------------------------------------------

    def acquire(self, name: str, **arguments: Any) -> bool:
        """Acquire in this thread."""
        return self._call("acquire", name, lambda: self._lock(name).acquire(**arguments))

    def release(self, name: str) -> None:
        self._call("release", name, self._lock(name).release)

    def ask(self, name: str) -> None:
        """What the lock says of itself."""
        lock = self._lock(name)
        said = {"held": lock.held, "locked": lock.locked(), "repr": repr(lock)}
        self._history.write("answer", name=name, details=said)

    def acquire_in_thread(self, name: str, number: int) -> None:
        """Wait for the lock in a thread of its own, show that it is held, and release it."""
        threading.Thread(target=self._have_a_turn, args=(name, number), daemon=True).start()

    def contend(self, name: str, turns: int, timeouts: list[float]) -> None:
        """Acquire with short timeouts, and release at once, again and again."""
        for _ in range(turns):
            if self.acquire(name, timeout=random.uniform(*timeouts)):
                self._believe(name)
                self.release(name)
        self._history.write("done", name=name)

    def fork(self, name: str, leave: str) -> None:
        """Fork while holding. `leave` is how the child ends: "exit", "abrupt", or "stay" (until it is killed)."""
        child = os.fork()
        if child == 0:
            self._be_a_child(name, leave)
        if leave != "stay":
            _, status = os.waitpid(child, 0)
            self._history.write("forked", name=name, details=os.waitstatus_to_exitcode(status))

    # Parts ----------------------------------------------------------------------------------------------------------

    def _lock(self, name: str) -> Lock:
        if name not in self._locks:
            self._locks[name] = Lock(name, on_lost=self._told(name)) if self._tells else Lock(name)
        return self._locks[name]

    def _told(self, name: str) -> Callable[..., None]:
        def told(*details: object) -> None:
            self._history.write("told", name=name, token=self._tokens.get(name, 0), text=str(details))

        return told

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
            for name in list(self._locks):
                token = self._tokens.get(name, 0)
                if not self._believe(name) and token and doubted.get(name) != token:
                    doubted[name] = token
                    self._history.write("doubt", name=name, token=token)

    def _believe(self, name: str) -> bool:
        """Ask, and write down a belief."""
        lock = self._locks[name]
        asked = now_ns()
        try:
            if not lock.held:
                return False
            token = lock.token
        except RuntimeError:  # It was lost or released between the two questions.
            return False
        self._history.write("belief", name=name, token=token, asked=asked)
        return True


def main() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # It may have been inherited as ignored.
    worker = Worker(HistoryWriter(Path(sys.argv[1])), tells="--tell" in sys.argv)
    threading.Thread(target=worker.keep_asking, daemon=True).start()
    for line in sys.stdin:
        command = json.loads(line)
        getattr(worker, command.pop("do"))(**command)


if __name__ == "__main__":
    main()
