"""The stream of one session: the elector's pushes, its ticks, and the socket whose end proves that we died.

*The end of this socket is a promise.* Once the elector knows its address, it takes its end, from our side, for the
death of this process, and releases all that we hold. So a `Stream` is closed only when nothing is believed any more,
or when the elector has been told of the next stream; and an error while reading closes nothing.
"""

from __future__ import annotations

import json
import select
from http.client import HTTPException, HTTPResponse
from typing import Any

from metaparticle_sync._connections import Connection

_READ_SECONDS = 2.0
"""For the rest of an event, once its first byte is there."""

_CHUNK_BYTES = 65536


class StreamEnded(Exception):
    """The stream is of no more use."""


class Stream:
    """An open stream. One thread waits on it, until there is an event, or it is woken, or the time is over."""

    def __init__(self, response: Any) -> None:
        self._raw: Any = response.raw
        self._connection: Connection | None = _connection_of(self._raw)
        self._text = b""
        self.address: str | None = None
        if self._connection is not None and self._connection.socket is not None:
            self.address = _address_text(self._connection.socket.getsockname())

    def wait(self, seconds: float, wake_descriptor: int) -> bool:
        """Whether there is something to read. False: the time is over, or somebody wrote to `wake_descriptor`."""
        if self._connection is None or self._connection.socket is None:
            return True
        if self._raw.length == 0 or self._is_buffered():
            return True
        poll = select.poll()
        poll.register(self._connection.socket, select.POLLIN)
        poll.register(wake_descriptor, select.POLLIN)
        ready = poll.poll(max(0.0, seconds) * 1000)
        return any(descriptor != wake_descriptor for descriptor, _ in ready)

    def read(self) -> list[dict[str, Any]]:
        """The events that are there.

        Raises:
            StreamEnded: there will be no more.
        """
        try:
            self._set_timeout(_READ_SECONDS)
            data = self._raw.read1(_CHUNK_BYTES) if self._connection is not None else self._raw.read(_CHUNK_BYTES)
        except (OSError, HTTPException, ValueError) as error:
            raise StreamEnded(str(error)) from error
        if not data:
            raise StreamEnded("it ended")
        *lines, self._text = (self._text + data).split(b"\n")
        return [_event(line) for line in lines if line.strip()]

    def close(self) -> None:
        """Close it, which the elector may take for our death: nothing must be believed any more."""
        if self._connection is not None:
            self._connection.close()
        self._raw.close()

    def close_if_ended(self) -> bool:
        """Close it if the elector has ended it, which is always safe. Says whether it did."""
        if self._connection is not None and not self._connection.has_ended():
            return False
        self.close()
        return True

    def _is_buffered(self) -> bool:
        """Whether an event was received already together with the one before it."""
        try:
            self._set_timeout(0.0)
            buffered = self._raw.fp.peek(1)
        except (OSError, AttributeError, ValueError):
            return False
        return len(buffered) > len(b"\r\n")  # The end of a chunk is left over until the next one is read.

    def _set_timeout(self, seconds: float) -> None:
        if self._connection is not None and self._connection.socket is not None:
            self._connection.socket.settimeout(seconds)


def _connection_of(raw: Any) -> Connection | None:
    connection = getattr(raw, "connection", None)
    return connection if isinstance(raw, HTTPResponse) and isinstance(connection, Connection) else None


def _address_text(socket_name: tuple[Any, ...]) -> str:
    host, port = socket_name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _event(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:
        raise StreamEnded(f"no elector sends {line[:80]!r}") from None
    if not isinstance(event, dict):
        raise StreamEnded(f"no elector sends {line[:80]!r}")
    return event
