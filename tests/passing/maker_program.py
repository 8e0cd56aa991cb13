"""A maker of unnamed primitives: `python -m tests.passing.maker_program <method>`. It reads a command a line.

use      leave traces itself
child    have a child leave them; say so when the child has ended
stay     have a child leave them and stay; say its pid
look     have a child say what it sees of them
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from typing import Any

from metaparticle_sync import Barrier, Event, Semaphore

TRACES = "set 3 broken"
"""What a child says that sees all of them."""

STAY_SECONDS = 120


def leave_traces(event: Event, semaphore: Semaphore, barrier: Barrier) -> None:
    event.set()
    semaphore.release()
    barrier.abort()


def leave_traces_and_stay(*primitives: Any) -> None:
    leave_traces(*primitives)
    print("staying", os.getpid(), flush=True)
    signal.alarm(STAY_SECONDS)  # Should its test be killed.
    signal.pause()


def look(event: Event, semaphore: Semaphore, barrier: Barrier) -> None:
    is_set, value, is_broken = event.is_set(), semaphore.get_value(), barrier.broken
    print("set" if is_set else "unset", value, "broken" if is_broken else "whole", flush=True)


def main() -> None:
    context = multiprocessing.get_context(sys.argv[1])
    primitives = Event(), Semaphore(2), Barrier(2)
    print("ready", flush=True)
    for line in sys.stdin:
        command = line.strip()
        if command == "use":
            leave_traces(*primitives)
        else:
            target = {"child": leave_traces, "stay": leave_traces_and_stay, "look": look}[command]
            child = context.Process(target=target, args=primitives, daemon=True)
            child.start()
            if command == "stay":
                continue
            child.join()
        print("done", command, flush=True)
    print("leaving", flush=True)


if __name__ == "__main__":
    main()
