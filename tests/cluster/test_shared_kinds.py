"""Two pods that share a semaphore, an event, a condition or a barrier through the API server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from elector_server.store.kubernetes_objects import PLURALS
from tests.cluster.electors import PodElector, client_of, pod_electors
from tests.cluster.namespaces import Namespace
from tests.cluster.sharing import Sharing
from tests.processes.electors import LONG, Leases
from tests.processes.running import wait_until

A, B, C, D = ("a" * 32, "b" * 32, "c" * 32, "d" * 32)


@pytest.fixture
def two(namespace: Namespace) -> Iterator[list[PodElector]]:
    with pod_electors(namespace, 2, LONG) as electors:
        yield electors


@pytest.fixture
def pair(two: list[PodElector]) -> Iterator[tuple[Sharing, Sharing]]:
    """A process beside each of them."""
    with client_of(two[0]) as first, client_of(two[1]) as second:
        yield Sharing(first), Sharing(second)


def stored(namespace: Namespace, kind: str, name: str) -> dict[str, Any]:
    """What the object says."""
    path = f"/apis/metaparticle.io/v1/namespaces/{namespace.name}/{PLURALS[kind]}/{name}"
    found: dict[str, Any] = namespace.plane.request("GET", path)["spec"]
    return found


def wait_for(namespace: Namespace, kind: str, name: str, **fields: Any) -> None:
    wait_until(lambda: stored(namespace, kind, name).items() >= fields.items(), f"the {kind} says {fields}")


class TestSemaphore:
    def test_permits_are_counted_over_both_and_handed_on(self, namespace: Namespace, pair: tuple[Sharing, Sharing]):
        first, second = pair
        assert first.acquire("gpu", A, 2).body["value"] == 1
        assert second.acquire("gpu", B, 2).body["value"] == 0
        refused = first.acquire("gpu", C, 2)
        assert (refused.status, refused.code) == (409, "no_permit")
        waiting = first.begin_to_acquire("gpu", D, 2)
        wait_for(namespace, "semaphore", "gpu", value=0, held=2, waiters=1)
        assert second.release("gpu", B, limit=2).status == 200
        granted = waiting.answer()
        assert (granted.status, granted.body["value"]) == (200, 0)
        wait_for(namespace, "semaphore", "gpu", value=0, held=2, waiters=0)

    def test_another_limit_is_refused_with_both_numbers(self, pair: tuple[Sharing, Sharing]):
        first, second = pair
        first.acquire("gpu", A, 2)
        refused = second.acquire("gpu", B, 3)
        assert (refused.status, refused.code) == (409, "limit_mismatch")
        assert "2" in refused.body["detail"]
        assert "3" in refused.body["detail"]

    def test_the_permit_of_a_dead_pod_goes_to_the_next(self, namespace: Namespace):
        with (
            pod_electors(namespace, 2, Leases(6.0, 60.0)) as (dying, other),
            client_of(dying) as first,
            client_of(other) as second,
        ):
            held = Sharing(first).acquire("gpu", A, 1)
            waiting = Sharing(second).begin_to_acquire("gpu", B, 1)
            wait_for(namespace, "semaphore", "gpu", waiters=1)
            dying.kill()
            granted = waiting.answer()
            assert granted.status == 200
            assert int(granted.body["token"]) > int(held.body["token"])
            assert stored(namespace, "semaphore", "gpu")["permits"][0]["owner"] == other.pod

    def test_a_permit_survives_a_crash_of_the_elector(self, namespace: Namespace, two: list[PodElector]):
        with client_of(two[0]) as first, client_of(two[1]) as second:
            held = Sharing(first).acquire("gpu", A, 2)
            left = Sharing(first).acquire("gpu", B, 2)
            two[0].kill()
            two[0].start()
            presented = {"kind": "semaphore", "name": "gpu", "holder": A, "token": held.body["token"]}
            wait_until(lambda: first.open([presented]).body.get("holds"), "the elector has its session again")
            assert Sharing(second).acquire("gpu", C, 2).code == "no_permit"
            permits = {one["holder"]: one for one in stored(namespace, "semaphore", "gpu")["permits"]}
            assert permits.keys() == {A, B}
            assert permits[A]["epoch"] == permits[B]["epoch"] + 1
            assert permits[A]["token"] == held.body["token"]
            assert Sharing(first).release("gpu", A, limit=2).body["value"] == 1
            presented |= {"holder": B, "token": left.body["token"]}
            assert first.open([presented]).status == 200
            assert Sharing(first).release("gpu", B, limit=2).body["value"] == 2


class TestEvent:
    def test_set_wakes_the_other_pod_even_if_cleared_at_once(self, namespace: Namespace, pair: tuple[Sharing, Sharing]):
        first, second = pair
        not_yet = second.begin_to_wait("go", 0).answer()
        assert (not_yet.status, not_yet.body["is_set"]) == (202, False)
        assert first.put("go", is_set=True).body["is_set"]
        assert not first.put("go", is_set=False).body["is_set"]
        passed = second.begin_to_wait("go", 0, not_yet.body["generation"]).answer()
        assert (passed.status, passed.body["is_set"]) == (200, True)
        wait_for(namespace, "event", "go", isSet=False, generation=1)

    def test_a_parked_waiter_hears_of_it_at_once(self, pair: tuple[Sharing, Sharing]):
        first, second = pair
        first.put("go", is_set=False)
        waiting = second.begin_to_wait("go")
        first.put("go", is_set=True)
        assert waiting.answer().status == 200


class TestCondition:
    def test_notify_wakes_the_oldest_of_the_other_pod(self, namespace: Namespace, pair: tuple[Sharing, Sharing]):
        first, second = pair
        for sharing, holder in ((second, A), (second, B), (first, C)):
            assert sharing.enqueue("q", holder).status == 202
        waiting = [sharing.begin_to_be_notified("q", holder) for sharing, holder in ((second, A), (second, B))]
        wait_for(namespace, "condition", "q", waiters=3, notified=0)
        assert first.notify("q", 1).body["notified"] == 1
        assert waiting[0].answer().body["state"] == "notified"
        assert first.notify("q", None).body["notified"] == 2
        assert waiting[1].answer().body["state"] == "notified"
        assert first.begin_to_be_notified("q", C).answer().body["state"] == "notified"
        for sharing in pair:
            assert sharing.client.heartbeat().status == 200  # So it has heard the answers.
        wait_for(namespace, "condition", "q", waiters=0, notified=0)


class TestBarrier:
    def test_all_pass_when_the_last_one_comes_and_one_acts(self, namespace: Namespace, pair: tuple[Sharing, Sharing]):
        first, second = pair
        places = [sharing.arrive("phase", holder, 3, acts=True) for sharing, holder in ((first, A), (second, B))]
        assert [place.status for place in places] == [202, 202]
        wait_for(namespace, "barrier", "phase", parties=3, waiting=2, state="filling")
        waiting = [
            sharing.begin_to_pass("phase", holder, 3, place_of(place), acts=True)
            for sharing, holder, place in zip(pair, (A, B), places, strict=True)
        ]
        last = second.begin_to_pass("phase", C, 3, acts=True).answer()
        assert (last.status, last.body["state"], last.body["index"]) == (200, "acting", 2)
        wait_for(namespace, "barrier", "phase", state="acting", waiting=0)
        assert second.change("phase", "open", 3, C).status == 200
        passed = [one.answer().body for one in waiting]
        assert [(one["state"], one["index"]) for one in passed] == [("passed", 0), ("passed", 1)]
        wait_for(namespace, "barrier", "phase", state="filling", waiting=0, generation=1)

    def test_a_process_that_dies_breaks_it_for_the_other_pod(self, namespace: Namespace, two: list[PodElector]):
        with client_of(two[0]) as first:
            with client_of(two[1]) as second:
                stream = second.open_stream()
                second.heartbeat(stream.own_address)
                place = Sharing(first).arrive("phase", A, 3)
                assert Sharing(second).arrive("phase", B, 3).status == 202
                waiting = Sharing(first).begin_to_pass("phase", A, 3, place_of(place))
                stream.close()
            broken = waiting.answer()
            assert (broken.status, broken.code) == (409, "barrier_broken")
            wait_for(namespace, "barrier", "phase", state="broken", waiting=0)
            assert Sharing(first).change("phase", "reset", 3).body["state"] == "filling"
            assert Sharing(first).arrive("phase", C, 3).status == 202


def place_of(arrival: Any) -> dict[str, int]:
    return {field: arrival.body[field] for field in ("generation", "index")}
