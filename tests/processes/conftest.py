"""The machine of each test: checked at its end, ended in any case, shown if the test failed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes.machine import Machine

_FAILED = pytest.StashKey[bool]()
_MEASURED = pytest.StashKey[list[tuple[str, float, float]]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@pytest.fixture
def machine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Machine]:
    machine = Machine(tmp_path)
    try:
        yield machine
    finally:
        machine.end()
        request.config.stash.setdefault(_MEASURED, []).extend(machine.measured)
        if request.node.stash.get(_FAILED, False):
            print(machine.report())
    try:
        machine.check()
    except AssertionError:
        print(machine.report())
        raise


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """A table of what was measured under faults. Not a benchmark: other tests may run beside it."""
    measured = config.stash.get(_MEASURED, [])
    if measured:
        terminalreporter.section("times under faults")
        for what, seconds, promised in measured:
            terminalreporter.write_line(f"{what:<72} {seconds * 1000:8.0f} ms   promised {promised:g} s")
