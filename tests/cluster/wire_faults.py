"""What a FaultProxy can do to one request: each a coroutine that is handed the exchange."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from tests.cluster.fault_proxy import Exchange, Fault

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
STREAM_END = b"0\r\n\r\n"

_MEBIBYTE = b" " * 2**20


# The request never reaches the API server ---------------------------------------------------------------------------


def say(status: int, body: Any = None, **headers: str) -> Fault:
    """Answer in the API server's stead."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(http_answer(status, body, **headers))

    return fault


def refuse(code: int, reason: str, **headers: str) -> Fault:
    """Answer with a Status, as the API server words its refusals."""
    body = {
        "kind": "Status",
        "apiVersion": "v1",
        "status": "Failure",
        "code": code,
        "reason": reason,
        "message": reason,
    }
    return say(code, body, **headers)


def send_raw(data: bytes) -> Fault:
    """Send these bytes, whatever they are, and close."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.close()

    return fault


async def reset(exchange: Exchange) -> None:
    """Break the connection at once."""
    exchange.reset()


async def stay_silent(exchange: Exchange) -> None:
    """Take the request, and never say anything."""
    await exchange.until_gone()


def send_without_end(head: bytes, piece: bytes = _MEBIBYTE) -> Fault:
    """Send a head, and then one piece after the other until the elector has had enough."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(head)
        while not exchange.is_gone:
            await exchange.send(piece)
            await asyncio.sleep(0)
        exchange.close()

    return fault


# The request reaches the API server, its answer not the elector -----------------------------------------------------


async def reset_afterwards(exchange: Exchange) -> None:
    """Break the connection when the API server has answered."""
    await exchange.whole_answer()
    exchange.reset()


async def lose_the_answer(exchange: Exchange) -> None:
    """Keep the answer, and the connection open."""
    await exchange.whole_answer()
    await exchange.until_gone()


async def cut_the_head(exchange: Exchange) -> None:
    """Half of the headers, and the end."""
    head, _ = await exchange.whole_answer()
    await exchange.send(head[: len(head) // 2])
    exchange.close()


async def cut_the_body(exchange: Exchange) -> None:
    """Half of the body, and the end."""
    head, body = await exchange.whole_answer()
    await exchange.send(head + body[: len(body) // 2])
    exchange.close()


def say_afterwards(status: int, body: Any = None, **headers: str) -> Fault:
    """Let the API server do it, and say something else."""

    async def fault(exchange: Exchange) -> None:
        await exchange.whole_answer()
        await exchange.send(http_answer(status, body, **headers))

    return fault


# The request, or its answer, comes late -----------------------------------------------------------------------------


def hold_the_request(seconds: float) -> Fault:
    """Let it reach the API server so much later, whether or not the elector still waits."""

    async def fault(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        head, body = await exchange.whole_answer()
        await exchange.send(head + body)

    return fault


def hold_the_answer(seconds: float) -> Fault:
    """Let the answer come so much later."""

    async def fault(exchange: Exchange) -> None:
        head, body = await exchange.whole_answer()
        await asyncio.sleep(seconds)
        await exchange.send(head + body)

    return fault


# Watches ------------------------------------------------------------------------------------------------------------


async def hang(exchange: Exchange) -> None:
    """A watch that begins well, and then neither says anything nor ends."""
    await exchange.send(STREAM_HEAD)
    await exchange.until_gone()


def stream(*lines: bytes, ends: bool = True) -> Fault:
    """A watch of these lines, which then ends well, or hangs."""

    async def fault(exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + b"".join(map(chunk, lines)))
        if ends:
            await exchange.send(STREAM_END)
        else:
            await exchange.until_gone()

    return fault


def event(kind: str, stored: dict[str, Any]) -> bytes:
    """One line of a watch."""
    return json.dumps({"type": kind, "object": stored}).encode() + b"\n"


def chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"


def http_answer(status: int, body: Any = None, **headers: str) -> bytes:
    """A whole answer. A body that is no bytes is sent as JSON."""
    text = body if isinstance(body, bytes) else json.dumps(body if body is not None else {}).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(text)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + text
