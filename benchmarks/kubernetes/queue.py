"""Twenty electors that want one lock, again and again: what a hand-off costs, in which order, and who gets how much."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from itertools import pairwise
from typing import Any

from benchmarks.elector import Elector
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.kubernetes.counting import Write
from benchmarks.table import Row
from metaparticle_sync import Lock

ELECTORS = 20
HAND_OFFS = 1000
"""Fifty for each. With ten, one place lost would already make 11 to 9."""

NAME = "queue"
PATIENCE_SECONDS = 60.0


def measure(cluster: Cluster) -> list[Row]:
    """The rows of the queue."""
    with cluster.electors(ELECTORS + 1) as (first, *others):
        since = cluster.counting.revision()
        _compete(cluster, first, others)
        history = [write for write in cluster.counting.writes(since) if write.name == NAME]
    return _rows(_window(history))


def _compete(cluster: Cluster, first: Elector, others: list[Elector]) -> None:
    """All queue up behind one hold; then each takes the lock as soon as it gets it, until there were enough."""
    since, stop, grants = cluster.counting.revision(), threading.Event(), threading.Semaphore(0)
    threads = [threading.Thread(target=_take_turns, args=(elector, stop, grants)) for elector in others]
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: [thread.join() for thread in threads])
        stack.callback(stop.set)
        with Lock(NAME, first.url):
            for thread in threads:
                thread.start()
            _await_queue(cluster, since)
        # Those of the window, and one round more: nobody may leave before it ends.
        for _ in range(HAND_OFFS + ELECTORS):
            if not grants.acquire(timeout=PATIENCE_SECONDS):
                raise RuntimeError("the hand-offs came to a standstill")


def _take_turns(elector: Elector, stop: threading.Event, grants: threading.Semaphore) -> None:
    lock = Lock(NAME, elector.url)
    while not stop.is_set():
        with lock:
            grants.release()


def _await_queue(cluster: Cluster, since: int) -> None:
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        newest = [write for write in cluster.counting.writes(since) if write.name == NAME][-1:]
        if newest and len(_queue(newest[0])) == ELECTORS:
            return
    raise RuntimeError("not all electors queued up")


def _window(history: list[Write]) -> list[Write]:
    """From the last write before the first hand-off to the write of the last one that counts."""
    passed_on = [number for number, pair in enumerate(pairwise(history)) if _holder(pair[0]) != _holder(pair[1])]
    if len(passed_on) < HAND_OFFS:
        raise RuntimeError(f"only {len(passed_on)} hand-offs")
    return history[passed_on[0] : passed_on[HAND_OFFS - 1] + 2]


def _rows(window: list[Write]) -> list[Row]:
    pairs = [(before, after) for before, after in pairwise(window) if _holder(before) != _holder(after)]
    jumped = sum(_queue(before)[:1] != [_holder(after)] for before, after in pairs)
    grants = Counter(_owner(after) for _, after in pairs)
    shares = sorted(grants.values())
    writes = len(window) - 1
    return [
        Row(
            f"{ELECTORS} electors, one lock: writes per hand-off",
            writes / HAND_OFFS,
            2.2,
            "",
            f"{writes} writes, {HAND_OFFS} hand-offs, each with a queuing of its own; in etcd",
        ),
        Row(f"{ELECTORS} electors, one lock: not to the first in the queue", jumped, 0.0, "", "in etcd"),
        Row(
            f"{ELECTORS} electors, one lock: most hand-offs / fewest",
            max(shares) / min(shares) if len(shares) == ELECTORS else float("inf"),
            1.1,
            "x",
            f"{len(shares)} electors got from {min(shares)} to {max(shares)}",
        ),
    ]


def _holder(write: Write) -> str | None:
    return None if write.spec is None else write.spec["holder"]


def _owner(write: Write) -> str:
    return "" if write.spec is None else write.spec["owner"]


def _queue(write: Write) -> list[str]:
    tickets: list[dict[str, Any]] = (write.spec or {}).get("queue", [])
    return [ticket["holder"] for ticket in tickets]
