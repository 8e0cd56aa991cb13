"""What happens to a process, as lines of JSON.

    invoke ──> ok | fail          a call, and how it ended; without an end its outcome is unknown
    belief                        the process asked whether it holds, and was told that it does
    doubt                         it asked, and was told that it does not, though it has not released
    told                          its loss policy ran
    child                         what a forked child found

One file per process, and one clock for all of them.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

NANOSECONDS = 1_000_000_000


def now_ns() -> int:
    """The clock of every history. It is the machine's, so times of different processes compare."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def seconds_between(earlier_ns: int, later_ns: int) -> float:
    return (later_ns - earlier_ns) / NANOSECONDS


@dataclass(frozen=True, slots=True)
class Event:
    """One line. `asked` is the moment before the process asked, `at` the one after it was told."""

    at: int
    pid: int
    kind: str
    name: str = ""
    call: int = 0
    what: str = ""
    token: int = 0
    asked: int = 0
    error: str = ""
    text: str = ""
    details: Any = None


class HistoryWriter:
    """Appends events to a file. A line is written whole, whichever thread or forked child writes it."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, kind: str, **fields: Any) -> int:
        """Write one event of this moment, and return the moment."""
        at = now_ns()
        line = json.dumps({"at": at, "pid": os.getpid(), "kind": kind, **fields})
        os.write(self._descriptor, line.encode() + b"\n")
        return at


class HistoryReader:
    """Reads a history while it grows, each line once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._events: list[Event] = []

    def events(self) -> list[Event]:
        """The events so far. A process that is killed may leave half a line at the end."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._offset)
                *lines, rest = file.read().split(b"\n")
                self._offset = file.tell() - len(rest)
            self._events.extend(Event(**json.loads(line)) for line in lines)
        return self._events
