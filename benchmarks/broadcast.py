"""A thousand processes' worth of waiters on one event: how soon all of them hear of `set`, and what heartbeats feel."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from benchmarks.elector import Connection, Elector
from benchmarks.table import Row, spread
from metaparticle_sync import wire

WAITERS = 1_000
PATH = wire.path_of(wire.EVENTS_PATH, "broadcast")


def measure(elector: Elector) -> list[Row]:
    """The rows of one broadcast."""
    return asyncio.run(_measure(elector))


async def _measure(elector: Elector) -> list[Row]:
    connection = Connection(elector.port)
    clients = [wire.new_id() for _ in range(WAITERS)]
    for client in clients:
        connection.call("PUT", wire.session_path(client), {"holds": [], "process": "benchmark", "stream": None})
    idle = await _heartbeats(elector.port, clients[0], 200)
    parked = [await _park(elector.port, client) for client in clients]
    await asyncio.sleep(1.0)  # Until all of them are parked.
    beating = asyncio.create_task(_heartbeats(elector.port, clients[0], 200))
    await asyncio.sleep(0.05)
    started_at = time.perf_counter()
    setter = await _park_request(
        elector.port, "PUT", PATH, {"client": clients[0], "operation": wire.new_id(), "is_set": True}
    )
    statuses = await asyncio.gather(*(_status(reader) for reader, _ in parked))
    woken_seconds = time.perf_counter() - started_at
    busy = await beating
    if set(statuses) != {200}:
        raise RuntimeError(f"waiters were answered {sorted(set(statuses))}")
    for _, writer in [*parked, setter]:
        writer.close()
    for client in clients:
        connection.call("DELETE", wire.session_path(client))
    worst = max(busy)
    return [
        Row(
            f"{WAITERS} waiters on one event: until the last one is woken",
            woken_seconds,
            1.0,
            "s",
            "after set was sent",
        ),
        Row("the slowest heartbeat meanwhile", worst, 1.0, "s", f"{spread(busy)}; without waiters {spread(idle)}"),
    ]


async def _park(port: int, client: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    body = {"client": client, "generation": 0, "wait_seconds": wire.WAIT_SECONDS_MAX}
    return await _park_request(port, "POST", PATH, body)


async def _park_request(
    port: int, method: str, path: str, body: dict[str, Any]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_request(method, path, body))
    return reader, writer


async def _status(reader: asyncio.StreamReader) -> int:
    return int((await reader.readline()).split()[1])


def _request(method: str, path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    )
    return head.encode() + b"\r\n\r\n" + data


async def _heartbeats(port: int, client: str, number: int) -> list[float]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = _request("POST", wire.session_path(client), {"acknowledged": [], "stream": None})
    sample = []
    for _ in range(number):
        started_at = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = next(
            int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")
        )
        await reader.readexactly(length)
        sample.append(time.perf_counter() - started_at)
        await asyncio.sleep(0.002)
    writer.close()
    return sample
