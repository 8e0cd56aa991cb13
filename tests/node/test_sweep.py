"""What is left of pods that vanished: in the end, nothing. It takes minutes, so it goes on beside the other tests."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.node.namespaces import Namespace
from tests.node.node import Node
from tests.node.pods import wait_until
from tests.node.test_takeover import seconds, two_holders
from tests.processes.electors import Leases
from tests.processes.history import now_ns

LEASES = Leases(5.0, 5.0)
"""Short ones: who sweeps, and when, is counted in leases."""

TRY_SECONDS = 30 * LEASES.lease_seconds
ROUND_SECONDS = 5 * LEASES.lease_seconds
"""Of elector_server/sweep.py: until somebody sweeps, and from one sweep to the next."""


class Abandoned:
    """A namespace in which a pod was deleted by force and its processes killed, so that its session was left alive."""

    def __init__(self, namespace: Namespace, session: str, since: int) -> None:
        self.namespace = namespace
        self.session = session
        self.since = since

    def is_left(self) -> bool:
        return any(one["metadata"]["name"] == self.session for one in self.namespace.sessions())


@pytest.fixture(scope="session")
def abandoned(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Abandoned]:
    namespace = Namespace(node, tmp_path_factory.mktemp("abandoned"), LEASES.lease_seconds)
    dead, _ = two_holders(namespace)
    namespace.here("scale", "deployment", "holders", "--replicas=4")  # The first of them that tries sweeps.
    session = namespace.session_of(dead)["name"]
    with node.without_kubelet():
        dead.kill()
        since = now_ns()
        namespace.here("delete", "pod", dead.name, "--force", "--grace-period=0")
    yield Abandoned(namespace, session, since)
    namespace.remove()


def test_a_dead_pods_session_stays_for_the_time_being(abandoned: Abandoned) -> None:
    assert abandoned.is_left()


def test_the_session_record_is_swept(abandoned: Abandoned, figures: dict[str, Any]) -> None:
    wait_until(lambda: not abandoned.is_left(), "the record is gone", TRY_SECONDS + 4 * ROUND_SECONDS)
    figures.update(gone_when_looked_at_after=seconds(abandoned.since, now_ns()), lease=LEASES.lease_seconds)
