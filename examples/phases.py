"""A barrier: four processes compute in phases, and nobody begins a phase before all have finished the one before.

    $ python examples/phases.py
    phase 0: 96 0 0 0
    phase 1: 48 24 0 24
    phase 2: 36 24 12 24
    phase 3: 30 24 18 24
    phase 4: 27 24 21 24

Heat spreads in a ring of four cells, one for each process. In each phase a cell reads what its neighbours wrote in the
phase before. The action of the barrier, here the line that is printed, is run by one process, when all have arrived.
"""

from __future__ import annotations

import multiprocessing
import tempfile
from pathlib import Path

from metaparticle_sync import Barrier

CELLS, PHASES = 4, 4


def work(folder: Path, cell: int) -> None:
    """One process. If one of them dies, the others get a BrokenBarrierError instead of waiting for ever."""
    phase = 0

    def show() -> None:
        print(f"phase {phase}:", *(f"{heat(folder, phase, each):g}" for each in range(CELLS)), flush=True)

    barrier = Barrier(CELLS, show, name="heat")
    write(folder, phase, cell, 96.0 if cell == 0 else 0.0)
    barrier.wait()
    while phase < PHASES:
        left, here, right = (heat(folder, phase, (cell + step) % CELLS) for step in (-1, 0, 1))
        phase += 1
        write(folder, phase, cell, (left + 2 * here + right) / 4)
        barrier.wait()


def heat(folder: Path, phase: int, cell: int) -> float:
    return float((folder / f"{phase}-{cell}").read_text())


def write(folder: Path, phase: int, cell: int, degrees: float) -> None:
    (folder / f"{phase}-{cell}").write_text(str(degrees))


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as place:
        cells = [spawn.Process(target=work, args=(Path(place), cell)) for cell in range(CELLS)]
        for process in cells:
            process.start()
        for process in cells:
            process.join()


if __name__ == "__main__":
    main()
