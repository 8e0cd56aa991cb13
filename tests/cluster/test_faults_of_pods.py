"""Processes of pods are killed, paused and restarted; beliefs are compared with what the recorder saw in etcd."""

from __future__ import annotations

from tests.cluster.pods import PodMachine
from tests.processes.electors import SHORT
from tests.processes.history import seconds_between
from tests.processes.running import GENEROUS
from tests.processes.test_holder import queue_up

TAKEOVER_SECONDS = SHORT.observation_seconds + SHORT.lease_seconds / 5


def test_a_killed_application_frees_its_lock(pods: PodMachine):
    first, second = pods.elector(SHORT), pods.elector(SHORT)
    holder, waiter = pods.worker(first), pods.worker(second)
    held = holder.acquire("x")
    queue_up(second, "x", waiter)

    killed_at = holder.kill()
    next_hold = waiter.wait_for("ok", what="acquire")

    took = seconds_between(killed_at, next_hold.at)
    assert pods.measure("application killed, the next pod holds", took, 1.0) < 1.0 * GENEROUS
    assert [tenure.token for tenure in pods.tenures("x")] == [held.token, next_hold.token]
