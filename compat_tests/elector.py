"""A real elector for the compatibility suites."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS_MAX = 30.0


@contextlib.contextmanager
def running_elector(folder: Path, store: str = "memory") -> Iterator[str]:
    """Start an elector on a free port; give its URL; end it."""
    port = _free_port()
    settings = ["--store", store, "--state-dir", str(folder), "--port", str(port), "--health-port", "0"]
    command = [sys.executable, "-m", "elector_server", *settings]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ELECTOR_")}
    with (folder / "elector.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)
        try:
            _await_answer(port, folder / "elector.log")
            yield f"http://127.0.0.1:{port}"
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _await_answer(port: int, log: Path) -> None:
    give_up_at = time.monotonic() + START_SECONDS_MAX
    while time.monotonic() < give_up_at:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/locks/x")
            connection.getresponse().read()
        except OSError:
            continue
        else:
            return
        finally:
            connection.close()
    raise AssertionError(f"no elector: {log.read_text()}")
