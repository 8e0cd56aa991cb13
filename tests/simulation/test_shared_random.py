"""Seeded runs of semaphores, events, conditions and barriers, with every kind of fault; and that they replay.

A failing seed is printed with what it broke; `python -m tests.simulation --shared SEED -v` runs it again.
"""

from __future__ import annotations

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

from tests.simulation.printing import describe_commit
from tests.simulation.shared_run import KINDS, run_shared_seed

SEEDS = int(os.environ.get("SIMULATION_SHARED_SEEDS", "200"))
CHUNK = 20
FAILURES_SHOWN = 5
CALLS_MIN = 10
"""So many calls are done in a run on the average, at least."""


def run_chunk(first: int) -> tuple[int, list[str]]:
    """Run some seeds in a row: how many calls were done in them, and what failed."""
    calls, failures = 0, []
    for seed in range(first, min(first + CHUNK, SEEDS)):
        try:
            world = run_shared_seed(seed)
        except Exception as error:  # noqa: BLE001
            failures.append(f"seed {seed}: {error}")
        else:
            calls += sum(call.outcome is not None for call in world.history.shared)
    return calls, failures


def test_no_seed_breaks_an_invariant() -> None:
    calls = 0
    failures: list[str] = []
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        for chunk_calls, chunk_failures in pool.map(run_chunk, range(0, SEEDS, CHUNK)):
            calls += chunk_calls
            failures += chunk_failures
    assert not failures, "\n".join([f"{len(failures)} seeds failed; the first:", *failures[:FAILURES_SHOWN]])
    assert calls >= CALLS_MIN * SEEDS


def test_a_seed_replays_exactly() -> None:
    for seed in range(len(KINDS)):
        first, second = ([describe_commit(commit) for commit in run_shared_seed(seed).shared.commits] for _ in range(2))
        assert first == second
