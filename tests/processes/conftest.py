"""The machine of each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.machine import Machine
from tests.processes.reporting import pytest_runtest_makereport, pytest_terminal_summary, watched

__all__ = ["pytest_runtest_makereport", "pytest_terminal_summary"]


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    with watched(request, Machine(tmp_path)) as machine:
        yield machine
