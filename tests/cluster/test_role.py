"""The Role of deploy/: each of its rights is used, and none is missing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

from elector_server.store import OutcomeUnknown, Store, StoreUnavailable
from elector_server.store.kubernetes_objects import PLURALS
from tests.cluster.namespaces import Namespace
from tests.cluster.test_errors import SPEC, Use
from tests.stores.harness import SESSION
from tests.stores.kinds import UNUSED

VERBS: Final[dict[tuple[str, str], Use]] = {
    (plural, verb): use
    for kind, plural in PLURALS.items()
    for verb, use in {
        "get": lambda store, kind=kind: store.get(kind, "a"),
        "list": lambda store, kind=kind: store.list(kind),
        "create": lambda store, kind=kind: store.create(kind, f"a{time.time_ns()}", "s", UNUSED.get(kind, SPEC)),
        "update": lambda store, kind=kind: store.replace(kind, "a", 1, "s", UNUSED.get(kind, SPEC)),
        "delete": lambda store, kind=kind: store.delete(kind, "a", 1),
        "watch": lambda store, kind=kind: watch(store, kind),
    }.items()
    if (kind, verb) != (SESSION, "watch")
}


async def watch(store: Store, kind: str) -> object:
    async with store.watch(kind, (await store.list(kind)).version) as watch:
        return await asyncio.wait_for(watch.next(), 0.5)


def test_the_role_allows_what_is_used_and_nothing_else(namespace: Namespace) -> None:
    """Without one of its verbs that operation is refused, with its name."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/roles/elector"
    role = namespace.plane.request("GET", path)
    granted = {(plural, verb) for rule in role["rules"] for plural in rule["resources"] for verb in rule["verbs"]}
    assert granted == set(VERBS)

    async def run() -> None:
        store = namespace.store()
        try:
            for (plural, verb), use in VERBS.items():
                left = granted - {(plural, verb)}
                rules = [{"apiGroups": ["metaparticle.io"], "resources": [of], "verbs": [one]} for of, one in left]
                await asyncio.to_thread(
                    namespace.plane.request,
                    "PATCH",
                    path,
                    {"rules": rules},
                    content="application/merge-patch+json",
                )
                error = await refused(lambda use=use: use(store))
                assert f"may not {verb} {plural}" in str(error)
        finally:
            await store.close()

    asyncio.run(run())


async def refused(use: Callable[[], Awaitable[object]]) -> StoreUnavailable:
    give_up_at = time.monotonic() + 20
    while time.monotonic() < give_up_at:
        try:
            await use()
        except StoreUnavailable as error:
            assert not isinstance(error, OutcomeUnknown)
            if error.code == "store_forbidden":
                return error
        except Exception:  # noqa: BLE001 - until the API server has heard of it, anything may come
            pass
        await asyncio.sleep(0.02)
    raise AssertionError("never refused")
