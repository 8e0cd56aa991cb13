"""Processes write to what they share, with a lock: `python -m tests.passing.sharing_program <what> <kind> <method>`.

`what` is "value" (a number in shared memory), "array" (its elements move on in step), or "log" (lines in a file).
"""

from __future__ import annotations

import logging
import multiprocessing
import sys
import threading
from pathlib import Path
from typing import Any

from metaparticle_sync import Barrier, BoundedSemaphore, Condition, Lock, RLock
from tests.passing.kinds import PATIENCE_SECONDS

PROCESSES = 3
TURNS = 10
SLOTS = 4
MAKERS = {
    "Lock": Lock,
    "RLock": RLock,
    "BoundedSemaphore of 1": lambda: BoundedSemaphore(1),
    "Condition": Condition,
}
LOCK_NAME = "one line at a time"


def begin_together() -> None:
    Barrier(PROCESSES, name="begin").wait(PATIENCE_SECONDS)


def be_in_the_midst() -> None:
    """Long enough for the others to come in between, were it not for the lock."""
    threading.Event().wait(0.003)


def count(value: Any) -> None:
    begin_together()
    for _ in range(TURNS):
        with value.get_lock():
            number = value.get_obj().value
            be_in_the_midst()
            value.get_obj().value = number + 1


def count_in_all(array: Any) -> None:
    begin_together()
    for _ in range(TURNS):
        with array.get_lock():
            numbers = array.get_obj()[:]
            be_in_the_midst()
            for slot, number in enumerate(numbers):
                array.get_obj()[slot] = number + 1


class HalvesHandler(logging.Handler):
    """Writes each line in two halves: without a lock between processes they would be torn."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def createLock(self) -> None:  # noqa: N802 -- logging's name
        super().createLock()
        self.lock = RLock(LOCK_NAME)

    def emit(self, record: logging.LogRecord) -> None:
        text = self.format(record)
        for half in (text, f"{text}\n"):
            with self._path.open("a") as file:
                file.write(half)
            be_in_the_midst()


def write_lines(path: Path) -> None:
    begin_together()
    write_with(HalvesHandler(path))


def write_with(handler: logging.Handler) -> None:
    logger = logging.getLogger(multiprocessing.current_process().name)
    logger.propagate = False
    logger.addHandler(handler)
    for _ in range(TURNS):
        logger.warning("x" * 20)


def fork_while_another_thread_logs(path: Path) -> None:
    """The child's handler is made anew by `logging`, whoever holds the parent's at the fork."""
    handler = HalvesHandler(path)
    context = multiprocessing.get_context("fork")
    handler.acquire()
    forked = threading.Event()

    def start() -> None:
        child.start()
        forked.set()

    child = context.Process(target=write_with, args=(handler,))
    starter = threading.Thread(target=start)
    starter.start()
    forked.wait()
    write_with(handler)
    handler.release()
    starter.join()
    child.join()
    sys.exit(child.exitcode)


def main() -> None:
    what, kind, method, *path = sys.argv[1:]
    if what == "forked log":
        fork_while_another_thread_logs(Path(path[0]))
    context = multiprocessing.get_context(method)
    if what == "log":
        target, shared = write_lines, Path(path[0])
    elif what == "value":
        target, shared = count, context.Value("i", 0, lock=MAKERS[kind]())
    else:
        target, shared = count_in_all, context.Array("i", SLOTS, lock=MAKERS[kind]())
    workers = [context.Process(target=target, args=(shared,)) for _ in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if what == "value":
        print(shared.value)
    elif what == "array":
        print(*shared.get_obj())
    sys.exit(max(worker.exitcode for worker in workers))


if __name__ == "__main__":
    main()
