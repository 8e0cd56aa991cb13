"""uvicorn's HTTP protocol, made leaner for thousands of parked requests, and with this elector's words for bad ones."""

from __future__ import annotations

from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from elector_server.problems import Problem
from elector_server.resources.rendering import problem_body
from metaparticle_sync import wire

_UNREADABLE: Final = Problem(
    "bad_path", "the request is no HTTP that can be read, or its path has bytes that are not percent-encoded"
)


class LeanProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pipeline = _ShortQueue()  # type: ignore[assignment]

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's
        """The request never reached the application: it could not be parsed."""
        body = problem_body(_UNREADABLE)
        lines = [
            STATUS_LINE[_UNREADABLE.status],
            *(b"%b: %b\r\n" % header for header in self.server_state.default_headers),
            b"content-type: %b\r\n" % wire.PROBLEM_TYPE.encode(),
            b"content-length: %d\r\n" % len(body),
            b"connection: close\r\n\r\n",
        ]
        self.transport.write(b"".join(lines) + body)
        self.transport.close()

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is offered is not taken, as HTTP allows. Nobody needs to hear of it."""


class _ShortQueue(list[Any]):
    """For pipelined requests, which hardly anybody sends: a deque takes 700 bytes even while it is empty."""

    def appendleft(self, item: Any) -> None:
        """As a deque has it."""
        self.insert(0, item)
