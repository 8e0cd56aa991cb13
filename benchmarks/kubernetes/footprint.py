"""What an elector on this store takes: memory, and time until it is ready."""

from __future__ import annotations

from pathlib import Path

from benchmarks.elector import Elector
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.table import Row, percentile
from metaparticle_sync import Lock

MEBIBYTE = 1024 * 1024
STARTS = 5
CYCLES = 100


def measure(cluster: Cluster) -> list[Row]:
    """The rows of the footprint."""
    seconds, processor_seconds = [], 0.0
    for _ in range(STARTS):
        with cluster.electors(1) as (elector,):
            seconds.append(elector.ready_seconds)
            processor_seconds += elector.ready_processor_seconds / STARTS
            memory = _memory(elector)
    figures = (
        f"median of {STARTS}, from {min(seconds):.2f} to {max(seconds):.2f} s; {processor_seconds:.2f} s of processor"
    )
    return [memory, Row("start to ready, Kubernetes store", percentile(seconds, 50), 1.5, "s", figures)]


def _memory(elector: Elector) -> Row:
    lock = Lock("memory", elector.url)
    for _ in range(CYCLES):
        with lock:
            pass
    worker, master = elector.worker_pid(), elector.pid
    shares = (_kibibytes(worker, "Pss") + _kibibytes(master, "Pss")) / 1024
    return Row(
        "elector's worker, Kubernetes store",
        elector.resident_bytes() / MEBIBYTE,
        65.0,
        "MiB",
        f"VmRSS after {CYCLES} cycles; both processes together {shares:.1f} MiB (PSS)",
    )


def _kibibytes(pid: int, what: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1])
    raise RuntimeError(f"no {what} in /proc")
