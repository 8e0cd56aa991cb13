"""Writes that reach the API server 30 s late, when the elector has given them up: refused by their version, or undone.

All are sent when the file begins, and so wait side by side.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import pytest

from tests.cluster import wire_faults as faults
from tests.cluster.control_plane import ControlPlane
from tests.cluster.fault_proxy import Rule
from tests.cluster.proxied import ProxiedPods, checked, proxied_pods
from tests.cluster.recorder import Recorder
from tests.processes.electors import SHORT, Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.running import GENEROUS, wait_until

LATE_SECONDS: Final = 30.0
LEASES: Final = Leases(10.0, 60.0)


class LateWrites:
    """One late write of each kind, of an elector whose session goes on, and of one whose session is over."""

    def __init__(self, lasting: ProxiedPods, lost: ProxiedPods) -> None:
        self.lasting = lasting
        self.lost = lost
        self.rules: dict[str, Rule] = {}

    def begin(self) -> None:
        self._begin_loss()
        self.rules["renewal"] = self._hold(self.lasting, "update", "sessions")
        self._begin_create()
        self._begin_hand_off()
        self._begin_delete()
        self._end_loss()
        wait_until(lambda: self.rules["renewal"].is_used_up, "a renewal is late")

    def _hold(self, pods: ProxiedPods, verb: str, plural: str) -> Rule:
        return pods.proxy.rule(faults.hold_the_request(LATE_SECONDS), verb, plural, times=1)

    def _begin_create(self) -> None:
        """It is sent again, the second copy is answered, and the lock is given back before the first one lands."""
        pods = self.lasting
        self.rules["create"] = self._hold(pods, "create", "locks")
        pods.here.acquire("created")
        pods.here.release("created")
        wait_until(lambda: pods.far.is_free("created"), "it is free")

    def _begin_hand_off(self) -> None:
        pods = self.lasting
        pods.here.acquire("handed off")
        pods.queue_up_there("handed off")
        self.rules["hand-off"] = self._hold(pods, "update", "locks")
        pods.here.do("release", name="handed off")
        pods.there.wait_for("ok", what="acquire", name="handed off")

    def _begin_delete(self) -> None:
        """The name is somebody else's when the first copy lands."""
        pods = self.lasting
        pods.here.acquire("deleted")
        self.rules["delete"] = self._hold(pods, "delete", "locks")
        pods.here.do("release", name="deleted")
        pods.there.acquire("deleted")

    def _begin_loss(self) -> None:
        """For a while everything is late: the session is lost, and somebody else takes over."""
        pods = self.lost
        pods.here.acquire("lost")
        pods.queue_up_there("lost")
        self.rules["of a lost session"] = pods.proxy.rule(faults.hold_the_request(LATE_SECONDS))
        pods.here.do("acquire", name="asked for in vain", timeout=1.0)

    def _end_loss(self) -> None:
        pods = self.lost
        pods.there.wait_for("ok", what="acquire", name="lost")
        pods.proxy.clear()
        pods.near.wait_until_ready()

    def wait_until_landed(self, which: str) -> list[int]:
        """What the API server said to the late copies."""
        met = [one for one in self.rules[which].met if one.verb in {"create", "update", "delete"}]
        wait_until(lambda: all(one.status for one in met), f"the late {which} has landed")
        assert met
        return [one.status for one in met]


@pytest.fixture(scope="module")
def late(
    request: pytest.FixtureRequest, plane: ControlPlane, recorder: Recorder, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LateWrites]:
    folder = tmp_path_factory.mktemp("late")
    with (
        proxied_pods(request, plane, recorder, folder / "lasting", LEASES) as lasting,
        proxied_pods(request, plane, recorder, folder / "lost", SHORT) as lost,
    ):
        writes = LateWrites(lasting, lost)
        writes.begin()
        yield writes


def test_a_create_that_comes_to_life_is_undone(late: LateWrites) -> None:
    pods = late.lasting
    with checked(pods):
        assert late.wait_until_landed("create") == [201]
        landed_at = now_ns()
        wait_until(lambda: pods.far.is_free("created"), "it is free again")
        took = pods.measure("a create lands 30 s late: free again", seconds_between(landed_at, now_ns()), 2.0)
        assert took < 2.0 * GENEROUS
        first, second = pods.tenures("created")
        pods.expect_late_create("created", first.token, second.token)
        assert pods.losses() == 0


@pytest.mark.parametrize(("which", "refusals"), [("renewal", {409}), ("hand-off", {409}), ("delete", {409})])
def test_the_others_are_refused(late: LateWrites, which: str, refusals: set[int]) -> None:
    """And change nothing for those who hold meanwhile."""
    pods = late.lasting
    with checked(pods):
        assert set(late.wait_until_landed(which)) == refusals
        for name in ("handed off", "deleted"):
            pods.there.wait_for_belief(name, now_ns())
        assert pods.losses() == 0


def test_those_of_a_lost_session_change_nothing(late: LateWrites) -> None:
    pods = late.lost
    with checked(pods):
        granted = pods.there.wait_for("ok", what="acquire", name="lost")
        assert pods.here.wait_for("told", name="lost").at < granted.at
        statuses = late.wait_until_landed("of a lost session")
        assert set(statuses) <= {201, 409}, statuses
        assert 409 in statuses
        pods.there.wait_for_belief("lost", now_ns())


def test_a_create_of_a_lost_session_stands_in_nobodys_way(late: LateWrites) -> None:
    pods = late.lost
    with checked(pods):
        late.wait_until_landed("of a lost session")
        begun = now_ns()
        granted = pods.there.acquire("asked for in vain")
        promised = SHORT.observation_seconds + SHORT.lease_seconds / 5
        took = seconds_between(begun, granted.at)
        pods.measure("a create of a lost session lands 30 s late: the next one holds", took, promised)
        assert took < promised + GENEROUS
