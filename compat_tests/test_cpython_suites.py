"""CPython's own tests, on every CPython of this machine, over a real elector; and the table about it in the docs."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from compat_tests import pythons
from compat_tests.elector import ROOT, running_elector

DOCUMENT = ROOT / "docs" / "compatibility.md"
PYTHONS = pythons.found()
MINUTES = 5


@pytest.fixture(scope="module")
def elector_url(tmp_path_factory):
    with running_elector(tmp_path_factory.mktemp("elector")) as url:
        yield url


def _environment(elector_url: str) -> dict[str, str]:
    # Our dependencies are pure Python, so those of this interpreter serve the others as well.
    path = os.pathsep.join([str(ROOT), sysconfig.get_paths()["purelib"]])
    return {**os.environ, "PYTHONPATH": path, "METAPARTICLE_SYNC_URL": elector_url, "PYTHONDONTWRITEBYTECODE": "1"}


@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: python.version)
def test_lock_tests_pass_unchanged(python, elector_url):
    if not python.has_suite:
        pytest.skip(f"NOT TESTED: CPython {python.version} at {python.path} has no `test` package; install it")
    answer = subprocess.run(
        [python.path, "-m", "compat_tests.cpython_lock"],
        cwd=ROOT,
        env=_environment(elector_url),
        capture_output=True,
        text=True,
        timeout=MINUTES * 60,
        check=False,
    )
    assert answer.stdout.strip(), answer.stderr
    result = json.loads(answer.stdout.splitlines()[-1])
    assert not result["failed"], "\n".join(result["failed"].values())
    assert result["passed"], "no test ran"
    _check_documented(python.version, result)


def _check_documented(version: str, result: dict[str, object]) -> None:
    """If docs/compatibility.md has a row of this version, it says exactly what was seen."""
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith(f"| {version} |")]
    skipped = "; ".join(f"`{name}`: {reason}" for name, reason in result["skipped"].items()) or "none"
    assert rows in ([], [f"| {version} | {len(result['passed'])} | {skipped} |"])


def test_this_python_is_among_them():
    assert Path(PYTHONS[0].path).exists()
    assert any(python.has_suite for python in PYTHONS), "no Python here has CPython's own tests"
