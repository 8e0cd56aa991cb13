"""The elector that the examples talk to."""

from __future__ import annotations

import http.client
import json
import re
import signal
import socket
from pathlib import Path
from typing import Any

from tests.processes.running import Process, wait_until

_ANNOUNCED = re.compile(r"serves http://(127\.0\.0\.1:\d+), health on http://(127\.0\.0\.1:\d+)")


class DocumentedElector:
    """One elector on free ports, which the pages call 127.0.0.1:13131 and 127.0.0.1:13132 on the machine web-1."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        output = folder / "elector.output"
        self._process = Process(
            ["-m", "elector_server", "--port", "0", *(arguments or ("--store", "memory"))], output, {}
        )
        announced = wait_until(lambda: self._announced(output), "the elector says where it is")
        self.address, self.health_address = announced
        self.url = f"http://{self.address}"
        wait_until(self.is_ready, "the elector is ready")

    def _announced(self, output: Path) -> tuple[str, str] | None:
        assert self._process.is_running(), output.read_text()
        match = _ANNOUNCED.search(output.read_text())
        return (match[1], match[2]) if match else None

    def is_ready(self) -> bool:
        return self.get(self.health_address, "/readyz")[0] == http.client.OK

    def waiters(self) -> int:
        """How many wait, for whatever kind."""
        counts = re.findall(r"(?m)^elector_waits\{.*\} (\d+)", self.read(self.health_address, "/metrics")[1].decode())
        return sum(int(count) for count in counts)

    def get(self, address: str, path: str) -> tuple[int, Any]:
        """Status and JSON of one look."""
        status, body = self.read(address, path)
        return status, json.loads(body)

    def read(self, address: str, path: str) -> tuple[int, bytes]:
        """Status and body of one look."""
        connection = http.client.HTTPConnection(address, timeout=10)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def real(self, text: str) -> str:
        """A text of a page with this elector's addresses in it."""
        return text.replace("127.0.0.1:13131", self.address).replace("127.0.0.1:13132", self.health_address)

    def documented(self, text: str) -> str:
        """What this elector says, with the pages' name for it."""
        return text.replace(f"{socket.gethostname()}:{self.address.rpartition(':')[2]}", "web-1:13131")

    def interrupt(self) -> None:
        """Ctrl-C in its terminal, and wait for its end."""
        self._process.known.signal(signal.SIGINT)
        self._process.exit_code()

    def end(self) -> None:
        self._process.end()
