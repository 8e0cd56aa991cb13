"""A machine per test: checked at the test's end, ended in any case, shown if the test failed; and a table of times.

A conftest imports the two hooks, and makes its fixture of `watched`.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import TypeVar

import pytest

from tests.processes.machine import Machine

AnyMachine = TypeVar("AnyMachine", bound=Machine)

_FAILED = pytest.StashKey[bool]()
_MEASURED = pytest.StashKey[list[tuple[str, float, float]]]()
_CHECKED = pytest.StashKey[Counter[str]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):
    report = yield
    if report.failed:
        item.stash[_FAILED] = True
    return report


@contextlib.contextmanager
def watched(request: pytest.FixtureRequest, machine: AnyMachine) -> Iterator[AnyMachine]:
    """Have a machine for one test."""
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
    request.config.stash.setdefault(_CHECKED, Counter()).update(machine.checked)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What was measured under faults, and how much was checked. No benchmark: other tests may run beside it."""
    measured, checked = config.stash.get(_MEASURED, []), config.stash.get(_CHECKED, Counter())
    config.stash[_MEASURED], config.stash[_CHECKED] = [], Counter()  # Several folders have this hook; one prints.
    if measured:
        terminalreporter.section("times under faults")
        for what, seconds, promised in measured:
            terminalreporter.write_line(f"{what:<72} {seconds * 1000:8.0f} ms   promised {promised:g} s")
    if checked:
        counts = ", ".join(f"{count:,} {what}" for what, count in checked.items())
        terminalreporter.write_line(f"compared without a violation: {counts}")
