"""Two pods and one lock: who has it, and when the other gets it. Times are of one clock, the machine's boot clock."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from tests.node.namespaces import Namespace
from tests.node.node import Node
from tests.node.pods import ELECTOR, Pod, wait_until
from tests.processes.electors import Leases
from tests.processes.history import now_ns
from tests.processes.running import GENEROUS

MakeNamespace = Callable[[float | None], Namespace]
Figures = dict[str, Any]

LEASES = Leases(8.0, 8.0)
OBSERVATION = LEASES.observation_seconds
PROMISED = OBSERVATION + LEASES.lease_seconds / 5
LONG_SECONDS = 120.0
TENURES = 100


def two_holders(namespace: Namespace, *arguments: str) -> tuple[Pod, Pod]:
    """Two pods: one that holds the lock, and one that waits for it."""
    namespace.apply_with_sidecar("holders.yaml", *arguments)
    pods = namespace.pods("app=holders", 2)
    wait_until(lambda: any(pod.events("holds") for pod in pods), "one holds the lock")
    wait_until(lambda: namespace.locks()[0]["spec"].get("waiters"), "the other waits")
    leader, other = sorted(pods, key=lambda pod: not pod.events("holds"))  # False is first.
    assert not other.events("holds")
    return leader, other


def seconds(begin: int, end: int) -> float:
    return round((end - begin) / 1e9, 3)


def believed_until(pod: Pod) -> int:
    """The last moment at which its application was told that it holds the lock."""
    return int(pod.events("holds", "believes")[-1]["at"])


def assert_passed_on(leader: Pod, other: Pod) -> dict[str, Any]:
    """The other has the lock, with a larger token, after the last belief of the one before."""
    held = other.wait_for("holds")
    assert held["token"] > leader.events("holds")[0]["token"]
    assert believed_until(leader) < held["at"]
    return held


def silence_before(namespace: Namespace, dead: Pod, held: dict[str, Any]) -> float:
    """For how long the dead pod's session had not been renewed when the other had the lock."""
    renewed = datetime.fromisoformat(namespace.session_of(dead)["renewedAt"]).timestamp()
    silence: float = round(held["at"] / 1e9 + time.time() - now_ns() / 1e9 - renewed, 3)
    return silence


def test_two_pods_exclude_each_other(make_namespace: MakeNamespace, figures: Figures) -> None:
    namespace = make_namespace(None)
    namespace.apply_with_sidecar("holders.yaml", "cycle", "orders")
    pods = namespace.pods("app=holders", 2)
    wait_until(lambda: all(len(pod.events("releases")) > TENURES for pod in pods), "both have had their turns")
    last = min(pod.events("releases")[-1]["at"] for pod in pods)
    events = sorted((one for pod in pods for one in pod.events("holds", "releases")), key=lambda one: one["at"])
    events = [one for one in events if one["at"] <= last]
    for begin, end in zip(events[::2], events[1::2], strict=True):
        assert (begin["what"], end["what"]) == ("holds", "releases")
        assert (begin["pod"], begin["token"]) == (end["pod"], end["token"])
    tenures = events[::2]
    assert all(one["token"] < another["token"] for one, another in itertools.pairwise(tenures))
    changes = sum(one["pod"] != another["pod"] for one, another in itertools.pairwise(tenures))
    assert changes > TENURES
    figures.update(tenures=len(tenures), hand_offs_between_pods=changes, overlaps=0)


def test_a_deleted_pods_lock_passes_on_at_once(make_namespace: MakeNamespace, figures: Figures) -> None:
    namespace = make_namespace(LONG_SECONDS)
    leader, other = two_holders(namespace)
    at = now_ns()
    namespace.here("delete", "pod", leader.name, "--wait=false")
    held = assert_passed_on(leader, other)
    ended = leader.events("terminated")[0]["at"]
    figures.update(
        from_delete=seconds(at, held["at"]),
        from_the_end_of_the_application=seconds(ended, held["at"]),
        lease=LONG_SECONDS,
    )
    assert seconds(ended, held["at"]) < 1.0 * GENEROUS


def test_a_pod_that_vanishes_loses_its_lock_after_its_lease(
    node: Node, make_namespace: MakeNamespace, figures: Figures
) -> None:
    namespace = make_namespace(LEASES.lease_seconds)
    leader, other = two_holders(namespace)
    with node.without_kubelet():  # Nobody restarts what is killed, as if the machine had burnt down.
        at = leader.kill()
        namespace.here("delete", "pod", leader.name, "--force", "--grace-period=0")
        held = assert_passed_on(leader, other)
    silence = silence_before(namespace, leader, held)
    took = seconds(at, held["at"])
    figures.update(from_kill=took, promised=PROMISED, since_last_renewal=silence, never_before=OBSERVATION)
    assert silence >= OBSERVATION
    assert took < PROMISED + 1.0 * GENEROUS
    assert any(f"{leader.name} has not renewed its session" in line for line in other.said(ELECTOR))


