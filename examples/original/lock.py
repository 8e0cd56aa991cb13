"""The lock example of the original metaparticle library for Python, with its arguments.

    $ python examples/original/lock.py
    waiting for the lock
    I have the lock!
    the lock is released

It holds the lock for a while; start it twice, and the second one waits for the first. The original slept for 10 s from
one try to the next; here the second one has the lock as soon as the first has released it.
"""

from __future__ import annotations

import sys
import time

from metaparticle_sync import Lock


def have_lock() -> None:
    print("I have the lock!", flush=True)


def lost_lock() -> None:
    print("I lost the lock!", flush=True)


def main(seconds: float) -> None:
    lock = Lock("test", lock_callback=have_lock, lock_lost_callback=lost_lock)
    print("waiting for the lock", flush=True)
    lock.acquire()
    time.sleep(seconds)
    lock.release()
    print("the lock is released", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
