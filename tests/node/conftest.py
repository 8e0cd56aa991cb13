"""One node for all tests of this folder; a namespace for each. They run inside a box only: `make e2e`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cluster import binaries
from tests.node.box import folder_inside, images_inside
from tests.node.namespaces import Namespace
from tests.node.node import Node
from tests.processes.running import ROOT

NOT_HERE = "the tests on a node need a box of their own, and root to make it: make e2e"
FIGURES = ROOT / "build" / "node-figures.json"

_figures: dict[str, Any] = {}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes by itself begins first, and is looked at last."""
    places = {"test_a_dead_pods_session_stays_for_the_time_being": 0, "test_the_session_record_is_swept": 2}
    items.sort(key=lambda item: places.get(item.name, 1))


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A running cluster of one node."""
    folder = folder_inside()
    if folder is None:
        if os.environ.get("CI") == "true":
            pytest.fail(NOT_HERE, pytrace=False)
        pytest.skip(f"NOT TESTED: {NOT_HERE}")
    home = folder / "cluster"
    home.mkdir()
    cluster = Node(binaries.find_node(), home, images_inside())
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


@pytest.fixture
def make_namespace(
    node: Node, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[float | None], Namespace]]:
    """Makes a namespace whose electors have this lease."""
    made: list[Namespace] = []
    failed_before = request.session.testsfailed

    def make(lease_seconds: float | None = None) -> Namespace:
        made.append(Namespace(node, tmp_path, lease_seconds))
        return made[-1]

    yield make
    for namespace in made:
        if request.session.testsfailed > failed_before:
            print(namespace.evidence())
        try:
            namespace.assert_logs_read_well()
        finally:
            namespace.remove()


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a test measures; shown at the end of the run, and kept in build/."""
    measured: dict[str, Any] = _figures.setdefault(request.node.name.removeprefix("test_"), {})
    return measured


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _figures:
        return
    FIGURES.parent.mkdir(exist_ok=True)
    FIGURES.write_text(json.dumps(_figures, indent=1) + "\n")
    terminalreporter.section(f"measured on a node (kept in {FIGURES.relative_to(ROOT)})")
    for name, measured in _figures.items():
        values = ", ".join(f"{what}: {value}" for what, value in measured.items())
        terminalreporter.write_line(f"{name.replace('_', ' ')} -- {values}")
