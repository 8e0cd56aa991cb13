"""One deliberate bug, and how it is applied to a copy of the project and judged there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tests.simulation.__main__ import FAILED

PROJECT = Path(__file__).resolve().parents[2]
COPIED = ("elector_server", "metaparticle_sync", "tests")
TESTS_FAILED = 1
"""pytest's exit code for failed tests: what can not be imported or collected has another one."""

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
    """A bug by name, and the schedules, the random seeds and the tests of which at least one must catch it."""

    name: str
    edits: tuple[Edit, ...]
    schedules: tuple[str, ...] = ()
    seeds: int = 0
    tests: tuple[str, ...] = ()


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
    caught_by, evidence = None, NOTHING_FAILED
    if mutant.tests:
        caught_by, evidence = _run_tests(mutant.tests, folder)
    if caught_by is None and evidence == NOTHING_FAILED and (mutant.seeds or mutant.schedules):
        caught_by, evidence = _run_simulation(mutant, folder)
    return Verdict(mutant, caught_by, evidence, time.perf_counter() - began)


def copy_project(folder: Path) -> None:
    """What the simulation and the tests need, and nothing else."""
    for package in COPIED:
        shutil.copytree(PROJECT / package, folder / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(PROJECT / "pyproject.toml", folder)


def apply(edit: Edit, folder: Path) -> None:
    """Change one file of the copy.

    Raises:
        DoesNotApply: see there.
    """
    path = folder / edit.file
    path.write_text(edited(path.read_text(), edit))


def edited(text: str, edit: Edit) -> str:
    """The text of the file after the edit.

    Raises:
        DoesNotApply: see there.
    """
    occurrences = text.count(edit.old)
    if occurrences != 1:
        raise DoesNotApply(f"{edit.file} has {occurrences} times: {edit.old!r}")
    return text.replace(edit.old, edit.new)


def _run_simulation(mutant: Mutant, folder: Path) -> tuple[str | None, str]:
    """Which run caught the mutant, and what it said. A crash of the run itself catches nothing."""
    arguments = ["-m", "tests.simulation", "--stop"]
    if mutant.seeds:
        arguments.append(f"0-{mutant.seeds - 1}")
    if mutant.schedules:
        arguments += ["--schedules", *mutant.schedules]
    done = _run(arguments, folder)
    if done is None or done.returncode == 0:
        return None, _why_not(done)
    if done.returncode != FAILED:
        return None, f"the run itself crashed: {done.stderr[-300:]}"
    first = next(line for line in done.stdout.splitlines() if " failed: " in line)
    caught_by, _, evidence = first.partition(" failed: ")
    return caught_by, evidence


def _run_tests(tests: tuple[str, ...], folder: Path) -> tuple[str | None, str]:
    """Which test caught the mutant, and what it said. Tests that can not be run catch nothing."""
    quiet = ["-x", "-q", "--tb=short", "-p", "no:cacheprovider"]
    done = _run(["-m", "pytest", *quiet, "--hypothesis-seed=0", *tests], folder)
    if done is None or done.returncode == 0:
        return None, _why_not(done)
    failed = re.search(r"^FAILED \S+/(.+?)(?: - |$)", done.stdout, re.MULTILINE)
    if done.returncode != TESTS_FAILED or failed is None:
        return None, f"the tests could not be run: {done.stdout[-300:]}"
    said = re.search(r"^E +(.*)", done.stdout, re.MULTILINE)
    return failed[1], said[1] if said else ""


def _run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str] | None:
    """Run Python in the copy; None if it does not end."""
    try:
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | {"PYTHONPATH": str(folder)},
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS_MAX,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def _why_not(done: subprocess.CompletedProcess[str] | None) -> str:
    return NOTHING_FAILED if done is not None else f"no end within {RUN_SECONDS_MAX:g} s"
