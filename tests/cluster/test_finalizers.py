"""Objects that somebody deletes while a finalizer is on them: they stay until that one is done, and can be written."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from elector_server.store import Conflict
from elector_server.store.kubernetes import KubernetesStore
from tests.cluster.namespaces import LOCKS, Namespace
from tests.stores.harness import LOCK

SPEC = {"owner": "pod", "epoch": 1, "lease_seconds": 20.0}
MERGE = "application/merge-patch+json"
FINALIZER = "example.com/audit"


def use(namespace: Namespace, work: Callable[[KubernetesStore], Awaitable[None]]) -> None:
    async def run() -> None:
        store = namespace.store()
        try:
            await asyncio.wait_for(work(store), 20)
        finally:
            await store.close()

    asyncio.run(run())


def delete_with_finalizer(namespace: Namespace) -> None:
    path = LOCKS.format(namespace.name) + "/a"
    namespace.plane.request("PATCH", path, {"metadata": {"finalizers": [FINALIZER]}}, content=MERGE)
    namespace.plane.request("DELETE", path)


def test_a_write_leaves_the_finalizers_of_others(namespace: Namespace) -> None:
    async def work(store: KubernetesStore) -> None:
        await store.create(LOCK, "a", "s", SPEC)
        delete_with_finalizer(namespace)
        found = await store.get(LOCK, "a")
        assert found is not None
        written = await store.replace(LOCK, "a", found.version, "s", SPEC | {"owner": "next"})
        assert await store.get(LOCK, "a") == written

    use(namespace, work)
    (stored,) = namespace.locks()
    assert stored["metadata"]["finalizers"] == [FINALIZER]


def test_a_write_that_removes_the_object_is_none(namespace: Namespace) -> None:
    """A PUT without the last finalizer deletes what it writes, and is answered as a success."""

    async def work(store: KubernetesStore) -> None:
        await store.create(LOCK, "a", "s", SPEC)
        delete_with_finalizer(namespace)
        found = await store.get(LOCK, "a")
        assert found is not None
        store._metadata.forget(LOCK, "a")  # as it does with the oldest of too many
        with pytest.raises(Conflict):
            await store.replace(LOCK, "a", found.version, "s", SPEC | {"owner": "next"})
        assert await store.get(LOCK, "a") is None

    use(namespace, work)
    assert namespace.locks() == []
