from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.elector import DocumentedElector


@pytest.fixture
def elector(tmp_path: Path) -> Iterator[DocumentedElector]:
    running = DocumentedElector(tmp_path)
    try:
        yield running
    finally:
        running.end()
