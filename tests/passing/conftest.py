"""The machine of each test, and an elector for the process of the tests itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from metaparticle_sync import _keeper, _process
from tests.passing.kinds import KINDS
from tests.processes.conftest import machine
from tests.processes.electors import LONG, ElectorProcess
from tests.processes.machine import Machine
from tests.processes.reporting import pytest_runtest_makereport, pytest_terminal_summary

__all__ = ["machine", "pytest_runtest_makereport", "pytest_terminal_summary"]


@pytest.fixture(scope="module")
def elector(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ElectorProcess]:
    """The elector of this process; one for all tests of a module."""
    running = Machine(tmp_path_factory.mktemp("elector"))
    with pytest.MonkeyPatch.context() as patch:
        elector = running.elector(LONG)
        patch.setenv("METAPARTICLE_SYNC_URL", elector.url)
        yield elector
        for keeper in list(_keeper._keepers.values()):
            keeper.close()
        _keeper._keepers.clear()
        _process._watched.clear()
    running.end()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param
