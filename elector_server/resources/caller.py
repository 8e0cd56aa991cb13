"""The other end of one request: what it sent, where it is, and the moment when it goes away.

Neither Falcon nor uvicorn tells a parked handler that its client has left. Only `receive` knows, once the body is read;
so the body is read first, and whoever parks a request waits for its caller's departure at the same time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from elector_server.problems import BadBody, BodyTooLarge
from metaparticle_sync import wire

Receive = Callable[[], Awaitable[dict[str, Any]]]

SCOPE_KEY: Final = "elector.caller"

BODY_SECONDS: Final = 30.0
"""How long a body may take to arrive. One that never ends would keep a connection for ever."""


class Departed(Exception):
    """The caller went away before its request was complete."""


class Caller:
    """Who made one request."""

    __slots__ = ("_body", "_receive", "peer")

    def __init__(self, body: bytes, peer: str, receive: Receive) -> None:
        self._body = body
        self.peer = peer
        self._receive = receive

    def take_body(self) -> bytes:
        """The body, once: a parked request need not keep it."""
        body, self._body = self._body, b""
        return body

    async def wait(self) -> None:
        """Return when the caller's connection is gone."""
        while (await self._receive())["type"] != "http.disconnect":
            pass

    def is_gone(self) -> bool:
        """Whether the caller's connection is gone by now; one step of `wait` tells."""
        waiting = self.wait()
        try:
            waiting.send(None)
        except StopIteration:
            return True
        waiting.close()
        return False


async def read_body(receive: Receive) -> bytes:
    """The whole body, whatever the headers say of its length.

    Raises:
        BodyTooLarge: it is longer than any call needs.
        BadBody: it did not arrive in time.
        Departed: the caller went away in the midst of it.
    """
    event = await receive()
    body: bytes = event.get("body", b"")
    if event.get("more_body", False):
        body = await _read_in_time(body, receive)
    elif event["type"] == "http.disconnect":
        raise Departed
    if len(body) > wire.BODY_BYTES_MAX:
        raise BodyTooLarge
    return body


async def _read_in_time(body: bytes, receive: Receive) -> bytes:
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_on(body, receive)
    except TimeoutError:
        raise BadBody(f"the body did not arrive within {BODY_SECONDS:g} s") from None


async def _read_on(body: bytes, receive: Receive) -> bytes:
    more = True
    while more and len(body) <= wire.BODY_BYTES_MAX:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise Departed
        body += event.get("body", b"")
        more = event.get("more_body", False)
    return body


def peer_text(client: tuple[str, int] | None) -> str:
    """The address that the elector sees, in the form in which a client names its own."""
    if client is None:
        return ""
    host, port = client
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
