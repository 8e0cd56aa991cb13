"""Others write to the objects, too: labels and annotations cost nobody a hold, and hold nobody up."""

from __future__ import annotations

from tests.cluster.namespaces import LOCKS, SESSIONS
from tests.cluster.pods import PodMachine
from tests.cluster.storm import Storm
from tests.cluster.taking_over import assert_undisturbed, seconds_since
from tests.processes.electors import LONG, Leases
from tests.processes.history import now_ns, seconds_between
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_holder import queue_up

MERGE = "application/merge-patch+json"
ENOUGH = 300
ENOUGH_RENEWALS = 5

ROOMY = Leases(12.0, 60.0)
"""Each renewal has 10 s to find a moment between two foreign writes, and a test sees five of them."""


def test_a_storm_of_foreign_writes_on_a_lock(pods: PodMachine):
    first, second = pods.elector(LONG), pods.elector(LONG)
    holder, waiter = pods.worker(first), pods.worker(second)
    held = holder.acquire("x")
    queue_up(second, "x", waiter)
    pods.wait_for_tickets("x", 1)

    with Storm(pods.namespace.plane, LOCKS.format(pods.namespace.name) + "/x") as storm:
        wait_until(lambda: storm.written > ENOUGH, "the storm is there")
        holder.wait_for_belief("x", now_ns())
        released_at = now_ns()
        holder.do("release", name="x")
        granted = waiter.wait_for("ok", what="acquire")
        took = pods.measure("hand-off in a storm", seconds_between(released_at, granted.at), 1.0)
        assert took < 1.0 * GENEROUS
        print(f"{storm.rate():.0f} foreign writes in each second")
        freed_at = now_ns()
        waiter.do("release", name="x")
        wait_until(lambda: first.is_free("x"), "the lock is free")
        took = pods.measure("release in a storm", seconds_since(freed_at), 1.0)
        assert took < 1.0 * GENEROUS

    assert_undisturbed(holder, waiter)
    tokens = [tenure.token for tenure in pods.tenures("x")]
    assert tokens == [held.token, granted.token]


def test_a_storm_of_foreign_writes_on_a_session(pods: PodMachine):
    elector = pods.elector(ROOMY)
    holder = pods.worker(elector)
    held = holder.acquire("x")
    (session,) = {tenure.session for tenure in pods.tenures("x")}

    path = f"{SESSIONS.format(pods.namespace.name)}/{session}"
    with Storm(pods.namespace.plane, path):
        renewed = [write.spec["seq"] for write in pods.sessions_of(elector)][-1]
        wait_until(lambda: pods.sessions_of(elector)[-1].spec["seq"] >= renewed + ENOUGH_RENEWALS, "it is renewed")

    assert_undisturbed(holder)
    assert holder.wait_for_belief("x", now_ns()).token == held.token


def test_labels_and_annotations_of_others_outlive_a_hand_off(pods: PodMachine):
    """Whether the elector that writes next has read them or heard of them."""
    path = LOCKS.format(pods.namespace.name) + "/x"
    first, second = pods.elector(LONG), pods.elector(LONG)
    holder, waiter = pods.worker(first), pods.worker(second)
    holder.acquire("x")
    label(pods, path, "before-the-waiter")
    queue_up(second, "x", waiter)
    pods.wait_for_tickets("x", 1)
    label(pods, path, "after-it")

    holder.release("x")
    waiter.wait_for("ok", what="acquire")

    metadata = pods.namespace.plane.request("GET", path)["metadata"]
    for field in ("labels", "annotations"):
        assert {"before-the-waiter", "after-it"} <= metadata[field].keys()


def label(pods: PodMachine, path: str, key: str) -> None:
    body = {"metadata": {"labels": {key: "yes"}, "annotations": {key: "yes"}}}
    pods.namespace.plane.request("PATCH", path, body, content=MERGE)
