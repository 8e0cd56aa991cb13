"""Real electors where something is set up wrongly: said at once, with its code; up, not ready; and well when mended.

Each cause once from the start, and once while the elector is at work.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from tests.cluster import wire_faults as faults
from tests.cluster.control_plane import ADMIN_TOKEN, ControlPlane
from tests.cluster.fault_proxy import FaultProxy, make_certificate
from tests.cluster.namespaces import Namespace
from tests.cluster.proxied import ProbedElector
from tests.processes.electors import Leases
from tests.processes.raw_client import Answer, RawClient
from tests.processes.running import wait_until

LEASES: Final = Leases(6.0, 60.0)
ADMISSION: Final = "/apis/admissionregistration.k8s.io/v1"


@pytest.fixture
def proxy(plane: ControlPlane, namespace: Namespace) -> Iterator[FaultProxy]:
    with FaultProxy(plane, namespace.folder / "proxy") as proxy:
        yield proxy


@contextlib.contextmanager
def launched(elector: ProbedElector) -> Iterator[ProbedElector]:
    try:
        elector.launch()
        yield elector
    finally:
        elector.end()


@contextlib.contextmanager
def at_work(elector: ProbedElector) -> Iterator[RawClient]:
    """It holds a lock of a client."""
    with launched(elector):
        elector.wait_until_ready()
        client = RawClient(elector.url)
        try:
            assert client.open().status == 200
            assert client.acquire("held", "a" * 32).status == 200
            yield client
        finally:
            client.end()


def wait_until_said(elector: ProbedElector, code: str, *words: str) -> None:
    """At /readyz and in the log; and it still serves."""
    said = wait_until(lambda: (now := elector.readiness()).code == code and now, f"/readyz says {code}")
    assert not said.ready
    assert said.reason is not None
    for word in words:
        assert word in said.reason
    wait_until(lambda: f"({code})" in elector.output.read_text(), "the log says it, too")
    assert elector.get("/openapi.json")[0] == 200


def wait_until_told(client: RawClient) -> None:
    """What hung on the session is lost, in time, and its client hears of it."""
    wait_until(lambda: "a" * 32 in [loss["holder"] for loss in client.heartbeat().body["lost"]], "the loss is told")


def refused(client: RawClient, *words: str) -> str:
    """Single tries until one is refused, because what was set up is in force a moment later; its lock."""
    numbers = itertools.count()

    def ask() -> tuple[str, Answer] | None:
        number = next(numbers)
        answer = client.acquire(f"lock {number}", f"{number:032x}")
        return (f"lock {number}", answer) if answer.status != 200 else None

    name, answer = wait_until(ask, "a lock is refused")
    assert (answer.status, answer.code) == (503, "store_unavailable")
    for word in words:
        assert word in answer.body["detail"]
    return name


def wait_until_granted(client: RawClient, name: str) -> None:
    holders = (f"b{number:031x}" for number in range(10_000))
    wait_until(lambda: client.acquire(name, next(holders)).status == 200, f"{name} is granted")


# Who the elector is --------------------------------------------------------------------------------------------------


def test_a_service_account_that_is_gone(namespace: Namespace) -> None:
    """While it is at work. At the start: in test_recovery.py."""
    elector = ProbedElector(namespace, LEASES)
    with at_work(elector) as client:
        path = f"/api/v1/namespaces/{namespace.name}/serviceaccounts"
        namespace.plane.request("DELETE", f"{path}/elector")
        wait_until_told(client)
        wait_until_said(elector, "token_refused", "service account is gone")
        namespace.plane.request("POST", path, {"metadata": {"name": "elector"}})
        (namespace.service_account / "token").write_text(namespace.new_token())
        elector.wait_until_ready()


def test_a_role_that_is_bound_no_more(namespace: Namespace) -> None:
    """While it is at work. At the start: in test_recovery.py."""
    path = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace.name}/rolebindings"
    binding = namespace.plane.request("GET", path + "/elector")
    elector = ProbedElector(namespace, LEASES)
    with at_work(elector) as client:
        namespace.plane.request("DELETE", path + "/elector")
        wait_until_told(client)
        wait_until_said(elector, "store_forbidden", f"system:serviceaccount:{namespace.name}:elector may not", "bind")
        del binding["metadata"]["resourceVersion"], binding["metadata"]["uid"]
        namespace.plane.request("POST", path, binding)
        elector.wait_until_ready()


# Where it looks ------------------------------------------------------------------------------------------------------


class ElsewhereElector(ProbedElector):
    """Its --namespace is another one than its own."""

    def __init__(self, namespace: Namespace, kubeconfig: Path | None, elsewhere: str) -> None:
        super().__init__(namespace, LEASES, kubeconfig)
        self._elsewhere = elsewhere

    def _arguments(self) -> list[str]:
        return [*super()._arguments(), "--namespace", self._elsewhere]


def test_a_namespace_that_is_missing(namespace: Namespace) -> None:
    """From the start, for somebody with all rights, who would else not be told."""
    elsewhere = f"{namespace.name}-elsewhere"
    config = namespace.folder / "admin"
    namespace.plane.write_kubeconfig(config, "default", token=ADMIN_TOKEN)
    with launched(elector := ElsewhereElector(namespace, config, elsewhere)):
        wait_until_said(elector, "namespace_missing", f"there is no namespace {elsewhere}", "--namespace")
        namespace.plane.request("POST", "/api/v1/namespaces", {"metadata": {"name": elsewhere}})
        elector.wait_until_ready()


def test_a_namespace_of_somebody_else(namespace: Namespace) -> None:
    with launched(elector := ElsewhereElector(namespace, None, "kube-system")):
        wait_until_said(elector, "store_forbidden", "sessions in namespace kube-system", "--namespace")
        cause = RawClient(elector.url).open().body["not_ready"]
        assert cause["code"] == "store_forbidden"
        assert "sessions in namespace kube-system" in cause["reason"]


def test_a_namespace_that_is_being_deleted(namespace: Namespace) -> None:
    """While it is at work: what is held stays held, nothing new is granted."""
    elector = ProbedElector(namespace, LEASES)
    with at_work(elector) as client:
        namespace.plane.request("DELETE", f"/api/v1/namespaces/{namespace.name}")
        refused(client, f"namespace {namespace.name} is being deleted")
        assert client.heartbeat().body["lost"] == []


# The way there -------------------------------------------------------------------------------------------------------


def test_a_certificate_of_another_authority(namespace: Namespace, proxy: FaultProxy, tmp_path: Path) -> None:
    """From the start, and again while it is at work: the server has a new one, and the kubeconfig learns it later."""
    config = proxy.kubeconfig(namespace)
    good = proxy.authority.read_bytes()
    make_certificate(tmp_path)
    proxy.authority.write_bytes((tmp_path / "proxy.crt").read_bytes())
    elector = ProbedElector(namespace, LEASES, config)
    with launched(elector):
        wait_until_said(elector, "tls_failure", f"127.0.0.1:{proxy.port}", "can not be trusted")
        proxy.authority.write_bytes(good)
        elector.wait_until_ready()
        with at_work_already(elector) as client:
            proxy.use_certificate(tmp_path)
            proxy.break_all()
            wait_until_told(client)
            wait_until_said(elector, "tls_failure")
            proxy.authority.write_bytes((tmp_path / "proxy.crt").read_bytes())
            elector.wait_until_ready()


@contextlib.contextmanager
def at_work_already(elector: ProbedElector) -> Iterator[RawClient]:
    client = RawClient(elector.url)
    try:
        assert client.open().status == 200
        assert client.acquire("held", "a" * 32).status == 200
        yield client
    finally:
        client.end()


def test_an_api_server_out_of_reach(namespace: Namespace, proxy: FaultProxy) -> None:
    """While it is at work: it ends, and comes back. At the start: in test_recovery.py."""
    elector = ProbedElector(namespace, LEASES, proxy.kubeconfig(namespace))
    with at_work(elector) as client:
        proxy.stop_listening()
        proxy.break_all()
        wait_until_told(client)
        wait_until_said(elector, "api_unreachable", f"127.0.0.1:{proxy.port} can not be reached")
        proxy.listen_again()
        elector.wait_until_ready()


# What the cluster refuses --------------------------------------------------------------------------------------------


@contextlib.contextmanager
def quota(namespace: Namespace, plural: str) -> Iterator[Callable[[], None]]:
    """None of them any more, until it is raised."""
    path = f"/api/v1/namespaces/{namespace.name}/resourcequotas"
    counted = f"count/{plural}.metaparticle.io"

    def limit(count: int) -> None:
        """Spec and status, as the quota controller keeps them in a whole cluster."""
        one = namespace.plane.request("GET", path + "/few")
        one["spec"]["hard"] = {counted: str(count)}
        one = namespace.plane.request("PUT", path + "/few", one)
        one["status"] = {"hard": {counted: str(count)}, "used": {counted: "0"}}
        namespace.plane.request("PUT", path + "/few/status", one)

    namespace.plane.request("POST", path, {"metadata": {"name": "few"}, "spec": {"hard": {counted: "0"}}})
    limit(0)
    yield lambda: limit(1000)


@contextlib.contextmanager
def policy(namespace: Namespace, plural: str) -> Iterator[Callable[[], None]]:
    """An admission policy refuses to create any, until it is removed."""
    rule = {"apiGroups": ["metaparticle.io"], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": [plural]}
    only_here = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace.name}}}
    spec: dict[str, Any] = {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": "false", "message": "no locks on Fridays"}],
    }
    binding = {"policyName": namespace.name, "validationActions": ["Deny"], "matchResources": only_here}
    named = {"metadata": {"name": namespace.name}}
    namespace.plane.request("POST", f"{ADMISSION}/validatingadmissionpolicies", named | {"spec": spec})
    namespace.plane.request("POST", f"{ADMISSION}/validatingadmissionpolicybindings", named | {"spec": binding})

    def remove() -> None:
        for of in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):
            namespace.plane.request("DELETE", f"{ADMISSION}/{of}/{namespace.name}")

    yield remove


REFUSALS: Final = {
    "quota_exceeded": (quota, "leaves no room"),
    "admission_refused": (policy, "no locks on Fridays"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_sessions_are_refused(namespace: Namespace, code: str) -> None:
    """From the start: an elector without a session is not ready."""
    refuse, words = REFUSALS[code]
    with refuse(namespace, "sessions") as mend:
        wait_until_in_force(namespace, "sessions")
        with launched(elector := ProbedElector(namespace, LEASES)):
            wait_until_said(elector, code, words, "create sessions" if code == "admission_refused" else "sessions")
            mend()
            elector.wait_until_ready()


def wait_until_in_force(namespace: Namespace, plural: str) -> None:
    """Until a dry run is refused, with the rights of an elector."""
    path = f"/apis/metaparticle.io/v1/namespaces/{namespace.name}/{plural}?dryRun=All"
    spec = {
        "owner": "a",
        "identity": "a",
        "epoch": 1,
        "seq": 0,
        "nonce": "n",
        "bootId": "b",
        "state": "live",
        "renewedAt": "now",
        "leaseSeconds": 20,
    }
    body = {"apiVersion": "metaparticle.io/v1", "kind": "Session", "metadata": {"name": "dry"}, "spec": spec}

    def is_refused() -> bool:
        try:
            namespace.plane.request("POST", path, body, token=namespace.token)
        except Exception as refusal:  # noqa: BLE001 - which one it is, the elector has to say
            assert "exceeded quota" in str(refusal) or "Fridays" in str(refusal), refusal
            return True
        return False

    wait_until(is_refused, "it is in force")


@pytest.mark.parametrize("code", REFUSALS)
def test_locks_are_refused(namespace: Namespace, code: str) -> None:
    """While it is at work: what is held stays held, a single try is told why, and the log says it once."""
    refuse, words = REFUSALS[code]
    elector = ProbedElector(namespace, LEASES)
    with at_work(elector) as client, refuse(namespace, "locks") as mend:
        name = refused(client, words)
        waiting = client.begin_to_acquire(name, "c" * 32)
        wait_until(lambda: f"({code})" in elector.output.read_text(), "the log says why somebody waits")
        assert elector.readiness().ready
        assert client.heartbeat().body["lost"] == []
        mend()
        assert waiting.answer().status == 200
        assert elector.output.read_text().count(f"({code})") <= 2


def test_requests_that_are_too_large(namespace: Namespace, proxy: FaultProxy) -> None:
    """No record that the rules allow is; whatever else in between refuses them has its word and code all the same."""
    too_large = {"kind": "Status", "code": 413, "reason": "RequestEntityTooLarge", "message": "limit is 3145728"}
    elector = ProbedElector(namespace, LEASES, proxy.kubeconfig(namespace))
    with at_work(elector) as client:
        rule = proxy.rule(faults.say(413, too_large), "create", "locks")
        name = refused(client, "larger than the API server takes", "limit is 3145728")
        assert rule.met
        proxy.clear()
        wait_until_granted(client, name)
        proxy.rule(faults.say(413, too_large), "update", "sessions")
        wait_until_told(client)
        proxy.rule(faults.say(413, too_large), "create", "sessions")
        wait_until_said(elector, "record_too_large")
        proxy.clear()
        elector.wait_until_ready()
