"""The API server and etcd are killed, paused, away for long, on a control plane that nobody else uses.

One outage is observed by everybody at once, because outages are slow.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from metaparticle_sync import wire
from tests.cluster.binaries import Binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.electors import PodElector
from tests.cluster.namespaces import DEFINITIONS, LOCKS, SESSIONS, Namespace, install
from tests.cluster.pods import PodMachine
from tests.cluster.recorder import Recorder
from tests.cluster.taking_over import TOLD_SECONDS, assert_told_in_time, assert_undisturbed, seconds_since
from tests.processes.electors import SHORT, Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.reporting import watched
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_chaos import SEED, Chaos
from tests.processes.test_holder import queue_up

STEADY = Leases(60.0, 60.0)
"""For what is over within the lease, however slow the machine is."""

CONFLICT = 409


@pytest.fixture(scope="module")
def fragile_plane(found_binaries: Binaries, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    control_plane = ControlPlane(found_binaries, tmp_path_factory.mktemp("fragile"))
    try:
        control_plane.start()
        install(control_plane)
        yield control_plane
    finally:
        control_plane.stop()


@pytest.fixture(scope="module")
def fragile_recorder(fragile_plane: ControlPlane) -> Iterator[Recorder]:
    with Recorder(fragile_plane.etcd_port) as recorder:
        yield recorder


@pytest.fixture
def fragile(
    request: pytest.FixtureRequest, fragile_plane: ControlPlane, fragile_recorder: Recorder, tmp_path: Path
) -> Iterator[PodMachine]:
    """Pods whose control plane may be treated badly; it runs again at the end."""
    with watched(request, PodMachine(Namespace(fragile_plane, tmp_path), fragile_recorder)) as pods:
        yield pods


def kill_the_api_server(plane: ControlPlane) -> None:
    plane.kill_api()
    plane.start_api()


def kill_etcd(plane: ControlPlane) -> None:
    plane.kill_etcd()
    plane.start_etcd()
    plane.wait_until_ready()


def pause_the_api_server(plane: ControlPlane) -> None:
    plane.signal_api(signal.SIGSTOP)
    signal.sigtimedwait([], 3)
    plane.signal_api(signal.SIGCONT)


@pytest.mark.parametrize("fail", [kill_the_api_server, kill_etcd, pause_the_api_server])
def test_away_for_less_than_the_lease(fragile: PodMachine, fail: Callable[[ControlPlane], None]):
    """Nothing is lost, and nobody is told anything."""
    first, second = fragile.elector(STEADY), fragile.elector(STEADY)
    holder, waiter, asking = fragile.worker(first), fragile.worker(second), fragile.worker(second)
    held = holder.acquire("x")
    queue_up(second, "x", waiter)

    failed_at = now_ns()
    fail(fragile.namespace.plane)
    away = seconds_since(failed_at)
    asking.acquire("y")
    what = fail.__name__.replace("_", " ")
    fragile.measure(f"{what} for {away:.1f} s: a lock is granted again", seconds_since(failed_at) - away, 2.0)
    released_at = now_ns()
    holder.do("release", name="x")
    granted = waiter.wait_for("ok", what="acquire")
    took = fragile.measure(f"{what}: hand-off after it", seconds_between(released_at, granted.at), 1.0)
    assert took < 1.0 * GENEROUS
    assert_undisturbed(holder, waiter, asking)
    assert [tenure.token for tenure in fragile.tenures("x")] == [held.token, granted.token]
    with Recorder(fragile.namespace.plane.etcd_port) as late:
        revisions = [write.revision for write in late.writes(fragile.namespace.name)]
    assert [write.revision for write in fragile.writes() if write.revision <= revisions[-1]] == revisions


def test_away_for_longer_than_the_lease(fragile: PodMachine):
    """Every holder is told, nobody gets anything meanwhile, and all goes on by itself afterwards."""
    plane = fragile.namespace.plane
    electors = [fragile.elector(SHORT) for _ in range(3)]
    holders = [fragile.worker(elector, tells=True) for elector in electors]
    waiter = fragile.worker(electors[1])
    names = ["x", "y", "z"]
    tokens = [holder.acquire(name).token for holder, name in zip(holders, names, strict=True)]
    queue_up(electors[1], "x", waiter)

    killed_at = now_ns()
    plane.kill_api()
    for holder, name in zip(holders, names, strict=True):
        assert_told_in_time(fragile, "API server away", killed_at, holder.wait_for("told", name=name))
    wait_until(lambda: seconds_since(killed_at) > SHORT.observation_seconds, "the lease is over")
    assert not waiter.events("ok")
    plane.start_api()
    back_at = now_ns()

    granted = waiter.wait_for("ok", name="x")
    promised = SHORT.observation_seconds + SHORT.lease_seconds / 5
    took = fragile.measure("API server back: the waiter holds", seconds_between(back_at, granted.at), promised)
    assert took < promised + 1.0 * GENEROUS
    for elector in electors:
        wait_until(elector.has_session, "it has a session again")
    again = [holder.acquire(name).token for holder, name in zip(holders[1:], names[1:], strict=True)]
    fragile.measure("API server back: everybody works again", seconds_since(back_at), promised)
    assert all(after > before for before, after in zip(tokens, [granted.token, *again], strict=True))


def test_writes_that_are_carried_out_late_are_refused(fragile: PodMachine, tmp_path: Path):
    """Of two API servers on one etcd, one is paused with writes in it; it goes on after a takeover at the other one."""
    plane = fragile.namespace.plane
    with plane.twin(tmp_path / "twin") as slow:
        config = fragile.namespace.kubeconfig_of(slow)
        cut_off, other = fragile.elector(SHORT, kubeconfig=config), fragile.elector(SHORT)
        holder, waiter, heir = fragile.worker(cut_off, tells=True), fragile.worker(other), fragile.worker(other)
        raw = fragile.raw_client(cut_off)
        holder.acquire("x")
        released = wire.new_id()
        assert raw.acquire("y", released).status == 200
        queue_up(other, "x", waiter)
        queue_up(other, "y", heir)

        old = old_writes(fragile, slow)
        slow.signal_api(signal.SIGSTOP)
        paused_at = now_ns()
        for write in old:
            write.send()
        late = raw.send("DELETE", wire.lock_path("y"), {"client": raw.id, "holder": released})
        told = holder.wait_for("told", name="x")
        next_holds = waiter.wait_for("ok", name="x"), heir.wait_for("ok", name="y")
        slow.signal_api(signal.SIGCONT)
        assert [write.status() for write in old] == [CONFLICT] * 3
        late.answer()

        assert_told_in_time(fragile, "API server paused", paused_at, told)
        wait_until(cut_off.has_session, "it has another session")
        assert fragile.raw_client(cut_off).acquire("x").code == "lock_held"
        for worker, hold in zip((waiter, heir), next_holds, strict=True):
            worker.wait_for_belief(hold.name, now_ns())
            assert [tenure.token for tenure in fragile.tenures(hold.name) if tenure.ended is None] == [hold.token]


class OldWrite:
    """A write over what is there now, on a connection of its own. Its sender never gives up."""

    def __init__(self, plane: ControlPlane, token: str, method: str, path: str, body: Mapping[str, Any]) -> None:
        self._connection = http.client.HTTPSConnection("127.0.0.1", plane.port, context=plane.tls(), timeout=60)
        self._connection.connect()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        self._request = method, path, json.dumps(body), headers

    def send(self) -> None:
        self._connection.request(*self._request)

    def status(self) -> int:
        with contextlib.closing(self._connection):
            return self._connection.getresponse().status


def old_writes(pods: PodMachine, plane: ControlPlane) -> list[OldWrite]:
    """What the elector that holds x could have on its way: a renewal, a hand-off, a release."""
    namespace = pods.namespace
    lock = LOCKS.format(namespace.name) + "/x"
    held = namespace.plane.request("GET", lock)
    session = f"{SESSIONS.format(namespace.name)}/{held['spec']['session']}"
    renewed = namespace.plane.request("GET", session)
    renewed["spec"]["seq"] += 1
    handed_on = held | {"spec": held["spec"] | {"holder": "f" * 32}}
    options = {"preconditions": {"resourceVersion": held["metadata"]["resourceVersion"]}}
    return [
        OldWrite(plane, namespace.token, *request)
        for request in (("PUT", session, renewed), ("PUT", lock, handed_on), ("DELETE", lock, options))
    ]


def test_the_definitions_are_deleted(fragile: PodMachine):
    """All records go with them: the holder is told, nothing is granted, and all goes on when they are back."""
    plane = fragile.namespace.plane
    first, second = fragile.elector(SHORT), fragile.elector(SHORT)
    holder, waiter = fragile.worker(first, tells=True), fragile.worker(second)
    held = holder.acquire("x")
    queue_up(second, "x", waiter)

    deleted_at = now_ns()
    plane.kubectl("delete", "crd", *DEFINITIONS)
    fragile.exempt(held.token)
    told = holder.wait_for("told", name="x")
    took = fragile.measure("definitions deleted: told", seconds_between(deleted_at, told.at), TOLD_SECONDS)
    assert took < TOLD_SECONDS + 1.0 * GENEROUS
    for elector in (first, second):
        wait_until(lambda elector=elector: said(elector, "crd_missing"), "it says why")
    install(plane)
    back_at = now_ns()
    granted = waiter.wait_for("ok", name="x")
    assert granted.token > held.token
    assert holder.acquire("y").token > held.token
    fragile.measure("definitions are back: everybody works again", seconds_since(back_at), SHORT.lease_seconds)
    fragile.measure("definitions deleted: overlap", fragile.overlap_seconds(held.token), 0)


def said(elector: PodElector, code: str) -> bool:
    return f"({code})" in elector.output.read_text()


class ClusterChaos(Chaos):
    """Two pods on an API server of their own, with two clients each."""

    def __init__(self, pods: PodMachine, dice: random.Random) -> None:
        super().__init__(pods, dice)
        self._pods = pods
        self.faults += [self.kill_the_api_server, self.kill_etcd, self.pause_the_api_server, self.delete_a_session]

    def kill_the_api_server(self) -> None:
        kill_the_api_server(self._pods.namespace.plane)

    def kill_etcd(self) -> None:
        kill_etcd(self._pods.namespace.plane)

    def pause_the_api_server(self) -> None:
        pause_the_api_server(self._pods.namespace.plane)

    def delete_a_session(self) -> None:
        name = self._dice.choice(self._pods.namespace.sessions())["metadata"]["name"]
        self._pods.namespace.plane.request("DELETE", f"{SESSIONS.format(self._pods.namespace.name)}/{name}")


@pytest.mark.parametrize("seed", [SEED])
def test_faults_by_chance(fragile: PodMachine, seed: int):
    dice = random.Random(seed)
    chaos = ClusterChaos(fragile, dice)
    chaos.wait_for_grants(now_ns())
    dice.shuffle(chaos.faults)
    for fault in chaos.faults:
        fault()
        chaos.wait_for_grants(now_ns())
    chaos.stop()