def test_a_pod_whose_containers_are_all_killed_passes_its_lock_on(
    make_namespace: MakeNamespace, figures: Figures
) -> None:
    """The kubelet starts them again: the next elector goes on with the session, and nobody comes for the hold."""
    namespace = make_namespace(LEASES.lease_seconds)
    leader, other = two_holders(namespace)
    at = leader.kill()
    held = assert_passed_on(leader, other)
    took = seconds(at, held["at"])
    figures.update(from_kill=took, lease=LEASES.lease_seconds, client_ttl=LEASES.client_ttl_seconds)
    assert took < PROMISED + LEASES.silence_seconds + 1.0 * GENEROUS


def test_the_elector_alone_is_killed_and_nobody_notices(make_namespace: MakeNamespace, figures: Figures) -> None:
    namespace = make_namespace(None)
    leader, other = two_holders(namespace)
    before = namespace.session_of(leader)
    at = leader.kill(ELECTOR)
    after = wait_until(lambda: adopted(namespace, leader, before["epoch"]), "the next process goes on with the session")
    back = now_ns()
    wait_until(lambda: believed_until(leader) > back + 10**9, "the application goes on")
    restarted = namespace.pod(leader.name).found["status"]["initContainerStatuses"][0]
    assert restarted["restartCount"] == 1
    assert leader.events("lost", "holds no more") == other.events("holds", "lost") == []
    lock = namespace.locks()[0]["spec"]
    assert (lock["owner"], lock["session"]) == (leader.name, after["name"])
    assert {one["token"] for one in leader.events("holds", "believes")} == {leader.events("holds")[0]["token"]}
    beliefs = [one["at"] for one in leader.events("believes")]
    pause = max(after - before for before, after in itertools.pairwise(beliefs))
    figures.update(elector_back=seconds(at, back), longest_time_without_a_belief=seconds(0, pause), lost=0)
    # The next process can do with the hold what the one before could: the end of the application frees the lock.
    namespace.here("delete", "pod", leader.name, "--wait=false")
    assert_passed_on(leader, other)


def adopted(namespace: Namespace, pod: Pod, epoch: int) -> dict[str, Any]:
    """The session of a pod, if it has changed hands."""
    session = namespace.session_of(pod)
    return session if session["epoch"] > epoch else {}


def test_a_pod_deleted_by_force_keeps_its_lock_until_its_lease_is_over(
    make_namespace: MakeNamespace, figures: Figures
) -> None:
    namespace = make_namespace(LEASES.lease_seconds)
    leader, other = two_holders(namespace, "insist", "orders")
    at = now_ns()
    namespace.here("delete", "pod", leader.name, "--force", "--grace-period=0")
    assert leader.name not in namespace.here("get", "pods", "-o", "name")
    held = assert_passed_on(leader, other)
    wait_until(lambda: not leader.is_running(), "the kubelet has ended it")
    silence = silence_before(namespace, leader, held)
    ran_on = seconds(at, believed_until(leader))
    figures.update(from_delete=seconds(at, held["at"]), application_ran_on_for=ran_on, since_last_renewal=silence)
    assert silence >= OBSERVATION


def test_a_pod_deleted_by_force_that_nobody_can_stop_is_told_before_another_leads(
    node: Node, make_namespace: MakeNamespace, figures: Figures
) -> None:
    """As on a node that cannot be reached: the pod is no more, its token is no longer valid, its processes run on."""
    namespace = make_namespace(LEASES.lease_seconds)
    leader, other = two_holders(namespace)
    with node.without_kubelet():
        at = now_ns()
        namespace.here("delete", "pod", leader.name, "--force", "--grace-period=0")
        assert leader.is_running()
        held = assert_passed_on(leader, other)
        lost = leader.wait_for("lost")
        assert leader.is_running()
        assert lost["at"] < held["at"]
    silence = silence_before(namespace, leader, held)
    figures.update(told=seconds(at, lost["at"]), other_leads=seconds(at, held["at"]), since_last_renewal=silence)
    assert silence >= OBSERVATION
    assert any("(token_refused)" in line for line in leader.said(ELECTOR))
    wait_until(lambda: not leader.is_running(), "the kubelet has ended it")
