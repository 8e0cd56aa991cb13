"""One deliberate bug, and how it is applied to a copy of the project and judged there."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.__main__ import FAILED

PROJECT = Path(__file__).resolve().parents[2]
PACKAGES = ("elector_server", "metaparticle_sync", "tests/simulation")
RUN_SECONDS_MAX = 600.0
NOTHING_FAILED = "nothing failed"


class DoesNotApply(Exception):
    """The text that a mutant replaces does not occur exactly once: the code has changed, and the mutant must, too."""


@dataclass(frozen=True, slots=True)
class Edit:
    """Replace `old`, which occurs exactly once in `file`, by `new`."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutant:
    """A bug by name, and the schedules and the number of random seeds of which at least one must catch it."""

    name: str
    edits: tuple[Edit, ...]
    schedules: tuple[str, ...] = ()
    seeds: int = 0


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one mutant."""

    mutant: Mutant
    caught_by: str | None
    evidence: str
    seconds: float


def judge(mutant: Mutant, folder: Path) -> Verdict:
    """Apply a mutant to a fresh copy in `folder`, and run what must catch it.

    Raises:
        DoesNotApply: see there.
    """
    copy_project(folder)
    for edit in mutant.edits:
        apply(edit, folder)
    began = time.perf_counter()
    command = [sys.executable, "-m", "tests.simulation", "--stop"]
    if mutant.seeds:
        command.append(f"0-{mutant.seeds - 1}")
    if mutant.schedules:
        command += ["--schedules", *mutant.schedules]
    caught_by, evidence = _run(command, folder)
    return Verdict(mutant, caught_by, evidence, time.perf_counter() - began)


def copy_project(folder: Path) -> None:
    """What the simulation needs, and nothing else."""
    for package in PACKAGES:
        shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "tests" / "__init__.py").touch()


def apply(edit: Edit, folder: Path) -> None:
    """Change one file of the copy.

    Raises:
        DoesNotApply: see there.
    """
    path = folder / edit.file
    text = path.read_text()
    occurrences = text.count(edit.old)
    if occurrences != 1:
        raise DoesNotApply(f"{edit.file} has {occurrences} times: {edit.old!r}")
    path.write_text(text.replace(edit.old, edit.new))


def _run(command: list[str], folder: Path) -> tuple[str | None, str]:
    """Which run caught the mutant, and what it said. A crash of the run itself catches nothing."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=RUN_SECONDS_MAX, check=False)
    except subprocess.TimeoutExpired:
        return None, f"no end within {RUN_SECONDS_MAX:g} s"
    if done.returncode == 0:
        return None, NOTHING_FAILED
    if done.returncode != FAILED:
        return None, f"the run itself crashed: {done.stderr[-300:]}"
    first = next(line for line in done.stdout.splitlines() if " failed: " in line)
    caught_by, _, evidence = first.partition(" failed: ")
    return caught_by, evidence
