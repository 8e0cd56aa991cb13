"""One API server for all tests of this folder; a namespace for each."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import KubernetesHarness, Namespace, install
from tests.cluster.pods import PodMachine
from tests.cluster.recorder import Recorder
from tests.processes.reporting import pytest_runtest_makereport, pytest_terminal_summary, watched
from tests.stores.conftest import MakeHarness

__all__ = ["pytest_runtest_makereport", "pytest_terminal_summary"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs now, if that is needed at all: it takes longer than any test may."""
    folder = Path(__file__).parent
    if not session.config.option.collectonly and any(folder in item.path.parents for item in session.items):
        _found()


@functools.cache
def _found() -> binaries.Binaries | binaries.NoBinaries:
    try:
        return binaries.find()
    except binaries.NoBinaries as error:
        return error


@pytest.fixture(scope="session")
def found_binaries() -> binaries.Binaries:
    """The programs. Without them the tests are skipped, where somebody develops; where it counts, they fail."""
    found = _found()
    if isinstance(found, binaries.Binaries):
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(str(found), pytrace=False)
    pytest.skip(f"NOT TESTED: {found}")


@pytest.fixture(scope="session")
def plane(found_binaries: binaries.Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    """A running control plane with the definitions of deploy/."""
    control_plane = ControlPlane(found_binaries, tmp_path_factory.mktemp("cluster"))
    try:
        control_plane.start()
        install(control_plane)
        yield control_plane
    finally:
        control_plane.stop()


@pytest.fixture
def namespace(plane: ControlPlane, tmp_path: Path) -> Namespace:
    return Namespace(plane, tmp_path)


@pytest.fixture(scope="session")
def recorder(plane: ControlPlane) -> Iterator[Recorder]:
    """What really happened to all records, from etcd's first revision."""
    with Recorder(plane.etcd_port) as recorder:
        yield recorder


@pytest.fixture
def pods(request: pytest.FixtureRequest, namespace: Namespace, recorder: Recorder) -> Iterator[PodMachine]:
    """Pods in a namespace of their own; all beliefs of their applications are checked at the end."""
    with watched(request, PodMachine(namespace, recorder)) as pods:
        yield pods


@pytest.fixture
def make_harness(plane: ControlPlane, tmp_path: Path) -> MakeHarness:
    return lambda: KubernetesHarness(Namespace(plane, tmp_path))


@pytest.fixture
def harness(make_harness: MakeHarness) -> KubernetesHarness:
    return make_harness()
