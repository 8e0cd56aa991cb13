"""Where the standard library takes a lock of its user's: shared memory of `multiprocessing`, `queue`, `logging`."""

from __future__ import annotations

import logging
import queue
import threading
from types import SimpleNamespace

import pytest

from metaparticle_sync import Condition, Lock, RLock
from tests.passing.sharing_program import LOCK_NAME, PROCESSES, SLOTS, TURNS, HalvesHandler
from tests.passing.ways import METHODS, FromThread
from tests.processes.electors import LONG
from tests.processes.machine import Machine

ITEMS = 20


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["Lock", "RLock", "BoundedSemaphore of 1", "Condition"])
@pytest.mark.parametrize("what", ["value", "array"])
def test_shared_memory_with_our_lock(machine: Machine, method: str, kind: str, what: str):
    elector = machine.elector(LONG)
    program = machine.program(
        ["-m", "tests.passing.sharing_program", what, kind, method], {"METAPARTICLE_SYNC_URL": elector.url}
    )
    assert program.exit_code() == 0
    counts = [int(number) for number in program.said().split()]
    assert counts == [PROCESSES * TURNS] * (SLOTS if what == "array" else 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_log_file_of_several_processes(machine: Machine, tmp_path, method: str):
    elector = machine.elector(LONG)
    path = tmp_path / "log"
    program = machine.program(
        ["-m", "tests.passing.sharing_program", "log", "RLock", method, str(path)],
        {"METAPARTICLE_SYNC_URL": elector.url},
    )
    assert program.exit_code() == 0
    lines = path.read_text().splitlines()
    assert lines == ["x" * 40] * (PROCESSES * TURNS)


def test_a_handler_that_is_locked_at_a_fork(machine: Machine, tmp_path):
    elector = machine.elector(LONG)
    path = tmp_path / "log"
    program = machine.program(
        ["-m", "tests.passing.sharing_program", "forked log", "RLock", "fork", str(path)],
        {"METAPARTICLE_SYNC_URL": elector.url},
    )
    assert program.exit_code() == 0
    # The child waits for its parent's lock, which is held all over: the parent's lines come first, none of them torn.
    assert path.read_text().splitlines() == ["x" * 40] * (2 * TURNS)
    assert elector.is_free(LOCK_NAME)


def test_a_handler_s_lock_is_ours_while_it_emits(elector, tmp_path):
    seen = []

    class Handler(HalvesHandler):
        def emit(self, record: logging.LogRecord) -> None:
            seen.append((self.lock.held, FromThread(lambda _: self.lock.acquire(blocking=False), None).result()))
            super().emit(record)

    handler = Handler(tmp_path / "log")
    assert isinstance(handler.lock, RLock)
    handler.handle(logging.makeLogRecord({"msg": "x"}))
    assert seen == [(True, False)]
    assert not handler.lock.held
    handler.close()


# queue --------------------------------------------------------------------------------------------------------------

LOCKS = {
    "threading's conditions on our Lock": SimpleNamespace(Lock=Lock, Condition=threading.Condition),
    "threading's conditions on our RLock": SimpleNamespace(Lock=RLock, Condition=threading.Condition),
    "our conditions on our Lock": SimpleNamespace(Lock=Lock, Condition=Condition),
    "our conditions on our RLock": SimpleNamespace(Lock=RLock, Condition=Condition),
}


@pytest.fixture(params=LOCKS)
def make_queue(request, monkeypatch, elector):
    """The queues of `queue`, which build their conditions on their mutex themselves."""
    monkeypatch.setattr(queue, "threading", LOCKS[request.param])
    return lambda kind, size: getattr(queue, kind)(size)


@pytest.mark.parametrize("kind", ["Queue", "LifoQueue", "PriorityQueue"])
def test_a_queue_with_our_lock_as_its_mutex(make_queue, kind: str):
    items = make_queue(kind, 2)
    assert isinstance(items.mutex, (Lock, RLock))
    taken: list[int] = []

    def consume() -> None:
        while (item := items.get(timeout=60)) >= 0:
            taken.append(item)
            items.task_done()
        items.task_done()

    consumer = threading.Thread(target=consume)
    consumer.start()
    for number in range(ITEMS):
        items.put(number, timeout=60)
    items.join()
    assert sorted(taken) == list(range(ITEMS))
    if kind == "Queue":
        assert taken == list(range(ITEMS))
    items.put(-1)
    consumer.join(60)
    assert not consumer.is_alive()
    assert items.empty()
    assert not items.mutex.locked()


def test_a_queue_says_in_time_that_it_is_empty_or_full(make_queue):
    items = make_queue("Queue", 1)
    with pytest.raises(queue.Empty):
        items.get_nowait()
    with pytest.raises(queue.Empty):
        items.get(timeout=0.1)
    items.put(1)
    with pytest.raises(queue.Full):
        items.put_nowait(2)
    with pytest.raises(queue.Full):
        items.put(2, timeout=0.1)
    assert items.get() == 1
    assert not items.mutex.locked()


def test_a_mutex_that_is_given_to_a_queue_afterwards(elector):
    items: queue.Queue[int] = queue.Queue()
    items.mutex = Lock()
    items.not_empty, items.not_full, items.all_tasks_done = (Condition(items.mutex) for _ in range(3))
    getting = FromThread(lambda _: items.get(timeout=60), None)
    items.put(7)
    assert getting.result() == 7
    with items.mutex:
        assert FromThread(lambda _: items.mutex.acquire(blocking=False), None).result() is False


REINIT_IN_A_CHILD = """
import os
from metaparticle_sync import Condition, Lock, RLock, Semaphore

made = []
os.register_at_fork(after_in_child=lambda: [primitive._at_fork_reinit() for primitive in made])
made += [Lock(), RLock(), Semaphore(1), Condition()]  # Later than the hook, so theirs comes after it.
for primitive in made:
    primitive.acquire()
if os.fork() == 0:
    os._exit(sum(primitive.acquire(blocking=False) for primitive in made))
print(os.waitstatus_to_exitcode(os.wait()[1]), *[bool(primitive.held) for primitive in made[:3]], made[3].locked())
"""


def test_a_hook_that_begins_anew_in_a_child_releases_nothing_of_its_parent(machine: Machine):
    elector = machine.elector(LONG)
    program = machine.program(["-c", REINIT_IN_A_CHILD], {"METAPARTICLE_SYNC_URL": elector.url})
    assert program.exit_code() == 0
    assert program.said().split() == ["0", "True", "True", "True", "True"]
