"""A real elector process for a benchmark, and a bare HTTP connection to it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 20.0


def free_port() -> int:
    """A port that nobody listens on, with the next one free as well."""
    while True:
        with socket.socket() as first, socket.socket() as second:
            first.bind(("127.0.0.1", 0))
            port: int = first.getsockname()[1]
            try:
                second.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port


class Connection:
    """One kept connection, as bare as http.client is."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        """One request and its whole answer."""
        data = None if body is None else json.dumps(body)
        headers = {} if data is None else {"Content-Type": "application/json"}
        self._connection.request(method, path, body=data, headers=headers)
        answer = self._connection.getresponse()
        return answer.status, answer.read()

    def close(self) -> None:
        self._connection.close()


class Elector:
    """One elector on its own port and in its own state folder.

    `environ` is added to its environment, `name` is that of its log.
    """

    def __init__(self, store: str, folder: Path, *, name: str = "", environ: Mapping[str, str] = {}) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        command = [sys.executable, "-m", "elector_server", "--store", store, "--port", str(self.port)]
        command += ["--state-dir", str(folder)] if store == "sqlite" else []
        environment = {key: value for key, value in os.environ.items() if not key.startswith("ELECTOR_")}
        environment |= environ
        self._log = (folder / f"{name or store}.log").open("w")
        started_at = time.monotonic()
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=self._log, stderr=self._log, env=environment)
        try:
            self._await_answer(started_at)
            self.first_answer_seconds = time.monotonic() - started_at
            self._await_ready(started_at)
        except BaseException:
            self.stop()
            raise
        self.ready_seconds = time.monotonic() - started_at
        self.ready_processor_seconds = sum(map(_processor_seconds, (self.pid, self.worker_pid())))

    def _await_answer(self, started_at: float) -> None:
        while time.monotonic() < started_at + START_SECONDS_MAX:
            try:
                connection = Connection(self.port)
                connection.call("GET", "/locks/x")
            except (OSError, http.client.HTTPException):
                time.sleep(0.002)
            else:
                connection.close()
                return
        raise RuntimeError(f"the elector did not answer; see {self._log.name}")

    def _await_ready(self, started_at: float) -> None:
        health = Connection(self.port + 1)
        while time.monotonic() < started_at + START_SECONDS_MAX:
            if health.call("GET", "/readyz")[0] == 200:
                return
            time.sleep(0.01)
        raise RuntimeError(f"the elector did not get ready; see {self._log.name}")

    @property
    def pid(self) -> int:
        """The master process, which does not serve."""
        return self._process.pid

    def worker_pid(self) -> int:
        """The process that serves."""
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text().split()
        return int(children[0])

    def resident_bytes(self) -> int:
        """Memory of the serving process."""
        for line in Path(f"/proc/{self.worker_pid()}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS in /proc")

    def counter(self, name: str) -> float:
        """One number of /metrics."""
        health = Connection(self.port + 1)
        text = health.call("GET", "/metrics")[1].decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name)

    def stop(self) -> None:
        """End it, and wait."""
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def _processor_seconds(pid: int) -> float:
    """What one process has used of the processors so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
