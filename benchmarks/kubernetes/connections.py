"""Waiters for many names in one elector: how many connections to the API server it keeps for them."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

from benchmarks.elector import Connection, Elector
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.table import Row
from metaparticle_sync import Lock, wire

NAMES = (50, 100)
NAMED_WATCHES = 32
CALLS = 8
BOUND = NAMED_WATCHES + 1 + 1 + CALLS
"""Watches of single names, the one of the namespace, the one of its own records, and its calls."""

PATIENCE_SECONDS = 60.0
ESTABLISHED = "01"


def measure(cluster: Cluster) -> list[Row]:
    """The rows of connections."""
    with cluster.electors(2) as (holder, waiting):
        return [_row(cluster, holder, waiting, count) for count in NAMES]


def _row(cluster: Cluster, holder: Elector, waiting: Elector, count: int) -> Row:
    before = connections(waiting.worker_pid(), cluster.plane.port)
    names = [f"{count} names, {number}" for number in range(count)]
    held = [Lock(name, holder.url) for name in names]
    for lock in held:
        lock.acquire()
    threads = [threading.Thread(target=_wait, args=(name, waiting)) for name in names]
    for thread in threads:
        thread.start()
    _await_waiters(waiting, names)
    kept = _settled(waiting.worker_pid(), cluster.plane.port)
    for lock in held:
        lock.release()
    for thread in threads:
        thread.join()
    what = f"{count} waiters for {count} names in one elector: connections"
    return Row(what, kept, BOUND, "", f"{before} before; {NAMED_WATCHES} names may have a watch of their own")


def _wait(name: str, elector: Elector) -> None:
    with Lock(name, elector.url):
        pass


def _await_waiters(elector: Elector, names: list[str]) -> None:
    connection = Connection(elector.port)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        locks = json.loads(connection.call("GET", wire.LOCKS_PATH)[1])["locks"]
        if {lock["name"] for lock in locks if lock["waiters"]} >= set(names):
            return
    raise RuntimeError("not all waiters have queued up")


def _settled(pid: int, port: int) -> int:
    """The number at which it stays for a second: who has queued up still has to open a watch."""
    kept, since = -1, 0.0
    while kept < 0 or time.monotonic() < since + 1:
        now = connections(pid, port)
        if now != kept:
            kept, since = now, time.monotonic()
        time.sleep(0.02)
    return kept


def connections(pid: int, port: int) -> int:
    """How many connections a process has to one port of the loopback."""
    folder = Path(f"/proc/{pid}/fd")
    own = {str(link.readlink()) for link in folder.iterdir() if link.is_symlink()}
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    to_port = [row for row in rows if row[2].endswith(f":{port:04X}") and row[3] == ESTABLISHED]
    return sum(f"socket:[{row[9]}]" in own for row in to_port)
