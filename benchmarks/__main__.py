"""`make bench`: one run, real processes, a table. Exit status 1 if anything is beyond its bound.

`python -m benchmarks machine` and `python -m benchmarks kubernetes` make the rows of one part only.
"""

from __future__ import annotations

import argparse
import os
import resource
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import broadcast, contended, cycle, family, kubernetes, parked, writes
from benchmarks.elector import Elector
from benchmarks.table import Row, render
from tests.cluster import binaries
from tests.cluster.binaries import Binaries, NoBinaries

MEBIBYTE = 1024 * 1024
QUIET_BUSY_SHARE = 0.15
PARTS = ("machine", "kubernetes")


def main() -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="those that are wanted; else all")
    parts = parser.parse_args().parts or PARTS
    programs = _programs() if "kubernetes" in parts else None
    _raise_open_files()
    busy = _busy_share(1.0)
    with tempfile.TemporaryDirectory() as folder:
        rows = _measure(Path(folder)) if "machine" in parts else []
        if isinstance(programs, Binaries):
            rows += kubernetes.measure(programs, Path(folder))
    print(render(rows))
    if busy > QUIET_BUSY_SHARE:
        print(f"\nNOTE: the machine was not quiet: {busy:.0%} busy before the run. Ratios may be off; run it again.")
    if isinstance(programs, NoBinaries):
        print(f"\nNOT MEASURED: the store in a cluster, which is half of this table. {programs}")
    is_missing = isinstance(programs, NoBinaries) and os.environ.get("CI") == "true"
    return 0 if all(row.is_within for row in rows) and not is_missing else 1


def _programs() -> Binaries | NoBinaries:
    """Those of a control plane. They are built, should they not be there: in some minutes, once."""
    try:
        return binaries.find()
    except NoBinaries as error:
        return error


def _measure(folder: Path) -> list[Row]:
    memory = Elector("memory", folder)
    try:
        footprint = _footprint(memory)
        sqlite = Elector("sqlite", folder)
        try:
            cycle_rows, cycle_seconds = cycle.measure(memory, sqlite)
        finally:
            sqlite.stop()
        contended_rows = [contended.measure_hand_off(memory, cycle_seconds), contended.measure_shares(memory)]
        counted_rows = [*writes.measure(memory), *family.measure(memory)]
        return [
            *cycle_rows,
            *contended_rows,
            *counted_rows,
            *broadcast.measure(memory),
            *parked.measure(memory),
            *footprint,
        ]
    finally:
        memory.stop()


def _footprint(elector: Elector) -> list[Row]:
    first_answer = elector.first_answer_seconds
    resident = elector.resident_bytes() / MEBIBYTE
    return [
        Row("elector's worker, idle, memory store", resident, 45.0, "MiB", "VmRSS"),
        Row("start to first answer", first_answer, 0.6, "s", "from the start of the command"),
    ]


def _raise_open_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _busy_share(seconds: float) -> float:
    """The share of the machine's processors that others use."""
    before = _processor_ticks()
    time.sleep(seconds)
    after = _processor_ticks()
    total, idle = after[0] - before[0], after[1] - before[1]
    return 1 - idle / total if total else 0.0


def _processor_ticks() -> tuple[int, int]:
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
    return sum(fields), fields[3] + fields[4]


if __name__ == "__main__":
    os.chdir(Path(__file__).resolve().parent.parent)
    sys.exit(main())
