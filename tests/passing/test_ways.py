"""As arguments of threads, processes and pools: what arrives is the same primitive, with or without a name."""

from __future__ import annotations

import pytest

from tests.passing.kinds import KINDS
from tests.passing.records import wait_until_gone
from tests.passing.ways import IN_PROCESSES, IN_THREADS, METHODS
from tests.processes.electors import LONG
from tests.processes.machine import Machine

WAYS = [(way, "fork") for way in IN_THREADS] + [(way, method) for way in IN_PROCESSES for method in METHODS]


@pytest.mark.parametrize(("way", "method"), WAYS)
def test_what_is_passed_on_without_a_name_is_the_same_primitive(machine: Machine, way: str, method: str):
    elector = machine.elector(LONG)
    program = machine.program(
        ["-m", "tests.passing.checking_program", way, method], {"METAPARTICLE_SYNC_URL": elector.url}
    )
    assert program.exit_code() == 0
    assert program.said().split() == KINDS
    wait_until_gone(elector)


@pytest.mark.parametrize("method", METHODS)
def test_what_is_passed_on_with_a_name_is_the_same_primitive(machine: Machine, method: str):
    elector = machine.elector(LONG)
    program = machine.program(
        ["-m", "tests.passing.checking_program", "process", method, "named"], {"METAPARTICLE_SYNC_URL": elector.url}
    )
    assert program.exit_code() == 0
    assert program.said().split() == KINDS
