"""Electors as processes, each as the sidecar of a pod of its own."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.cluster.namespaces import Namespace
from tests.processes.electors import ElectorProcess, Leases
from tests.processes.raw_client import RawClient
from tests.processes.running import Process, wait_until

_numbers = itertools.count(1)


class PodElector(ElectorProcess):
    """The elector of one pod: its identity is the pod's, its rights are those of the namespace's service account."""

    def __init__(self, namespace: Namespace, leases: Leases, kubeconfig: Path | None = None) -> None:
        self.pod = f"pod-{next(_numbers)}"
        super().__init__(namespace.folder, namespace.folder / f"{self.pod}.log", leases)
        self._namespace = namespace
        self._uid = str(uuid.uuid4())
        self._kubeconfig = kubeconfig or namespace.kubeconfig()

    def start(self) -> PodElector:
        self.launch()
        self.wait_until_serving()
        wait_until(self.has_session, f"the session of {self.pod}")
        return self

    def has_session(self) -> bool:
        """Whether it is ready to grant, as the store shows it."""
        specs = [one["spec"] for one in self._namespace.sessions()]
        return any(spec["owner"] == self.pod and spec["state"] == "live" and spec["seq"] > 0 for spec in specs)

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        self.end()
        self._process = Process(self._arguments(), self.output, self.environment())

    def environment(self) -> Mapping[str, str]:
        return {
            "KUBECONFIG": str(self._kubeconfig),
            "POD_NAME": self.pod,
            "POD_UID": self._uid,
            "POD_NAMESPACE": self._namespace.name,
        }

    def _arguments(self) -> list[str]:
        settings = {
            "store": "kubernetes",
            "port": self.port,
            "health-port": 0,
            "lease-seconds": self.leases.lease_seconds,
            "client-ttl-seconds": self.leases.client_ttl_seconds,
        }
        return ["-m", "elector_server", *(str(part) for key, value in settings.items() for part in (f"--{key}", value))]


@contextlib.contextmanager
def pod_electors(namespace: Namespace, count: int, leases: Leases) -> Iterator[list[PodElector]]:
    """So many electors, started; none of them is left."""
    electors = [PodElector(namespace, leases) for _ in range(count)]
    try:
        for elector in electors:
            elector.start()
        yield electors
    finally:
        for elector in electors:
            elector.end()


@contextlib.contextmanager
def client_of(elector: PodElector) -> Iterator[RawClient]:
    """An application beside it, which speaks the bare protocol."""
    client = RawClient(elector.url)
    try:
        assert client.open().status == 200
        yield client
    finally:
        client.end()
