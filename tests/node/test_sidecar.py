"""What the sidecar is in a pod: when it starts, what it may, what it says, and what kubectl shows of it."""

from __future__ import annotations

import http.client
import json
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.node.namespaces import Namespace
from tests.node.node import Node
from tests.node.pods import ELECTOR, Pod, wait_until
from tests.processes.history import now_ns

MakeNamespace = Callable[..., Namespace]
Figures = dict[str, Any]

TOKEN_FOLDER = "/var/run/secrets/kubernetes.io/serviceaccount"
LOCKS_PORT = 13131
HEALTH_PORT = 13132


@pytest.fixture(scope="module")
def shop(node: Node, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Namespace]:
    """The example with the component, for tests that only look."""
    namespace = Namespace(node, tmp_path_factory.mktemp("shop"))
    namespace.apply_example_with_component()
    yield namespace
    namespace.remove()


@pytest.fixture
def pods(shop: Namespace) -> list[Pod]:
    found = shop.pods("app=shop", 2)
    wait_until(lambda: all(pod.said("shop") for pod in found), "both have had the lock")
    return found


def get(address: str, port: int, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, port, timeout=10)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def python_in(shop: Namespace, pod: Pod, container: str, program: str) -> str:
    return shop.here("exec", pod.name, "-c", container, "--", "python3", "-c", program).strip()


def test_health_is_on_the_pods_address_and_locks_are_not(pods: list[Pod]) -> None:
    for pod in pods:
        assert get(pod.address, HEALTH_PORT, "/healthz")[0] == 200
        assert get(pod.address, HEALTH_PORT, "/readyz")[0] == 200
        assert "elector_ready 1.0" in get(pod.address, HEALTH_PORT, "/metrics")[1]
        with pytest.raises(ConnectionRefusedError):
            get(pod.address, LOCKS_PORT, "/locks/stock")


def test_the_token_is_in_the_sidecar_only(shop: Namespace, pods: list[Pod]) -> None:
    look = f"import os; print(sorted(os.listdir({TOKEN_FOLDER!r})) if os.path.exists({TOKEN_FOLDER!r}) else 'nothing')"
    assert python_in(shop, pods[0], "shop", look) == "nothing"
    assert "'token'" in python_in(shop, pods[0], ELECTOR, look)


def test_it_runs_without_root_and_cannot_write(shop: Namespace, pods: list[Pod]) -> None:
    look = "import os; print(os.getuid(), os.getgid(), os.getgroups(), open('/proc/1/status').read())"
    said = python_in(shop, pods[0], ELECTOR, look)
    assert said.startswith("65532 65532 ")
    assert re.search(r"^CapEff:\s*0+$", said, re.MULTILINE)
    assert re.search(r"^NoNewPrivs:\s*1$", said, re.MULTILINE)
    assert re.search(r"^Seccomp:\s*2$", said, re.MULTILINE)
    for process in pods[0].processes(ELECTOR):
        mounts = Path("/proc", str(process.pid), "mounts").read_text().splitlines()
        (root,) = [line.split()[3] for line in mounts if line.split()[1] == "/"]
        assert "ro" in root.split(",")


def test_its_logs_read_well(shop: Namespace, pods: list[Pod], figures: Figures) -> None:
    elector = shop.here("logs", pods[0].name, "-c", ELECTOR)
    application = shop.here("logs", pods[0].name, "-c", "shop")
    shop.assert_logs_read_well()
    assert " ERROR " not in elector
    assert "Traceback" not in application
    where, serves, *rest = [line.split(" ", 2)[2] for line in elector.splitlines()]
    assert where.startswith(f"the locks are objects of namespace {shop.name} in the API server at https://")
    assert re.fullmatch(r"elector [\d.]+ serves http://127.0.0.1:13131, health on \S+, store kubernetes", serves)
    assert any(re.match(r"began session \S+, lease 20 s", line) for line in rest)
    assert re.match(rf"{pods[0].name} takes stock, with token \d+\n", application)
    figures.update(elector=elector.splitlines(), application=application.splitlines()[:2])


