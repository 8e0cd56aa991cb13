"""Requests to the ASGI application in this process, as bytes would bring them, without a socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from elector_server.app import create_app
from elector_server.front import Front
from tests.http.fake_elector import FakeElector

PORT = 13131
HEALTH_PORT = 13132
PEER = ("127.0.0.1", 50_000)


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The problem's code, after a look at the rest of it."""
        assert self.headers["content-type"] == "application/problem+json"
        problem = self.json
        assert problem["status"] == self.status
        assert problem["type"] == "about:blank"
        assert problem["title"]
        assert problem["detail"]
        return str(problem["code"])

    @property
    def detail(self) -> str:
        assert self.code
        return str(self.json["detail"])


def app_of(elector: FakeElector, **options: Any) -> Front:
    """The application around an elector."""
    return create_app(elector, **{"health_port": HEALTH_PORT} | options)  # type: ignore[arg-type]


def ask(app: Front, method: str, target: str, body: bytes | Sequence[bytes] = b"", **options: Any) -> Answer:
    """One request; `target` as it stands in the request line. A list of bodies arrives in as many pieces."""
    return asyncio.run(asked(app, method, target, body, **options))


async def asked(
    app: Front,
    method: str,
    target: str,
    body: bytes | Sequence[bytes] = b"",
    *,
    headers: Iterable[tuple[str, str]] = (("host", "localhost:13131"), ("content-type", "application/json")),
    port: int = PORT,
    peer: tuple[str, int] = PEER,
    gone: asyncio.Event | None = None,
) -> Answer:
    """The same, inside a running loop. `gone` is set when the caller goes away."""
    pieces = [body] if isinstance(body, bytes) else list(body)
    events = [
        {"type": "http.request", "body": piece, "more_body": index < len(pieces)}
        for index, piece in enumerate(pieces, 1)
    ]
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if events:
            return events.pop(0)
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(event: dict[str, Any]) -> None:
        sent.append(event)

    await app(_scope(method, target, headers, port, peer), receive, send)
    return _answer(sent)


def _scope(
    method: str, target: str, headers: Iterable[tuple[str, str]], port: int, peer: tuple[str, int]
) -> dict[str, Any]:
    path, _, query = target.partition("?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "server": ("127.0.0.1", port),
        "client": peer,
        "scheme": "http",
        "root_path": "",
        "headers": [(name.encode(), value.encode()) for name, value in headers],
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
    }


def _answer(sent: list[dict[str, Any]]) -> Answer:
    if not sent:
        return Answer(0, {}, b"")
    start, *bodies = sent
    headers = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], headers, b"".join(event.get("body", b"") for event in bodies))
