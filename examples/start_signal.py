"""An event: processes get ready, and all of them begin at one signal.

    $ python examples/start_signal.py
    4 workers are ready, 0 have begun
    the signal is given
    all 4 began after the signal
    a worker that comes late need not wait

The signal stays given when the process that gave it ends; only `clear` takes it back.
"""

from __future__ import annotations

import multiprocessing
import time
from multiprocessing.queues import SimpleQueue
from typing import Any

from metaparticle_sync import Event

WORKERS = 4


def work(ready: SimpleQueue[int], begun: SimpleQueue[float]) -> None:
    """One process. In a cluster it would say that it is ready in some other way."""
    go = Event("start-signal")
    ready.put(1)
    go.wait()
    begun.put(time.monotonic())


def main() -> None:
    spawn = multiprocessing.get_context("spawn")
    ready, begun = spawn.SimpleQueue(), spawn.SimpleQueue()
    go = Event("start-signal")
    go.clear()  # It may be set from another day.

    workers = [start(spawn, ready, begun) for _ in range(WORKERS)]
    number = sum(ready.get() for _ in workers)
    time.sleep(1.0)  # They would begin now, if they did not wait.
    print(f"{number} workers are ready, {0 if begun.empty() else 'SOME'} have begun")

    given_at = time.monotonic()
    go.set()
    print("the signal is given")
    began_at = [begun.get() for _ in workers]
    print(f"{'all' if min(began_at) > given_at else 'NOT ALL'} {len(began_at)} began after the signal")

    workers.append(start(spawn, ready, begun))
    begun.get()
    print("a worker that comes late need not wait")

    for worker in workers:
        worker.join()
    go.clear()


def start(spawn: Any, *queues: SimpleQueue[Any]) -> Any:
    worker = spawn.Process(target=work, args=queues)
    worker.start()
    return worker


if __name__ == "__main__":
    main()
