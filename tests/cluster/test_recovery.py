"""Electors as processes while the cluster is not as it should be: they stay up, say why, and recover by themselves."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.binaries import Binaries
from tests.cluster.control_plane import ControlPlane
from tests.cluster.electors import PodElector
from tests.cluster.namespaces import DEFINITIONS, Namespace, install
from tests.processes.electors import LONG
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
        own_plane.kubectl("delete", "crd", *DEFINITIONS)
        own_plane.kill_api()
        with launched(namespace) as elector:
            wait_until(lambda: said(elector, "api_unreachable"), "the reason is said")
            own_plane.start_api()
            wait_until(lambda: said(elector, "crd_missing"), "the next reason is said")
            assert "kubectl apply -k deploy/" in elector.output.read_text()
            install(own_plane)
            wait_until(elector.has_session, "it recovers")
