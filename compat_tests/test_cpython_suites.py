"""CPython's own tests, on every CPython of this machine, over a real elector; and the table about it in the README."""

from __future__ import annotations

from pathlib import Path

import pytest

from compat_tests import pythons
from compat_tests.elector import running_elector
from compat_tests.running import README, results_of, row

PYTHONS = pythons.found()
NEWEST_WITH_SUITE = [python for python in PYTHONS if python.has_suite][-1:]


@pytest.fixture(scope="module")
def elector_url(tmp_path_factory):
    with running_elector(tmp_path_factory.mktemp("elector")) as url:
        yield url


@pytest.mark.parametrize("python", PYTHONS, ids=lambda python: python.version)
def test_the_suites_pass_unchanged(python, elector_url):
    if not python.has_suite:
        pytest.skip(f"NOT TESTED: CPython {python.version} at {python.path} has no `test` package; install it")
    results = results_of(python, elector_url)
    documented = [line for line in README.read_text().splitlines() if line.startswith(f"| {python.version} |")]
    assert documented in ([], [row(python.version, results)])


@pytest.mark.parametrize("python", NEWEST_WITH_SUITE, ids=lambda python: python.version)
def test_they_pass_on_the_sqlite_store(python, tmp_path):
    with running_elector(tmp_path, store="sqlite") as url:
        results_of(python, url)


def test_this_python_is_among_them():
    assert Path(PYTHONS[0].path).exists()
    assert NEWEST_WITH_SUITE, "no Python here has CPython's own tests"
