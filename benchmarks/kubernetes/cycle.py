"""A lock that nobody has had before, acquired and released: its calls counted, its time beside one raw PUT."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable

from benchmarks.elector import Elector
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.table import Row, percentile, spread
from metaparticle_sync import Lock

COUNTED = 200
TIMED = 500
WARMING = 50

_numbers = itertools.count()


def measure(cluster: Cluster) -> list[Row]:
    """The rows of the cycle."""
    with cluster.electors(1) as (elector,):
        _times(WARMING, _cycle(elector))
        return [*_counted(cluster, elector), _timed(cluster, elector)]


def _counted(cluster: Cluster, elector: Elector) -> list[Row]:
    since, requests_before = cluster.counting.revision(), cluster.counting.requests()
    _times(COUNTED, _cycle(elector))
    requests, writes = cluster.counting.requests() - requests_before, cluster.counting.writes(since)
    of_locks = sum(write.plural == "locks" for write in writes)
    # The elector's own renewals go on: each is a write, and no call beside it.
    others = requests.total() - len(writes)
    seen = ", ".join(f"{count} {verb} {plural}" for (plural, verb), count in sorted(requests.items()))
    return [
        Row("cold acquire + release: writes", of_locks / COUNTED, 2.0, "", f"{of_locks} of {COUNTED} cycles, in etcd"),
        Row("cold acquire + release: other calls", others / COUNTED, 0.0, "", f"at the API server: {seen}"),
    ]


def _timed(cluster: Cluster, elector: Elector) -> Row:
    cycles: list[float] = []
    puts: list[float] = []
    cycle = _cycle(elector)
    for _ in range(TIMED):
        cycles += _times(1, cycle)
        puts += _times(1, cluster.raw.put)
    return Row(
        "cold acquire + release / one raw PUT",
        percentile(cycles, 50) / percentile(puts, 50),
        2.8,
        "x",
        f"cycle {spread(cycles)}; PUT {spread(puts)}",
    )


def _cycle(elector: Elector) -> Callable[[], None]:
    def cycle() -> None:
        with Lock(f"cold-{next(_numbers)}", elector.url):
            pass

    return cycle


def _times(count: int, action: Callable[[], None]) -> list[float]:
    seconds = []
    for _ in range(count):
        started_at = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - started_at)
    return seconds
