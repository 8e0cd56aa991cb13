"""Pods of one namespace: electors, their applications, and the recorder that knows better than all of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.cluster.electors import PodElector
from tests.cluster.namespaces import Namespace
from tests.cluster.record_checker import overlap_seconds, violations
from tests.cluster.recorder import Recorder, StoredWrite, Tenure, tenures
from tests.processes.electors import SHORT, Leases
from tests.processes.machine import OUTPUT_CHARACTERS_SHOWN, Machine
from tests.processes.running import wait_until


class PodMachine(Machine):
    """Starts the processes of a namespace's pods, and checks their beliefs against the recorder."""

    def __init__(self, namespace: Namespace, recorder: Recorder) -> None:
        super().__init__(namespace.folder)
        self.namespace = namespace
        self._recorder = recorder
        self._freed_by_hand: set[int] = set()
        self.account_of: dict[str, str] = {}
        """The service accounts of pods that have one of their own."""

    def elector(self, leases: Leases = SHORT, kubeconfig: Path | None = None) -> PodElector:
        """A running elector of a pod of its own, under a service account of its own or as `kubeconfig` says."""
        account = f"account-{len(self._ends) + 1}"
        elector = PodElector(self.namespace, leases, kubeconfig or self.namespace.add_account(account))
        if kubeconfig is None:
            self.account_of[elector.pod] = account
        self._ends.append(elector)
        return elector.start()

    def writes(self) -> list[StoredWrite]:
        """Every write to records of this namespace until now."""
        return self._recorder.writes(self.namespace.name)

    def tenures(self, name: str) -> list[Tenure]:
        """Every hold of one lock until now."""
        return [tenure for tenure in tenures(self.writes()) if tenure.name == name]

    def wait_for_tickets(self, name: str, count: int) -> None:
        """Wait until so many electors stand in the queue of the record itself."""
        wait_until(lambda: len(self.record(name).get("queue", ())) == count, f"{count} tickets for {name!r}")

    def record(self, name: str) -> Mapping[str, Any]:
        """What the record of a lock says by now; empty if it is free."""
        return [write.spec for write in self.writes() if write.kind == "lock" and write.key == name][-1]

    def sessions_of(self, elector: PodElector) -> list[StoredWrite]:
        """Every write to a session of one pod until now."""
        return [write for write in self.writes() if write.kind == "session" and write.spec.get("owner") == elector.pod]

    def exempt(self, token: int) -> None:
        """The record of this hold was removed by hand: what its holder believes after that is no violation."""
        self._freed_by_hand.add(token)

    def overlap_seconds(self, token: int) -> float:
        """For how long a holder believed after its record was removed."""
        return overlap_seconds(self.events(), tenures(self.writes()), token)

    def check(self) -> None:
        """Check all histories against the recorder's.

        Raises:
            AssertionError: with every violation.
        """
        events, writes = self.events(), self.writes()
        self.judge(events, len(writes), violations(events, writes, self._freed_by_hand))

    def report(self) -> str:
        """What the processes printed, and what happened to them and to the records."""
        logs = [
            f"----- {file.name} -----\n{file.read_text()[-OUTPUT_CHARACTERS_SHOWN:]}"
            for file in sorted(self.namespace.folder.glob("*.log"))
        ]
        held = "\n".join(map(str, tenures(self._recorder.seen(self.namespace.name))))
        return "\n".join([*logs, super().report(), "----- tenures -----", held[-OUTPUT_CHARACTERS_SHOWN:]])
