"""The tests leave locks behind that were never released, as programs do; their loss must not end the whole run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import metaparticle_sync


@pytest.fixture(scope="session", autouse=True)
def _losses_end_nothing() -> Iterator[None]:
    metaparticle_sync.set_loss_policy("raise")
    yield
    metaparticle_sync.set_loss_policy("exit")
