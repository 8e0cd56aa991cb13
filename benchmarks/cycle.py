"""Acquire and release of a free lock, beside two bare GETs over one kept connection: interleaved rounds."""

from __future__ import annotations

import time
from collections.abc import Callable

from benchmarks.elector import Connection, Elector
from benchmarks.table import Row, percentile, spread
from metaparticle_sync import Lock

ROUNDS = 12
PER_ROUND = 150


def measure(memory: Elector, sqlite: Elector) -> tuple[list[Row], float]:
    """The rows of the cycle, and the cycle's p50 in seconds on the memory store."""
    connection = Connection(memory.port)
    in_memory, in_sqlite = Lock("bench", memory.url), Lock("bench", sqlite.url)

    def two_gets() -> None:
        connection.call("GET", "/locks/x")
        connection.call("GET", "/locks/x")

    samples = _interleaved([two_gets, _cycle(in_memory), _cycle(in_sqlite)])
    gets, memory_cycle, sqlite_cycle = samples
    base, cycle = percentile(gets, 50), percentile(memory_cycle, 50)
    rows = [
        Row(
            "acquire + release, memory store / two bare GETs",
            cycle / base,
            2.6,
            "x",
            f"cycle {spread(memory_cycle)}; two GETs {spread(gets)}",
        ),
        Row(
            "acquire + release, SQLite store / memory store",
            percentile(sqlite_cycle, 50) / cycle,
            1.25,
            "x",
            f"SQLite cycle {spread(sqlite_cycle)}",
        ),
    ]
    return rows, cycle


def _cycle(lock: Lock) -> Callable[[], None]:
    def cycle() -> None:
        lock.acquire()
        lock.release()

    return cycle


def _interleaved(actions: list[Callable[[], None]]) -> list[list[float]]:
    samples: list[list[float]] = [[] for _ in actions]
    for round_number in range(ROUNDS + 1):
        for action, sample in zip(actions, samples, strict=True):
            taken = [_time(action) for _ in range(PER_ROUND)]
            if round_number > 0:  # The first round warms everything up.
                sample.extend(taken)
    return samples


def _time(action: Callable[[], None]) -> float:
    started_at = time.perf_counter()
    action()
    return time.perf_counter() - started_at
