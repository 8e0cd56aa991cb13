"""An elector newer than the Role of its namespace: what it was allowed before goes on, the rest says why not."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from metaparticle_sync import wire
from tests.cluster.electors import client_of
from tests.cluster.namespaces import Namespace
from tests.cluster.proxied import ProbedElector
from tests.cluster.sharing import Sharing
from tests.processes.electors import LONG
from tests.processes.raw_client import Answer
from tests.processes.running import wait_until

MERGE: Final = "application/merge-patch+json"

USES: Final[dict[str, Callable[[Sharing], Answer]]] = {
    "semaphores": lambda sharing: sharing.acquire("a", wire.new_id(), 3),
    "events": lambda sharing: sharing.put("a", is_set=True),
    "conditions": lambda sharing: sharing.notify("a", 1),
    "barriers": lambda sharing: sharing.arrive("a", wire.new_id(), 3),
}


@pytest.fixture
def elector(namespace: Namespace) -> Iterator[ProbedElector]:
    elector = ProbedElector(namespace, LONG)
    try:
        yield elector.start()
    finally:
        elector.end()


def rights_to(namespace: Namespace, resources: list[str]) -> list[dict[str, Any]]:
    """The rules of the Role before they are changed to these resources, with every verb."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/roles/elector"
    before: list[dict[str, Any]] = namespace.plane.request("GET", path)["rules"]
    verbs = ["get", "list", "watch", "create", "update", "delete"]
    rules = [{"apiGroups": ["metaparticle.io"], "resources": resources, "verbs": verbs}]
    namespace.plane.request("PATCH", path, {"rules": rules}, content=MERGE)
    return before


def test_a_role_of_before(namespace: Namespace, elector: ProbedElector) -> None:
    rights_to(namespace, ["locks", "sessions"])
    with client_of(elector) as client:
        for plural, use in USES.items():
            wait_until(lambda use=use: use(Sharing(client)).code == "store_unavailable", f"no rights to {plural}")
            why = rf"\(store_forbidden\): system:serviceaccount:{namespace.name}:elector may not \w+ {plural} in"
            wait_until(lambda why=why: re.search(why, elector.output.read_text()), "the log says why")
        assert client.acquire("a", wire.new_id()).status == 200
        assert elector.readiness().ready
        rights_to(namespace, ["locks", "sessions", *USES])
        for plural, use in USES.items():
            wait_until(lambda use=use: use(Sharing(client)).status in {200, 202}, f"{plural} can be used")
