"""Run seeds or directed schedules by hand, and print all that happened with `-v`.

python -m tests.simulation SEED
python -m tests.simulation FIRST-LAST
python -m tests.simulation --shared FIRST-LAST
python -m tests.simulation --schedules NAME --orders 1 -v
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

from tests.simulation.directed import SCHEDULES, run_schedule
from tests.simulation.printing import print_run
from tests.simulation.random_run import run_seed
from tests.simulation.shared_run import run_shared_seed
from tests.simulation.world import World, last_world

FAILED = 3
"""The exit code of a run that broke an invariant: no other failure has it."""


def main() -> int:
    """Run what the command line names; 1 if anything fails."""
    arguments = _parse()
    totals: Counter[str] = Counter()
    failed = []
    began = time.perf_counter()
    for name, run in _runs(arguments):
        try:
            world = run()
        except Exception as error:  # noqa: BLE001
            failed.append(name)
            print(f"{name} failed: {error}")
            if arguments.verbose:
                traceback.print_exc()
        else:
            totals.update(count(world))
        if arguments.verbose:
            print_run(last_world())
        if failed and arguments.stop:
            break
    print(f"{time.perf_counter() - began:.1f} s; failed: {', '.join(failed) or 'none'}")
    if len(totals):
        print("\n".join(f"{what:>24} {number:,.0f}" for what, number in totals.items()))
    return FAILED if failed else 0


def _runs(arguments: argparse.Namespace) -> Iterator[tuple[str, Callable[[], World]]]:
    """The runs that the command line names, each with its own name."""
    for name in arguments.schedules:
        for order in range(arguments.orders):
            yield f"{name} (order {order})", partial(run_schedule, name, order)
    for seed in _numbers(arguments.seeds):
        yield f"seed {seed}", partial(run_seed, seed)
    for seed in _numbers(arguments.shared):
        yield f"shared seed {seed}", partial(run_shared_seed, seed)


def _numbers(text: str) -> range:
    """The numbers of FIRST-LAST, or of one number; none of nothing."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1) if text else range(0)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="?", default="", help="one seed, or FIRST-LAST")
    parser.add_argument("--shared", default="", help="seeds of semaphores, events, conditions, barriers: FIRST-LAST")
    parser.add_argument("--schedules", nargs="*", default=[], choices=sorted(SCHEDULES), help="directed schedules")
    parser.add_argument("--orders", type=int, default=5, help="seeds for the order of each directed schedule")
    parser.add_argument("--stop", action="store_true", help="stop at the first failure")
    parser.add_argument("-v", "--verbose", action="store_true", help="print all that happened")
    return parser.parse_args()


def count(world: World) -> Counter[str]:
    """The figures of one run."""
    history = world.history
    figures: Counter[str] = Counter()
    figures["runs"] = 1
    figures["virtual seconds"] = int(history.ended_at)
    figures["steps"] = world.loop.steps
    figures["commits"] = len(world.shared.commits)
    figures["acquisitions"] = len(history.beliefs)
    figures["checks"] = len(history.checks)
    figures["calls"] = sum(call.outcome is not None for call in history.shared)
    figures["permits"] = len(history.permits)
    figures["holds lost"] = sum("told" in belief.reason or "deadline" in belief.reason for belief in history.beliefs)
    for fault, number in sorted(history.faults.items()):
        figures[f"fault {fault}"] = number
    return figures


if __name__ == "__main__":
    sys.exit(main())
