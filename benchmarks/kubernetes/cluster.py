"""A real control plane with one namespace, and electors in it as pods have them: one service account, verified TLS."""

from __future__ import annotations

import contextlib
import itertools
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from benchmarks.elector import Elector
from benchmarks.kubernetes.api import RawApi
from benchmarks.kubernetes.counting import Counting
from tests.cluster.binaries import Binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.namespaces import Namespace, install

LEASE_SECONDS = 20.0
"""D, the default of an elector."""

_STARTS_AT_ONCE = 2

_pods = itertools.count(1)


class Cluster:
    """Use as a context. The electors of a measurement are its to stop."""

    def __init__(self, binaries: Binaries, folder: Path) -> None:
        self._folder = folder
        self.plane = ControlPlane(binaries, folder)

    def __enter__(self) -> Self:
        try:
            self.plane.start()
            install(self.plane)
            self.namespace = Namespace(self.plane, self._folder)
            # A definition that was made just now answers 429 for a moment, and electors then make a pause.
            self.raw = RawApi(self.namespace)
            self.counting = Counting(self.plane)
        except BaseException:
            self.plane.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.plane.stop()

    @contextlib.contextmanager
    def electors(self, count: int) -> Iterator[list[Elector]]:
        """So many electors, ready, each of a pod of its own."""
        with contextlib.ExitStack() as stack, ThreadPoolExecutor(_STARTS_AT_ONCE) as starting:
            electors = []
            for future in [starting.submit(self.elector) for _ in range(count)]:
                elector = future.result()
                stack.callback(elector.stop)
                electors.append(elector)
            yield electors

    def elector(self) -> Elector:
        """One elector, ready."""
        pod = f"pod-{next(_pods)}"
        environ = {
            "KUBECONFIG": str(self.namespace.kubeconfig()),
            "POD_NAME": pod,
            "POD_UID": str(uuid.uuid4()),
            "POD_NAMESPACE": self.namespace.name,
        }
        return Elector("kubernetes", self._folder, name=pod, environ=environ)
