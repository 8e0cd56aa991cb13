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
from tests.docs.pages import table
from tests.processes.electors import Leases
from tests.processes.raw_client import Answer
from tests.processes.running import ROOT, wait_until

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

PAGE: Final = ROOT / "docs" / "kubernetes.md"
WRITING: Final = {"create", "update", "delete"}

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


class TestCost:
    """What docs/kubernetes.md says of writes, for names that are in use already: each one is counted."""

    @staticmethod
    def told(what: str) -> str:
        """The cell of the page."""
        return next(writes for cell, writes in table(PAGE, "what", "writes") if cell.startswith(what))

    @staticmethod
    def writes(pods: Pods, plural: str, work: Callable[[], None]) -> int:
        before = len(pods.proxy.seen)
        work()
        written = [one for one in pods.proxy.seen[before:] if one.verb in WRITING]
        assert {one.plural for one in written} <= {plural, "sessions"}
        return sum(one.plural == plural for one in written)

    def test_a_permit(self, pods: Pods, name: str) -> None:
        def use() -> None:
            holder = wire.new_id()
            assert pods.near.acquire(name, holder, 2).status == 200
            assert pods.near.release(name, holder, limit=2).status == 200

        use()
        assert self.told("a permit") == str(self.writes(pods, "semaphores", use)) == "2"

    def test_an_event(self, pods: Pods, name: str) -> None:
        def wait() -> None:
            assert pods.near.begin_to_wait(name).answer().status == 200
            assert pods.near.begin_to_wait(name, 0).answer().status == 200

        pods.near.put(name, is_set=False)
        assert self.told("an event") == str(self.writes(pods, "events", lambda: self.put(pods, name))) == "1"
        assert self.told("a wait for an event") == str(self.writes(pods, "events", wait)) == "0"

    @staticmethod
    def put(pods: Pods, name: str) -> None:
        assert pods.near.put(name, is_set=True).status == 200

    def test_a_condition(self, pods: Pods, name: str) -> None:
        def use() -> None:
            holder = wire.new_id()
            assert pods.near.enqueue(name, holder).status == 202
            waiting = pods.near.begin_to_be_notified(name, holder)
            assert pods.near.notify(name, 1).body["notified"] == 1
            assert waiting.answer().status == 200
            assert pods.near.client.heartbeat().status == 200  # So it has heard the answer.
            wait_until(lambda: not pods.stored("condition", name)["tickets"], "the ticket is taken away")

        use()
        assert self.told("a wait for a condition").startswith(f"{self.writes(pods, 'conditions', use)}, ")

    @pytest.mark.parametrize("acts", [False, True])
    def test_a_barrier(self, pods: Pods, name: str, *, acts: bool) -> None:
        def use() -> None:
            first, last = wire.new_id(), wire.new_id()
            assert pods.near.arrive(name, first, 2, acts=acts).status == 202
            assert pods.near.arrive(name, last, 2, acts=acts).body["state"] == ("acting" if acts else "passed")
            if acts:
                assert pods.near.change(name, "open", 2, last).status == 200

        use()
        assert self.told("a barrier") == "n, and 1 more if an action is run"
        assert self.writes(pods, "barriers", use) == 2 + acts
