"""Runs CPython's suites under one Python, over one elector."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path

from compat_tests.cpython_suites import SUITE_NAMES
from compat_tests.elector import ROOT
from compat_tests.pythons import Python

README = Path(__file__).parent / "README.md"
SECONDS_MAX = 280

Results = dict[str, dict[str, object]]


def results_of(python: Python, elector_url: str) -> Results:
    """What each suite gave; none of them failed, and none is empty."""
    answer = subprocess.run(
        [python.path, "-m", "compat_tests.cpython_suites"],
        cwd=ROOT,
        env=_environment(elector_url),
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=False,
    )
    assert answer.stdout.strip(), answer.stderr
    results: Results = json.loads(answer.stdout.splitlines()[-1])
    failed = [f"{suite}.{test}\n{text}" for suite, result in results.items() for test, text in result["failed"].items()]
    assert not failed, "\n".join(failed)
    assert list(results) == list(SUITE_NAMES)
    assert all(result["passed"] for result in results.values()), "a suite ran no test"
    return results


def row(version: str, results: Results) -> str:
    """The line of the table in the README."""
    counts = " | ".join(str(len(results[suite]["passed"])) for suite in SUITE_NAMES)
    skipped = [f"`{suite}.{test}`: {why}" for suite in SUITE_NAMES for test, why in results[suite]["skipped"].items()]
    return f"| {version} | {counts} | {'; '.join(skipped) or 'none'} |"


def _environment(elector_url: str) -> dict[str, str]:
    # Our dependencies are pure Python, so those of this interpreter serve the others as well.
    path = os.pathsep.join([str(ROOT), sysconfig.get_paths()["purelib"]])
    return {**os.environ, "PYTHONPATH": path, "METAPARTICLE_SYNC_URL": elector_url, "PYTHONDONTWRITEBYTECODE": "1"}
