"""Thousands of parked waiters: the elector's memory for each, and what they do to everybody's heartbeats."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from benchmarks.elector import Connection, Elector
from benchmarks.table import Row, percentile, spread
from metaparticle_sync import wire

WAITERS = 5_000
CLIENTS = 5
HEARTBEATS = 400
KIBIBYTE = 1024


def measure(elector: Elector) -> list[Row]:
    """The rows of 5,000 waiters."""
    return asyncio.run(_measure(elector))


async def _measure(elector: Elector) -> list[Row]:
    clients = [wire.new_id() for _ in range(CLIENTS)]
    connection = Connection(elector.port)
    for client in clients:
        connection.call("PUT", wire.session_path(client), {"holds": [], "process": "benchmark", "stream": None})
    holder = {"client": clients[0], "holder": wire.new_id(), "wait_seconds": 0}
    connection.call("PUT", wire.lock_path("parked"), holder)
    idle = _heartbeats(connection, clients[0])
    before = elector.resident_bytes()
    writers = await _park(elector.port, clients)
    busy = _heartbeats(connection, clients[0])
    each = (elector.resident_bytes() - before) / WAITERS
    for writer in writers:
        writer.close()
    for client in clients:
        connection.call("DELETE", wire.session_path(client))
    return [
        Row("5,000 parked waiters: elector memory of each", each / KIBIBYTE, 16.0, "KiB", f"{each:.0f} bytes each"),
        Row(
            "a heartbeat's p99 with 5,000 waiters / without",
            percentile(busy, 99) / percentile(idle, 99),
            5.0,
            "x",
            f"with {spread(busy)}; without {spread(idle)}",
        ),
    ]


def _heartbeats(connection: Connection, client: str) -> list[float]:
    sample = []
    for _ in range(HEARTBEATS):
        started_at = time.perf_counter()
        status, _ = connection.call("POST", wire.session_path(client), {"acknowledged": [], "stream": None})
        sample.append(time.perf_counter() - started_at)
        if status != 200:
            raise RuntimeError(f"a heartbeat answered {status}")
    return sample


async def _park(port: int, clients: list[str]) -> list[asyncio.StreamWriter]:
    writers = []
    for number in range(WAITERS):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        body = {"client": clients[number % CLIENTS], "holder": wire.new_id(), "wait_seconds": wire.WAIT_SECONDS_MAX}
        writer.write(_request(wire.lock_path("parked"), body))
        writers.append(writer)
    await _all_parked(port)
    return writers


def _request(path: str, body: dict[str, Any]) -> bytes:
    data = json.dumps(body).encode()
    head = f"PUT {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(data)}"
    return head.encode() + b"\r\n\r\n" + data


async def _all_parked(port: int) -> None:
    connection = Connection(port)
    for _ in range(1_000):
        locks = json.loads(connection.call("GET", "/locks")[1])["locks"]
        if any(lock["name"] == "parked" and lock["waiters"] >= WAITERS for lock in locks):
            return
        await asyncio.sleep(0.01)
    raise RuntimeError("not all waiters were parked")
