"""One API server for all tests of this folder; a namespace for each."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster import binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import KubernetesHarness, Namespace, install
from tests.stores.conftest import MakeHarness


@pytest.fixture(scope="session")
def found_binaries() -> binaries.Binaries:
    """The programs. Without them the tests are skipped, where somebody develops; where it counts, they fail."""
    try:
        return binaries.find()
    except binaries.NoBinaries as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(f"NOT TESTED: {error}")


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


@pytest.fixture
def make_harness(plane: ControlPlane, tmp_path: Path) -> MakeHarness:
    return lambda: KubernetesHarness(Namespace(plane, tmp_path))


@pytest.fixture
def harness(make_harness: MakeHarness) -> KubernetesHarness:
    return make_harness()
