"""A server that answers as it is told, and remembers what it was asked: for what no real one does on demand."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Self

from elector_server.store.kubernetes import KubernetesStore
from elector_server.store.kubernetes_access import Access
from elector_server.store.kubernetes_http import Target


class Seen(NamedTuple):
    """One request as it came."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Behave = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


class FakeApi:
    """Use as a context. `behave` writes the answer to each request; it may as well close, or do nothing."""

    def __init__(self, behave: Behave) -> None:
        self.behave = behave
        self.requests: list[Seen] = []
        self.connections = 0
        self.open_connections = 0
        self._writers: list[asyncio.StreamWriter] = []
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0.01)

    @property
    def port(self) -> int:
        assert self._server is not None
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def access(self, authorization: str = "Bearer t") -> Access:
        return Access(Target("127.0.0.1", self.port, None, "127.0.0.1"), "", authorization, "ns", rotates=False)

    def store(self, load: Callable[[], Access] | None = None) -> KubernetesStore:
        return KubernetesStore(load or self.access, "ns", f"http://127.0.0.1:{self.port}")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        self._writers.append(writer)
        try:
            while seen := await _read(reader):
                self.requests.append(seen)
                await self.behave(seen, writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    line = (await reader.readline()).decode().split()
    if len(line) < 2:
        return None
    headers: dict[str, str] = {}
    while (text := (await reader.readline()).decode().strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(line[0], line[1], headers, body)


def answer(status: int, body: Any = None, **headers: str) -> bytes:
    """A whole answer."""
    text = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(text)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + text


def stored(name: str, version: int, owner: str = "pod") -> dict[str, Any]:
    """A lock object."""
    return {
        "apiVersion": "metaparticle.io/v1",
        "kind": "Lock",
        "metadata": {"name": name, "resourceVersion": str(version), "labels": {"metaparticle.io/session": "s"}},
        "spec": {"owner": owner, "name": name},
    }


def status(code: int, reason: str, message: str = "", **details: Any) -> bytes:
    """A refusal as Kubernetes words it."""
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    return answer(code, body)


STREAM_HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"


def event(kind: str, body: dict[str, Any]) -> bytes:
    """One event of a watch, as a chunk."""
    text = json.dumps({"type": kind, "object": body}).encode() + b"\n"
    return f"{len(text):x}\r\n".encode() + text + b"\r\n"


async def until_true(condition: Callable[[], bool]) -> None:
    """Wait for something that happens in this loop."""
    while not condition():  # noqa: ASYNC110 - the test has a bound, and what happens has no event
        await asyncio.sleep(0.01)
