"""Every test of the client has its own elector, hence its own keeper; afterwards none of them does anything."""

from __future__ import annotations

import pytest

from metaparticle_sync import _keeper, _loss, _process
from tests.client.fake_elector import FakeElector


@pytest.fixture
def elector(monkeypatch):
    fake = FakeElector().start()
    monkeypatch.setenv("METAPARTICLE_SYNC_URL", fake.url)
    yield fake
    for keeper in list(_keeper._keepers.values()):
        fake.heal()
        keeper.close()
    fake.kill()
    _keeper._keepers.clear()
    _process._watched.clear()


@pytest.fixture(autouse=True)
def loss_policy():
    """No test ends the test run."""
    _loss.set_loss_policy("raise")
    yield
    _loss.set_loss_policy("exit")


@pytest.fixture
def impatient(monkeypatch):
    """First contact waits for less than usual."""
    monkeypatch.setattr("metaparticle_sync._waiting.FIRST_CONTACT_SECONDS", 0.3)
