"""A write to a shared record meets a fault between elector and API server: what was asked for is done once, not twice.

The application does what the library does: it asks again, under the same id, until it is answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from metaparticle_sync import wire
from tests.cluster.control_plane import ControlPlane
from tests.cluster.electors import PodElector, client_of
from tests.cluster.fault_proxy import FaultProxy, Rule
from tests.cluster.namespaces import Namespace
from tests.cluster.sharing import Sharing
from tests.cluster.test_proxy_writes import FAULTS
from tests.cluster.test_shared_kinds import stored
from tests.processes.electors import Leases
from tests.processes.raw_client import Answer
from tests.processes.running import wait_until

LEASES: Final = Leases(10.0, 60.0)

MET: Final = (
    "429, no Retry-After",
    "503",
    "500 after it took effect",
    "reset before it is sent on",
    "reset after it took effect",
    "answer cut in its body",
    "answer lost",
    "200, but another JSON",
)

_numbers = itertools.count(1)


class Pods:
    """`near` writes through a proxy, `far` does not."""

    def __init__(self, namespace: Namespace, proxy: FaultProxy, near: Sharing, far: Sharing) -> None:
        self.namespace = namespace
        self.proxy = proxy
        self.near = near
        self.far = far

    def meets(self, fault: str, verb: str, plural: str) -> Rule:
        """The next such request of the near elector."""
        return self.proxy.rule(FAULTS[fault], verb, plural, times=1)

    def stored(self, kind: str, name: str) -> dict[str, Any]:
        return stored(self.namespace, kind, name)


@pytest.fixture(scope="module")
def pods(plane: ControlPlane, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pods]:
    namespace = Namespace(plane, tmp_path_factory.mktemp("shared"))
    with FaultProxy(plane, namespace.folder / "proxy") as proxy:
        electors = [PodElector(namespace, LEASES, proxy.kubeconfig(namespace)), PodElector(namespace, LEASES)]
        try:
            with client_of(electors[0].start()) as near, client_of(electors[1].start()) as far:
                yield Pods(namespace, proxy, Sharing(near), Sharing(far))
        finally:
            for elector in electors:
                elector.end()


@pytest.fixture
def name(pods: Pods) -> Iterator[str]:
    """One that nobody has used."""
    for sharing in (pods.near, pods.far):
        assert sharing.client.heartbeat().status == 200
    yield f"name-{next(_numbers)}"
    pods.proxy.clear()


def answered(ask: Callable[[], Answer]) -> Answer:
    """The answer to a request that is made until it is answered."""
    answers: list[Answer] = []

    def is_answered() -> bool:
        answers.append(ask())
        assert answers[-1].status < 500 or answers[-1].status == 503, answers[-1]
        return answers[-1].status != 503

    wait_until(is_answered, "an answer")
    return answers[-1]


@pytest.mark.parametrize("fault", MET)
def test_permits_are_neither_lost_nor_made_up(pods: Pods, name: str, fault: str) -> None:
    rules = [pods.meets(fault, "create", "semaphores")]
    first, second = wire.new_id(), wire.new_id()
    acquired = answered(lambda: pods.near.acquire(name, first, 1))
    if acquired.code == "holder_dead":  # A single try that is not answered in time is given up.
        wait_until(lambda: pods.stored("semaphore", name)["value"] == 1, "the permit is back")
        acquired = pods.near.acquire(name, second, 1)
    assert acquired.body["value"] == 0
    assert pods.far.acquire(name, wire.new_id(), 1).code == "no_permit"

    rules.append(pods.meets(fault, "update", "semaphores"))
    holder, operation = acquired.body["holder"], wire.new_id()
    assert answered(lambda: pods.near.release(name, holder, limit=1, operation=operation)).status == 200
    assert [pods.stored("semaphore", name)[field] for field in ("value", "extra", "held")] == [1, 0, 0]

    rules.append(pods.meets(fault, "update", "semaphores"))
    again = wire.new_id()
    for _ in range(2):
        grown = answered(lambda: pods.near.release(name, limit=1, permits=3, operation=again))
        assert grown.body["value"] == 4
    assert pods.stored("semaphore", name)["value"] == 4
    assert all(rule.is_used_up for rule in rules)


@pytest.mark.parametrize("fault", MET)
def test_an_event_is_set_once(pods: Pods, name: str, fault: str) -> None:
    rules = [pods.meets(fault, "create", "events"), pods.meets(fault, "update", "events")]
    for operation, is_set in ((wire.new_id(), True), (wire.new_id(), False)):
        put = answered(lambda is_set=is_set, of=operation: pods.near.put(name, is_set=is_set, operation=of))
        assert (put.body["is_set"], put.body["generation"]) == (is_set, 1)
    assert [pods.stored("event", name)[field] for field in ("isSet", "generation", "operationCount")] == [False, 1, 2]
    assert all(rule.is_used_up for rule in rules)


@pytest.mark.parametrize("fault", MET)
def test_one_notification_wakes_one(pods: Pods, name: str, fault: str) -> None:
    for _ in range(2):
        assert pods.far.enqueue(name, wire.new_id()).status == 202
    rule = pods.meets(fault, "update", "conditions")
    operation = wire.new_id()
    assert answered(lambda: pods.near.notify(name, 1, operation)).status == 200
    assert [pods.stored("condition", name)[field] for field in ("waiters", "notified")] == [1, 1]
    assert rule.is_used_up


@pytest.mark.parametrize("fault", MET)
def test_a_party_arrives_once(pods: Pods, name: str, fault: str) -> None:
    near = wire.new_id()
    assert pods.far.arrive(name, wire.new_id(), 3).body["index"] == 0
    rule = pods.meets(fault, "update", "barriers")
    arrived = answered(lambda: pods.near.arrive(name, near, 3))
    assert (arrived.status, arrived.body["index"]) == (202, 1)
    assert pods.stored("barrier", name)["waiting"] == 2
    assert rule.is_used_up
