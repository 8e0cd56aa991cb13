"""Thousands of seeded runs of the shipped elector, in virtual time, with every kind of fault; and that they replay.

A failing seed is printed with what it broke; `python -m tests.simulation SEED -v` runs it again, step by step.
"""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from tests.simulation.__main__ import count
from tests.simulation.random_run import run_seed

PROJECT = Path(__file__).resolve().parents[2]
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "2000"))
CHUNK = 50
FAILURES_SHOWN = 5

Outcome = tuple[Counter[str], list[str]]


def run_chunk(first: int) -> Outcome:
    """Run some seeds in a row: their figures, and what failed."""
    figures: Counter[str] = Counter()
    failures = []
    for seed in range(first, min(first + CHUNK, SEEDS)):
        try:
            figures.update(count(run_seed(seed)))
        except Exception as error:  # noqa: BLE001
            failures.append(f"seed {seed}: {error}")
    return figures, failures


def test_no_seed_breaks_an_invariant() -> None:
    figures: Counter[str] = Counter()
    failures: list[str] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), context) as pool:
        for chunk_figures, chunk_failures in pool.map(run_chunk, range(0, SEEDS, CHUNK)):
            figures.update(chunk_figures)
            failures += chunk_failures
    print(*(f"{number:>12,.0f} {what}" for what, number in figures.items()), sep="\n")
    assert not failures, "\n".join([f"{len(failures)} seeds failed; the first:", *failures[:FAILURES_SHOWN]])
    assert figures["runs"] == SEEDS
    never = [fault for fault in FAULTS if not figures[f"fault {fault}"]]
    assert not never, f"faults that never struck: {never}"


FAULTS = (
    *("lose_request", "lose_answer", "delay_request", "delay_answer", "repeat", "refuse", "stale", "outage"),
    *("watch_skip", "watch_late", "watch_end", "watch_hang"),
    *("pause_elector", "pause_client", "pause_machine", "crash_elector", "stop_elector", "reboot", "crash_client"),
    *("break_stream", "partition", "bad_network", "twin", "delete_session"),
)


def digest_of(seed: int, hash_seed: int) -> str:
    """What one run wrote to its store, said by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.simulation", str(seed), "-v"],
        env=os.environ | {"PYTHONHASHSEED": str(hash_seed)},
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line for line in done.stdout.splitlines() if "; failed" not in line)


def test_a_seed_replays_exactly() -> None:
    for seed in (1, 2, 3):
        assert digest_of(seed, hash_seed=1) == digest_of(seed, hash_seed=2)
