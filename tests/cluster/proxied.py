"""Two pods: the elector of one sees the API server through a fault proxy, the other's sees it as it is."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.electors import PodElector
from tests.cluster.fault_proxy import Exchange, FaultProxy
from tests.cluster.namespaces import Namespace
from tests.cluster.pods import PodMachine
from tests.cluster.record_checker import violations
from tests.cluster.recorder import Recorder
from tests.processes.electors import Leases, free_port
from tests.processes.reporting import watched
from tests.processes.running import wait_until
from tests.processes.workers import WorkerProcess

_numbers = itertools.count(1)


class Readiness(NamedTuple):
    """What /readyz says."""

    ready: bool
    code: str | None
    reason: str | None


class ProbedElector(PodElector):
    """With a health port, which the kubelet would ask."""

    def __init__(self, namespace: Namespace, leases: Leases, kubeconfig: Path | None = None) -> None:
        super().__init__(namespace, leases, kubeconfig)
        self._health_port = free_port()

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--health-port", str(self._health_port)]

    def readiness(self) -> Readiness:
        """What it says now; the same as no answer while it does not listen yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self._health_port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            body: dict[str, Any] = json.loads(answer.read())
        except ConnectionError:
            return Readiness(ready=False, code=None, reason=None)
        finally:
            connection.close()
        assert (answer.status == 200) == body["ready"]
        return Readiness(**body)

    def wait_until_ready(self) -> None:
        wait_until(lambda: self.readiness().ready, f"{self.pod} is ready")


class ProxiedPods(PodMachine):
    """`near` works through `proxy` with `here` as its application, `far` without, with `there` as its application."""

    near: ProbedElector
    far: ProbedElector
    here: WorkerProcess
    there: WorkerProcess

    def __init__(self, namespace: Namespace, recorder: Recorder, proxy: FaultProxy, leases: Leases) -> None:
        super().__init__(namespace, recorder)
        self.proxy = proxy
        self.leases = leases
        self._expected: set[str] = set()

    def expect_late_create(self, name: str, answered: int, late: int) -> None:
        """The record of this token was written by a late copy of the create that gave the other one."""
        tenures = {tenure.token: tenure for tenure in self.tenures(name)}
        holder = tenures[late].holder
        assert tenures[answered].holder == holder
        assert late > answered
        assert not [event for event in self.events() if event.token == late], "somebody was told of it"
        self._expected.add(f"lock {name!r}: token {answered} of {holder[:8]} is followed by {late} of {holder[:8]}")

    def check(self) -> None:
        """As the common one, but for what a test expects.

        Raises:
            AssertionError: with every violation.
        """
        events, writes = self.events(), self.writes()
        found = violations(events, writes, self._freed_by_hand)
        self.checked.clear()  # Each check is of everything since the beginning.
        self.judge(events, len(writes), (one for one in found if one not in self._expected))

    def start(self) -> None:
        self.near = self.probed(self.proxy.kubeconfig(self.namespace))
        self.far = self.probed()
        self.here = self.worker(self.near, tells=True)
        self.there = self.worker(self.far, tells=True)

    def probed(self, kubeconfig: Path | None = None) -> ProbedElector:
        """One more pod's elector."""
        elector = ProbedElector(self.namespace, self.leases, kubeconfig)
        self._ends.append(elector)
        elector.start()
        return elector

    def settle(self) -> str:
        """Whatever a test before did is over, and both electors can grant. A name that nobody used."""
        self.proxy.clear()
        for elector in (self.near, self.far):
            elector.wait_until_ready()
        return f"lock {next(_numbers)}"

    def losses(self) -> int:
        """How often an application was told of a loss, or doubted."""
        return sum(len(worker.events(kind)) for worker in (self.here, self.there) for kind in ("told", "doubt"))

    def queue_up_there(self, name: str) -> None:
        """Let the other pod's application wait for a lock that is held here."""
        self.there.do("acquire", name=name)
        self.near.wait_for_waiters(name, 1)

    def queue_up_here(self, name: str) -> None:
        """Let this pod's application wait for a lock that is held there."""
        self.here.do("acquire", name=name)
        self.far.wait_for_waiters(name, 1)

    def renewals(self) -> list[Exchange]:
        """The renewals of the near elector that the API server took."""
        return [one for one in self.proxy.asked("update", "sessions") if one.status == 200]


@contextlib.contextmanager
def proxied_pods(
    request: pytest.FixtureRequest, plane: ControlPlane, recorder: Recorder, folder: Path, leases: Leases
) -> Iterator[ProxiedPods]:
    """Both pods, running, shared by the tests of a file; all beliefs are checked at the end of each, and of all."""
    namespace = Namespace(plane, folder)
    with (
        FaultProxy(plane, namespace.folder / "proxy") as proxy,
        watched(request, ProxiedPods(namespace, recorder, proxy, leases)) as pods,
    ):
        pods.start()
        yield pods


@contextlib.contextmanager
def checked(pods: ProxiedPods) -> Iterator[str]:
    """One test with pods that others use, too: a fresh name, and no violation at the end. Prints what happened."""
    try:
        yield pods.settle()
        pods.proxy.clear()
        pods.check()
    finally:
        print(pods.report())  # pytest shows it if the test failed.
        print("\n".join(map(str, pods.proxy.seen[-200:])))
