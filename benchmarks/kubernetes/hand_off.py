"""A lock handed from one elector's client to the other's, back and forth, beside a raw PUT and its watch event."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from typing import Any, Self

from benchmarks.elector import ROOT, Connection, Elector
from benchmarks.kubernetes.cluster import Cluster
from benchmarks.table import Row, percentile, spread
from metaparticle_sync import wire

ROUNDS = 200
WARMING = 10
PATIENCE_SECONDS = 30.0
NAME = "hand-off"

# Does one call for each line that it reads, and writes down when it began and when it had ended.
PLAYER = """
import json, sys, time
from metaparticle_sync import Lock
lock = Lock(sys.argv[2], sys.argv[1])
for line in sys.stdin:
    began_at = time.monotonic()
    getattr(lock, line.strip())()
    print(json.dumps([began_at, time.monotonic()]), flush=True)
"""


class Player:
    """One process that acquires and releases when it is told to. `time.monotonic` is the same for all of a machine."""

    def __init__(self, elector: Elector) -> None:
        command = [sys.executable, "-c", PLAYER, elector.url, NAME]
        self.elector = elector
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def begin(self, call: str) -> None:
        """Let it do one call."""
        assert self._process.stdin is not None
        self._process.stdin.write(call + "\n")

    def end(self) -> tuple[float, float]:
        """When the call began, and when it had ended."""
        assert self._process.stdout is not None
        began_at, ended_at = json.loads(self._process.stdout.readline())
        return began_at, ended_at


def measure(cluster: Cluster) -> list[Row]:
    """The rows of the hand-off."""
    with cluster.electors(2) as electors, Player(electors[0]) as one, Player(electors[1]) as other:
        one.begin("acquire")
        one.end()
        return _rows(cluster, one, other)


def _rows(cluster: Cluster, holder: Player, waiter: Player) -> list[Row]:
    hand_offs, puts, writes = [], [], 0
    for number in range(WARMING + ROUNDS):
        waiter.begin("acquire")
        _await_waiter(holder.elector)
        since = cluster.counting.revision()
        holder.begin("release")
        (released_at, _), (_, acquired_at) = holder.end(), waiter.end()
        event_after = cluster.raw.put_until_event()
        if number >= WARMING:
            hand_offs.append(acquired_at - released_at)
            puts.append(event_after)
            writes += sum(write.name == NAME for write in cluster.counting.writes(since))
        holder, waiter = waiter, holder
    return [
        Row("hand-off between two electors: writes", writes / ROUNDS, 1.0, "", f"{writes} of {ROUNDS}, in etcd"),
        Row(
            "hand-off between two electors / raw PUT to watch event",
            percentile(hand_offs, 50) / percentile(puts, 50),
            2.5,
            "x",
            f"hand-off {spread(hand_offs)}; PUT to event {spread(puts)}",
        ),
    ]


def _await_waiter(elector: Elector) -> None:
    """The queue is in the record: everybody who reads it sees it."""
    connection = Connection(elector.port)
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < give_up_at:
        body: dict[str, Any] = json.loads(connection.call("GET", wire.lock_path(NAME))[1])
        if body.get("spec", {}).get("waiters"):
            connection.close()
            return
    raise RuntimeError("nobody queued up")
