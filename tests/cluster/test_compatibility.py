"""CPython's own suites, unchanged, over an elector whose records are objects in a real API server."""

from __future__ import annotations

import pytest

from compat_tests import pythons
from compat_tests.running import results_of
from tests.cluster.electors import pod_electors
from tests.cluster.namespaces import Namespace
from tests.processes.electors import LONG

NEWEST = [python for python in pythons.found() if python.has_suite][-1:]


@pytest.mark.parametrize("python", NEWEST, ids=lambda python: python.version)
def test_the_suites_pass_unchanged(python: pythons.Python, namespace: Namespace) -> None:
    with pod_electors(namespace, 1, LONG) as [elector]:
        results_of(python, elector.url)


def test_some_python_has_the_suites() -> None:
    assert NEWEST
