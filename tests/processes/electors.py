"""An elector as a test sees it: gunicorn's master, its one worker, and what they answer."""

from __future__ import annotations

import http.client
import json
import random
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from elector_server.announcement import SQLITE_FILE
from metaparticle_sync import wire
from tests.processes.running import KnownProcess, Process, wait_until

PORTS = range(20_000, 32_000)
"""Below the ports that the kernel gives to outgoing connections, which could take one between stop and restart."""


_OPEN_STATES = {"01", "08"}  # ESTABLISHED and CLOSE_WAIT in /proc/net/tcp.


@dataclass(frozen=True, slots=True)
class Leases:
    """The two durations of an elector."""

    lease_seconds: float
    client_ttl_seconds: float

    @property
    def validity_seconds(self) -> float:
        """H of the design."""
        return self.lease_seconds - max(2.0, self.lease_seconds / 6)

    @property
    def silence_seconds(self) -> float:
        """How long a silent client may keep its locks: its time, and the pause between two looks at it."""
        return self.client_ttl_seconds * (1 + 1 / 40)

    @property
    def observation_seconds(self) -> float:
        """How long another elector must have seen this one silent before it takes over."""
        return 1.01 * self.lease_seconds + 0.5


SHORT = Leases(6.0, 6.0)
"""For tests in which something lapses."""

LONG = Leases(120.0, 120.0)
"""For tests in which nothing may lapse, however slow the machine is."""


def free_port() -> int:
    """A port that nobody listens on."""
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class ElectorProcess:
    """One elector on a state folder. It can be started again, as a sidecar is: same folder, same port."""

    def __init__(self, state_folder: Path, output: Path, leases: Leases) -> None:
        self.state_folder = state_folder
        self.leases = leases
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.output = output
        self.health_port = 0
        """None at first; to be set before a start."""
        self._process: Process | None = None
        self._worker: KnownProcess | None = None

    @property
    def store_path(self) -> Path:
        return self.state_folder / SQLITE_FILE

    @property
    def master(self) -> KnownProcess:
        assert self._process is not None
        return self._process.known

    @property
    def worker(self) -> KnownProcess:
        assert self._worker is not None
        return self._worker

    def start(self) -> ElectorProcess:
        """Start it and wait for its first answer."""
        self.end()
        self._process = Process(self._arguments(), self.output, {})
        return self.wait_until_serving()

    def _arguments(self) -> list[str]:
        settings = {
            "store": "sqlite",
            "state-dir": self.state_folder,
            "port": self.port,
            "health-port": self.health_port,
            "lease-seconds": self.leases.lease_seconds,
            "client-ttl-seconds": self.leases.client_ttl_seconds,
        }
        return ["-m", "elector_server", *(str(part) for key, value in settings.items() for part in (f"--{key}", value))]

    def wait_until_serving(self) -> ElectorProcess:
        wait_until(self._answers, f"the elector on port {self.port} answers")
        if self._worker is not None:
            self._worker.end()
        self._worker = wait_until(self._living_worker, "the elector's worker")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.is_running(), f"the elector on port {self.port} ended"
        try:
            return self.locks() is not None
        except (OSError, http.client.HTTPException):
            return False

    def _living_worker(self) -> KnownProcess | None:
        children = Path(f"/proc/{self.master.pid}/task/{self.master.pid}/children").read_text().split()
        return KnownProcess(int(children[0])) if children else None

    # Faults ---------------------------------------------------------------------------------------------------------

    def kill(self, *, master: bool = True, worker: bool = True) -> int:
        """SIGKILL; the moment before the first. Returns when those processes, and the worker in any case, are gone."""
        moments = [process.signal(signal.SIGKILL) for process in self._chosen(master=master, worker=worker)]
        if master:
            self.exit_code()
        self.worker.wait_for_end()
        return min(moments)

    def pause(self) -> int:
        """SIGSTOP to both processes; the moment before the first."""
        return min(process.signal(signal.SIGSTOP) for process in (self.master, self.worker))

    def resume(self) -> int:
        """SIGCONT to both processes; the moment before the first."""
        return min(process.signal(signal.SIGCONT) for process in (self.master, self.worker))

    def terminate(self) -> int:
        """SIGTERM, as a container's end sends it; the moment before."""
        return self.master.signal(signal.SIGTERM)

    def exit_code(self) -> int:
        assert self._process is not None
        return self._process.exit_code()

    def end(self) -> None:
        """Whatever still runs of it is killed."""
        if self._process is not None:
            self._process.end()
        if self._worker is not None:
            self._worker.end()

    def _chosen(self, *, master: bool, worker: bool) -> list[KnownProcess]:
        return [self.master] * master + [self.worker] * worker

    # What it says ---------------------------------------------------------------------------------------------------

    def get(self, path: str) -> tuple[int, Any]:
        """Status and JSON of one GET."""
        status, body = _get(self.port, path)
        return status, json.loads(body)

    def waits(self) -> dict[str, int]:
        """How many wait here, by kind; needs a health port."""
        _, body = _get(self.health_port, "/metrics")
        lines = [line.split() for line in body.decode().splitlines() if line.startswith("elector_waits{")]
        return {name.split('"')[1]: int(float(number)) for name, number in lines}

    def locks(self) -> list[dict[str, Any]] | None:
        """The list of held locks; None if it can not say."""
        status, body = self.get(wire.LOCKS_PATH)
        return body["locks"] if status == 200 else None

    def lock(self, name: str) -> dict[str, Any] | None:
        """What the record of one lock says; None if it is free."""
        status, body = self.get(wire.lock_path(name))
        assert status in {200, 404}, body
        return body["spec"] if status == 200 else None

    def is_free(self, name: str) -> bool:
        return self.lock(name) is None

    def connections(self) -> int:
        """How many connections it has not closed, whether or not the other side has."""
        rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        return sum(row[1].endswith(f":{self.port:04X}") and row[3] in _OPEN_STATES for row in rows)

    def wait_for_waiters(self, name: str, count: int) -> None:
        """Wait until so many wait here for a lock that somebody holds."""
        wait_until(
            lambda: (record := self.lock(name)) is not None and record["waiters"] == count,
            f"{count} waiters for {name!r}",
        )


def _get(port: int, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
