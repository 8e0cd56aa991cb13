"""A client of the bare protocol, which does only what a test tells it: it can vanish, stay silent, or lie."""

from __future__ import annotations

import http.client
import json
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from metaparticle_sync import wire
from tests.processes.running import PATIENCE_SECONDS


class Answer(NamedTuple):
    status: int
    body: dict[str, Any]

    @property
    def code(self) -> str:
        """The code of a problem."""
        return self.body.get("code", "")


class Pending:
    """A request whose answer has not been read."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection

    def answer(self) -> Answer:
        response = self._connection.getresponse()
        body = response.read()
        self._connection.close()
        return Answer(response.status, json.loads(body) if body else {})

    def vanish(self) -> None:
        """Close the connection without reading the answer."""
        self._connection.close()


class RawStream:
    """The stream of a session, read line by line."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        assert connection.sock is not None
        host, port = connection.sock.getsockname()
        self.own_address = f"{host}:{port}"
        # `getresponse` hands the socket of an answer without a length over to the answer.
        self._connection = connection
        self._response = connection.getresponse()
        assert self._response.status == 200, self._response.read()

    def next(self) -> dict[str, Any] | None:
        """The next event; None at the end."""
        line = self._response.readline()
        return json.loads(line) if line.strip() else None

    def until(self, kind: str) -> dict[str, Any]:
        """Read on until the next event of one kind."""
        while (event := self.next()) is not None:
            if event["event"] == kind:
                return event
        raise AssertionError(f"the stream ended without {kind!r}")

    def close(self) -> None:
        self._response.close()
        self._connection.close()


class RawClient:
    """One session with an elector. It sends a heartbeat only when told to."""

    def __init__(self, url: str, process: str = "a raw client") -> None:
        self._address = urlsplit(url).netloc
        self._process = process
        self._streams: list[RawStream] = []
        self._pending: list[Pending] = []
        self.id = wire.new_id()

    def open(self, holds: list[dict[str, str]] | None = None, stream: str | None = None) -> Answer:
        body = {"holds": holds or [], "process": self._process, "stream": stream}
        return self.send("PUT", wire.session_path(self.id), body).answer()

    def heartbeat(self, stream: str | None = None) -> Answer:
        return self.send("POST", wire.session_path(self.id), {"acknowledged": [], "stream": stream}).answer()

    def open_stream(self) -> RawStream:
        stream = RawStream(self._sent("GET", wire.stream_path(self.id), None))
        self._streams.append(stream)
        return stream

    def acquire(self, name: str, holder: str = "", wait_seconds: float = 0) -> Answer:
        return self.begin_to_acquire(name, holder or wire.new_id(), wait_seconds).answer()

    def begin_to_acquire(self, name: str, holder: str, wait_seconds: float = 25) -> Pending:
        return self.send(
            "PUT", wire.lock_path(name), {"client": self.id, "holder": holder, "wait_seconds": wait_seconds}
        )

    def release(self, name: str, holder: str) -> Answer:
        return self.send("DELETE", wire.lock_path(name), {"client": self.id, "holder": holder}).answer()

    def send(self, method: str, path: str, body: dict[str, Any]) -> Pending:
        pending = Pending(self._sent(method, path, body))
        self._pending.append(pending)
        return pending

    def end(self) -> None:
        """Close whatever is open."""
        for stream in self._streams:
            stream.close()
        for pending in self._pending:
            pending.vanish()

    def _sent(self, method: str, path: str, body: dict[str, Any] | None) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(self._address, timeout=PATIENCE_SECONDS)
        text = None if body is None else json.dumps(body)
        connection.request(method, path, text, {"Content-Type": wire.JSON_TYPE})
        return connection
