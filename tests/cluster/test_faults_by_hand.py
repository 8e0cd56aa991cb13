"""Somebody with the rights to do so removes what the electors rely on: records, sessions, the Role."""

from __future__ import annotations

from tests.cluster.namespaces import LOCKS, SESSIONS, Namespace
from tests.cluster.pods import PodMachine
from tests.cluster.taking_over import (
    TAKEOVER_SECONDS,
    TOLD_SECONDS,
    assert_taken_over,
    assert_told_in_time,
    seconds_since,
)
from tests.processes.electors import LONG, SHORT
from tests.processes.history import now_ns, seconds_between
from tests.processes.running import GENEROUS, wait_until
from tests.processes.test_holder import queue_up
from tests.processes.workers import WorkerProcess

MERGE = "application/merge-patch+json"


def assert_works_again(worker: WorkerProcess, name: str) -> None:
    """Its elector has a session again, and grants."""
    granted = worker.acquire(name)
    worker.wait_for_belief(name, granted.at)
    worker.release(name)


class TestALockIsDeleted:
    def test_the_holder_is_told_at_once(self, pods: PodMachine):
        elector = pods.elector(LONG)
        holder = pods.worker(elector, tells=True)
        held = holder.acquire("x")

        deleted_at = delete(pods.namespace, LOCKS, "x")
        pods.exempt(held.token)
        told = holder.wait_for("told", name="x")

        took = pods.measure("lock deleted by hand: the holder is told", seconds_between(deleted_at, told.at), 1.0)
        assert took < 1.0 * GENEROUS
        said = f"lock 'x', token {held.token}, of "
        wait_until(lambda: said in elector.output.read_text(), "whoever reads the elector's log sees it, too")
        assert holder.acquire("x").token > held.token

    def test_a_waiter_has_it_at_once_and_the_overlap_is_short(self, pods: PodMachine):
        first, second = pods.elector(LONG), pods.elector(LONG)
        holder, waiter = pods.worker(first, tells=True), pods.worker(second)
        held = holder.acquire("x")
        queue_up(second, "x", waiter)

        deleted_at = delete(pods.namespace, LOCKS, "x")
        pods.exempt(held.token)
        next_hold = waiter.wait_for("ok", what="acquire")
        told = holder.wait_for("told", name="x")

        assert pods.measure("lock deleted by hand: told", seconds_between(deleted_at, told.at), 1.0) < 1.0 * GENEROUS
        pods.measure("lock deleted by hand: the waiter holds", seconds_between(deleted_at, next_hold.at), 1.0)
        overlap = pods.measure("lock deleted by hand: overlap", pods.overlap_seconds(held.token), 1.0)
        assert overlap < 1.0 * GENEROUS
        assert next_hold.token > held.token


class TestASessionIsRemoved:
    def test_deleted(self, pods: PodMachine):
        first, second = pods.elector(SHORT), pods.elector(SHORT)
        holder, waiter = pods.worker(first, tells=True), pods.worker(second)
        held = holder.acquire("x")
        queue_up(second, "x", waiter)

        deleted_at = delete(pods.namespace, SESSIONS, session_of(pods, "x"))
        told = holder.wait_for("told", name="x")
        next_hold = waiter.wait_for("ok", what="acquire")

        assert_told_in_time(pods, "session deleted by hand", deleted_at, told)
        # Whoever waits must notice first that it is gone; from then on the full wait runs.
        promised = SHORT.lease_seconds / 5 + TAKEOVER_SECONDS
        assert_taken_over(pods, "session deleted by hand", deleted_at, holder, next_hold, promised)
        assert next_hold.token > held.token
        assert_works_again(holder, "y")

    def test_set_to_ended(self, pods: PodMachine):
        """Who writes that a session has ended says that nobody believes any more. The elector hears of it late."""
        first, second = pods.elector(SHORT), pods.elector(SHORT)
        holder, waiter = pods.worker(first, tells=True), pods.worker(second)
        held = holder.acquire("x")
        queue_up(second, "x", waiter)

        ended_at = now_ns()
        path = f"{SESSIONS.format(pods.namespace.name)}/{session_of(pods, 'x')}"
        pods.namespace.plane.request("PATCH", path, {"spec": {"state": "ended"}}, content=MERGE)
        pods.exempt(held.token)
        told = holder.wait_for("told", name="x")
        next_hold = waiter.wait_for("ok", what="acquire")

        renewal_seconds = 1.1 * SHORT.lease_seconds / 5
        took = pods.measure("session ended by hand: told", seconds_between(ended_at, told.at), renewal_seconds)
        assert took < renewal_seconds + 1.0 * GENEROUS
        took = pods.measure("session ended by hand: another pod holds", seconds_between(ended_at, next_hold.at), 1.2)
        assert took < SHORT.lease_seconds / 5 + 1.0 * GENEROUS
        pods.measure("session ended by hand: overlap", pods.overlap_seconds(held.token), renewal_seconds)
        assert next_hold.token > held.token
        assert_works_again(holder, "y")


def test_the_role_is_taken_away_from_one_pod(pods: PodMachine):
    first, second = pods.elector(SHORT), pods.elector(SHORT)
    holder, waiter = pods.worker(first, tells=True), pods.worker(second)
    held = holder.acquire("x")
    queue_up(second, "x", waiter)

    removed_at = now_ns()
    pods.namespace.unbind(pods.account_of[first.pod])
    told = holder.wait_for("told", name="x")
    next_hold = waiter.wait_for("ok", what="acquire")

    # The authorizer hears of it a moment later, so the last renewal may come after the removal.
    took = pods.measure("rights taken away: the holder is told", seconds_between(removed_at, told.at), TOLD_SECONDS)
    assert took < TOLD_SECONDS + 1.0 * GENEROUS
    assert_taken_over(pods, "rights taken away", removed_at, holder, next_hold)
    assert next_hold.token > held.token
    wait_until(lambda: "store_forbidden" in first.output.read_text(), "it says why")

    bound_at = now_ns()
    pods.namespace.bind(pods.account_of[first.pod])
    assert_works_again(holder, "y")
    pods.measure("rights given back: it grants again", seconds_since(bound_at), SHORT.lease_seconds)


def delete(namespace: Namespace, collection: str, name: str) -> int:
    """Delete one object; the moment before."""
    at = now_ns()
    namespace.plane.request("DELETE", f"{collection.format(namespace.name)}/{name}")
    return at


def session_of(pods: PodMachine, name: str) -> str:
    return pods.tenures(name)[-1].session
