"""The `elector` command as a child process, and bare sockets to it."""

from __future__ import annotations

import http.client
import json
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from tests.processes.running import KnownProcess, Process, wait_until

PATIENCE_SECONDS = 60.0
_SERVES = re.compile(r"serves http://\S+?:(\d+)(?:, health on http://\S+?:(\d+))?, store (.+?)[\"\n]")


class Reply(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Served:
    """A running elector. `health_port` is 0 if it has none."""

    def __init__(self, process: Process, port: int, health_port: int) -> None:
        self.process = process
        self.port = port
        self.health_port = health_port

    @property
    def log(self) -> str:
        return self.process.output.read_text()

    def worker(self) -> KnownProcess:
        """The process that serves now."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return KnownProcess(int(wait_until(lambda: children.read_text().split(), "a worker")[0]))

    def ask(self, method: str, path: str, body: object = None, *, health: bool = False, **headers: str) -> Reply:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection(
            "127.0.0.1", self.health_port if health else self.port, timeout=PATIENCE_SECONDS
        )
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, path, text, {"Content-Type": "application/json"} | headers)
            response = connection.getresponse()
            return Reply(
                response.status, {name.lower(): value for name, value in response.headers.items()}, response.read()
            )
        finally:
            connection.close()

    def connect(self, request: bytes = b"") -> socket.socket:
        """A bare connection, on which `request` was sent."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_SECONDS)
        connection.sendall(request)
        return connection


def run_elector(output: Path, *arguments: str, **environment: str) -> Process:
    """Start the command; it may serve or refuse."""
    return Process(["-m", "elector_server", *arguments], output, {"HOME": str(output.parent)} | environment)


@contextmanager
def serving(output: Path, *arguments: str, **environment: str) -> Iterator[Served]:
    """An elector on free ports that serves; ended at the end, whatever became of it."""
    process = run_elector(output, *(("--port", "0") if "--port" not in arguments else ()), *arguments, **environment)
    try:
        found = wait_until(lambda: _said(process), "the elector says where it serves")
        served = Served(process, int(found[1]), int(found[2] or 0))
        yield served
    finally:
        worker = _children(process)
        process.end()
        for child in worker:
            child.end()


def _said(process: Process) -> re.Match[str] | None:
    assert process.is_running(), process.output.read_text()
    log = process.output.read_text()
    # The last line of a start; what it says before that is complete then.
    return _SERVES.search(log) if " session " in log else None


def _children(process: Process) -> list[KnownProcess]:
    try:
        text = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
        return [KnownProcess(int(child)) for child in text.split()]
    except OSError:
        return []


def request_bytes(method: str, path: str, body: object = None) -> bytes:
    """A request as it goes over the wire."""
    text = b"" if body is None else json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(text)}"
    )
    return head.encode() + b"\r\n\r\n" + text


def read_reply(connection: socket.socket) -> Reply:
    """The next answer on a bare connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Reply(response.status, headers, response.read())
