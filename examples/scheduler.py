"""A loop that runs in one process at a time: of three schedulers one works, and when it crashes the next goes on.

    $ python examples/scheduler.py
    tick 1
    tick 2
    tick 3
    the scheduler crashes
    tick 4
    tick 5
    tick 6
    3 schedulers were started, each tick was made once

What is done is written down where the next leader finds it: the election says who may work, not what is done already.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from pathlib import Path

from metaparticle_sync import current_leadership, leader_only

SCHEDULERS, TICKS, FATAL_TICK = 3, 6, 3


@leader_only("scheduler")
def schedule(journal: Path) -> None:
    """Runs in one process at a time, and leads until it returns. The others wait before its first line."""
    stopping = current_leadership().stopping  # Set if the leadership is lost: somebody else may lead soon.
    while len(done := read(journal)) < TICKS and not stopping.wait(0.05):
        tick = len(done) + 1
        print(f"tick {tick}", flush=True)
        with journal.open("a") as lines:
            lines.write(f"{tick}\n")
        if tick == FATAL_TICK:
            print("the scheduler crashes", flush=True)
            os._exit(1)  # As by SIGKILL: nothing is released, nothing is tidied up.


def read(journal: Path) -> list[int]:
    return [int(line) for line in journal.read_text().splitlines()]


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        journal = Path(place, "ticks")
        journal.touch()
        schedulers = [spawn.Process(target=schedule, args=(journal,)) for _ in range(SCHEDULERS)]
        for process in schedulers:
            process.start()
        for process in schedulers:
            process.join()
        once = read(journal) == list(range(1, TICKS + 1))
        print(f"{SCHEDULERS} schedulers were started, {'each tick was made once' if once else 'TICKS ARE WRONG'}")


if __name__ == "__main__":
    main()
