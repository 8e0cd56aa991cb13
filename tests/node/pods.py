"""A pod as a test sees it: what its containers say, and the processes that they are."""

from __future__ import annotations

import contextlib
import json
import signal
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from tests.processes.history import now_ns
from tests.processes.running import KnownProcess

APPLICATION: Final = "application"
ELECTOR: Final = "elector"

_LOGS: Final = Path("/var/log/pods")
_PATIENCE_SECONDS: Final = 120.0
_LOOK_SECONDS: Final = 0.03

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], what: str, seconds: float = _PATIENCE_SECONDS) -> Found:
    """The first true value of `condition`. It looks seldom enough to leave the processors to the pods."""
    give_up_at = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < give_up_at, f"not within {seconds:g} s: {what} (last seen: {found!r})"
        time.sleep(_LOOK_SECONDS)
    return found


class Line(NamedTuple):
    """One line, and when the container runtime read it, in seconds of the wall clock."""

    at: float
    text: str

    @classmethod
    def parse(cls, line: str) -> Line:
        """From what the runtime writes: the time, the stream, whether the line is whole, the line."""
        at, _, _, text = line.rstrip("\n").split(" ", 3)
        return cls(datetime.fromisoformat(at).timestamp(), text)


class Log:
    """What one container says, over its restarts. A file once opened is read to its end, though the pod is gone."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._files: dict[Path, TextIOWrapper] = {}
        self._lines: dict[Path, list[Line]] = {}

    def lines(self) -> list[Line]:
        """All lines so far."""
        for path in sorted(_LOGS.glob(self._pattern), key=lambda path: int(path.stem)):
            if path not in self._files:
                self._files[path] = path.open()
                self._lines[path] = []
        for path, file in self._files.items():
            self._lines[path] += [Line.parse(line) for line in file]
        return [line for lines in self._lines.values() for line in lines]

    def close(self) -> None:
        for file in self._files.values():
            file.close()


class Pod:
    """One pod, by its uid: another one of the same name is another one."""

    def __init__(self, found: dict[str, Any]) -> None:
        metadata = found["metadata"]
        self.name: str = metadata["name"]
        self.namespace: str = metadata["namespace"]
        self.uid: str = metadata["uid"]
        self.found = found
        self._logs: dict[str, Log] = {}
        self._events: list[dict[str, Any]] = []

    def __repr__(self) -> str:
        return f"{self.name} ({self.said(APPLICATION)[-3:]}, {self.said(ELECTOR)[-3:]})"

    @property
    def address(self) -> str:
        address: str = self.found["status"]["podIP"]
        return address

    def said(self, container: str) -> list[str]:
        """What one container said, line by line."""
        return [line.text for line in self.lines(container)]

    def lines(self, container: str) -> list[Line]:
        """The same, with times."""
        if container not in self._logs:
            self._logs[container] = Log(f"{self.namespace}_{self.name}_{self.uid}/{container}/*.log")
        return self._logs[container].lines()

    def events(self, *what: str) -> list[dict[str, Any]]:
        """What the application of the tests says of itself, of some kinds."""
        new = self.said(APPLICATION)[len(self._events) :]
        self._events += [json.loads(line) for line in new]
        return [one for one in self._events if not what or one["what"] in what]

    def wait_for(self, what: str) -> dict[str, Any]:
        """The first event of a kind."""
        wait_until(lambda: self.events(what), f"{what!r} of {self.name}")
        return self.events(what)[0]

    def processes(self, container: str = "") -> list[KnownProcess]:
        """The processes of one container, or of the whole pod, down to that which keeps its namespaces."""
        mark = f"pod{self.uid}/{self._container_id(container)}"
        found = []
        for pid in _pids_in(mark):
            with contextlib.suppress(ProcessLookupError):
                found.append(KnownProcess(pid))
        return found

    def kill(self, container: str = "") -> int:
        """SIGKILL to every process of a container or of the pod; the moment just before."""
        processes = self.processes(container)
        assert processes, f"no processes of {self.name} {container}"
        at = now_ns()
        for process in processes:
            process.signal(signal.SIGKILL)
        for process in processes:
            process.end()
        return at

    def is_running(self) -> bool:
        """Whether a process of it is left."""
        return any(True for _ in _pids_in(f"pod{self.uid}/"))

    def close(self) -> None:
        for log in self._logs.values():
            log.close()

    def _container_id(self, container: str) -> str:
        if not container:
            return ""
        status = self.found["status"]
        states = [*status.get("containerStatuses", ()), *status.get("initContainerStatuses", ())]
        (found,) = [one for one in states if one["name"] == container]
        identifier: str = found["containerID"]
        return identifier.removeprefix("containerd://")


def _pids_in(mark: str) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                if mark in (folder / "cgroup").read_text():
                    yield int(folder.name)