def test_kubectl_shows_who_holds(shop: Namespace, pods: list[Pod], figures: Figures) -> None:
    locks = wait_until(shop.locks, "somebody holds")
    (head, row, *_) = wait_until(
        lambda: found if len(found := shop.here("get", "locks").splitlines()) > 1 else [], "a lock"
    )
    assert head.split() == ["NAME", "LOCK", "HOLDER", "SINCE", "WAITERS", "TOKEN"]
    name, lock, holder, _, _, token = row.split()
    assert (name, lock) == ("stock", "stock")
    assert holder in {pod.name for pod in pods}
    assert token.isdigit()
    assert "fencing token" in shop.kubectl("explain", "lock.spec")
    figures.update(table=[head, row], owner=locks[0]["spec"]["owner"])


def test_the_application_starts_when_locks_can_be_had(make_namespace: MakeNamespace, figures: Figures) -> None:
    """Without its rights the elector is there and not ready, and says what is missing; it needs no restart."""
    namespace = make_namespace()
    namespace.here("delete", "rolebinding", "elector")
    namespace.apply_with_sidecar("holders.yaml")
    pods = namespace.pods("app=holders", 2, has_running_elector)
    for pod in pods:
        wait_until(lambda pod=pod: lines_with(pod, "not ready"), "it says why")
        (line,) = lines_with(pod, "not ready")
        assert "(store_forbidden)" in line
        assert "bind the Role elector" in line
    status, body = get(pods[0].address, HEALTH_PORT, "/readyz")
    assert (status, json.loads(body)["code"]) == (503, "store_forbidden")
    assert get(pods[0].address, HEALTH_PORT, "/healthz")[0] == 200
    assert not any(pod.events() for pod in pods)
    at = now_ns()
    namespace.install()
    pods = namespace.pods("app=holders", 2)
    for pod in pods:
        assert pod.wait_for("wants")["at"] > at
        assert restarts(pod) == 0
    latest = max(pod.wait_for("wants")["at"] for pod in pods)
    figures.update(said=line, from_rights_to_application=round((latest - at) / 1e9, 3))


def test_the_kubelet_notices_an_elector_that_hangs(make_namespace: MakeNamespace, figures: Figures) -> None:
    """With short probes, so that the test is: first nothing is sent to the pod any more, then the elector restarts."""
    namespace = make_namespace(60.0)
    short = {"livenessProbe/terminationGracePeriodSeconds": 1}
    short |= {f"{probe}/periodSeconds": 1 for probe in ("livenessProbe", "readinessProbe")}
    namespace.apply_with_sidecar("holders.yaml", elector=short)
    pods = namespace.pods("app=holders", 2)
    wait_until(lambda: any(pod.events("holds") for pod in pods), "one holds the lock")
    (leader,) = [pod for pod in pods if pod.events("holds")]
    at = now_ns()
    for process in leader.processes(ELECTOR):
        process.signal(signal.SIGSTOP)
    wait_until(lambda: not is_ready(namespace.pod(leader.name)), "the pod is not ready")
    not_ready = now_ns()
    wait_until(lambda: restarts(namespace.pod(leader.name)) == 1, "the elector is started again")
    wait_until(lambda: is_ready(namespace.pod(leader.name)), "the pod is ready")
    again = now_ns()
    wait_until(lambda: leader.events("believes")[-1]["at"] > again, "the application goes on")
    assert not any(pod.events("lost", "holds no more") for pod in pods)
    figures.update(not_ready=round((not_ready - at) / 1e9, 1), ready_again=round((again - at) / 1e9, 1), lost=0)


def is_ready(pod: Pod) -> bool:
    conditions = pod.found["status"]["conditions"]
    return any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)


def restarts(pod: Pod) -> int:
    return int(pod.found["status"]["initContainerStatuses"][0]["restartCount"])


def lines_with(pod: Pod, words: str) -> list[str]:
    return [line for line in pod.said(ELECTOR) if words in line]


def has_running_elector(found: dict[str, Any]) -> bool:
    return bool(found["status"].get("podIP")) and any(
        "running" in one["state"] for one in found["status"].get("initContainerStatuses", ())
    )
