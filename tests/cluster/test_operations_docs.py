"""What docs/operations.md does by hand to semaphores, events, conditions and barriers, while programs use them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.cluster.electors import PodElector, client_of, pod_electors
from tests.cluster.namespaces import Namespace
from tests.cluster.sharing import Sharing
from tests.cluster.test_electors import columns
from tests.cluster.test_kubectl import OPERATIONS, TIME, run_as_the_administrator
from tests.cluster.test_shared_kinds import A, B, C, place_of, wait_for
from tests.docs.pages import blocks
from tests.processes.electors import LONG

Run = Callable[[str], str]


@pytest.fixture
def two(namespace: Namespace) -> Iterator[list[PodElector]]:
    with pod_electors(namespace, 2, LONG) as electors:
        yield electors


@pytest.fixture
def pair(two: list[PodElector]) -> Iterator[tuple[Sharing, Sharing]]:
    with client_of(two[0]) as first, client_of(two[1]) as second:
        yield Sharing(first), Sharing(second)


@pytest.fixture
def run(namespace: Namespace, tmp_path: Path) -> Run:
    """Do what the page says: a command of it, or the only one that begins so."""

    def run(beginning: str) -> str:
        found = list(commands())
        (command,) = [beginning] if beginning in found else [one for one in found if one.startswith(beginning)]
        return run_as_the_administrator(namespace, tmp_path, command)

    return run


def commands() -> Iterator[str]:
    """All of the page: those with a prompt end with their line, the others with their block."""
    for block in blocks(OPERATIONS, "text"):
        if block.text.startswith("kubectl"):
            yield block.text
        else:
            yield from re.findall(r"^\$ (kubectl.*)$", block.text, re.MULTILINE)


def test_who_holds_the_permits(pair: tuple[Sharing, Sharing], two: list[PodElector], run: Run) -> None:
    for sharing, holder in zip(pair, (A, B), strict=True):
        assert sharing.acquire("gpu", holder, 3).status == 200
    lines = run("kubectl get sem gpu -o jsonpath").splitlines()
    assert [line.split("\t")[:2] for line in lines] == [[elector.pod, "a raw client"] for elector in two]
    assert all(re.fullmatch(TIME, line.split("\t")[2]) for line in lines)
    assert pair[0].release("gpu", A, limit=3, permits=3).body["value"] == 4
    (row,) = columns(run("kubectl get sem gpu"))
    assert (row["FREE"], row["HELD"], row["LIMIT"]) == ("4", "0", "3")


def test_another_limit(namespace: Namespace, pair: tuple[Sharing, Sharing], run: Run) -> None:
    first, second = pair
    assert first.acquire("gpu", A, 3).status == 200
    assert first.release("gpu", A, limit=3).status == 200
    assert second.acquire("gpu", B, 5).code == "limit_mismatch"
    wait_for(namespace, "semaphore", "gpu", held=0, waiters=0, value=3)
    assert run("kubectl delete sem gpu")
    assert second.acquire("gpu", C, 5).body["value"] == 4


def test_who_has_not_come_to_a_barrier(pair: tuple[Sharing, Sharing], two: list[PodElector], run: Run) -> None:
    for sharing, holder in zip(pair, (A, B), strict=True):
        sharing.arrive("phase", holder, 3)
    lines = run("kubectl get bar phase -o jsonpath").splitlines()
    assert [line.split("\t") for line in lines] == [[elector.pod, "a raw client"] for elector in two]
    (row,) = columns(run("kubectl get bar phase"))
    assert (row["PARTIES"], row["WAITING"], row["STATE"]) == ("3", "2", "filling")


@pytest.mark.parametrize("is_broken", [False, True])
def test_a_barrier_is_deleted(
    namespace: Namespace, pair: tuple[Sharing, Sharing], run: Run, *, is_broken: bool
) -> None:
    first, second = pair
    place = first.arrive("phase", A, 2)
    waiting = first.begin_to_pass("phase", A, 2, place_of(place))
    if is_broken:
        assert second.change("phase", "abort", 2).body["state"] == "broken"
        assert second.arrive("phase", B, 2).code == "barrier_broken"
    run("kubectl delete bar phase")
    assert waiting.answer().code == "barrier_broken"
    assert second.arrive("phase", C, 2).status == 202
    wait_for(namespace, "barrier", "phase", state="filling", waiting=1)


def test_an_event_is_set(pair: tuple[Sharing, Sharing], run: Run) -> None:
    first, second = pair
    first.put("go", is_set=False)
    waiting = second.begin_to_wait("go")
    run("kubectl patch mpev go")
    assert waiting.answer().status == 200
    assert first.begin_to_wait("go", 0).answer().status == 200
    assert first.put("go", is_set=False).status == 200


def test_an_event_that_nobody_has_used_is_set(namespace: Namespace, pair: tuple[Sharing, Sharing], run: Run) -> None:
    waiting = pair[0].begin_to_wait("go")
    run("kubectl create -f -")
    assert waiting.answer().status == 200
    (row,) = columns(namespace.plane.kubectl("get", "mpev", "-n", namespace.name))
    assert (row["EVENT"], row["SET"]) == ("go", "true")


def test_what_deleting_the_others_does(namespace: Namespace, pair: tuple[Sharing, Sharing]) -> None:
    """Whoever waits for a condition wakes; an event is not set any more, and who waits for it waits on."""
    first, second = pair
    first.enqueue("q", A)
    notified = first.begin_to_be_notified("q", A)
    wait_for(namespace, "condition", "q", waiters=1)
    namespace.plane.kubectl("delete", "cond", "q", "-n", namespace.name)
    assert notified.answer().body["state"] == "notified"

    first.put("go", is_set=True)
    namespace.plane.kubectl("delete", "mpev", "go", "-n", namespace.name)
    waiting = second.begin_to_wait("go", 1.0)
    second.put("go", is_set=False)
    assert (waiting.answer().status, second.begin_to_wait("go", 0).answer().status) == (202, 202)
