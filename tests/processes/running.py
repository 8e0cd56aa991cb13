"""Processes that a test starts, and the one way in which tests wait: for a condition, with a bound."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from tests.processes.history import now_ns

Found = TypeVar("Found")

ROOT = Path(__file__).resolve().parents[2]

PATIENCE_SECONDS = 60.0
"""The bound of every wait. Reaching it fails the test; no test measures it."""

GENEROUS = 10
"""By how much a promise about speed may be missed on a slow machine before a test fails."""

_LOOK_SECONDS = 0.003
_FOREIGN_SETTINGS = ("ELECTOR_", "METAPARTICLE_", "PYTHONPATH", "COV_")


def wait_until(condition: Callable[[], Found], what: str, seconds: float = PATIENCE_SECONDS) -> Found:
    """The first true value of `condition`."""
    give_up_at = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"not within {seconds:g} s: {what} (last seen: {found!r})"
        time.sleep(_LOOK_SECONDS)
    return found


class KnownProcess:
    """A process addressed by a descriptor: its pid may be used again, this never means another one."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)

    def signal(self, number: signal.Signals) -> int:
        """Send a signal, and return the moment just before. A process that is gone is left alone."""
        at = now_ns()
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            pass
        return at

    def is_running(self) -> bool:
        return not self._poll(0)

    def wait_for_end(self, seconds: float = PATIENCE_SECONDS) -> None:
        assert self._poll(seconds), f"process {self.pid} still runs after {seconds:g} s"

    def end(self) -> None:
        """Kill it, if it runs, and forget it."""
        if self._descriptor >= 0:
            self.signal(signal.SIGKILL)
            self.wait_for_end()
            os.close(self._descriptor)
            self._descriptor = -1

    def _poll(self, seconds: float) -> bool:
        """Whether it has ended."""
        poll = select.poll()
        poll.register(self._descriptor, select.POLLIN)
        return bool(poll.poll(seconds * 1000))


class Process:
    """A Python program run as a child. What it prints goes to a file, which is shown when the test fails."""

    def __init__(self, arguments: Sequence[str], output: Path, environment: Mapping[str, str]) -> None:
        self.output = output
        with output.open("ab") as file:
            self.started_at = now_ns()
            self._child = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=_clean_environment() | dict(environment),
                stdin=subprocess.PIPE,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self.known = KnownProcess(self._child.pid)

    @property
    def pid(self) -> int:
        return self._child.pid

    def tell(self, line: str) -> None:
        """Write one line to its standard input."""
        assert self._child.stdin is not None
        self._child.stdin.write(line.encode() + b"\n")
        self._child.stdin.flush()

    def close_input(self) -> None:
        """The end of its standard input. A process that is gone already needs none."""
        try:
            if self._child.stdin is not None:
                self._child.stdin.close()
        except BrokenPipeError:
            pass

    def exit_code(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Wait for its end. Negative: the signal that ended it."""
        return self._child.wait(seconds)

    def said(self) -> str:
        """What it has printed so far."""
        return self.output.read_text()

    def is_running(self) -> bool:
        return self._child.poll() is None

    def end(self) -> None:
        self.known.end()
        self._child.wait()
        self.close_input()


def _clean_environment() -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith(_FOREIGN_SETTINGS)}
    return kept | {"PYTHONUNBUFFERED": "1", "PYTHONFAULTHANDLER": "1"}
