"""The calls to the elector, and the connections below them."""

from __future__ import annotations

import time

import pytest

from metaparticle_sync import ElectorUnavailable
from metaparticle_sync._address import resolve
from metaparticle_sync._sidecar import Sidecar
from tests.client.faults import drop, hang, trickles

PATH = "/locks/x"


@pytest.fixture
def sidecar(elector):
    sidecar = Sidecar(resolve(elector.url))
    yield sidecar
    sidecar.close()


def test_one_connection_is_kept_and_used_again(elector, sidecar):
    for _ in range(5):
        assert sidecar.read_lock(PATH, 5.0) is None
    assert len({request.peer for request in elector.requests}) == 1


def test_a_kept_connection_that_ends_costs_nothing(elector, sidecar):
    sidecar.read_lock(PATH, 5.0)
    elector.inject("GET", PATH, drop)
    assert sidecar.read_lock(PATH, 5.0) is None
    assert len(elector.requests) == 3


def test_a_fresh_connection_that_ends_is_an_error(elector, sidecar):
    elector.inject("GET", PATH, drop)
    with pytest.raises(ElectorUnavailable, match="closed connection"):
        sidecar.read_lock(PATH, 5.0)
    assert sidecar.read_lock(PATH, 5.0) is None


def test_a_connection_of_an_elector_that_restarted_is_noticed_before_it_is_used(elector, sidecar):
    sidecar.read_lock(PATH, 5.0)
    elector.kill()
    elector.start()
    assert sidecar.read_lock(PATH, 5.0) is None


@pytest.mark.parametrize("act", [hang, trickles])
def test_the_timeout_bounds_the_whole_answer(elector, sidecar, act):
    sidecar.read_lock(PATH, 5.0)
    elector.inject("GET", PATH, act)
    before = time.monotonic()
    with pytest.raises(ElectorUnavailable, match="timed out"):
        sidecar.read_lock(PATH, 0.3)
    assert 0.3 <= time.monotonic() - before < 1.0


def test_nothing_comes_from_the_environment(elector, sidecar, monkeypatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    assert sidecar.read_lock(PATH, 5.0) is None


def test_a_prefix_of_the_address_is_kept(elector):
    sidecar = Sidecar(resolve(elector.url + "/below/"))
    sidecar.read_lock(PATH, 5.0)
    sidecar.close()
    assert elector.requests[-1].path == "/below/locks/x"
