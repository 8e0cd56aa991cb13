"""Ten electors with nothing to do but to stay alive: what they write, with no locks held and with a hundred each."""

from __future__ import annotations

import contextlib
import select
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.elector import Elector
from benchmarks.kubernetes.cluster import LEASE_SECONDS, Cluster
from benchmarks.table import Row
from metaparticle_sync import Lock

ELECTORS = 10
LOCKS_EACH = 100
SECONDS = 24.0
"""Six renewals of each."""

JITTER = 1.1
"""A renewal comes up to so much sooner than after D/5."""


def measure(cluster: Cluster) -> list[Row]:
    """The rows of idle electors."""
    with cluster.electors(ELECTORS) as electors:
        free, of_free_locks, _ = _watched(cluster)
        with _held(electors):
            busy, of_held_locks, events = _watched(cluster)
        expected = ELECTORS / (LEASE_SECONDS / 5) * SECONDS
        watches = cluster.counting.watches("sessions")
    return [
        Row(
            f"{ELECTORS} idle electors, {LOCKS_EACH} locks each: writes / renewals due",
            busy / expected,
            JITTER,
            "x",
            f"{busy / SECONDS:.2f}/s, without any lock {free / SECONDS:.2f}/s; due {expected / SECONDS:.2f}/s; in etcd",
        ),
        Row("idle: writes to locks", of_free_locks + of_held_locks, 0.0, "", f"within {2 * SECONDS:g} s, in etcd"),
        Row(
            "idle: watch events",
            events + watches,
            0.0,
            "",
            f"on a watch of all locks within {SECONDS:g} s; {watches} watches of sessions",
        ),
    ]


@contextlib.contextmanager
def _held(electors: list[Elector]) -> Iterator[None]:
    locks = [[Lock(f"{elector.port} {number}", elector.url) for number in range(LOCKS_EACH)] for elector in electors]
    with ThreadPoolExecutor(len(electors)) as threads:
        list(threads.map(lambda own: [lock.acquire() for lock in own], locks))
        try:
            yield
        finally:
            list(threads.map(lambda own: [lock.release() for lock in own], locks))


def _watched(cluster: Cluster) -> tuple[int, int, int]:
    """Writes to sessions, writes to locks, and events that whoever watches locks may have got, in a while."""
    changes = cluster.raw.watch()
    since = cluster.counting.revision()
    time.sleep(SECONDS)
    writes = cluster.counting.writes(since)
    events = 0
    while select.select([changes], [], [], 0)[0] and changes.readline():
        events += 1
    changes.close()
    of_locks = sum(write.plural == "locks" for write in writes)
    return len(writes) - of_locks, of_locks, events
