"""`python -m tests.mutants`: switch off one rule after the other, and see that the simulation or a test notices.

Prints a table: mutant, the schedule, seed or test that caught it, and the first thing that it said. Exit code 1 if a
mutant survives, or no longer applies to the code as it is. Arguments: parts of the names of the mutants to run.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.mutants.catalogue import EQUIVALENT, MUTANTS
from tests.mutants.mutant import NOTHING_FAILED, DoesNotApply, Mutant, Verdict, judge

EVIDENCE_CHARACTERS = 110


def main() -> int:
    """Judge all mutants, or those whose name contains an argument."""
    wanted = [mutant for mutant in MUTANTS if not sys.argv[1:] or any(part in mutant.name for part in sys.argv[1:])]
    if not _baseline_is_clean(wanted):
        return 1
    survivors = 0
    with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
        for line, is_caught in pool.map(_row, wanted):
            print(line, flush=True)
            survivors += not is_caught
    print(f"\n{len(wanted)} mutants, {survivors} of them not caught")
    print("\n".join(_equivalent_rows()))
    return 1 if survivors else 0


def _baseline_is_clean(wanted: list[Mutant]) -> bool:
    """Whether the code as it is passes what is going to judge the mutants: else the table would mean nothing."""
    schedules = sorted({schedule for mutant in wanted for schedule in mutant.schedules})
    tests = sorted({test for mutant in wanted for test in mutant.tests})
    seeds = min(20, max((mutant.seeds for mutant in wanted), default=0))
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        verdict = judge(Mutant("none", (), tuple(schedules), seeds, tuple(tests)), Path(folder))
    if verdict.caught_by is not None or verdict.evidence != NOTHING_FAILED:
        print(f"the code without a mutant fails: {verdict.caught_by} {verdict.evidence}")
        return False
    return True


def _row(mutant: Mutant) -> tuple[str, bool]:
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        try:
            verdict = judge(mutant, Path(folder))
        except DoesNotApply as error:
            return f"{mutant.name:<62} DOES NOT APPLY  {error}", False
    return _describe(verdict), verdict.caught_by is not None


def _describe(verdict: Verdict) -> str:
    caught_by = verdict.caught_by or "SURVIVED"
    return f"{verdict.mutant.name:<62} {caught_by:<62} {verdict.evidence[:EVIDENCE_CHARACTERS]}"


def _equivalent_rows() -> Iterator[str]:
    yield "Equivalent, hence not run:"
    for name, reason in EQUIVALENT.items():
        yield f"  {name}: {reason}"


if __name__ == "__main__":
    sys.exit(main())
