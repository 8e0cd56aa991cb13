"""Semaphores, events, conditions and barriers at work in two pods while API server and etcd are killed and paused.

The processes do what the library does: they ask again, under the same id, until they are answered. All of them are
threads of the test, so it knows at each moment how many are inside.
"""

from __future__ import annotations

import http.client
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import pytest

from metaparticle_sync import wire
from tests.cluster.pods import PodMachine
from tests.cluster.recorder import StoredWrite
from tests.cluster.sharing import Sharing
from tests.cluster.test_faults_of_api_server import (
    STEADY,
    fragile,
    fragile_plane,
    fragile_recorder,
    kill_etcd,
    kill_the_api_server,
    pause_the_api_server,
)
from tests.cluster.test_shared_kinds import place_of, stored
from tests.processes.raw_client import Answer, RawClient
from tests.processes.running import wait_until

__all__ = ["fragile", "fragile_plane", "fragile_recorder"]

LIMIT: Final = 2
PARTIES: Final = 3
WRITES: Final = 20
FAULTS: Final = (kill_the_api_server, kill_etcd, pause_the_api_server)


class Process:
    """One application process. What it did is in its lists, what went wrong in its future."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        self._stop = stop
        self.does = Sharing(RawClient(url))
        assert self.does.client.open().status == 200

    def end(self) -> None:
        self.does.client.end()

    def goes_on(self) -> bool:
        return not self._stop.is_set()

    def answer(self, ask: Callable[[], Answer]) -> Answer:
        """Ask until there is an answer. Nothing may be refused."""
        answers: list[Answer] = []

        def is_answered() -> bool:
            try:
                answers.append(ask())
            except (OSError, http.client.HTTPException):
                return False
            return answers[-1].status != 503

        wait_until(is_answered, "an answer")
        assert answers[-1].status in {200, 202}, answers[-1]
        return answers[-1]


class Inside:
    """How many hold a permit at this moment."""

    def __init__(self) -> None:
        self._mutex = threading.Lock()
        self._count = 0
        self.most = 0

    def enter(self) -> None:
        with self._mutex:
            self._count += 1
            self.most = max(self.most, self._count)

    def leave(self) -> None:
        with self._mutex:
            self._count -= 1


def take_permits(process: Process, inside: Inside) -> None:
    while process.goes_on():
        holder, operation = wire.new_id(), wire.new_id()
        waiting = 202
        while waiting == 202:
            answer = process.answer(lambda holder=holder: process.does.begin_to_acquire("s", holder, LIMIT).answer())
            waiting = answer.status
        inside.enter()
        process.answer(process.does.client.heartbeat)
        inside.leave()
        process.answer(lambda holder=holder, of=operation: process.does.release("s", holder, limit=LIMIT, operation=of))


def set_and_clear(process: Process, _: Inside) -> int:
    """How often it was set."""
    times = 0
    while process.goes_on():
        for is_set in (True, False):
            operation = wire.new_id()
            put = process.answer(lambda is_set=is_set, of=operation: process.does.put("e", is_set=is_set, operation=of))
            times += is_set
            assert (put.body["is_set"], put.body["generation"]) == (is_set, times)
    return times


def pass_barriers(process: Process, _: Inside) -> list[tuple[int, int, bool]]:
    """Generation and index of each passing, and whether it was this process that acted."""
    passed: list[tuple[int, int, bool]] = []
    while process.goes_on():
        holder = wire.new_id()
        answer = process.answer(lambda holder=holder: process.does.arrive("b", holder, PARTIES, acts=True))
        while answer.status == 202 and process.goes_on():
            place = place_of(answer)
            answer = process.answer(
                lambda holder=holder, at=place: process.does.begin_to_pass(
                    "b", holder, PARTIES, at, 1, acts=True
                ).answer()
            )
        if answer.status == 202:
            break
        if answer.body["state"] == "acting":
            operation = wire.new_id()
            process.answer(lambda holder=holder, of=operation: process.does.change("b", "open", PARTIES, holder, of))
        passed.append((answer.body["generation"], answer.body["index"], answer.body["state"] == "acting"))
    return passed


def be_notified(process: Process, _: Inside) -> int:
    """How often it was woken. Nobody else waits, so each notification is for this process."""
    times = 0
    while process.goes_on():
        holder = wire.new_id()
        process.answer(lambda holder=holder: process.does.enqueue("c", holder))
        operation = wire.new_id()
        notified = process.answer(lambda of=operation: process.does.notify("c", 1, of))
        assert notified.body["notified"] in {0, 1}  # 0 if the answer was lost, and the ticket had its mark before
        woken = process.answer(lambda holder=holder: process.does.begin_to_be_notified("c", holder).answer())
        assert woken.body["state"] == "notified"
        times += 1
    return times


class Crowd:
    """Processes of two pods, which go on until they are stopped."""

    def __init__(self, urls: list[str], pool: ThreadPoolExecutor) -> None:
        self._urls = urls
        self._pool = pool
        self._stop = threading.Event()
        self._processes: list[Process] = []
        self._futures: list[Future[Any]] = []
        self.inside = Inside()

    def start(self, work: Callable[[Process, Inside], Any], count: int) -> list[Future[Any]]:
        """So many more, in turns beside the one elector and the other."""
        fresh = [Process(self._urls[number % 2], self._stop) for number in range(count)]
        self._processes.extend(fresh)
        futures = [self._pool.submit(work, process, self.inside) for process in fresh]
        self._futures.extend(futures)
        return futures

    def check(self) -> None:
        """Raise what any of them met."""
        for future in self._futures:
            if future.done():
                future.result()

    def stop(self) -> None:
        self._stop.set()

    def end(self) -> None:
        for process in self._processes:
            process.end()


@pytest.fixture
def crowd(fragile: PodMachine) -> Iterator[Crowd]:
    urls = [fragile.elector(STEADY).url for _ in range(2)]
    with ThreadPoolExecutor(16) as pool:
        crowd = Crowd(urls, pool)
        try:
            yield crowd
        finally:
            crowd.stop()
    crowd.end()


def test_an_api_server_that_comes_and_goes(fragile: PodMachine, crowd: Crowd) -> None:
    takers, setters = crowd.start(take_permits, 4), crowd.start(set_and_clear, 1)
    parties, waiters = crowd.start(pass_barriers, PARTIES), crowd.start(be_notified, 2)
    for fault in FAULTS:
        everybody_gets_on(fragile, crowd)
        fault(fragile.namespace.plane)
    everybody_gets_on(fragile, crowd)
    crowd.stop()
    for taker in takers:
        taker.result()

    writes = fragile.writes()
    assert crowd.inside.most <= LIMIT
    assert max(write.spec["held"] for write in writes if write.kind == "semaphore") == LIMIT
    assert list(semaphore_violations(writes)) == []
    wait_until(lambda: stored(fragile.namespace, "semaphore", "s")["held"] == 0, "all permits are back")
    assert stored(fragile.namespace, "semaphore", "s")["value"] == LIMIT
    assert stored(fragile.namespace, "event", "e")["generation"] == sum(setter.result() for setter in setters)
    assert all(waiter.result() for waiter in waiters)
    assert_each_opened_once([party.result() for party in parties])


def everybody_gets_on(pods: PodMachine, crowd: Crowd) -> None:
    """Each kind of record is written a few times more."""
    kinds = ("semaphore", "event", "condition", "barrier")
    before = Counter(write.kind for write in pods.writes())

    def has_grown() -> bool:
        crowd.check()
        now = Counter(write.kind for write in pods.writes())
        return all(now[kind] >= before[kind] + WRITES for kind in kinds)

    wait_until(has_grown, "everybody gets on")


def semaphore_violations(writes: Sequence[StoredWrite]) -> Iterator[str]:
    """No more permits than there are, none by a release that was done twice, none for a holder that had gone."""
    before: set[str] = set()
    gone: set[str] = set()
    for write in writes:
        if write.kind == "semaphore":
            holders = [permit["holder"] for permit in write.spec["permits"]]
            if len(holders) > LIMIT or len(set(holders)) < len(holders) or write.spec["extra"]:
                yield f"too many permits: {write} {write.spec}"
            if gone.intersection(holders):
                yield f"granted again: {write} {gone.intersection(holders)}"
            gone |= before.difference(holders)
            before = set(holders)


def assert_each_opened_once(passed: list[list[tuple[int, int, bool]]]) -> None:
    """Each generation was passed by all parties, at different places, and one of them acted: the last to come."""
    generations: dict[int, list[tuple[int, bool]]] = {}
    for party in passed:
        assert [generation for generation, _, _ in party] == sorted({generation for generation, _, _ in party})
        for generation, index, acted in party:
            generations.setdefault(generation, []).append((index, acted))
    whole = [sorted(places) for generation, places in sorted(generations.items())][:-1]
    assert len(whole) > len(FAULTS)
    assert all(places == [(0, False), (1, False), (2, True)] for places in whole), whole
    assert sorted(generations) == list(range(len(generations)))
