"""The image, built before the tests' time runs, and unpacked."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.conftest import found_binaries, namespace, plane  # noqa: F401 - fixtures
from tests.image import build, programs
from tests.image.container import ContainerElector
from tests.image.unpacked import Unpacked

StartElector = Callable[..., ContainerElector]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build now, if it is needed at all: it takes longer than a test should."""
    folder = Path(__file__).parent
    if not session.config.option.collectonly and any(folder in item.path.parents for item in session.items):
        _built()


@functools.cache
def _built() -> Path | programs.CannotBuild:
    try:
        programs.ensure()
    except programs.CannotBuild as error:
        return error
    return build.archive()


@pytest.fixture(scope="session")
def archive() -> Path:
    """The image. Where it can not be built, its tests are skipped; where it counts, they fail."""
    built = _built()
    if isinstance(built, Path):
        return built
    if os.environ.get("CI") == "true":
        pytest.fail(f"the image can not be built: {built}", pytrace=False)
    pytest.skip(f"NOT TESTED: the image can not be built: {built}")


@pytest.fixture(scope="session")
def image(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    return Unpacked(archive, tmp_path_factory.mktemp("image"))


@pytest.fixture(scope="session")
def shellless(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Unpacked:
    """The same without any shell: what would start one fails."""
    unpacked = Unpacked(archive, tmp_path_factory.mktemp("shellless"))
    unpacked.remove_shells()
    return unpacked


@pytest.fixture
def start_elector(shellless: Unpacked, tmp_path: Path) -> Iterator[StartElector]:
    """Starts electors, each in a container; none of them is left, and none met what it did not expect."""
    started: list[ContainerElector] = []

    def start(*arguments: str, **more) -> ContainerElector:
        folder = tmp_path / f"elector-{len(started)}"
        folder.mkdir()
        started.append(ContainerElector(shellless, folder, *arguments, **more))
        return started[-1].start()

    yield start
    for elector in started:
        elector.end()
    for elector in started:
        said = elector.output.read_text()
        assert " ERROR " not in said, said
        assert "Traceback" not in said, said
