"""Fixtures: the contract runs once for each implementation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.stores.harness import HARNESSES, Harness

MakeHarness = Callable[[], Harness]


@pytest.fixture(params=HARNESSES, ids=lambda harness: harness.__name__.removesuffix("Harness").lower())
def make_harness(request: pytest.FixtureRequest, tmp_path: Path) -> MakeHarness:
    """Make a harness with no records in it, as often as a test likes."""
    numbers = itertools.count()

    def make() -> Harness:
        folder = tmp_path / str(next(numbers))
        folder.mkdir()
        made: Harness = request.param(folder)
        return made

    return make


@pytest.fixture
def harness(make_harness: MakeHarness) -> Harness:
    return make_harness()
