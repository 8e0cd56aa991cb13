"""An application process as a test sees it: commands go in, its history comes out."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.processes.history import Event, HistoryReader
from tests.processes.running import KnownProcess, Process, wait_until


class WorkerProcess:
    """One running `worker_program`, or another one that takes commands and writes a history."""

    program = "tests.processes.worker_program"

    def __init__(self, history: Path, output: Path, url: str, options: Sequence[str]) -> None:
        self.history = HistoryReader(history)
        self.output = output
        arguments = ["-m", self.program, str(history), *options]
        self._process = Process(arguments, output, {"METAPARTICLE_SYNC_URL": url})
        self._children: list[KnownProcess] = []

    @property
    def pid(self) -> int:
        return self._process.pid

    # Commands -------------------------------------------------------------------------------------------------------

    def do(self, command: str, **arguments: Any) -> None:
        """Have it do something; returns at once."""
        self._process.tell(json.dumps({"do": command, **arguments}))

    def acquire(self, name: str, **arguments: Any) -> Event:
        """Have it acquire, and wait until it has."""
        return self._do_and_wait("acquire", name, **arguments)

    def release(self, name: str) -> Event:
        """Have it release, and wait until it has."""
        return self._do_and_wait("release", name)

    def _do_and_wait(self, what: str, name: str, **arguments: Any) -> Event:
        done = len(self.events("ok", name=name, what=what))
        self.do(what, name=name, **arguments)
        return self._wait(lambda: self.events("ok", name=name, what=what)[done:], f"process {self.pid}: {what} {name}")[
            0
        ]

    # Faults ---------------------------------------------------------------------------------------------------------

    def kill(self) -> int:
        """SIGKILL; the moment before. Returns when the process is gone."""
        at = self._process.known.signal(signal.SIGKILL)
        self._process.exit_code()
        return at

    def pause(self) -> int:
        """SIGSTOP; the moment before."""
        return self._process.known.signal(signal.SIGSTOP)

    def resume(self) -> int:
        """SIGCONT; the moment before."""
        return self._process.known.signal(signal.SIGCONT)

    def interrupt(self) -> int:
        """What Ctrl-C does; the moment before."""
        return self._process.known.signal(signal.SIGINT)

    def leave(self) -> int:
        """End its input, and wait for its exit code."""
        self._process.close_input()
        return self._process.exit_code()

    def exit_code(self) -> int:
        return self._process.exit_code()

    def is_running(self) -> bool:
        return self._process.is_running()

    def adopt(self, pid: int) -> KnownProcess:
        """Take care of a child that this process has made: it ends with the test."""
        child = KnownProcess(pid)
        self._children.append(child)
        return child

    def end(self) -> None:
        self._process.end()
        for child in self._children:
            child.end()

    # Its history ----------------------------------------------------------------------------------------------------

    def events(self, kind: str = "", **fields: Any) -> list[Event]:
        """The events so far, or those of one kind with such fields."""
        return [event for event in self.history.events() if _fits(event, kind, fields)]

    def wait_for(self, kind: str, **fields: Any) -> Event:
        """Wait for the first such event."""
        what = f"process {self.pid}: {kind} {fields}"
        return self._wait(lambda: self.events(kind, **fields), what)[0]

    def wait_for_belief(self, name: str, after: int) -> Event:
        """Wait until it believes, having asked after that moment."""
        what = f"process {self.pid} believes in {name!r}"
        return self._wait(lambda: [event for event in self.events("belief", name=name) if event.asked > after], what)[0]

    def _wait(self, condition: Callable[[], list[Event]], what: str) -> list[Event]:
        def found_or_ended() -> list[Event]:
            was_running = self.is_running()
            found = condition()
            assert found or was_running, f"it ended with {self.exit_code()} before this: {what}"
            return found

        return wait_until(found_or_ended, what)


def _fits(event: Event, kind: str, fields: dict[str, Any]) -> bool:
    return (not kind or event.kind == kind) and all(getattr(event, key) == value for key, value in fields.items())
