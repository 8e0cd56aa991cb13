"""What is read of a service account's folder, again and again, while files in it change."""

from __future__ import annotations

import asyncio

import pytest

from elector_server.store import StoreUnavailable
from elector_server.store.kubernetes import KubernetesStore
from elector_server.store.kubernetes_access import Access
from tests.cluster.namespaces import Namespace
from tests.processes.running import wait_until
from tests.stores.harness import LOCK


def test_connections_outlive_a_new_token_but_not_a_new_authority(namespace: Namespace) -> None:
    """A TLS connection costs as much as many writes, and is kept for one context only."""
    first = namespace.load()
    (namespace.service_account / "token").write_text(namespace.new_token(7200))
    second = namespace.load()
    assert first.authorization != second.authorization
    assert first.target == second.target
    authority = namespace.service_account / "ca.crt"
    authority.write_bytes(authority.read_bytes() + b"\n")
    assert namespace.load().target != first.target


def test_a_refused_token_that_did_not_change_is_sent_once(namespace: Namespace) -> None:
    loaded: list[Access] = []

    async def use() -> None:
        store = KubernetesStore(load, namespace.name, namespace.plane.url)
        try:
            await store.get(LOCK, "a")
        finally:
            await store.close()

    def load() -> Access:
        loaded.append(namespace.load())
        return loaded[-1]

    (namespace.service_account / "token").write_text("refused")
    before = refusals(namespace)
    with pytest.raises(StoreUnavailable) as caught:
        asyncio.run(use())
    assert caught.value.code == "token_refused"
    assert len(loaded) == 2
    wait_until(lambda: refusals(namespace) > before, "the refusal is counted")
    assert refusals(namespace) == before + 1


def refusals(namespace: Namespace) -> int:
    """How many requests the API server has refused to authenticate."""
    rows = namespace.plane.request("GET", "/metrics").splitlines()
    found = [row for row in rows if row.startswith("authentication_attempts{") and 'result="error"' in row]
    return sum(int(float(row.split()[-1])) for row in found)
