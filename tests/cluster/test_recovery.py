"""Electors as processes while the cluster is not as it should be: they stay up, say why, and recover by themselves."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.binaries import Binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.electors import PodElector, pod_electors
from tests.cluster.namespaces import Namespace, install
from tests.processes.electors import LONG, Leases
from tests.processes.raw_client import RawClient
from tests.processes.running import wait_until


@pytest.fixture
def own_plane(found_binaries: Binaries, tmp_path: Path) -> Iterator[ControlPlane]:
    """A control plane that a test may do anything to."""
    folder = tmp_path / "plane"
    folder.mkdir()
    control_plane = ControlPlane(found_binaries, folder)
    with contextlib.ExitStack() as stack:
        stack.callback(control_plane.stop)
        control_plane.start()
        install(control_plane)
        yield control_plane


@contextlib.contextmanager
def launched(namespace: Namespace) -> Iterator[PodElector]:
    """An elector that can not be ready."""
    elector = PodElector(namespace, LONG)
    try:
        elector.launch()
        yield elector
    finally:
        elector.end()


def said(elector: PodElector, code: str) -> bool:
    return f"not ready yet ({code})" in elector.output.read_text()


class TestAtStart:
    def test_a_refused_token(self, namespace: Namespace) -> None:
        token = namespace.service_account / "token"
        token.write_text("expired")
        with launched(namespace) as elector:
            wait_until(lambda: said(elector, "token_refused"), "the reason is said")
            assert not elector.has_session()
            token.write_text(namespace.new_token())
            wait_until(elector.has_session, "it recovers")

    def test_the_role_is_not_bound(self, namespace: Namespace) -> None:
        path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/rolebindings"
        binding = namespace.plane.request("GET", path + "/elector")
        namespace.plane.request("DELETE", path + "/elector")
        with launched(namespace) as elector:
            wait_until(lambda: said(elector, "store_forbidden"), "the reason is said")
            del binding["metadata"]["resourceVersion"], binding["metadata"]["uid"]
            namespace.plane.request("POST", path, binding)
            wait_until(elector.has_session, "it recovers")

    def test_no_api_server_and_no_definitions(self, own_plane: ControlPlane, tmp_path: Path) -> None:
        namespace = Namespace(own_plane, tmp_path)
        own_plane.kubectl("delete", "crd", "locks.metaparticle.io", "sessions.metaparticle.io")
        own_plane.kill_api()
        with launched(namespace) as elector:
            wait_until(lambda: said(elector, "api_unreachable"), "the reason is said")
            own_plane.start_api()
            wait_until(lambda: said(elector, "crd_missing"), "the next reason is said")
            assert "kubectl apply -k deploy/" in elector.output.read_text()
            install(own_plane)
            wait_until(elector.has_session, "it recovers")


class TestTheApiServerFails:
    """Within the lease nothing is lost, and nobody is told anything."""

    @pytest.mark.parametrize("part", ["api", "etcd", "paused"])
    def test_for_less_than_the_lease(self, own_plane: ControlPlane, tmp_path: Path, part: str) -> None:
        namespace = Namespace(own_plane, tmp_path)
        with pod_electors(namespace, 2, Leases(30.0, 60.0)) as (one, other):
            first, second = RawClient(one.url), RawClient(other.url)
            with contextlib.ExitStack() as stack:
                stack.callback(first.end)
                stack.callback(second.end)
                assert first.open().status == second.open().status == 200
                held = first.acquire("a", "a" * 32)
                assert held.status == 200
                fail(own_plane, part)
                assert first.heartbeat().body["lost"] == []
                assert first.acquire("a", "a" * 32).body["token"] == held.body["token"]
                waiting = second.begin_to_acquire("a", "b" * 32)
                one.wait_for_waiters("a", 1)
                assert first.release("a", "a" * 32).status in {202, 204}
                granted = waiting.answer()
                assert granted.status == 200
                assert int(granted.body["token"]) > int(held.body["token"])


def fail(plane: ControlPlane, part: str) -> None:
    """Take it away for a moment."""
    if part == "api":
        plane.kill_api()
        plane.start_api()
    elif part == "etcd":
        plane.kill_etcd()
        plane.start_etcd()
    else:
        plane.signal_api(signal.SIGSTOP)
        signal.sigtimedwait([], 3)
        plane.signal_api(signal.SIGCONT)
