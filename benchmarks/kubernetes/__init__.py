"""The rows of the store in a cluster: real electors on a real API server, beside what bare http.client does there."""

from __future__ import annotations

from pathlib import Path

from benchmarks.kubernetes import connections, cycle, footprint, hand_off, http_clients, idle, queue
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.table import Row
from tests.cluster.binaries import Binaries


def measure(binaries: Binaries, folder: Path) -> list[Row]:
    """All of them, in one run on one API server."""
    with Cluster(binaries, folder) as cluster:
        parts = (cycle, hand_off, idle, queue, footprint, connections, http_clients)
        return [row for part in parts for row in part.measure(cluster)]
