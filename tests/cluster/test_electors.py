"""Electors of several pods on a real API server: exclusion, hand-off, takeover, and what kubectl shows of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator

import pytest

from tests.cluster.electors import PodElector, client_of, pod_electors
from tests.cluster.namespaces import Namespace
from tests.processes.electors import LONG, Leases
from tests.processes.running import wait_until


@pytest.fixture
def two(namespace: Namespace) -> Iterator[list[PodElector]]:
    with pod_electors(namespace, 2, LONG) as electors:
        yield electors


def columns(table: str) -> list[dict[str, str]]:
    head, *rows = table.splitlines()
    starts = [at for at in range(len(head)) if head[at] != " " and (at == 0 or head[at - 1] == " ")]
    cut = [*starts, None]
    return [{head[a:b].strip(): row[a:b].strip() for a, b in itertools.pairwise(cut)} for row in rows]


class TestTwoPods:
    def test_they_exclude_each_other_and_hand_off(self, two: list[PodElector]) -> None:
        with client_of(two[0]) as first, client_of(two[1]) as second:
            held = first.acquire("report", "a" * 32)
            assert held.status == 200, held
            refused = second.acquire("report", "b" * 32)
            assert (refused.status, refused.code) == (409, "lock_held")
            waiting = second.begin_to_acquire("report", "c" * 32)
            two[0].wait_for_waiters("report", 1)
            assert first.release("report", "a" * 32).status == 204
            granted = waiting.answer()
            assert granted.status == 200
            assert int(granted.body["token"]) > int(held.body["token"])
            assert second.release("report", "c" * 32).status == 204
        wait_until(lambda: two[0].is_free("report"), "the lock is free")

    def test_kubectl_shows_who_holds(self, namespace: Namespace, two: list[PodElector]) -> None:
        with client_of(two[0]) as first, client_of(two[1]) as second:
            held = first.acquire("Nightly Report", "a" * 32)
            waiting = second.begin_to_acquire("Nightly Report", "b" * 32)
            two[0].wait_for_waiters("Nightly Report", 1)
            table = columns(namespace.plane.kubectl("get", "locks", "-n", namespace.name))
            row = next(row for row in table if row["LOCK"] == "Nightly Report")
            assert row["NAME"].startswith("nightly-report-")
            assert (row["HOLDER"], row["WAITERS"]) == (two[0].pod, "1")
            assert row["TOKEN"] == held.body["token"]
            assert row["SINCE"].endswith("s")
            first.release("Nightly Report", "a" * 32)
            waiting.answer()
            row = next(
                row for row in columns(namespace.plane.kubectl("get", "lk", "-n", namespace.name)) if row["LOCK"]
            )
            assert (row["HOLDER"], row["WAITERS"]) == (two[1].pod, "0")

    def test_a_created_lock_shows_its_token_too(self, namespace: Namespace, two: list[PodElector]) -> None:
        with client_of(two[0]) as client:
            held = client.acquire("a", "a" * 32)
            (row,) = columns(namespace.plane.kubectl("get", "locks", "-n", namespace.name))
            assert row["TOKEN"] == held.body["token"]

    def test_kubectl_delete_frees_it_and_tells_the_holder(self, namespace: Namespace, two: list[PodElector]) -> None:
        with client_of(two[0]) as client:
            held = client.acquire("a", "a" * 32)
            stream = client.open_stream()
            namespace.plane.kubectl("delete", "lock", "a", "-n", namespace.name)
            assert json.dumps(stream.until("lost"))
            stream.close()
            with client_of(two[1]) as other:
                again = other.acquire("a", "b" * 32)
                assert int(again.body["token"]) > int(held.body["token"])

    def test_a_lock_made_by_hand_is_in_nobody_s_way(self, namespace: Namespace, two: list[PodElector]) -> None:
        made = {"apiVersion": "metaparticle.io/v1", "kind": "Lock", "metadata": {"name": "a"}, "spec": {"owner": "me"}}
        namespace.plane.kubectl("create", "-n", namespace.name, "-f", "-", stdin=json.dumps(made))
        with client_of(two[0]) as client:
            assert client.acquire("b", "b" * 32).status == 200
            found = {one["name"]: one["owner"] for one in two[0].locks() or ()}
            assert found == {"a": "me", "b": two[0].pod}

    def test_foreign_labels_cost_nobody_a_hold(self, namespace: Namespace, two: list[PodElector]) -> None:
        with client_of(two[0]) as client:
            assert client.acquire("a", "a" * 32).status == 200
            for number in range(3):
                words = ("label", "lock", "a", f"team=t{number}", "--overwrite", "-n", namespace.name)
                namespace.plane.kubectl(*words)
            assert client.acquire("a", "a" * 32).status == 200
            assert client.release("a", "a" * 32).status == 204
        wait_until(lambda: not namespace.locks(), "the lock is free")


def test_a_dead_pods_locks_go_to_the_next_after_its_lease(namespace: Namespace) -> None:
    with (
        pod_electors(namespace, 2, Leases(6.0, 60.0)) as (dying, other),
        client_of(dying) as first,
        client_of(other) as second,
    ):
        held = first.acquire("a", "a" * 32)
        waiting = second.begin_to_acquire("a", "b" * 32)
        dying.wait_for_waiters("a", 1)
        dying.kill()
        granted = waiting.answer()
        assert granted.status == 200
        assert int(granted.body["token"]) > int(held.body["token"])
        assert f"{dying.pod} has not renewed its session" in other.output.read_text()
