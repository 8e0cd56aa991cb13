"""Several processes on one lock: how long a hand-off takes, and whether everybody gets their share."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import pairwise

from benchmarks.elector import ROOT, Elector
from benchmarks.table import Row, percentile, spread

HANDOFF_WORKER = """
import json, sys, time
from metaparticle_sync import Lock
lock, rounds, hold_seconds = Lock("hand-off", sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
tenures = []
for _ in range(rounds):
    lock.acquire()
    acquired_at = time.monotonic()
    token = lock.token
    time.sleep(hold_seconds)
    released_at = time.monotonic()
    lock.release()
    tenures.append((token, acquired_at, released_at))
print(json.dumps(tenures))
"""

SHARE_WORKER = """
import json, sys, time
from metaparticle_sync import Lock
lock, seconds = Lock("share", sys.argv[1]), float(sys.argv[2])
lock.acquire(); lock.release()
print("ready", flush=True)
sys.stdin.readline()
tokens, stop_at = [], time.monotonic() + seconds
while time.monotonic() < stop_at:
    with lock:
        tokens.append(lock.token)
print(json.dumps(tokens))
"""

HANDOFF_ROUNDS = 300
HOLD_SECONDS = 0.003
SHARE_SECONDS = 3.0
SHARE_PROCESSES = 4


def measure_hand_off(elector: Elector, cycle_seconds: float) -> Row:
    """Release in one process to the return of acquire in the other, against a free lock's cycle."""
    arguments = [elector.url, str(HANDOFF_ROUNDS), str(HOLD_SECONDS)]
    workers = [_start(HANDOFF_WORKER, arguments) for _ in range(2)]
    tenures = []
    for process_number, worker in enumerate(workers):
        tenures += [(*tenure, process_number) for tenure in json.loads(_output(worker))]
    tenures.sort()
    hand_offs = [
        acquired_at - released_at
        for (_, _, released_at, giver), (_, acquired_at, _, taker) in pairwise(tenures)
        if giver != taker
    ][20:-20]
    return Row(
        "hand-off between two processes / cycle of a free lock",
        percentile(hand_offs, 50) / cycle_seconds,
        2.0,
        "x",
        f"{len(hand_offs)} hand-offs, {spread(hand_offs)}",
    )


def measure_shares(elector: Elector) -> Row:
    """Four processes as fast as they can: grants of the luckiest over grants of the unluckiest."""
    workers = [_start(SHARE_WORKER, [elector.url, str(SHARE_SECONDS)]) for _ in range(SHARE_PROCESSES)]
    for worker in workers:
        _line(worker)
    for worker in workers:
        _go(worker)
    tokens = [json.loads(_output(worker)) for worker in workers]
    # Only while all of them competed: from the last one's first grant to the first one's last.
    begin, end = max(own[0] for own in tokens), min(own[-1] for own in tokens)
    grants = Counter({number: sum(begin <= token <= end for token in own) for number, own in enumerate(tokens)})
    most, fewest = max(grants.values()), min(grants.values())
    return Row(
        "4 processes on one lock: most grants / fewest",
        most / fewest,
        1.1,
        "x",
        f"grants {sorted(grants.values())} in {SHARE_SECONDS:g} s",
    )


def _start(program: str, arguments: list[str]) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", program, *arguments]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def _line(worker: subprocess.Popen[str]) -> str:
    if worker.stdout is None:
        raise RuntimeError("a worker without output")
    return worker.stdout.readline()


def _go(worker: subprocess.Popen[str]) -> None:
    if worker.stdin is None:
        raise RuntimeError("a worker without input")
    worker.stdin.write("go\n")
    worker.stdin.flush()


def _output(worker: subprocess.Popen[str]) -> str:
    output, _ = worker.communicate(timeout=120)
    if worker.returncode != 0:
        raise RuntimeError(f"a worker ended with {worker.returncode}")
    return output
